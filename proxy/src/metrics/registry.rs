//! The series by name. They outlive configs: a listener or cluster that comes back in the next config goes on counting
//! where it stood. A series ends when no config and no request refers to it any more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::cause::Cause;

use super::{Counter, Histogram, PerWorker};

/// All numbers of the process.
#[derive(Debug)]
pub(crate) struct Metrics {
    workers: usize,
    /// What belongs to no listener or cluster.
    pub(crate) process: PerWorker<ProcessSlot>,
    listeners: Mutex<BTreeMap<Arc<str>, Arc<PerWorker<ListenerSlot>>>>,
    clusters: Mutex<BTreeMap<Arc<str>, Arc<PerWorker<ClusterSlot>>>>,
}

/// The slots of one listener or cluster, with its name.
pub(crate) type Series<T> = (Arc<str>, Arc<PerWorker<T>>);

/// One worker's numbers of the process.
#[derive(Debug, Default)]
pub(crate) struct ProcessSlot {
    /// Failed requests by [`Cause::index`].
    pub(crate) failures: [Counter; Cause::ALL.len()],
    /// `accept` calls that failed.
    pub(crate) accept_errors: Counter,
}

/// One worker's numbers of a listener.
#[derive(Debug, Default)]
pub(crate) struct ListenerSlot {
    /// Connections accepted.
    pub(crate) connections: Counter,
    /// Connections open now.
    pub(crate) open: Counter,
    /// Requests whose head was read.
    pub(crate) requests: Counter,
    /// Responses by class of their status.
    pub(crate) responses: [Counter; 5],
    /// Requests that switched to another protocol.
    pub(crate) upgrades: Counter,
    /// Connections that have switched and are open now.
    pub(crate) upgraded: Counter,
}

/// One worker's numbers of a cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterSlot {
    /// Requests sent to it; a retry does not count again.
    pub(crate) requests: Counter,
    /// Responses of its endpoints by class of their status.
    pub(crate) responses: [Counter; 5],
    /// Requests that ended without a whole response.
    pub(crate) failures: Counter,
    /// Requests in flight now.
    pub(crate) active: Counter,
    /// Requests sent a second time.
    pub(crate) retries: Counter,
    /// From the request's head to the response's end, of whole responses.
    pub(crate) duration: Histogram,
}

impl Metrics {
    /// Metrics with room for so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers,
            process: PerWorker::new(workers),
            listeners: Mutex::default(),
            clusters: Mutex::default(),
        }
    }

    /// The number of workers.
    pub(crate) fn workers(&self) -> usize {
        self.workers
    }

    /// The slots of a listener.
    pub(crate) fn listener(&self, name: &Arc<str>) -> Arc<PerWorker<ListenerSlot>> {
        slots_of(&self.listeners, name, self.workers)
    }

    /// The slots of a cluster.
    pub(crate) fn cluster(&self, name: &Arc<str>) -> Arc<PerWorker<ClusterSlot>> {
        slots_of(&self.clusters, name, self.workers)
    }

    /// All listeners in use, by name.
    pub(super) fn listeners(&self) -> Vec<Series<ListenerSlot>> {
        in_use(&self.listeners)
    }

    /// All clusters in use, by name.
    pub(super) fn clusters(&self) -> Vec<Series<ClusterSlot>> {
        in_use(&self.clusters)
    }
}

type Table<T> = Mutex<BTreeMap<Arc<str>, Arc<PerWorker<T>>>>;

fn slots_of<T: Default>(table: &Table<T>, name: &Arc<str>, workers: usize) -> Arc<PerWorker<T>> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    let slots = table.entry(name.clone());
    slots
        .or_insert_with(|| Arc::new(PerWorker::new(workers)))
        .clone()
}

/// Copies what is in use and forgets the rest, so that names that come and go do not pile up.
fn in_use<T>(table: &Table<T>) -> Vec<Series<T>> {
    let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
    table.retain(|_, slots| Arc::strong_count(slots) > 1);
    let series = table.iter();
    series
        .map(|(name, slots)| (name.clone(), slots.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_lives_as_long_as_somebody_counts_in_it() {
        let metrics = Metrics::new(1);
        let name = Arc::from("web");
        let slots = metrics.listener(&name);
        slots.of(0).requests.inc();
        assert_eq!(metrics.listener(&name).sum(|slot| &slot.requests), 1);
        assert_eq!(metrics.listeners().len(), 1);
        drop(slots);
        assert!(metrics.listeners().is_empty());
    }
}
