//! How long requests took, as counts in log-linear buckets: `signalbox.v1.Latencies` as a value. Two of them are merged by
//! adding, so those of a whole fleet are as true as those of one proxy.

use std::time::Duration;

use proto::session::Latencies;

/// Number of buckets (`signalbox.v1.Latencies`).
pub const BUCKETS: usize = 104;

/// Counts of durations by bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Of every bucket, or nothing: most sketches that are held are empty.
    counts: Vec<u64>,
    sum_us: u64,
}

impl Sketch {
    /// Adds one duration.
    pub fn record(&mut self, took: Duration) {
        self.record_all(took, 1);
    }

    /// Adds so many of one duration.
    pub fn record_all(&mut self, took: Duration, more: u64) {
        let us = took.as_micros().try_into().unwrap_or(u64::MAX);
        self.put(bucket(us), more);
        self.sum_us = self.sum_us.saturating_add(us.saturating_mul(more));
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        for (index, more) in other.counts.iter().enumerate() {
            self.put(index, *more);
        }
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
    }

    /// How many durations there are.
    pub fn count(&self) -> u64 {
        let counts = self.counts.iter();
        counts.fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The duration in milliseconds that a share `q` of all is not above: the one at position `q * count`, rounded up.
    /// Within its bucket it is interpolated, so it is wrong by a quarter at most, or by 1 us; what is in the last bucket may be
    /// longer by any amount. `None` if there are none.
    pub fn quantile_ms(&self, q: f64) -> Option<f64> {
        let all = self.count();
        if all == 0 {
            return None;
        }
        let rank = ((q * all as f64).ceil() as u64).clamp(1, all);
        let mut below = 0u64;
        for (index, count) in self.counts.iter().enumerate() {
            let with = below.saturating_add(*count);
            if with >= rank {
                let part = (rank - below) as f64 / *count as f64;
                let (lowest, width) = bounds(index);
                return Some((lowest as f64 + width as f64 * part) / 1_000.0);
            }
            below = with;
        }
        None
    }

    /// How many took longer than so many milliseconds. Within its bucket it is interpolated, as [`Self::quantile_ms`] is, so that
    /// the two agree with each other.
    pub fn above_ms(&self, ms: f64) -> f64 {
        let filled = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let above = |(index, count): (usize, &u64)| {
            let (lowest, width) = bounds(index);
            let part = (ms * 1_000.0 - lowest as f64) / width as f64;
            *count as f64 * (1.0 - part.clamp(0.0, 1.0))
        };
        filled.map(above).sum()
    }

    /// Reads what was reported. An index that no bucket has counts for the last one; an index without a count, or a count
    /// without an index, for nothing.
    pub fn from_proto(reported: &Latencies) -> Self {
        let mut sketch = Self {
            sum_us: reported.sum_us,
            ..Self::default()
        };
        for (index, more) in reported.buckets.iter().zip(&reported.counts) {
            sketch.put((*index as usize).min(BUCKETS - 1), *more);
        }
        sketch
    }

    fn put(&mut self, bucket: usize, more: u64) {
        if more == 0 {
            return;
        }
        self.counts.resize(BUCKETS, 0);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count = count.saturating_add(more);
        }
    }

    /// As it is reported and stored; `None` if it is empty.
    pub fn to_proto(&self) -> Option<Latencies> {
        let filled = self.counts.iter().enumerate().filter(|(_, n)| **n > 0);
        let (buckets, counts): (Vec<u32>, Vec<u64>) = filled.map(|(i, n)| (i as u32, *n)).unzip();
        let is_empty = buckets.is_empty() && self.sum_us == 0;
        (!is_empty).then_some(Latencies {
            buckets,
            counts,
            sum_us: self.sum_us,
        })
    }
}

/// The bucket of a number of microseconds.
fn bucket(us: u64) -> usize {
    if us < 4 {
        return us as usize;
    }
    let e = us.ilog2();
    let below = (us >> (e - 2)) & 0b11;
    (4 + (e as usize - 2) * 4 + below as usize).min(BUCKETS - 1)
}

/// The lowest number of microseconds in a bucket, and how many numbers are in it.
pub(crate) fn bounds(index: usize) -> (u64, u64) {
    if index < 4 {
        return (index as u64, 1);
    }
    let (doubling, below) = ((index - 4) / 4, (index - 4) % 4);
    ((4 + below as u64) << doubling, 1 << doubling)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn of(durations: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        for us in durations {
            sketch.record(Duration::from_micros(*us));
        }
        sketch
    }

    /// Durations of every size.
    fn durations() -> impl Strategy<Value = Vec<u64>> {
        vec((0u32..27).prop_flat_map(|e| 0u64..=(1 << e)), 1..200)
    }

    #[test]
    fn every_bucket_begins_where_the_one_before_ends() {
        for index in 0..BUCKETS {
            let (lowest, width) = bounds(index);
            assert_eq!(bucket(lowest), index);
            assert_eq!(bucket(lowest + width - 1), index);
            if index + 1 < BUCKETS {
                assert_eq!(bounds(index + 1).0, lowest + width);
            }
        }
        // As session.proto says it: 1,000 us are in 4 + (9 - 2) * 4 + 0b11.
        assert_eq!(bucket(1_000), 35);
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    proptest! {
        #[test]
        fn parts_merged_are_the_whole(parts in vec(durations(), 1..8)) {
            let mut merged = Sketch::default();
            for part in &parts {
                let reported = of(part).to_proto().unwrap();
                merged.merge(&Sketch::from_proto(&reported));
            }
            prop_assert_eq!(merged, of(&parts.concat()));
        }

        #[test]
        fn a_quantile_is_within_a_bucket_of_the_exact_one(mut durations in durations(), q in 0.0f64..=1.0) {
            let sketch = of(&durations);
            durations.sort_unstable();
            let rank = ((q * durations.len() as f64).ceil() as usize).max(1);
            let exact = durations[rank - 1] as f64;
            let us = sketch.quantile_ms(q).unwrap() * 1_000.0;
            prop_assert!((us - exact).abs() <= (exact * 0.25).max(1.0) + 1e-6, "{us} for {exact}");
        }

        #[test]
        fn a_share_is_above_its_quantile(durations in durations(), q in 0.0f64..=1.0) {
            let sketch = of(&durations);
            let above = sketch.above_ms(sketch.quantile_ms(q).unwrap());
            let all = durations.len() as f64;
            // The quantile is that of a whole number of durations.
            prop_assert!((above - (1.0 - q) * all).abs() <= 1.0 + 1e-6, "{above}");
            prop_assert!(sketch.above_ms(0.0) <= all && sketch.above_ms(f64::MAX) == 0.0);
        }

        #[test]
        fn quantiles_rise(durations in durations(), a in 0.0f64..=1.0, b in 0.0f64..=1.0) {
            let sketch = of(&durations);
            let (low, high) = if a <= b { (a, b) } else { (b, a) };
            prop_assert!(sketch.quantile_ms(low).unwrap() <= sketch.quantile_ms(high).unwrap());
        }

        #[test]
        fn whatever_is_reported_is_read(buckets in vec(any::<u32>(), 0..20), counts in vec(any::<u64>(), 0..20), sum_us: u64, q in 0.0f64..=1.0) {
            let sketch = Sketch::from_proto(&Latencies { buckets, counts, sum_us });
            let mut twice = sketch.clone();
            twice.merge(&sketch);
            prop_assert!(twice.count() >= sketch.count());
            prop_assert_eq!(twice.quantile_ms(q).is_some(), twice.count() > 0);
        }
    }
}
