//! The brake of a rollout on one replica: from the moment a node refuses the new revision, nobody else is sent it here, until
//! the rollout's row says that the refusal was judged. In: who is about to be moved, who refuses, and which rows were
//! read. Out: who may go. Pure but for its lock; the refusal's way into the store is in `refusals`.
//!
//! Who was sent the new revision here stays on it, on all its streams and when it comes back; who was to get ready for it is not
//! told to serve it. Who comes to a braked replica
//! from another one is served the old revision: it is the one that is known to be good, and no more than the row can say.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::rollout::Rollout;
use crate::rollout::want::Phase;

/// The brake of one rollout. It is shared by all classes of clients, and stays while the rollout does.
#[derive(Debug)]
pub struct Brake(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Nodes that are sent the new revision, and how far they are to go with it.
    across: HashMap<String, Phase>,
    /// Nodes whose refusal was noted: each counts once.
    refused: HashSet<String>,
    /// What is waited for; `None` if the brake is off.
    pulled: Option<Pulled>,
    /// The newest row that was read: its version, and of how many refusals it knows.
    row: (u64, u64),
}

#[derive(Clone, Copy, Debug, Default)]
struct Pulled {
    /// Refusals that the store does not know yet.
    unwritten: usize,
    /// Of so many refusals a row must know.
    known: u64,
    /// A row must be newer than this.
    after: u64,
}

impl Brake {
    /// The brake of a rollout with this row. It is off.
    pub fn new(row: &Rollout) -> Self {
        Self(Mutex::new(State {
            across: HashMap::new(),
            refused: HashSet::new(),
            pulled: None,
            row: (row.row_version, row.refusals_judged),
        }))
    }

    /// How far a node may go with the new revision that is to go so far by the row; `None` if it may not be sent it. Who may is
    /// across, and stays so.
    pub fn lets(&self, node: &str, phase: Phase) -> Option<Phase> {
        let mut state = self.state();
        let known = state.across.get(node).copied();
        if state.pulled.is_some() {
            return known.map(|known| known.min(phase));
        }
        if known != Some(phase) {
            state.across.insert(node.to_owned(), phase);
        }
        Some(phase)
    }

    /// A node refuses the new revision. `true` if that is news, which the store must hear of.
    pub fn pull(&self, node: &str) -> bool {
        let mut state = self.state();
        if !state.refused.insert(node.to_owned()) {
            return false;
        }
        state.pulled.get_or_insert_default().unwritten += 1;
        true
    }

    /// The store knows of a refusal now: it is the last of so many. `None` if the store has no such rollout: then another row
    /// is to be read. `true` if the brake is off by that.
    pub fn written(&self, known: Option<u64>) -> bool {
        let mut state = self.state();
        let (version, _) = state.row;
        if let Some(pulled) = &mut state.pulled {
            pulled.unwritten = pulled.unwritten.saturating_sub(1);
            match known {
                Some(known) => pulled.known = pulled.known.max(known),
                None => pulled.after = version,
            }
        }
        state.release()
    }

    /// A row was read.
    pub fn read(&self, row: &Rollout) {
        let mut state = self.state();
        state.row = state.row.max((row.row_version, row.refusals_judged));
        state.release();
    }

    /// Whether nobody else is moved now.
    pub fn is_pulled(&self) -> bool {
        self.state().pulled.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A row that another refusal has moved says nothing of this one: what counts is of how many it knows.
    fn release(&mut self) -> bool {
        let (version, judged) = self.row;
        let released = self.pulled.is_some_and(|pulled| {
            pulled.unwritten == 0 && pulled.known <= judged && pulled.after < version
        });
        if released {
            self.pulled = None;
        }
        released
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::model::timestamp::Timestamp;
    use crate::rollout::begin::{Begin, Terms, begin};
    use crate::rollout::strategy::{Gates, OnFailure, Strategy};
    use crate::rollout::want::Phase::{Activate, Stage};

    /// A rollout from revision 1 to 2 that has chosen nobody.
    pub(crate) fn rollout() -> Rollout {
        let strategy = Strategy {
            waves: Vec::new(),
            gates: Gates::default(),
            max_step: None,
            on_failure: OnFailure::default(),
        };
        let asked = Begin {
            id: "r",
            fleet: "default",
            from: 1,
            to: 2,
            strategy: &strategy,
            reason: "",
            by: "",
            validators: false,
            instead_of: None,
            terms: Terms::default(),
        };
        Rollout {
            row_version: 1,
            ..begin(asked, Timestamp::now()).0
        }
    }

    fn row(row_version: u64, refusals_judged: u64) -> Rollout {
        Rollout {
            refusals_judged,
            row_version,
            ..rollout()
        }
    }

    fn lets(brake: &Brake, node: &str) -> bool {
        brake.lets(node, Activate).is_some()
    }

    #[test]
    fn who_is_to_get_ready_is_not_told_to_serve_it_until_the_refusal_was_judged() {
        let brake = Brake::new(&row(3, 0));
        assert_eq!(brake.lets("ready", Stage), Some(Stage));
        assert_eq!(brake.lets("live", Activate), Some(Activate));
        brake.pull("refuses");
        assert_eq!(brake.lets("ready", Activate), Some(Stage));
        assert_eq!(brake.lets("live", Activate), Some(Activate));
        brake.written(Some(1));
        brake.read(&row(4, 1));
        assert_eq!(brake.lets("ready", Activate), Some(Activate));
    }

    #[test]
    fn who_is_across_stays_and_nobody_follows_until_the_refusal_was_judged() {
        let brake = Brake::new(&row(3, 0));
        assert!(lets(&brake, "first"));
        assert!(brake.pull("first"));
        assert!(lets(&brake, "first") && !lets(&brake, "second"));
        // A row from before the refusal was known says nothing of it.
        brake.read(&row(4, 0));
        assert!(!lets(&brake, "second"));
        assert!(!brake.written(Some(1)));
        // It was moved by the refusal, or by another one: nobody has decided anything.
        brake.read(&row(5, 0));
        brake.read(&row(6, 0));
        assert!(!lets(&brake, "second"));
        brake.read(&row(7, 1));
        assert!(lets(&brake, "second"));
    }

    #[test]
    fn a_refusal_that_was_judged_before_its_writer_heard_of_it_ends_the_brake_too() {
        let brake = Brake::new(&row(3, 0));
        brake.pull("first");
        brake.read(&row(7, 1));
        assert!(brake.is_pulled());
        assert!(brake.written(Some(1)));
        assert!(!brake.is_pulled());
    }

    #[test]
    fn every_refusal_must_be_judged_and_each_counts_once() {
        let brake = Brake::new(&row(1, 0));
        assert!(brake.pull("a") && brake.pull("b") && !brake.pull("a"));
        assert!(!brake.written(Some(1)));
        brake.read(&row(3, 1));
        assert!(brake.is_pulled(), "one is not written yet");
        assert!(!brake.written(Some(2)));
        brake.read(&row(5, 1));
        assert!(brake.is_pulled(), "one is not judged yet");
        brake.read(&row(6, 2));
        assert!(!brake.is_pulled());
        assert!(!brake.pull("b") && lets(&brake, "c"));
    }

    #[test]
    fn a_rollout_that_the_store_no_longer_has_holds_nobody_once_another_row_is_read() {
        let brake = Brake::new(&row(1, 0));
        brake.pull("a");
        assert!(!brake.written(None));
        assert!(brake.is_pulled());
        brake.read(&row(2, 0));
        assert!(!brake.is_pulled());
    }
}
