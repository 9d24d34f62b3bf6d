//! The operator's model in Envoy's messages. Pure: a [`Config`] and a class of client come in, encoded resources go
//! out; equal content gives equal bytes. One file per kind, and `precedence` for the order of routes.
//!
//! Every resource remembers what it was made from (`origin`), so that what `xds` says of a message is told to the
//! operator with a pointer into the operator's own document.

pub mod precedence;

mod cluster;
mod endpoint;
mod grpc;
mod headers;
mod listener;
mod matching;
mod origin;
mod route;
mod route_configuration;
mod value;
mod warning;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;
use xds::node::ClientClass;
use xds::resource::Resource;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::model::{self, Config, Endpoints};

use self::origin::Origin;

pub use self::warning::{Warning, warnings};

/// The endpoints of clusters with `discovery: api`, by cluster.
pub type FastLane = BTreeMap<Arc<str>, Arc<Endpoints>>;

/// One resource in Envoy's words.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// Its type.
    pub ty: ResourceType,
    /// Its name, unique within the type.
    pub name: String,
    /// The encoded message.
    pub bytes: Bytes,
    origin: Origin,
}

/// The resources of a config for one class of client.
#[derive(Clone, Debug, Default)]
pub struct Translated {
    resources: Vec<Encoded>,
}

/// Translates everything but endpoints that come through the fast lane.
pub fn slow_lane(config: &Config, class: ClientClass) -> Translated {
    let mut translated = Translated::default();
    if class == ClientClass::Grpc {
        grpc::slow_lane(config, &mut translated);
        return translated;
    }
    for cluster in config.clusters.values() {
        translated.add(
            ResourceType::Cluster,
            &cluster.name,
            &cluster::translate(cluster),
            Origin::Cluster(cluster.clone()),
        );
    }
    for listener in config.listeners.values() {
        let origin = Origin::Listener(listener.clone());
        translated.add(
            ResourceType::Listener,
            &listener.name,
            &listener::translate(listener),
            origin,
        );
        route_configuration::translate(config, listener, class, &mut translated);
    }
    translated
}

/// Translates the endpoints of one cluster: the bytes of its `ClusterLoadAssignment`.
pub fn endpoints(cluster: &str, endpoints: &Endpoints) -> Bytes {
    endpoint::translate(cluster, &endpoints.endpoints)
        .encode_to_vec()
        .into()
}

/// Translates everything that a class of client is served. A cluster that takes endpoints and was given none yet has
/// an empty list, so that nobody waits for it.
pub fn everything(config: &Config, fast_lane: &FastLane, class: ClientClass) -> Translated {
    let mut translated = slow_lane(config, class);
    for (name, cluster) in &config.clusters {
        let given = match fast_lane.get(name) {
            Some(given) if cluster.takes_endpoints() => given.endpoints.as_slice(),
            _ => cluster.endpoints.as_deref().unwrap_or_default(),
        };
        let message = match class {
            ClientClass::Grpc if cluster.dns.is_none() => grpc::endpoints(name, given),
            _ if cluster.takes_endpoints() => endpoint::translate(name, given),
            _ => continue,
        };
        translated.add(
            ResourceType::ClusterLoadAssignment,
            name,
            &message,
            Origin::Cluster(cluster.clone()),
        );
    }
    translated
}

/// The snapshot of everything that a class of client is served. What `earlier` snapshots have with the same bytes is
/// shared with them.
///
/// # Errors
/// What `xds` refuses. A config that was validated has none.
pub fn snapshot(
    config: &Config,
    fast_lane: &FastLane,
    class: ClientClass,
    earlier: &[&Snapshot],
) -> Result<Snapshot, Vec<xds::problem::Problem>> {
    let (snapshot, problems) = everything(config, fast_lane, class).decode_what_can_be(earlier);
    if problems.is_empty() {
        Ok(snapshot)
    } else {
        Err(problems)
    }
}

impl Translated {
    /// The resources, in a stable order.
    pub fn resources(&self) -> &[Encoded] {
        &self.resources
    }

    /// Decodes what can be decoded, and says what is wrong with the rest.
    pub fn decode_what_can_be(
        &self,
        earlier: &[&Snapshot],
    ) -> (Snapshot, Vec<xds::problem::Problem>) {
        let mut problems = Vec::new();
        let mut decoded = Vec::with_capacity(self.resources.len());
        for encoded in &self.resources {
            match encoded.decode(earlier) {
                Ok(resource) => decoded.push(resource),
                Err(found) => problems.extend(found),
            }
        }
        (decoded.into_iter().collect(), problems)
    }

    /// Tells the operator what `xds` found: the pointer is into the operator's resource, the detail has the xDS path.
    pub fn explain<'p>(
        &self,
        problems: impl IntoIterator<Item = &'p xds::problem::Problem>,
    ) -> Vec<model::Problem> {
        let origins: HashMap<_, _> = self
            .resources
            .iter()
            .map(|resource| ((resource.ty, resource.name.as_str()), &resource.origin))
            .collect();
        let explain = |problem: &xds::problem::Problem| {
            let resource = problem.resource.as_ref();
            let origin = resource.and_then(|resource| origins.get(&(resource.ty, &*resource.name)));
            origin::explain(problem, origin.copied())
        };
        problems.into_iter().map(explain).collect()
    }

    fn add<M: Message>(&mut self, ty: ResourceType, name: &str, message: &M, origin: Origin) {
        let bytes = message.encode_to_vec().into();
        self.resources.push(Encoded {
            ty,
            name: name.to_owned(),
            bytes,
            origin,
        });
    }
}

impl Encoded {
    fn decode(&self, earlier: &[&Snapshot]) -> Result<Arc<Resource>, Vec<xds::problem::Problem>> {
        let known = earlier.iter().find_map(|snapshot| {
            snapshot
                .get(self.ty, &self.name)
                .filter(|resource| resource.bytes() == &self.bytes)
        });
        match known {
            Some(resource) => Ok(resource.clone()),
            None => Resource::decode(self.ty, self.bytes.clone(), None).map(Arc::new),
        }
    }
}

#[cfg(test)]
mod tests;
