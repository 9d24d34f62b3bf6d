//! Numbers about traffic. Each worker writes slots of its own with plain loads and stores; whoever scrapes adds them
//! up. No lock, no shared cache line and no lookup by label stands on the request path.
//! Not here: which slot belongs to what. `live` hands them out together with what they count.

mod histogram;
mod registry;
mod text;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use histogram::{BUCKETS, Histogram, bucket};
pub(crate) use registry::{ClusterSlot, ListenerSlot, Metrics, ProcessSlot, Series};
pub(crate) use text::{State, render};

/// A number that only one thread writes and every thread may read.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    /// Adds one.
    pub(crate) fn inc(&self) {
        self.add(1);
    }

    /// Adds `n`.
    pub(crate) fn add(&self, n: u64) {
        // There is one writer, so no update can be lost between the load and the store. A locked add costs ten times more.
        let value = self.0.load(Ordering::Relaxed).wrapping_add(n);
        self.0.store(value, Ordering::Relaxed);
    }

    /// Takes one away, for numbers that go up and down.
    pub(crate) fn dec(&self) {
        let value = self.0.load(Ordering::Relaxed).wrapping_sub(1);
        self.0.store(value, Ordering::Relaxed);
    }

    /// The number now.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One `T` for each worker, made when the worker first asks: what gets no traffic costs nothing.
#[derive(Debug)]
pub(crate) struct PerWorker<T>(Box<[OnceLock<Box<Padded<T>>>]>);

/// Keeps what two workers write off each other's cache lines (pairs of lines, as processors prefetch them).
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

impl<T: Default> PerWorker<T> {
    /// Room for so many workers.
    pub(crate) fn new(workers: usize) -> Self {
        Self((0..workers).map(|_| OnceLock::new()).collect())
    }

    /// The worker's own.
    pub(crate) fn of(&self, worker: usize) -> &T {
        &self.0[worker].get_or_init(Box::default).0
    }

    /// Those of all workers that have one.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().filter_map(OnceLock::get).map(|slot| &slot.0)
    }

    /// Each worker's, in order; `None` where it has none.
    pub(crate) fn all(&self) -> impl Iterator<Item = Option<&T>> {
        self.0.iter().map(|slot| slot.get().map(|slot| &slot.0))
    }

    /// The sum of one number over all workers.
    pub(crate) fn sum(&self, number: impl Fn(&T) -> &Counter) -> u64 {
        let numbers = self.iter().map(|slot| number(slot).get());
        numbers.fold(0, u64::wrapping_add)
    }
}

/// Position of a status in arrays with one slot a class: 1xx to 5xx.
pub(crate) fn class_index(status: u16) -> usize {
    usize::from((status / 100).clamp(1, 5) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_counts_every_worker_once() {
        let slots = PerWorker::<Counter>::new(3);
        slots.of(0).add(2);
        slots.of(2).inc();
        slots.of(2).dec();
        assert_eq!(slots.sum(|slot| slot), 2);
        assert_eq!(slots.iter().count(), 2);
    }

    #[test]
    fn a_status_outside_of_the_classes_counts_with_the_nearest() {
        let classes = [0, 101, 204, 302, 404, 599, 999].map(class_index);
        assert_eq!(classes, [0, 0, 1, 2, 3, 4, 4]);
    }
}
