//! What a load saw: latencies and mishaps, in windows that whoever ordered it sets. Pure.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One window's sum.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    /// Requests with no good answer.
    pub(crate) failed: u64,
    /// Connections that were closed by the other side and opened again; a request that had no byte of its answer is sent again.
    pub(crate) reconnects: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
}

/// One window, still open.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) failed: u64,
    pub(crate) reconnects: u64,
}

impl Window {
    pub(crate) fn close(&mut self, lasted: Duration) -> Figures {
        let mut window = std::mem::take(self);
        window.latencies.sort_unstable();
        let at = |part| percentile(&window.latencies, part).as_secs_f64() * 1e6;
        Figures {
            requests: window.latencies.len() as u64,
            failed: window.failed,
            reconnects: window.reconnects,
            seconds: lasted.as_secs_f64(),
            p50_us: at(0.5),
            p99_us: at(0.99),
        }
    }
}

/// The smallest value that at least this part of them does not exceed (nearest rank); zero if there is none.
fn percentile(sorted: &[Duration], part: f64) -> Duration {
    let rank = (part * sorted.len() as f64).ceil() as usize;
    let found = sorted.get(rank.saturating_sub(1));
    found.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let values: Vec<_> = (1..=200).map(Duration::from_micros).collect();
        assert_eq!(percentile(&values, 0.5), Duration::from_micros(100));
        assert_eq!(percentile(&values, 0.99), Duration::from_micros(198));
        assert_eq!(percentile(&values[..1], 0.99), Duration::from_micros(1));
        assert_eq!(percentile(&[], 0.5), Duration::ZERO);
    }

    #[test]
    fn a_closed_window_is_summed_up_and_the_next_one_is_empty() {
        let mut window = Window {
            latencies: [3, 1, 2].map(Duration::from_micros).to_vec(),
            failed: 1,
            reconnects: 2,
        };
        let figures = window.close(Duration::from_secs(2));
        assert_eq!(
            (figures.requests, figures.failed, figures.reconnects),
            (3, 1, 2)
        );
        assert!((figures.p50_us - 2.0).abs() < 1e-9 && (figures.p99_us - 3.0).abs() < 1e-9);
        assert_eq!(window.close(Duration::ZERO), Figures::default());
    }
}
