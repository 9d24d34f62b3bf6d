//! What every class of client is served of a config, kept with what it was made from: the next config costs what is
//! different in it. From nothing and from any other translation the same comes out, byte for byte.

use std::sync::Arc;

use xds::node::ClientClass;
use xds::problem::Problem;
use xds::resource::Resource;
use xds::resource::virtual_host::VirtualHost;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::model::{self, Config};

use super::change::{Change, Source};
use super::host::Hosts;
use super::origin::{self, Origin};
use super::route_configuration::{self, Touched};
use super::step::{Encoded, Step};
use super::{FastLane, cluster, endpoint, grpc, listener};

/// A config as it is served. A clone shares everything.
#[derive(Clone, Debug)]
pub struct Translation {
    source: Source,
    /// What proxies get of each host, by `<listener>/<host>`.
    hosts: Arc<Hosts>,
    /// What gRPC clients get of each, by host.
    grpc_hosts: Arc<Hosts>,
    /// By class, as [`ClientClass::ALL`] counts them; fewer if fewer were asked for.
    snapshots: Vec<(ClientClass, Snapshot)>,
}

/// A translation of which `xds` may have refused something; what it refused is missing.
#[derive(Debug)]
pub struct Attempt {
    translation: Translation,
    refused: Vec<(ClientClass, Vec<Problem>)>,
    work: Work,
}

/// What a translation cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Routes that were translated, once for each host and kind of client that they were translated for.
    pub routes: usize,
    /// Resources that were decoded.
    pub decoded: usize,
}

impl Default for Translation {
    fn default() -> Self {
        Self::of_nothing(&ClientClass::ALL)
    }
}

impl Translation {
    /// The translation of an empty config, for some classes.
    pub fn of_nothing(classes: &[ClientClass]) -> Self {
        let snapshots = classes.iter().map(|class| (*class, Snapshot::default()));
        Self {
            source: Source::default(),
            hosts: Arc::default(),
            grpc_hosts: Arc::default(),
            snapshots: snapshots.collect(),
        }
    }

    /// The config that was translated.
    pub fn config(&self) -> &Arc<Config> {
        &self.source.config
    }

    /// What a class is served; `None` if it was not asked for.
    pub fn snapshot(&self, class: ClientClass) -> Option<&Snapshot> {
        let mut snapshots = self.snapshots.iter();
        let (_, snapshot) = snapshots.find(|(of, _)| *of == class)?;
        Some(snapshot)
    }

    /// What each class is served.
    pub fn snapshots(&self) -> &[(ClientClass, Snapshot)] {
        &self.snapshots
    }

    /// The translation of another config. What `earlier` snapshots have with the same bytes is shared with them as well.
    pub fn next(
        &self,
        config: Arc<Config>,
        fast_lane: Arc<FastLane>,
        earlier: &[Snapshot],
    ) -> Attempt {
        let source = Source { config, fast_lane };
        let change = Change::between(&self.source, &source);
        let (mut hosts, mut grpc_hosts) = (self.hosts.clone(), self.grpc_hosts.clone());
        let (steps, routes) = self.steps(&change, &mut hosts, &mut grpc_hosts);
        let mut work = Work { routes, decoded: 0 };
        let mut snapshots: Vec<(ClientClass, Snapshot)> = Vec::new();
        let mut refused = Vec::new();
        for ((class, before), step) in self.snapshots.iter().zip(steps) {
            let done = snapshots.iter().map(|(_, snapshot)| snapshot);
            let known = Known {
                before,
                others: done.chain(earlier).collect(),
            };
            let (snapshot, problems) = apply(step, &known, &mut work);
            snapshots.push((*class, snapshot));
            refused.push((*class, problems));
        }
        let translation = Self {
            source,
            hosts,
            grpc_hosts,
            snapshots,
        };
        Attempt {
            translation,
            refused,
            work,
        }
    }

