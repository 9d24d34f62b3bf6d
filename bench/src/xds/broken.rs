//! Connections that broke: how many before their client was ready and how many after, and the reasons.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::Error;

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Broken(Mutex<Counts>);

/// The counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Before their client was ready: refused, or given up.
    pub(crate) early: usize,
    /// Afterwards: nothing should break then.
    pub(crate) late: usize,
    reasons: BTreeMap<String, usize>,
}

impl Broken {
    /// A connection broke, of a client that was `ready` or not yet.
    pub(crate) fn note(&self, ready: bool, reason: &Error) {
        let mut counts = self.counts();
        if ready {
            counts.late += 1;
        } else {
            counts.early += 1;
        }
        *counts.reasons.entry(format!("{reason:#}")).or_default() += 1;
    }

    /// What was counted so far.
    pub(crate) fn so_far(&self) -> Counts {
        self.counts().clone()
    }

    /// The reasons with their numbers; empty if nothing broke.
    pub(crate) fn reasons(&self) -> String {
        self.counts().reasons()
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// The reasons with their numbers; empty if nothing broke.
    pub(crate) fn reasons(&self) -> String {
        let reasons = self.reasons.iter();
        let reasons: Vec<_> = reasons
            .map(|(why, count)| format!("{count} × {why}"))
            .collect();
        reasons.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn what_breaks_is_counted_by_reason() {
        let broken = Broken::default();
        assert_eq!(broken.reasons(), "");
        for ready in [false, true, false] {
            broken.note(ready, &anyhow!("gone"));
        }
        broken.note(true, &anyhow!("late"));
        let counts = broken.so_far();
        assert_eq!((counts.early, counts.late), (2, 2));
        assert_eq!(counts.reasons(), "3 × gone; 1 × late");
    }
}
