//! Outcomes added up, as numbers and as the message that carries them.

use proto::session;

use crate::cause::Cause;
use crate::metrics::BUCKETS;

use super::slot::{ENDS, UNANSWERED};

/// Outcomes of some requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    /// Requests by the class of their answer, and those without one.
    pub(super) ends: [u64; ENDS],
    /// Failed requests by [`Cause::index`].
    pub(super) causes: [u64; Cause::ALL.len()],
    /// Durations by bucket.
    pub(super) latencies: [u64; BUCKETS],
    /// All durations, in microseconds.
    pub(super) us: u64,
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            ends: [0; ENDS],
            causes: [0; Cause::ALL.len()],
            latencies: [0; BUCKETS],
            us: 0,
        }
    }
}

impl Sum {
    /// How many requests these are.
    pub(super) fn requests(&self) -> u64 {
        self.ends.iter().sum()
    }

    /// How many of them failed for this cause.
    pub(super) fn caused_by(&self, cause: Cause) -> u64 {
        self.causes[cause.index()]
    }

    /// Adds others.
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            ends,
            causes,
            latencies,
            us,
        } = self;
        *us += other.us;
        let ends = ends.iter_mut().zip(&other.ends);
        let causes = causes.iter_mut().zip(&other.causes);
        let latencies = latencies.iter_mut().zip(&other.latencies);
        for (sum, more) in ends.chain(causes).chain(latencies) {
            *sum += more;
        }
    }

    /// The message.
    pub(super) fn message(&self) -> session::Outcomes {
        let causes = Cause::ALL.into_iter().zip(self.causes);
        let latencies = (0u32..).zip(self.latencies);
        let (buckets, counts) = latencies.filter(|(_, count)| *count > 0).unzip();
        session::Outcomes {
            requests: self.requests(),
            classes: self.ends[..UNANSWERED].to_vec(),
            causes: causes
                .filter(|(_, count)| *count > 0)
                .map(|(cause, count)| session::CauseCount {
                    cause: cause.code().to_owned(),
                    count,
                })
                .collect(),
            latencies: Some(session::Latencies {
                buckets,
                counts,
                sum_us: self.us,
            }),
            unanswered: self.ends[UNANSWERED],
        }
    }
}
