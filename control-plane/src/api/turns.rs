//! Writes to one fleet go one after the other within a process, in the order they came: each is made from the head that
//! the one before left. Other replicas may still be faster; that is seen at the commit.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tokio::sync::OwnedMutexGuard;

/// Who writes to which fleet now.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<HashMap<String, Queue>>>);

type Queue = Arc<tokio::sync::Mutex<Last>>;

/// How the last write of those that waited for each other has ended.
#[derive(Debug, Default)]
struct Last {
    /// When it found the database away, if it did.
    away_at: Option<Instant>,
}

/// A write's turn. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Turn {
    called: Instant,
    last: OwnedMutexGuard<Last>,
}

impl Turns {
    /// Waits until it is this write's turn.
    pub(super) async fn wait(&self, fleet: &str) -> Turn {
        let called = Instant::now();
        let queue = {
            let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // Fleets that nobody writes to now need no entry.
            queues.retain(|_, queue| Arc::strong_count(queue) > 1);
            queues.entry(fleet.to_owned()).or_default().clone()
        };
        let last = queue.lock_owned().await;
        Turn { called, last }
    }
}

impl Turn {
    /// Whether the database was away while this write waited. Then it does not try as well: of many that wait, the last
    /// would be told only after all the others.
    pub(super) fn is_in_vain(&self) -> bool {
        self.last.away_at.is_some_and(|at| at >= self.called)
    }

    /// Tells those who wait whether the database is away.
    pub(super) fn end(mut self, away: bool) {
        self.last.away_at = away.then(Instant::now);
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

    #[tokio::test]
    async fn who_waited_while_the_database_was_away_need_not_try() {
        let turns = Turns::default();
        let first = turns.wait("a").await;
        assert!(!first.is_in_vain());
        let (mut second, mut third) = (Box::pin(turns.wait("a")), Box::pin(turns.wait("a")));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut third).is_pending());
        first.end(true);
        let second = second.await;
        assert!(second.is_in_vain());
        second.end(true);
        assert!(third.await.is_in_vain());
        assert!(!turns.wait("a").await.is_in_vain());
    }
}
