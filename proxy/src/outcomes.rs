//! What became of requests, by the config that they were served by: what a rollout is judged by. In: each request's end,
//! counted by its worker with plain stores. Out: reports for the control plane, made on the side runtime.
//! Not here: series that outlive configs (`metrics`), and when a report is sent (`ads`).
//!
//! - `list`, `slot`: the numbers, where one thread writes and another reads.
//! - `books`: the worker's side; what gets no traffic has no slot.
//! - `sum`, `revision`: differences added up, bounded, pure.
//! - `ledger`: which configs are read, and what waits to be sent.

mod books;
mod ledger;
mod list;
mod revision;
mod slot;
mod sum;

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use xds::route::Route;

use crate::metrics::PerWorker;

pub(crate) use books::{Books, Position};
pub use ledger::Ledger;
pub(crate) use slot::End;

use list::List;
use slot::Slot;

/// The numbers of one config, with a list for each worker. A config makes it; whoever serves a request by that config
/// holds it, so that nobody else does when the last request has been counted.
#[derive(Debug)]
pub(crate) struct Outcomes(PerWorker<List<Entry>>);

/// The numbers of one subject.
#[derive(Debug)]
struct Entry {
    subject: Subject,
    slot: Slot,
}

/// What requests have in common.
#[derive(Clone, Debug)]
enum Subject {
    /// No route has matched.
    Unrouted,
    Route(RouteName),
    Cluster(Arc<str>),
}

/// A route by the names on the way to it.
#[derive(Clone, Debug)]
struct RouteName {
    configuration: Arc<str>,
    virtual_host: Arc<str>,
    /// Its name is needed, and nobody else may stand at its address while the address is a key.
    route: Arc<Route>,
}

impl Outcomes {
    fn new(workers: usize) -> Self {
        Self(PerWorker::new(workers))
    }
}

impl RouteName {
    fn texts(&self) -> [&str; 3] {
        [&self.configuration, &self.virtual_host, &self.route.name]
    }
}

impl PartialEq for RouteName {
    fn eq(&self, other: &Self) -> bool {
        self.texts() == other.texts()
    }
}

impl Eq for RouteName {}

impl PartialOrd for RouteName {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for RouteName {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.texts().cmp(&other.texts())
    }
}

impl Hash for RouteName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.texts().hash(state);
    }
}

#[cfg(test)]
mod tests;