    /// What is to be done for each class, and how many routes were translated for it; the hosts are brought up to date.
    fn steps(
        &self,
        change: &Change<'_>,
        hosts: &mut Arc<Hosts>,
        grpc_hosts: &mut Arc<Hosts>,
    ) -> (Vec<Step>, usize) {
        let (touched, mut routes) = route_configuration::update(change, Arc::make_mut(hosts));
        let step = |(class, _): &(ClientClass, Snapshot)| match class {
            ClientClass::Grpc => {
                let (step, translated) = grpc::step(change, Arc::make_mut(grpc_hosts));
                routes += translated;
                step
            }
            ClientClass::Signalbox | ClientClass::Envoy => {
                of_proxies(change, *class, &touched, hosts)
            }
        };
        (self.snapshots.iter().map(step).collect(), routes)
    }

    /// What a resource of a class was made from; `None` if it is nothing of the operator's.
    fn origin(&self, class: ClientClass, ty: ResourceType, name: &str) -> Option<Origin> {
        let config = &self.source.config;
        let hosts = match class {
            ClientClass::Grpc => &self.grpc_hosts,
            ClientClass::Signalbox | ClientClass::Envoy => &self.hosts,
        };
        let host = || hosts.get(name).cloned();
        match (ty, class) {
            (ResourceType::Cluster | ResourceType::ClusterLoadAssignment, _) => {
                config.clusters.get(name).cloned().map(Origin::Cluster)
            }
            (ResourceType::Listener | ResourceType::RouteConfiguration, ClientClass::Grpc) => {
                Some(Origin::RouteConfiguration(vec![host()?]))
            }
            (ResourceType::Listener, _) => {
                config.listeners.get(name).cloned().map(Origin::Listener)
            }
            (ResourceType::RouteConfiguration, ClientClass::Envoy) => {
                let inside = route_configuration::of_listener(hosts, name);
                let inside = inside.map(|(_, host)| host.clone());
                Some(Origin::RouteConfiguration(inside.collect()))
            }
            (ResourceType::RouteConfiguration, _) => None,
            (ResourceType::VirtualHost, _) => Some(Origin::VirtualHost(host()?)),
        }
    }
}

impl Attempt {
    /// What came out, whole or not.
    pub fn translation(&self) -> &Translation {
        &self.translation
    }

    /// What `xds` refused of a class.
    pub fn refused(&self, class: ClientClass) -> &[Problem] {
        let mut refused = self.refused.iter();
        let found = refused.find(|(of, _)| *of == class);
        found.map(|(_, problems)| &**problems).unwrap_or_default()
    }

    /// What it cost.
    pub fn work(&self) -> Work {
        self.work
    }

    /// The translation, if nothing was refused.
    ///
    /// # Errors
    /// What was refused.
    pub fn whole(self) -> Result<Translation, Vec<Problem>> {
        let problems: Vec<_> = self
            .refused
            .into_iter()
            .flat_map(|(_, problems)| problems)
            .collect();
        if problems.is_empty() {
            Ok(self.translation)
        } else {
            Err(problems)
        }
    }

    /// Tells the operator what `xds` found: the pointer is into the operator's resource, the detail has the xDS path.
    pub fn explain<'p>(
        &self,
        class: ClientClass,
        problems: impl IntoIterator<Item = &'p Problem>,
    ) -> Vec<model::Problem> {
        let explain = |problem: &Problem| {
            let resource = problem.resource.as_ref();
            let origin = resource
                .and_then(|resource| self.translation.origin(class, resource.ty, &resource.name));
            origin::explain(problem, origin.as_ref())
        };
        problems.into_iter().map(explain).collect()
    }
}

