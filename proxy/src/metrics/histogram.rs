//! A histogram of durations with log-linear buckets: four steps in each doubling, so a quantile is known to within
//! 25 %. One thread records, any thread reads.

use std::time::Duration;

use super::Counter;

/// Buckets up to 2^27 us, about 134 s; longer durations count in the last one.
pub(crate) const BUCKETS: usize = 4 + 25 * 4;

/// How many durations fell into which bucket.
#[derive(Debug)]
pub(crate) struct Histogram {
    buckets: [Counter; BUCKETS],
    sum_us: Counter,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: std::array::from_fn(|_| Counter::default()),
            sum_us: Counter::default(),
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.buckets[bucket(us)].inc();
        self.sum_us.add(us);
    }
}

/// The sum of several histograms, as numbers.
#[derive(Debug)]
pub(super) struct Total {
    buckets: [u64; BUCKETS],
    sum_us: u64,
}

impl Total {
    /// Adds histograms up.
    pub(super) fn of<'h>(histograms: impl Iterator<Item = &'h Histogram>) -> Self {
        let mut total = Self {
            buckets: [0; BUCKETS],
            sum_us: 0,
        };
        for histogram in histograms {
            for (sum, bucket) in total.buckets.iter_mut().zip(&histogram.buckets) {
                *sum += bucket.get();
            }
            total.sum_us = total.sum_us.wrapping_add(histogram.sum_us.get());
        }
        total
    }

    /// How many durations there are.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The sum of all durations in seconds.
    pub(super) fn sum_s(&self) -> f64 {
        self.sum_us as f64 / 1e6
    }

    /// For each doubling from 128 us to 67 s: its upper bound in seconds and how many durations lie below it.
    pub(super) fn doublings(&self) -> impl Iterator<Item = (f64, u64)> {
        (7..=26u32).map(|exponent| {
            let bound_us = 1u64 << exponent;
            let below = self.buckets[..bucket(bound_us)].iter().sum();
            (bound_us as f64 / 1e6, below)
        })
    }
}

/// The bucket of a number of microseconds.
pub(crate) fn bucket(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let exponent = us.ilog2();
    let step = (us >> (exponent - 2)) & 3;
    let index = 4 + (exponent as usize - 2) * 4 + step as usize;
    index.min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn buckets_are_ordered_as_the_durations_are(a: u64, b: u64) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(bucket(low) <= bucket(high));
            prop_assert!(bucket(high) < BUCKETS);
        }

        #[test]
        fn a_bucket_is_no_wider_than_a_quarter_of_its_lower_bound(us in 4u64..1 << 26) {
            prop_assert_ne!(bucket(us), bucket(us + us.div_ceil(4)));
        }
    }

    #[test]
    fn a_bound_counts_what_is_shorter() {
        let histogram = Histogram::default();
        for us in [127, 128, 1_000_000, u64::MAX / 2] {
            histogram.record(Duration::from_micros(us));
        }
        let total = Total::of([&histogram].into_iter());
        let below: Vec<(f64, u64)> = total.doublings().collect();
        assert_eq!(below[0], (0.000_128, 1));
        assert_eq!(below[1], (0.000_256, 2));
        assert_eq!(below.last(), Some(&(67.108_864, 3)));
        assert_eq!(total.count(), 4);
    }
}
