//! The brake of a rollout on one replica: from the moment a node refuses the new revision, nobody else is sent it here, until
//! the rollout's row says that the refusal was judged. In: who is about to be moved, who refuses, and which rows were
//! read. Out: who may go. Pure but for its lock; the refusal's way into the store is in `refusals`.
//!
//! Who was sent the new revision here stays on it, on all its streams and when it comes back. Who comes to a braked replica
//! from another one is served the old revision: it is the one that is known to be good, and no more than the row can say.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The brake of one rollout. It is shared by all classes of clients, and stays while the rollout does.
#[derive(Debug)]
pub struct Brake(Mutex<State>);

#[derive(Debug)]
struct State {
    /// Nodes that are sent the new revision.
    across: HashSet<String>,
    /// Nodes whose refusal was noted: each counts once.
    refused: HashSet<String>,
    /// Refusals that the store does not know yet.
    unwritten: usize,
    /// The row that knows of every refusal that was written; what follows it was decided with them. `None` if the brake is
    /// off.
    pulled: Option<u64>,
    /// The newest row that was read.
    row: u64,
}

impl Brake {
    /// The brake of a rollout whose row has this version. It is off.
    pub fn new(row_version: u64) -> Self {
        Self(Mutex::new(State {
            across: HashSet::new(),
            refused: HashSet::new(),
            unwritten: 0,
            pulled: None,
            row: row_version,
        }))
    }

    /// Whether a node that the row has chosen may be sent the new revision. Who may is across, and stays so.
    pub fn lets(&self, node: &str) -> bool {
        let mut state = self.state();
        if state.across.contains(node) {
            return true;
        }
        if state.pulled.is_some() {
            return false;
        }
        state.across.insert(node.to_owned());
        true
    }

    /// A node refuses the new revision. `true` if that is news, which the store must hear of.
    pub fn pull(&self, node: &str) -> bool {
        let mut state = self.state();
        if !state.refused.insert(node.to_owned()) {
            return false;
        }
        state.unwritten += 1;
        state.pulled = Some(state.pulled.unwrap_or(state.row));
        true
    }

    /// The store knows of a refusal by a row of this version; `None` if it knows of no such rollout, and another row will
    /// be read. `true` if the brake is off by that.
    pub fn written(&self, row_version: Option<u64>) -> bool {
        let mut state = self.state();
        state.unwritten = state.unwritten.saturating_sub(1);
        if let Some(version) = row_version {
            state.pulled = state.pulled.map(|pulled| pulled.max(version));
        }
        state.release()
    }

    /// A row was read.
    pub fn read(&self, row_version: u64) {
        let mut state = self.state();
        state.row = state.row.max(row_version);
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
    fn release(&mut self) -> bool {
        let row = self.row;
        let released = self.unwritten == 0 && self.pulled.is_some_and(|pulled| pulled < row);
        if released {
            self.pulled = None;
        }
        released
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_across_stays_and_nobody_follows_until_the_refusal_was_judged() {
        let brake = Brake::new(3);
        assert!(brake.lets("first"));
        assert!(brake.pull("first"));
        assert!(brake.lets("first") && !brake.lets("second"));
        // A row from before the refusal was known says nothing of it.
        brake.read(4);
        assert!(!brake.lets("second"));
        assert!(!brake.written(Some(5)));
        brake.read(5);
        assert!(
            !brake.lets("second"),
            "the row that knows of it decides nothing"
        );
        brake.read(6);
        assert!(brake.lets("second"));
    }

    #[test]
    fn a_refusal_that_was_judged_before_its_writer_heard_of_it_ends_the_brake_too() {
        let brake = Brake::new(3);
        brake.pull("first");
        brake.read(7);
        assert!(brake.is_pulled());
        assert!(brake.written(Some(6)));
        assert!(!brake.is_pulled());
    }

    #[test]
    fn every_refusal_must_be_judged_and_each_counts_once() {
        let brake = Brake::new(1);
        assert!(brake.pull("a") && brake.pull("b") && !brake.pull("a"));
        assert!(!brake.written(Some(2)));
        brake.read(3);
        assert!(brake.is_pulled(), "one is not written yet");
        assert!(!brake.written(Some(4)));
        brake.read(5);
        assert!(!brake.is_pulled());
        assert!(!brake.pull("b") && brake.lets("c"));
    }

    #[test]
    fn a_rollout_that_the_store_no_longer_has_holds_nobody_once_another_row_is_read() {
        let brake = Brake::new(1);
        brake.pull("a");
        assert!(!brake.written(None));
        assert!(brake.is_pulled());
        brake.read(2);
        assert!(!brake.is_pulled());
    }
}
