//! The numbers of one subject on one worker, small because there is one for each route that gets traffic: 32 bits, which
//! may wrap, for only differences are of interest; latencies in groups that are made when the first one falls in.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::cause::Cause;
use crate::metrics::{BUCKETS, Counter, bucket};

use super::sum::Sum;

const CAUSES: usize = Cause::ALL.len();
/// Buckets in a group of latencies: four doublings, and few routes see more than two groups.
const GROUP: usize = 16;
const GROUPS: usize = BUCKETS.div_ceil(GROUP);
/// The place of requests without an answer, behind the five classes.
pub(super) const UNANSWERED: usize = 5;
pub(super) const ENDS: usize = 6;

/// How a request ended.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct End {
    /// The class of its answer's status, by [`crate::metrics::class_index`], if it got one.
    pub(crate) class: Option<u8>,
    /// Why it failed here, if it did.
    pub(crate) cause: Option<Cause>,
    /// From its head to its answer's end in microseconds; `None` if that never came or is no measure.
    pub(crate) took_us: Option<u64>,
}

/// An end as the places where it is counted.
pub(super) struct Mark {
    end: usize,
    cause: Option<Cause>,
    /// Group, bucket in the group, and microseconds.
    latency: Option<(usize, usize, u64)>,
}

/// The numbers.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Requests by the class of their answer, and those without one.
    ends: [Count; ENDS],
    sum_us: Counter,
    causes: OnceLock<Box<[Count; CAUSES]>>,
    latencies: [OnceLock<Box<[Count; GROUP]>>; GROUPS],
}

/// A number that only one thread writes and every thread may read.
#[derive(Debug, Default)]
struct Count(AtomicU32);

/// What of a slot was read before.
#[derive(Debug, Default)]
pub(super) struct Seen {
    ends: [u32; ENDS],
    sum_us: u64,
    causes: Option<Box<[u32; CAUSES]>>,
    latencies: [Option<Box<[u32; GROUP]>>; GROUPS],
}

impl Count {
    fn inc(&self) {
        let value = self.0.load(Ordering::Relaxed).wrapping_add(1);
        // Who sees this number sees what was counted before it.
        self.0.store(value, Ordering::Release);
    }

    fn get(&self) -> u32 {
        self.0.load(Ordering::Acquire)
    }

    /// What came since it was read last.
    fn news(&self, seen: &mut u32) -> u64 {
        let value = self.get();
        value.wrapping_sub(std::mem::replace(seen, value)).into()
    }
}

impl From<End> for Mark {
    fn from(end: End) -> Self {
        let place = |us: u64| {
            let bucket = bucket(us);
            (bucket / GROUP, bucket % GROUP, us)
        };
        Self {
            end: end.class.map_or(UNANSWERED, usize::from),
            cause: end.cause,
            latency: end.took_us.map(place),
        }
    }
}

impl Slot {
    /// Counts the end of a request.
    #[inline]
    pub(super) fn count(&self, mark: &Mark) {
        if let Some((group, bucket, us)) = mark.latency {
            self.latencies[group].get_or_init(Box::default)[bucket].inc();
            self.sum_us.add(us);
        }
        if let Some(cause) = mark.cause {
            self.causes.get_or_init(Box::default)[cause.index()].inc();
        }
        // Last, because a reader looks at these to see whether anything is new.
        self.ends[mark.end.min(UNANSWERED)].inc();
    }

    fn ended(&self) -> u32 {
        let ends = self.ends.iter().map(Count::get);
        ends.fold(0, u32::wrapping_add)
    }
}

impl Seen {
    /// How many requests have ended since the slot was read last.
    pub(super) fn news(&self, slot: &Slot) -> u32 {
        let seen = self.ends.iter().fold(0u32, |a, b| a.wrapping_add(*b));
        slot.ended().wrapping_sub(seen)
    }

    /// Adds what came since the slot was read last to a sum.
    pub(super) fn catch_up(&mut self, slot: &Slot, sum: &mut Sum) {
        for ((count, seen), sum) in slot.ends.iter().zip(&mut self.ends).zip(&mut sum.ends) {
            *sum += count.news(seen);
        }
        if let Some(causes) = slot.causes.get() {
            let seen = self.causes.get_or_insert_default();
            for ((count, seen), sum) in causes.iter().zip(&mut **seen).zip(&mut sum.causes) {
                *sum += count.news(seen);
            }
        }
        let groups = slot.latencies.iter().zip(&mut self.latencies);
        for ((group, seen), sums) in groups.zip(sum.latencies.chunks_mut(GROUP)) {
            let Some(group) = group.get() else { continue };
            let seen = seen.get_or_insert_default();
            for ((count, seen), sum) in group.iter().zip(&mut **seen).zip(sums) {
                *sum += count.news(seen);
            }
        }
        let us = slot.sum_us.get();
        sum.us += us.wrapping_sub(std::mem::replace(&mut self.sum_us, us));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_wrapped_is_told_apart_all_the_same() {
        let slot = Slot::default();
        slot.ends[1].0.store(u32::MAX, Ordering::Relaxed);
        let (mut seen, mut sum) = (Seen::default(), Sum::default());
        seen.catch_up(&slot, &mut sum);
        for class in [1, 1, 4] {
            let end = End {
                class: Some(class),
                ..End::default()
            };
            slot.count(&end.into());
        }
        assert_eq!(seen.news(&slot), 3);
        let mut sum = Sum::default();
        seen.catch_up(&slot, &mut sum);
        assert_eq!(sum.ends, [0, 2, 0, 0, 1, 0]);
        assert_eq!(seen.news(&slot), 0);
    }

    #[test]
    fn a_slot_that_was_never_used_is_small() {
        assert!(size_of::<Slot>() <= 160 && size_of::<Seen>() <= 96);
    }
}
