//! The outcomes of one revision that wait to be sent: bounded, whatever the revision holds and however long they wait.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use ahash::RandomState;
use proto::session;

use crate::cause::Cause;

use super::slot::Seen;
use super::sum::Sum;
use super::{Entry, RouteName, Subject};

/// So many routes, and so many clusters, are told apart.
const NAMED_MAX: usize = 200;

/// The outcomes of one revision.
#[derive(Debug, Default)]
pub(super) struct Revision {
    unrouted: Sum,
    routes: Shares<RouteName>,
    clusters: Shares<Arc<str>>,
}

/// Sums by name: those with the most requests, and all others together.
#[derive(Debug)]
struct Shares<K> {
    named: HashMap<K, Box<Sum>, RandomState>,
    others: Sum,
}

impl<K> Default for Shares<K> {
    fn default() -> Self {
        Self {
            named: HashMap::default(),
            others: Sum::default(),
        }
    }
}

impl Revision {
    /// Adds what came since the slots were read last.
    #[expect(
        clippy::mutable_key_type,
        reason = "a route is a key by its names, which do not change"
    )]
    pub(super) fn catch_up(&mut self, slots: &mut [(&Entry, &mut Seen)]) {
        let mut routes: HashMap<&RouteName, u64, RandomState> = HashMap::default();
        let mut clusters: HashMap<&Arc<str>, u64, RandomState> = HashMap::default();
        for (entry, seen) in slots.iter() {
            let news = u64::from(seen.news(&entry.slot));
            match &entry.subject {
                Subject::Route(name) if news > 0 => *routes.entry(name).or_default() += news,
                Subject::Cluster(name) if news > 0 => *clusters.entry(name).or_default() += news,
                _ => {}
            }
        }
        self.routes.make_room(routes);
        self.clusters.make_room(clusters);
        for (entry, seen) in slots {
            if seen.news(&entry.slot) == 0 {
                continue;
            }
            let sum = match &entry.subject {
                Subject::Unrouted => &mut self.unrouted,
                Subject::Route(name) => self.routes.of(name),
                Subject::Cluster(name) => self.clusters.of(name),
            };
            seen.catch_up(&entry.slot, sum);
        }
    }

    /// Adds the outcomes of another one.
    pub(super) fn add(&mut self, other: &Self) {
        self.unrouted.add(&other.unrouted);
        self.routes.add(&other.routes);
        self.clusters.add(&other.clusters);
    }

    /// All requests.
    fn total(&self) -> Sum {
        let mut total = self.unrouted.clone();
        total.add(&self.routes.others);
        for sum in self.routes.named.values() {
            total.add(sum);
        }
        total
    }

    /// The message; `None` if there was no request.
    pub(super) fn message(&self, number: u64) -> Option<session::RevisionTraffic> {
        let total = self.total();
        let route = |(name, sum): (&RouteName, &Sum)| session::RouteTraffic {
            route_configuration: name.configuration.to_string(),
            virtual_host: name.virtual_host.to_string(),
            route: name.route.name.to_string(),
            outcomes: Some(sum.message()),
        };
        let cluster = |(name, sum): (&Arc<str>, &Sum)| session::ClusterTraffic {
            cluster: name.to_string(),
            outcomes: Some(sum.message()),
        };
        (total.requests() > 0).then(|| session::RevisionTraffic {
            revision: number,
            total: Some(total.message()),
            no_route: self.unrouted.caused_by(Cause::NoRoute),
            routes: self.routes.in_order().into_iter().map(route).collect(),
            other_routes: self.routes.others_message(),
            clusters: self.clusters.in_order().into_iter().map(cluster).collect(),
            other_clusters: self.clusters.others_message(),
        })
    }
}

impl<K: Clone + Ord + Hash> Shares<K> {
    /// Makes sure that those which will have the most requests have a sum of their own. `news` is what comes.
    fn make_room(&mut self, news: HashMap<&K, u64, RandomState>) {
        let mut requests = news;
        // Those that have a sum may get nothing now.
        let known: Vec<K> = self.named.keys().cloned().collect();
        for name in &known {
            *requests.entry(name).or_default() += self.named[name].requests();
        }
        let mut order: Vec<(Reverse<u64>, &K)> = requests
            .into_iter()
            .map(|(name, count)| (Reverse(count), name))
            .collect();
        if order.len() > NAMED_MAX {
            order.select_nth_unstable(NAMED_MAX - 1);
            order.truncate(NAMED_MAX);
        }
        let named: HashSet<&K, RandomState> = order.into_iter().map(|(_, name)| name).collect();
        let others = &mut self.others;
        self.named.retain(|name, sum| {
            let stays = named.contains(name);
            if !stays {
                others.add(sum);
            }
            stays
        });
        for name in named {
            self.of(name);
        }
    }

    /// The sum that a name is counted in.
    fn of(&mut self, name: &K) -> &mut Sum {
        if !self.named.contains_key(name) {
            if self.named.len() >= NAMED_MAX {
                return &mut self.others;
            }
            self.named.insert(name.clone(), Box::default());
        }
        self.named.get_mut(name).map_or(&mut self.others, |sum| sum)
    }

    fn add(&mut self, other: &Self) {
        let news = other.named.iter();
        self.make_room(news.map(|(name, sum)| (name, sum.requests())).collect());
        for (name, sum) in &other.named {
            self.of(name).add(sum);
        }
        self.others.add(&other.others);
    }

    /// Those with requests: most first, then by name.
    fn in_order(&self) -> Vec<(&K, &Sum)> {
        let named = self.named.iter().map(|(name, sum)| (name, &**sum));
        let mut named: Vec<(&K, &Sum)> = named.filter(|(_, sum)| sum.requests() > 0).collect();
        named.sort_unstable_by_key(|(name, sum)| (Reverse(sum.requests()), *name));
        named
    }

    fn others_message(&self) -> Option<session::Outcomes> {
        (self.others.requests() > 0).then(|| self.others.message())
    }
}
