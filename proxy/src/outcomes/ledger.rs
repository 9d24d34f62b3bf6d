//! Which configs' numbers are read, and what waits to be sent. What was read waits here, bounded, until a session takes
//! it; so a config's slots can go when its last request has been counted, also while the control plane is away.
//!
//! What was sent stays as well, unchanged and with a number, until the control plane says that it has counted it: only then
//! is there a next report. It can come twice, and the number says so.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use proto::session;

use super::revision::Revision;
use super::slot::Seen;
use super::{Entry, Outcomes};

/// So many revisions wait at most. Those that had no traffic for longest are added up under 0: which they were is lost,
/// and no request is.
const REVISIONS_MAX: usize = 8;
/// A report that was not said to be taken is sent again after so long. Control planes write once a second.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The reader of all numbers. There is one in a process.
#[derive(Debug)]
pub struct Ledger {
    /// By what the reports of this process are told from others, at random; not 0.
    reporter: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Whether anybody collects; else nothing is counted.
    is_open: bool,
    configs: Vec<Tracked>,
    /// What waits to be sent, by revision; those that had traffic last stand at the end.
    waiting: Vec<(u64, Revision)>,
    /// When something was taken last.
    since: Option<Instant>,
    /// What was sent, and may or may not be taken.
    sent: Option<Sent>,
    /// How many reports there were.
    sequence: u64,
}

/// A report on its way.
#[derive(Debug)]
struct Sent {
    report: session::Traffic,
    /// When it was sent last on the session that stands.
    at: Option<Instant>,
}

/// A config whose numbers are read.
#[derive(Debug)]
struct Tracked {
    revision: u64,
    outcomes: Arc<Outcomes>,
    /// What was read, by worker and position.
    seen: Vec<Vec<Seen>>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            reporter: fastrand::u64(1..),
            state: Mutex::default(),
        }
    }
}

impl Ledger {
    /// The number that tells the reports of this process from others.
    pub fn reporter(&self) -> u64 {
        self.reporter
    }

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

    /// What is to be sent now to a control plane that says what it takes: the last report again, if that was not taken and it
    /// is time; else what waits, if that was. `None` if there is nothing to say.
    pub fn send(&self, now: Instant) -> Option<session::Traffic> {
        let mut state = self.state();
        if let Some(sent) = &mut state.sent {
            let is_early = |at| now.saturating_duration_since(at) < AGAIN_AFTER;
            if sent.at.is_some_and(is_early) {
                return None;
            }
            sent.at = Some(now);
            return Some(sent.report.clone());
        }
        let mut report = state.take(now)?;
        state.sequence += 1;
        report.sequence = state.sequence;
        state.sent = Some(Sent {
            report: report.clone(),
            at: Some(now),
        });
        Some(report)
    }

    /// There is another session: what was sent on the one before may not have come.
    pub fn begin_session(&self) {
        if let Some(sent) = &mut self.state().sent {
            sent.at = None;
        }
    }

    /// The control plane has counted the reports up to this one.
    pub fn is_taken(&self, sequence: u64) {
        let mut state = self.state();
        state.sent.take_if(|sent| sent.report.sequence <= sequence);
    }

    /// Takes what waits to be sent to a control plane that counts what comes; `None` if there was no request.
    pub fn take(&self, now: Instant) -> Option<session::Traffic> {
        let mut state = self.state();
        // Whether it was counted, nobody will say any more.
        state.sent = None;
        state.take(now)
    }

    /// Forgets what waits: there is nobody to tell.
    pub(crate) fn forget(&self, now: Instant) {
        let mut state = self.state();
        state.sent = None;
        state.waiting.clear();
        state.since = Some(now);
    }

    /// How many configs are read.
    #[cfg(test)]
    pub(super) fn tracked(&self) -> usize {
        self.state().configs.len()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes what waits; `None` if there was no request.
    fn take(&mut self, now: Instant) -> Option<session::Traffic> {
        let waiting = std::mem::take(&mut self.waiting);
        let messages = waiting.iter().rev();
        let revisions: Vec<_> = messages
            .filter_map(|(number, revision)| revision.message(*number))
            .collect();
        if revisions.is_empty() {
            return None;
        }
        let since = self.since.replace(now).unwrap_or(now);
        let window = now.saturating_duration_since(since);
        Some(session::Traffic {
            window_us: window.as_micros().try_into().unwrap_or(u64::MAX),
            revisions,
            sequence: 0,
        })
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