/// The resources of a class that consists of proxies.
fn of_proxies(
    change: &Change<'_>,
    class: ClientClass,
    touched: &Touched<'_>,
    hosts: &Hosts,
) -> Step {
    let mut step = Step::default();
    for changed in &change.clusters {
        match changed.after {
            Some(cluster) => {
                step.put(
                    ResourceType::Cluster,
                    &cluster.name,
                    &cluster::translate(cluster),
                );
            }
            None => step.remove(ResourceType::Cluster, changed.name),
        }
    }
    let mut changed = change.listeners.iter().peekable();
    for (name, touched) in touched {
        let changed = changed.next_if(|changed| **changed.name == **name);
        let is_gone = changed.is_some_and(|changed| changed.after.is_none());
        let is_new = changed.is_some_and(|changed| changed.before.is_none());
        if let Some(listener) = changed.and_then(|changed| changed.after) {
            step.put(ResourceType::Listener, name, &listener::translate(listener));
        }
        if is_gone {
            step.remove(ResourceType::Listener, name);
            step.remove(ResourceType::RouteConfiguration, name);
        }
        if class == ClientClass::Signalbox {
            route_configuration::apart(name, is_new, touched, hosts, &mut step);
        } else if is_new || !is_gone && !touched.is_empty() {
            route_configuration::inside(name, hosts, &mut step);
        }
    }
    for &name in &change.endpoints {
        match change.after.clusters.get(name) {
            Some(cluster) if cluster.takes_endpoints() => {
                let message = endpoint::translate(name, change.endpoints_of(cluster));
                step.put(ResourceType::ClusterLoadAssignment, name, &message);
            }
            _ => step.remove(ResourceType::ClusterLoadAssignment, name),
        }
    }
    step
}

/// What was decoded before.
struct Known<'k> {
    before: &'k Snapshot,
    others: Vec<&'k Snapshot>,
}

/// Takes a step. What is refused is left out.
fn apply(step: Step, known: &Known<'_>, work: &mut Work) -> (Snapshot, Vec<Problem>) {
    let mut snapshot = known.before.clone();
    let mut problems = Vec::new();
    for (ty, name) in step.removed {
        snapshot.remove(ty, &name);
    }
    for encoded in step.put {
        match known.decode(&encoded, work) {
            Ok(resource) => snapshot.insert(resource),
            Err(found) => {
                snapshot.remove(encoded.ty, &encoded.name);
                problems.extend(found);
            }
        }
    }
    (snapshot, problems)
}

impl<'k> Known<'k> {
    fn decode(&self, encoded: &Encoded, work: &mut Work) -> Result<Arc<Resource>, Vec<Problem>> {
        let Encoded { ty, name, bytes } = encoded;
        let mut known = self.all().filter_map(|snapshot| snapshot.get(*ty, name));
        if let Some(same) = known.find(|known| known.bytes() == bytes) {
            return Ok(same.clone());
        }
        work.decoded += 1;
        let hosts = if *ty == ResourceType::RouteConfiguration {
            self.hosts_of(name)
        } else {
            Vec::new()
        };
        let before = self.before.get(*ty, name).filter(|_| hosts.is_empty());
        let before = before.map(AsRef::as_ref);
        Resource::decode_knowing(*ty, bytes.clone(), None, before, hosts).map(Arc::new)
    }

    /// The virtual hosts of a route configuration as they were decoded for another class, as resources of their own.
    fn hosts_of(&self, configuration: &str) -> Vec<&'k Arc<VirtualHost>> {
        let prefix = format!("{configuration}/");
        let of = |snapshot: &'k Snapshot| {
            let hosts = snapshot.set(ResourceType::VirtualHost);
            let hosts = hosts.beginning_with(prefix.clone());
            let hosts = hosts.filter_map(|resource| resource.body().as_virtual_host());
            hosts.collect::<Vec<_>>()
        };
        let mut found = self.all().map(of);
        found.find(|hosts| !hosts.is_empty()).unwrap_or_default()
    }

    fn all(&self) -> impl Iterator<Item = &'k Snapshot> {
        std::iter::once(self.before).chain(self.others.iter().copied())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::Config;

    /// Every resource of a config, encoded and not decoded.
    pub(in crate::translate) fn encoded(
        config: &Config,
        fast_lane: &FastLane,
        class: ClientClass,
    ) -> Vec<Encoded> {
        let nothing = Translation::of_nothing(&[class]);
        let source = Source {
            config: Arc::new(config.clone()),
            fast_lane: Arc::new(fast_lane.clone()),
        };
        let change = Change::between(&nothing.source, &source);
        let (mut hosts, mut grpc_hosts) = (Arc::default(), Arc::default());
        let (mut steps, _) = nothing.steps(&change, &mut hosts, &mut grpc_hosts);
        steps.remove(0).put
    }
}
