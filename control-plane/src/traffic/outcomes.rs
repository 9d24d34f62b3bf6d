//! What became of requests, `signalbox.v1.Outcomes` as a value that is bounded whatever was reported: at most
//! [`CAUSES_MAX`] causes, and counts that stop at the largest number instead of beginning anew.

use std::collections::BTreeMap;

use proto::session::{self, CauseCount};

use crate::sketch::Sketch;

/// So many causes are told apart; the proxy knows 13.
pub const CAUSES_MAX: usize = 32;
/// Longest name of a cause, in bytes.
const CAUSE_NAME_MAX: usize = 32;

/// What became of requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// All of them.
    pub requests: u64,
    /// Answers by class of their status: 1xx to 5xx. Load reports tell of the last alone.
    pub classes: [u64; 5],
    /// Those that failed in the proxy, by cause.
    pub causes: BTreeMap<String, u64>,
    /// How long they took.
    pub latencies: Sketch,
    /// Those that ended without an answer.
    pub unanswered: u64,
}

impl Outcomes {
    /// Those that count as errors of a config: answered with a 5xx, by the upstream or by the proxy itself. A request without
    /// an answer is none: the proxy answers for whatever fails behind it, so it was the client that went away. Clients do that
    /// under any config, most of all in the middle of what is long by nature, and they would roll back what is good; an
    /// upstream that hangs shows as the 504 of the route's timeout.
    pub fn errors(&self) -> u64 {
        self.classes[4].min(self.requests)
    }

    /// Adds all of another one.
    pub fn merge(&mut self, other: &Self) {
        add(&mut self.requests, other.requests);
        for (class, more) in self.classes.iter_mut().zip(other.classes) {
            add(class, more);
        }
        for (cause, more) in &other.causes {
            self.add_cause(cause, *more);
        }
        self.latencies.merge(&other.latencies);
        add(&mut self.unanswered, other.unanswered);
    }

    /// Reads what was reported. Classes beyond the fifth and causes beyond the bounds are left out; the requests count.
    pub fn from_proto(reported: &session::Outcomes) -> Self {
        let mut outcomes = Self {
            requests: reported.requests,
            unanswered: reported.unanswered,
            latencies: reported
                .latencies
                .as_ref()
                .map(Sketch::from_proto)
                .unwrap_or_default(),
            ..Self::default()
        };
        for (class, count) in outcomes.classes.iter_mut().zip(&reported.classes) {
            *class = *count;
        }
        for CauseCount { cause, count } in &reported.causes {
            outcomes.add_cause(cause, *count);
        }
        outcomes
    }

    /// As they are stored.
    pub fn to_proto(&self) -> session::Outcomes {
        let causes = self.causes.iter().map(|(cause, count)| CauseCount {
            cause: cause.clone(),
            count: *count,
        });
        session::Outcomes {
            requests: self.requests,
            classes: self.classes.to_vec(),
            causes: causes.collect(),
            latencies: self.latencies.to_proto(),
            unanswered: self.unanswered,
        }
    }

    fn add_cause(&mut self, cause: &str, more: u64) {
        if let Some(count) = self.causes.get_mut(cause) {
            add(count, more);
        } else if self.causes.len() < CAUSES_MAX && cause.len() <= CAUSE_NAME_MAX {
            self.causes.insert(cause.to_owned(), more);
        }
    }
}

/// Adds without overflow: a proxy that reports nonsense gets nonsense, not a panic here.
pub(in crate::traffic) fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}
