//! The incremental client as a state machine: a response comes in, an ACK or a NACK and the wire set come out. Pure.
//!
//! Acceptance is by resource: the good ones of a mixed response are taken, the bad ones keep their last good version
//! and are named in the NACK with every problem (gRFC A46). Names of routes and endpoints are asked for as long as
//! something refers to them.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, Resource as ResourceEntry,
};
use envoy_types::pb::google::rpc;
use xds::problem::{Code, Problem};
use xds::resource::cluster::Discovery;
use xds::resource::http_connection_manager::RouteSource;
use xds::resource::{Body, Resource};
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;
use xds::version::Version;

/// `google.rpc.Code.INVALID_ARGUMENT`, in every NACK.
const INVALID_ARGUMENT: i32 = 3;

/// The state of the client; it outlives streams.
#[derive(Debug, Default)]
pub(super) struct ClientState {
    wire_set: Snapshot,
    types: [TypeState; ResourceType::ALL.len()],
}

#[derive(Debug, Default)]
struct TypeState {
    /// What was asked for, on this stream.
    asked: Interest,
    /// Whether the server has answered this type, on any stream.
    answered: bool,
    /// What was wrong with its last response.
    refused: Vec<Problem>,
}

/// Which resources of a type are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Interest {
    #[default]
    Nothing,
    Everything,
    Names(BTreeSet<Arc<str>>),
}

/// What follows from a response.
#[derive(Debug)]
pub(super) struct Reply {
    /// The ACK or NACK, then what is asked for or left now.
    pub(super) requests: Vec<DeltaDiscoveryRequest>,
    /// Whether the wire set, or what is known of it, changed.
    pub(super) changed: bool,
}

impl ClientState {
    /// What the deltas have built.
    pub(super) fn wire_set(&self) -> &Snapshot {
        &self.wire_set
    }

    /// Whether the server has answered everything that must be answered before anything can fit.
    pub(super) fn is_answered(&self) -> bool {
        ResourceType::ALL
            .into_iter()
            .filter(|ty| self.interest(*ty) == Interest::Everything)
            .all(|ty| self.types[ty.index()].answered)
    }

    /// What was refused and has not been mended since.
    pub(super) fn refused(&self) -> impl Iterator<Item = &Problem> {
        self.types.iter().flat_map(|state| &state.refused)
    }

    /// The first requests of a new stream: what is wanted, and what is held already. Nonces do not survive.
    pub(super) fn open(&mut self) -> Vec<DeltaDiscoveryRequest> {
        for state in &mut self.types {
            state.asked = Interest::Nothing;
        }
        ResourceType::ALL
            .into_iter()
            .filter_map(|ty| self.ask(ty))
            .collect()
    }

    /// Takes in one response.
    pub(super) fn response(&mut self, response: DeltaDiscoveryResponse) -> Reply {
        let mut acknowledgement = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..Default::default()
        };
        let Some(ty) = ResourceType::from_type_url(&response.type_url) else {
            // A type that was never asked for: it must not end the stream, and there is nothing to do about it.
            return Reply {
                requests: vec![acknowledgement],
                changed: false,
            };
        };
        let problems = self.take(ty, response);
        if !problems.is_empty() {
            acknowledgement.error_detail = Some(error_detail(&problems));
        }
        let state = &mut self.types[ty.index()];
        state.answered = true;
        state.refused = problems;
        let mut requests = vec![acknowledgement];
        requests.extend(ResourceType::ALL.into_iter().filter_map(|ty| self.ask(ty)));
        Reply {
            requests,
            changed: true,
        }
    }

    /// Puts what is good of a response into the wire set; returns what is not.
    fn take(&mut self, ty: ResourceType, response: DeltaDiscoveryResponse) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut names = HashSet::new();
        for entry in response.resources {
            let name = entry.name.clone();
            if !names.insert(name.clone()) {
                problems.push(about(
                    &name,
                    Code::Duplicate,
                    "the resource stands twice in one response".into(),
                ));
            } else if self.wants(ty, &name) {
                match decode(ty, entry) {
                    Ok(resource) => self.wire_set.insert(Arc::new(resource)),
                    Err(found) => problems.extend(found),
                }
            }
        }
        for name in &response.removed_resources {
            // Routes and endpoints stay in use until nothing refers to them, as in Envoy.
            if !matches!(
                ty,
                ResourceType::RouteConfiguration | ResourceType::ClusterLoadAssignment
            ) {
                self.wire_set.remove(ty, name);
            }
        }
        problems
    }

    fn wants(&self, ty: ResourceType, name: &str) -> bool {
        match &self.types[ty.index()].asked {
            Interest::Nothing => false,
            Interest::Everything => true,
            Interest::Names(names) => names.contains(name),
        }
    }

    /// The request that brings what was asked for up to what is wanted; `None` if it is so already.
    fn ask(&mut self, ty: ResourceType) -> Option<DeltaDiscoveryRequest> {
        let wanted = self.interest(ty);
        let asked = &self.types[ty.index()].asked;
        if *asked == wanted {
            return None;
        }
        let first = *asked == Interest::Nothing;
        let (before, after) = (asked.names(), wanted.names());
        let request = DeltaDiscoveryRequest {
            type_url: ty.type_url().to_owned(),
            resource_names_subscribe: after
                .difference(&before)
                .map(|name| (**name).to_owned())
                .collect(),
            resource_names_unsubscribe: before
                .difference(&after)
                .map(|name| (**name).to_owned())
                .collect(),
            initial_resource_versions: if first {
                self.versions(ty, &wanted)
            } else {
                HashMap::new()
            },
            ..Default::default()
        };
        for name in &request.resource_names_unsubscribe {
            self.forget(ty, name);
        }
        let state = &mut self.types[ty.index()];
        state.answered &= wanted != Interest::Nothing;
        state.asked = wanted;
        Some(request)
    }

    /// Drops what is no longer wanted: all of a type with its wildcard.
    fn forget(&mut self, ty: ResourceType, name: &str) {
        if name == "*" {
            self.wire_set.replace(ty, Arc::default());
        } else {
            self.wire_set.remove(ty, name);
        }
    }

    /// What the wire set refers to.
    fn interest(&self, ty: ResourceType) -> Interest {
        match ty {
            ResourceType::Cluster | ResourceType::Listener => Interest::Everything,
            ResourceType::ClusterLoadAssignment => {
                Interest::of_names(self.bodies(ResourceType::Cluster).filter_map(eds_name))
            }
            ResourceType::RouteConfiguration => {
                Interest::of_names(self.bodies(ResourceType::Listener).filter_map(rds_name))
            }
            ResourceType::VirtualHost => {
                let routes = self
                    .bodies(ResourceType::RouteConfiguration)
                    .filter_map(Body::as_route_configuration);
                let inline = self
                    .bodies(ResourceType::Listener)
                    .filter_map(inline_routes);
                if routes.chain(inline).any(|routes| routes.vhds) {
                    Interest::Everything
                } else {
                    Interest::Nothing
                }
            }
        }
    }

    fn bodies(&self, ty: ResourceType) -> impl Iterator<Item = &Body> {
        self.wire_set
            .set(ty)
            .values()
            .map(|resource| resource.body())
    }

    fn versions(&self, ty: ResourceType, wanted: &Interest) -> HashMap<String, String> {
        let held = self
            .wire_set
            .set(ty)
            .iter()
            .filter(|(name, _)| match wanted {
                Interest::Nothing => false,
                Interest::Everything => true,
                Interest::Names(names) => names.contains(*name),
            });
        held.map(|(name, resource)| ((**name).to_owned(), resource.version().to_string()))
            .collect()
    }
}

