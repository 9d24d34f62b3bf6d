//! Samples of requests, by which the control plane tells what a change would do. In: every request's head, of which a
//! worker takes about ten a second. Out: a bounded list for the next report, in which each kind of head stands once with the
//! number of requests that it stands for. Values of fields and of query parameters never leave the request.
//!
//! - `sampler`: which requests are taken; each worker has one, and most requests cost it one compare and one store.
//! - `sample`: what is taken of a head.

mod sample;
mod sampler;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use proto::session::{Sample, Samples};

pub(crate) use sampler::Sampler;

/// So many wait for a report: 20 s of ten workers at the default rate. Later ones are left out, and counted.
const WAITING_MAX: usize = 2_000;
/// So many different ones are in a report.
const REPORTED_MAX: usize = 1_000;

/// What was taken and waits to be reported. Workers put into it, the side runtime empties it.
#[derive(Debug, Default)]
pub(crate) struct Basket {
    waiting: Mutex<Vec<Sample>>,
    /// Requests that samples stand for which were left out.
    left_out: AtomicU64,
    /// How many a second each worker takes; 0: none.
    per_second: AtomicU32,
}

impl Basket {
    /// Has each worker take about so many a second from now on; 0: none.
    pub(crate) fn open(&self, per_second: u32) {
        self.per_second.store(per_second, Ordering::Relaxed);
    }

    /// The time between two samples of one worker; `None` if none are taken.
    fn spacing(&self) -> Option<Duration> {
        let per_second = self.per_second.load(Ordering::Relaxed);
        Duration::from_secs(1).checked_div(per_second)
    }

    /// Takes one in, unless that would mean to wait.
    fn put(&self, sample: Sample) {
        match self.waiting.try_lock() {
            Ok(mut waiting) if waiting.len() < WAITING_MAX => waiting.push(sample),
            _ => self.leave_out(sample.requests),
        }
    }

    fn leave_out(&self, requests: u64) {
        self.left_out.fetch_add(requests, Ordering::Relaxed);
    }

    /// Empties it; `None` if there is nothing to say.
    pub(crate) fn empty(&self) -> Option<Samples> {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let (samples, surplus) = merged(waiting);
        let left_out = self.left_out.swap(0, Ordering::Relaxed) + surplus;
        (!samples.is_empty() || left_out > 0).then_some(Samples { samples, left_out })
    }
}

/// Each kind once, those that stand for most first; and how many requests the rest stands for.
fn merged(waiting: Vec<Sample>) -> (Vec<Sample>, u64) {
    let mut kinds: HashMap<Sample, u64> = HashMap::new();
    for mut sample in waiting {
        let requests = std::mem::take(&mut sample.requests);
        *kinds.entry(sample).or_default() += requests;
    }
    let with_count = |(sample, requests)| Sample { requests, ..sample };
    let mut samples: Vec<Sample> = kinds.into_iter().map(with_count).collect();
    samples.sort_unstable_by_key(|sample| std::cmp::Reverse(sample.requests));
    let surplus = samples.iter().skip(REPORTED_MAX);
    let surplus = surplus.map(|sample| sample.requests).sum();
    samples.truncate(REPORTED_MAX);
    (samples, surplus)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &str, requests: u64) -> Sample {
        Sample {
            path: path.to_owned(),
            requests,
            ..Sample::default()
        }
    }

    #[test]
    fn a_kind_of_request_is_reported_once_with_all_it_stands_for() {
        let basket = Basket::default();
        for (path, requests) in [("/a", 3), ("/b", 9), ("/a", 4)] {
            basket.put(sample(path, requests));
        }
        let told = basket.empty().unwrap();
        assert_eq!(told.samples, [sample("/b", 9), sample("/a", 7)]);
        assert_eq!(told.left_out, 0);
        assert!(basket.empty().is_none());
    }

    #[test]
    fn what_is_too_much_is_left_out_and_counted() {
        let basket = Basket::default();
        let more = WAITING_MAX + 5;
        for number in 0..more {
            basket.put(sample(&format!("/{number}"), 2));
        }
        let told = basket.empty().unwrap();
        assert_eq!(told.samples.len(), REPORTED_MAX);
        assert_eq!(told.left_out, 2 * (more - REPORTED_MAX) as u64);
    }

    #[test]
    fn a_worker_does_not_wait_for_whoever_empties() {
        let basket = Basket::default();
        let emptying = basket.waiting.lock().unwrap();
        basket.put(sample("/a", 7));
        drop(emptying);
        assert_eq!(basket.empty().unwrap().left_out, 7);
    }
}
