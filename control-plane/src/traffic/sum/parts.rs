//! The requests of one revision by what a rollout touches.

use std::collections::{BTreeMap, BTreeSet};

use proto::session::{self, RevisionTraffic};

use crate::rollout::observed::{Part, Parts, Sides, Traffic};
use crate::rollout::touched::Touched;

use super::super::outcomes::{Outcomes, add};

/// So many parts are told apart; what is beyond counts in the sums alone.
const KEPT_MAX: usize = 1_000;
/// So many parts are compared one by one, those with the most requests: each more needs more evidence of all others.
const COMPARED_MAX: usize = 100;

/// Requests by what is touched. A row names the routes and clusters with the most requests; of those that it does not name,
/// nothing is known here.
#[derive(Clone, Debug, Default)]
pub(super) struct ByPart {
    changed: BTreeMap<Part, Traffic>,
    routes: Traffic,
    clusters: Traffic,
    other_routes: Traffic,
    other_clusters: Traffic,
}

impl ByPart {
    /// Adds what was reported.
    pub(super) fn add(&mut self, reported: &RevisionTraffic, touched: &Touched) {
        for route in &reported.routes {
            let traffic = read(route.outcomes.as_ref());
            if touched.host(&route.virtual_host) {
                self.put(Part::Host(route.virtual_host.clone()), &traffic);
            }
            if touched.routes.contains(&route.route) {
                self.put(Part::Route(route.route.clone()), &traffic);
                self.routes.merge(&traffic);
            } else {
                self.other_routes.merge(&traffic);
            }
        }
        for cluster in &reported.clusters {
            let traffic = read(cluster.outcomes.as_ref());
            if touched.clusters.contains(&cluster.cluster) {
                self.put(Part::Cluster(cluster.cluster.clone()), &traffic);
                self.clusters.merge(&traffic);
            } else {
                self.other_clusters.merge(&traffic);
            }
        }
    }

    fn put(&mut self, part: Part, more: &Traffic) {
        if self.changed.len() < KEPT_MAX || self.changed.contains_key(&part) {
            self.changed.entry(part).or_default().merge(more);
        }
    }
}

/// Both revisions side by side.
pub(super) fn pair(new: &ByPart, old: &ByPart) -> Parts {
    let sides = |of: fn(&ByPart) -> &Traffic| Sides {
        new: of(new).clone(),
        old: of(old).clone(),
    };
    let names: BTreeSet<&Part> = new.changed.keys().chain(old.changed.keys()).collect();
    let one = |part: &Part| {
        let of = |side: &ByPart| side.changed.get(part).cloned().unwrap_or_default();
        let (new, old) = (of(new), of(old));
        (part.clone(), Sides { new, old })
    };
    let mut changed: Vec<_> = names.into_iter().map(one).collect();
    changed.sort_by_key(|(_, sides)| std::cmp::Reverse(sides.requests()));
    changed.truncate(COMPARED_MAX);
    Parts {
        changed,
        routes: sides(|it| &it.routes),
        clusters: sides(|it| &it.clusters),
        other_routes: sides(|it| &it.other_routes),
        other_clusters: sides(|it| &it.other_clusters),
    }
}

/// What rollouts look at.
pub(super) fn traffic(outcomes: &Outcomes) -> Traffic {
    Traffic {
        requests: outcomes.requests,
        errors: outcomes.errors(),
        no_route: 0,
        latencies: outcomes.latencies.clone(),
    }
}

fn read(reported: Option<&session::Outcomes>) -> Traffic {
    let outcomes = reported.map(Outcomes::from_proto);
    outcomes.as_ref().map(traffic).unwrap_or_default()
}

impl Traffic {
    fn merge(&mut self, more: &Self) {
        add(&mut self.requests, more.requests);
        add(&mut self.errors, more.errors);
        add(&mut self.no_route, more.no_route);
        self.latencies.merge(&more.latencies);
    }
}
