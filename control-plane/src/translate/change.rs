//! What is to be translated: the difference between a config that was translated before and the one that is now. Of a
//! config that comes first everything differs from nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use crate::model::delta::{Changed, between};
use crate::model::{Cluster, Config, Endpoint, Listener, Route};

use super::{FastLane, precedence};

/// A config with the endpoints that came through the fast lane.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    pub(super) config: Arc<Config>,
    pub(super) fast_lane: Arc<FastLane>,
}

/// The difference between two of them.
#[derive(Debug)]
pub(super) struct Change<'c> {
    pub(super) after: &'c Config,
    fast_lane: &'c FastLane,
    pub(super) listeners: Vec<Changed<'c, Listener>>,
    pub(super) clusters: Vec<Changed<'c, Cluster>>,
    routes: Vec<Changed<'c, Route>>,
    /// Clusters that may have other endpoints than before, or are gone.
    pub(super) endpoints: BTreeSet<&'c str>,
    /// Routes that share a host with a route that changed.
    neighbours: Vec<&'c Arc<Route>>,
}

/// Hosts with their routes in order.
pub(super) type ByHost<'c> = BTreeMap<&'c str, Vec<&'c Arc<Route>>>;

impl<'c> Change<'c> {
    pub(super) fn between(before: &'c Source, after: &'c Source) -> Self {
        let (old, new) = (&*before.config, &*after.config);
        let clusters: Vec<_> = between(&old.clusters, &new.clusters).collect();
        let routes: Vec<_> = between(&old.routes, &new.routes).collect();
        let given = between(&before.fast_lane, &after.fast_lane).map(|changed| &**changed.name);
        let endpoints = clusters.iter().map(|changed| &**changed.name).chain(given);
        let hosts: HashSet<_> = routes.iter().flat_map(hosts).collect();
        let is_neighbour =
            |route: &&Arc<Route>| route.host_patterns().any(|host| hosts.contains(host));
        let neighbours = if hosts.is_empty() {
            Vec::new()
        } else {
            new.routes.values().filter(is_neighbour).collect()
        };
        Self {
            after: new,
            fast_lane: &after.fast_lane,
            listeners: between(&old.listeners, &new.listeners).collect(),
            endpoints: endpoints.collect(),
            clusters,
            routes,
            neighbours,
        }
    }

    /// The hosts of a listener whose routes may have changed; one that has no routes any more has none.
    pub(super) fn hosts(&self, listener: &str) -> ByHost<'c> {
        let mut touched = HashSet::new();
        for changed in &self.routes {
            let served = changed.versions().filter(|route| route.serves(listener));
            touched.extend(served.flat_map(|route| route.host_patterns()));
        }
        if touched.is_empty() {
            return ByHost::new();
        }
        let routes = self.neighbours.iter().copied();
        let mut hosts = precedence::by_host_among(routes, listener, |host| touched.contains(host));
        for host in touched {
            hosts.entry(host).or_default();
        }
        hosts
    }

    /// Every host of a listener.
    pub(super) fn all_hosts(&self, listener: &str) -> ByHost<'c> {
        precedence::by_host(self.after, listener)
    }

    /// The endpoints of a cluster: those of the fast lane, if it takes them and was given some; else its own.
    pub(super) fn endpoints_of(&self, cluster: &'c Cluster) -> &'c [Endpoint] {
        match self.fast_lane.get(&*cluster.name) {
            Some(given) if cluster.takes_endpoints() => &given.endpoints,
            _ => cluster.endpoints.as_deref().unwrap_or_default(),
        }
    }
}

fn hosts<'c>(changed: &Changed<'c, Route>) -> impl Iterator<Item = &'c str> + use<'c> {
    changed.versions().flat_map(|route| route.host_patterns())
}
