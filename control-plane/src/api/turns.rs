//! Writes to one fleet go one after the other within a process, in the order they came: each is made from the head that
//! the one before left. Other replicas may still be faster; that is seen at the commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OwnedMutexGuard;

/// Who may write to which fleet now.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>>);

impl Turns {
    /// Waits until it is this write's turn. It ends when the guard is dropped.
    pub(super) async fn wait(&self, fleet: &str) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Fleets that nobody writes to now need no entry.
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(fleet.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_fleet_has_one_writer_and_waits_for_no_other_fleet() {
        let turns = Turns::default();
        let first = turns.wait("a").await;
        let mut second = Box::pin(turns.wait("a"));
        assert!(futures_util::poll!(&mut second).is_pending());
        drop(turns.wait("b").await);
        drop(first);
        drop(second.await);
    }
}
