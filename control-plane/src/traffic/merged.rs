//! What is known of the requests that one revision has served, `signalbox.v1.RevisionTraffic` as a value: by route, by
//! cluster, in all. Merged from what many nodes report, over any time, and bounded whatever they report: what is more than
//! [`NAMES_MAX`] routes or clusters, or has a name longer than any that is served, is added up in `other`.

use std::collections::BTreeMap;

use prost::Message as _;
use proto::session::{ClusterTraffic, RevisionTraffic, RouteTraffic};

use super::outcomes::{Outcomes, add};

/// So many routes, and so many clusters, are told apart.
pub const NAMES_MAX: usize = 1_000;
/// Longest name, in bytes: twice as long as the longest host, which is a part of the longest names that are served.
const NAME_LENGTH_MAX: usize = 512;

/// The requests of one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// All of them.
    pub total: Outcomes,
    /// Those that matched no route; load reports cannot tell.
    pub no_route: u64,
    /// By route.
    pub routes: Parts<RouteName>,
    /// By cluster.
    pub clusters: Parts<String>,
}

/// Requests by what they went through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<N> {
    /// By name.
    pub named: BTreeMap<N, Outcomes>,
    /// What is not there by name.
    pub other: Outcomes,
}

/// The route configuration, the virtual host and the route, by their xDS names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteName {
    /// The route configuration.
    pub route_configuration: String,
    /// The virtual host.
    pub virtual_host: String,
    /// The route.
    pub route: String,
}

/// Names that may be too long.
pub trait Name: Clone + Ord {
    /// In bytes, of the longest of its parts.
    fn longest(&self) -> usize;
}

impl Name for String {
    fn longest(&self) -> usize {
        self.len()
    }
}

impl Name for RouteName {
    fn longest(&self) -> usize {
        let parts = [&self.route_configuration, &self.virtual_host, &self.route];
        parts.map(String::len).into_iter().max().unwrap_or(0)
    }
}

impl<N> Default for Parts<N> {
    fn default() -> Self {
        Self {
            named: BTreeMap::new(),
            other: Outcomes::default(),
        }
    }
}

impl<N: Name> Parts<N> {
    /// Adds requests.
    pub fn add(&mut self, name: N, outcomes: &Outcomes) {
        let is_full = self.named.len() >= NAMES_MAX;
        if name.longest() > NAME_LENGTH_MAX || (is_full && !self.named.contains_key(&name)) {
            self.other.merge(outcomes);
        } else {
            self.named.entry(name).or_default().merge(outcomes);
        }
    }

    fn merge(&mut self, other: &Self) {
        for (name, outcomes) in &other.named {
            self.add(name.clone(), outcomes);
        }
        self.other.merge(&other.other);
    }

    /// Those with the most requests, from the first; the rest added up.
    pub fn top(&self, most: usize) -> (Vec<(&N, &Outcomes)>, Outcomes) {
        let mut named: Vec<_> = self.named.iter().collect();
        named.sort_by_key(|(_, outcomes)| std::cmp::Reverse(outcomes.requests));
        let rest = named.split_off(most.min(named.len()));
        let mut other = self.other.clone();
        for (_, outcomes) in rest {
            other.merge(outcomes);
        }
        (named, other)
    }
}

impl Merged {
    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        self.total.merge(&other.total);
        add(&mut self.no_route, other.no_route);
        self.routes.merge(&other.routes);
        self.clusters.merge(&other.clusters);
    }

    /// Adds what was reported.
    pub fn add(&mut self, reported: &RevisionTraffic) {
        let read = |outcomes: &Option<_>| outcomes.as_ref().map(Outcomes::from_proto);
        if let Some(total) = read(&reported.total) {
            self.total.merge(&total);
        }
        add(&mut self.no_route, reported.no_route);
        for route in &reported.routes {
            let name = RouteName {
                route_configuration: route.route_configuration.clone(),
                virtual_host: route.virtual_host.clone(),
                route: route.route.clone(),
            };
            self.routes
                .add(name, &read(&route.outcomes).unwrap_or_default());
        }
        for cluster in &reported.clusters {
            self.clusters.add(
                cluster.cluster.clone(),
                &read(&cluster.outcomes).unwrap_or_default(),
            );
        }
        if let Some(other) = read(&reported.other_routes) {
            self.routes.other.merge(&other);
        }
        if let Some(other) = read(&reported.other_clusters) {
            self.clusters.other.merge(&other);
        }
    }

    /// As it is stored: with so many routes and clusters by name at most.
    pub fn encode(&self, revision: u64, most: usize) -> Vec<u8> {
        let ((routes, other_routes), (clusters, other_clusters)) =
            (self.routes.top(most), self.clusters.top(most));
        let some =
            |outcomes: Outcomes| (outcomes != Outcomes::default()).then(|| outcomes.to_proto());
        let message = RevisionTraffic {
            revision,
            total: Some(self.total.to_proto()),
            no_route: self.no_route,
            routes: routes
                .into_iter()
                .map(|(name, outcomes)| name.to_proto(outcomes))
                .collect(),
            other_routes: some(other_routes),
            clusters: clusters
                .into_iter()
                .map(|(name, outcomes)| ClusterTraffic {
                    cluster: name.clone(),
                    outcomes: Some(outcomes.to_proto()),
                })
                .collect(),
            other_clusters: some(other_clusters),
        };
        message.encode_to_vec()
    }
}

impl RouteName {
    fn to_proto(&self, outcomes: &Outcomes) -> RouteTraffic {
        RouteTraffic {
            route_configuration: self.route_configuration.clone(),
            virtual_host: self.virtual_host.clone(),
            route: self.route.clone(),
            outcomes: Some(outcomes.to_proto()),
        }
    }
}