impl Interest {
    fn of_names<'n>(names: impl Iterator<Item = &'n Arc<str>>) -> Self {
        let names: BTreeSet<Arc<str>> = names.cloned().collect();
        if names.is_empty() {
            Self::Nothing
        } else {
            Self::Names(names)
        }
    }

    /// The names as they stand in a request.
    fn names(&self) -> BTreeSet<Arc<str>> {
        match self {
            Self::Nothing => BTreeSet::new(),
            Self::Everything => BTreeSet::from(["*".into()]),
            Self::Names(names) => names.clone(),
        }
    }
}

fn eds_name(body: &Body) -> Option<&Arc<str>> {
    match &body.as_cluster()?.discovery {
        Discovery::Eds(name) => Some(name),
        Discovery::Static(_) => None,
    }
}

fn rds_name(body: &Body) -> Option<&Arc<str>> {
    match &body.as_listener()?.http.routes {
        RouteSource::Rds(name) => Some(name),
        RouteSource::Inline(_) => None,
    }
}

fn inline_routes(
    body: &Body,
) -> Option<&Arc<xds::resource::route_configuration::RouteConfiguration>> {
    match &body.as_listener()?.http.routes {
        RouteSource::Inline(routes) => Some(routes),
        RouteSource::Rds(_) => None,
    }
}

fn decode(ty: ResourceType, entry: ResourceEntry) -> Result<Resource, Vec<Problem>> {
    let Some(any) = entry.resource else {
        return Err(vec![about(
            &entry.name,
            Code::Required,
            "the entry holds no resource".into(),
        )]);
    };
    if any.type_url != ty.type_url() {
        let detail = format!(
            "the resource has the type {:?}, the response {:?}",
            any.type_url,
            ty.type_url()
        );
        return Err(vec![about(&entry.name, Code::Invalid, detail)]);
    }
    let resource = Resource::decode(
        ty,
        Bytes::from(any.value),
        Some(Version::stated(&entry.version)),
    )?;
    if **resource.name() != *entry.name {
        let detail = format!("the resource calls itself {:?}", resource.name());
        return Err(vec![about(&entry.name, Code::Invalid, detail)]);
    }
    Ok(resource)
}

/// A problem with an entry whose resource does not tell its name.
fn about(name: &str, code: Code, detail: String) -> Problem {
    Problem {
        resource: None,
        path: String::new(),
        code,
        detail: format!("{name:?}: {detail}"),
    }
}

/// All problems, one a line.
fn error_detail(problems: &[Problem]) -> rpc::Status {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    rpc::Status {
        code: INVALID_ARGUMENT,
        message: lines.join("\n"),
        details: Vec::new(),
    }
}

#[cfg(test)]
mod tests;
