//! What was validated last in each fleet, so that what comes next costs what is different in it: the validation before a
//! write, the plan of a dry run, and the snapshots that the reconciler builds. Nothing is decided by it; without it the same
//! comes out, later. One config a fleet, most of it shared with what is served, and gone when nobody asks for an hour.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::revision::Validated;
use crate::translate::Translation;

/// So long something is kept that nobody asks for.
const KEPT_FOR: Duration = Duration::from_hours(1);

/// What was validated last, by fleet.
#[derive(Debug, Default)]
pub struct Workbench(Mutex<HashMap<String, Kept>>);

#[derive(Debug)]
struct Kept {
    validated: Validated,
    asked_at: Instant,
}

impl Workbench {
    /// What was validated last in a fleet.
    pub fn last(&self, fleet: &str, now: Instant) -> Option<Validated> {
        let mut fleets = self.lock();
        let kept = fleets.get_mut(fleet)?;
        kept.asked_at = now;
        Some(kept.validated.clone())
    }

    /// What was translated last in a fleet. To ask for it is no use that keeps it.
    pub fn translation(&self, fleet: &str) -> Option<Arc<Translation>> {
        let fleets = self.lock();
        Some(fleets.get(fleet)?.validated.translation().clone())
    }

    /// Keeps what was validated in place of what was kept.
    pub fn keep(&self, fleet: &str, validated: &Validated, now: Instant) {
        let kept = Kept {
            validated: validated.clone(),
            asked_at: now,
        };
        self.lock().insert(fleet.to_owned(), kept);
    }

    /// Drops what nobody has asked for, and what is of a fleet that is gone.
    pub fn tidy(&self, now: Instant, is_known: impl Fn(&str) -> bool) {
        let is_used = |kept: &Kept| now.saturating_duration_since(kept.asked_at) < KEPT_FOR;
        self.lock()
            .retain(|fleet, kept| is_known(fleet) && is_used(kept));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::document::tests::config;
    use crate::revision::Draft;

    #[test]
    fn one_config_a_fleet_is_kept_until_nobody_asks_or_the_fleet_is_gone() {
        let validated = |name: &str| {
            let yaml = format!("clusters: [{{name: {name}, discovery: api}}]");
            Draft::new(config(&yaml)).validate(None, &[]).unwrap()
        };
        let (bench, start) = (Workbench::default(), Instant::now());
        bench.keep("one", &validated("a"), start);
        bench.keep("one", &validated("b"), start);
        bench.keep("two", &validated("c"), start);
        let known = |fleet: &str| fleet != "gone";
        let later = start + KEPT_FOR / 2;
        let last = bench.last("one", later).unwrap();
        assert!(last.config().clusters.contains_key("b"));
        bench.keep("gone", &validated("d"), later);
        bench.tidy(start + KEPT_FOR, known);
        assert!(bench.last("one", later).is_some());
        assert!(bench.translation("two").is_none() && bench.translation("gone").is_none());
        bench.tidy(later + KEPT_FOR, known);
        assert!(bench.translation("one").is_none());
    }
}
