//! Which configs' numbers are read, and what waits to be sent. What was read waits here, bounded, until a session takes
//! it; so a config's slots can go when its last request has been counted, also while the control plane is away.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use proto::session;

use super::revision::Revision;
use super::slot::Seen;
use super::{Entry, Outcomes};

/// So many revisions wait at most. Those that had no traffic for longest are added up under 0: which they were is lost,
/// and no request is.
const REVISIONS_MAX: usize = 8;

/// The reader of all numbers. There is one in a process.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether anybody collects; else nothing is counted.
    is_open: bool,
    configs: Vec<Tracked>,
    /// What waits to be sent, by revision; those that had traffic last stand at the end.
    waiting: Vec<(u64, Revision)>,
    /// When something was taken last.
    since: Option<Instant>,
}

/// A config whose numbers are read.
#[derive(Debug)]
struct Tracked {
    revision: u64,
    outcomes: Arc<Outcomes>,
    /// What was read, by worker and position.
    seen: Vec<Vec<Seen>>,
}

impl Ledger {
    /// Begins. Configs that went live before are not counted.
    pub fn open(&self, now: Instant) {
        let mut state = self.state();
        state.is_open = true;
        state.since = Some(now);
    }

    /// Numbers for a config that goes live; `None` if nobody collects.
    pub(crate) fn track(&self, revision: u64, workers: usize) -> Option<Arc<Outcomes>> {
        let mut state = self.state();
        state.is_open.then(|| {
            let outcomes = Arc::new(Outcomes::new(workers));
            state.configs.push(Tracked {
                revision,
                outcomes: outcomes.clone(),
                seen: (0..workers).map(|_| Vec::new()).collect(),
            });
            outcomes
        })
    }

    /// The live config has another number from now on. What was counted so far belongs to the one before.
    pub(crate) fn renumber(&self, outcomes: &Arc<Outcomes>, revision: u64) {
        let mut state = self.state();
        let State {
            configs, waiting, ..
        } = &mut *state;
        let mut configs = configs.iter_mut();
        if let Some(config) = configs.find(|config| Arc::ptr_eq(&config.outcomes, outcomes)) {
            config.read(waiting);
            config.revision = revision;
        }
    }

    /// Reads all numbers. Those of a config that nobody counts with any more are read for the last time.
    pub fn collect(&self) {
        let mut state = self.state();
        let State {
            configs, waiting, ..
        } = &mut *state;
        configs.retain_mut(|config| {
            // Asked before the read, and in a way that whoever let go of it is seen to have counted.
            let is_over = Arc::get_mut(&mut config.outcomes).is_some();
            config.read(waiting);
            !is_over
        });
    }

    /// Takes what waits to be sent; `None` if there was no request.
    pub fn take(&self, now: Instant) -> Option<session::Traffic> {
        let mut state = self.state();
        let waiting = std::mem::take(&mut state.waiting);
        let messages = waiting.iter().rev();
        let revisions: Vec<_> = messages
            .filter_map(|(number, revision)| revision.message(*number))
            .collect();
        if revisions.is_empty() {
            return None;
        }
        let since = state.since.replace(now).unwrap_or(now);
        let window = now.saturating_duration_since(since);
        Some(session::Traffic {
            window_us: window.as_micros().try_into().unwrap_or(u64::MAX),
            revisions,
        })
    }

    /// Forgets what waits: there is nobody to tell.
    pub(crate) fn forget(&self, now: Instant) {
        let mut state = self.state();
        state.waiting.clear();
        state.since = Some(now);
    }

    /// How many configs are read.
    #[cfg(test)]
    pub(super) fn tracked(&self) -> usize {
        self.state().configs.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tracked {
    /// Adds what is new to what waits.
    fn read(&mut self, waiting: &mut Vec<(u64, Revision)>) {
        let mut slots: Vec<(&Entry, &mut Seen)> = Vec::new();
        for (list, seen) in self.outcomes.0.all().zip(&mut self.seen) {
            let Some(list) = list else { continue };
            let count = list.iter().count();
            seen.resize_with(count, Seen::default);
            slots.extend(list.iter().zip(seen));
        }
        if slots.iter().any(|(entry, seen)| seen.news(&entry.slot) > 0) {
            of(waiting, self.revision).catch_up(&mut slots);
        }
    }
}

/// What waits of a revision.
fn of(waiting: &mut Vec<(u64, Revision)>, number: u64) -> &mut Revision {
    if waiting.len() >= REVISIONS_MAX && waiting.iter().all(|(known, _)| *known != number) {
        fold_oldest(waiting);
    }
    let known = waiting.iter().position(|(known, _)| *known == number);
    let revision = known.map(|known| waiting.remove(known).1);
    waiting.push((number, revision.unwrap_or_default()));
    let last = waiting.len() - 1;
    &mut waiting[last].1
}

/// Adds the two that had no traffic for longest up, without a number.
fn fold_oldest(waiting: &mut Vec<(u64, Revision)>) {
    let (_, mut folded) = waiting.remove(0);
    let unnumbered = waiting.iter().position(|(number, _)| *number == 0);
    folded.add(&waiting.remove(unnumbered.unwrap_or(0)).1);
    waiting.insert(0, (0, folded));
}
