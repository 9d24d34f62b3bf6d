//! Samples by round → medians and paired ratios. Pure.

use serde::{Deserialize, Serialize};
use std::time::Duration;

use crate::tiny::load::Figures;

/// One measurement of one peer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sample {
    /// Processor time of the peer for one request, user and system.
    pub(crate) cpu_us: f64,
    pub(crate) requests_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

impl Sample {
    pub(crate) fn of(figures: &Figures, cpu_time: Duration) -> Self {
        let requests = figures.requests as f64;
        Self {
            cpu_us: rounded(cpu_time.as_secs_f64() * 1e6 / requests),
            requests_per_s: (requests / figures.seconds).round(),
            p50_us: rounded(figures.p50_us),
            p99_us: rounded(figures.p99_us),
        }
    }

    #[cfg(test)]
    pub(crate) fn of_cpu(cpu_us: f64) -> Self {
        Self {
            cpu_us,
            ..Self::default()
        }
    }
}

pub(crate) fn best(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    samples.iter().map(of).fold(f64::INFINITY, f64::min)
}

pub(crate) fn median(samples: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    middle(samples.iter().map(of).collect())
}

/// The median of the ratios within the same round: what the machine does meanwhile hits both alike.
pub(crate) fn paired(samples: &[Sample], base: &[Sample], of: impl Fn(&Sample) -> f64) -> f64 {
    let ratios = samples
        .iter()
        .zip(base)
        .map(|(sample, base)| of(sample) / of(base));
    middle(ratios.collect())
}

/// The median; of an even number the mean of the middle two, of none not a number.
pub(crate) fn middle(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// With two digits behind the point.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(cpu_us: &[f64]) -> Vec<Sample> {
        cpu_us
            .iter()
            .map(|cpu_us| Sample::of_cpu(*cpu_us))
            .collect()
    }

    #[test]
    fn processor_time_is_divided_among_the_requests() {
        let figures = Figures {
            requests: 1_000,
            seconds: 0.5,
            p50_us: 5.0,
            p99_us: 1_000.0,
            ..Default::default()
        };
        let sample = Sample::of(&figures, Duration::from_millis(20));
        assert!((sample.cpu_us - 20.0).abs() < 1e-9);
        assert!((sample.requests_per_s - 2_000.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_paired_by_round() {
        // The machine was twice as slow in the second round, for both alike.
        let (peer, floor) = (series(&[20.0, 40.0, 20.0]), series(&[10.0, 20.0, 10.0]));
        assert!((paired(&peer, &floor, |sample| sample.cpu_us) - 2.0).abs() < 1e-9);
        assert!((best(&peer, |sample| sample.cpu_us) - 20.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert!((middle(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!((middle(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!(middle(Vec::new()).is_nan());
    }
}
