//! What every client does once in a round, and when: connected, acknowledged, active. Clients write without a lock; whoever
//! began the round waits for the last of them.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tokio::sync::Notify;

/// One thing that all clients do.
#[derive(Debug)]
pub(crate) struct Board {
    what: &'static str,
    origin: Instant,
    /// Nanoseconds from the origin, by client; 0 if it has not done it in this round.
    done_at: Vec<AtomicU64>,
    done: AtomicUsize,
    changed: Notify,
    failure: Mutex<Option<String>>,
}

impl Board {
    pub(crate) fn of(what: &'static str, clients: usize) -> Self {
        Self {
            what,
            origin: Instant::now(),
            done_at: (0..clients).map(|_| AtomicU64::new(0)).collect(),
            done: AtomicUsize::new(0),
            changed: Notify::new(),
            failure: Mutex::default(),
        }
    }

    /// Begins a round. Nobody writes between two rounds: the last one was waited for.
    pub(crate) fn begin(&self) {
        for slot in &self.done_at {
            slot.store(0, Ordering::Relaxed);
        }
        self.done.store(0, Ordering::Release);
    }

    /// This client did it now; a second time in one round does not count.
    pub(crate) fn done(&self, client: usize) {
        let now = self.origin.elapsed().as_nanos() as u64;
        if self.done_at[client].swap(now.max(1), Ordering::Relaxed) != 0 {
            return;
        }
        let done = self.done.fetch_add(1, Ordering::AcqRel) + 1;
        if done == self.done_at.len() {
            self.changed.notify_one();
        }
    }

    /// Whether this client did it.
    pub(crate) fn is_done(&self, client: usize) -> bool {
        self.done_at[client].load(Ordering::Relaxed) != 0
    }

    /// A client cannot go on, so the round will never be whole.
    pub(crate) fn fail(&self, reason: String) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        failure.get_or_insert(reason);
        self.changed.notify_one();
    }

    /// Waits until all have done it; returns how long after `start` each did, in order.
    ///
    /// # Errors
    /// A client failed, or time is up.
    pub(crate) async fn all(&self, start: Instant, within: Duration) -> Result<Vec<Duration>> {
        let deadline = tokio::time::sleep(within);
        tokio::pin!(deadline);
        loop {
            if let Some(reason) = &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
                bail!("{}: a client failed: {reason}", self.what);
            }
            let (done, all) = (self.done.load(Ordering::Acquire), self.done_at.len());
            if done == all {
                return Ok(self.since(start));
            }
            tokio::select! {
                () = self.changed.notified() => {}
                () = &mut deadline => bail!("{}: {done} of {all} clients within {within:?}", self.what),
            }
        }
    }

    fn since(&self, start: Instant) -> Vec<Duration> {
        let start = start.saturating_duration_since(self.origin).as_nanos() as u64;
        let done = self.done_at.iter();
        let after = |at: u64| Duration::from_nanos(at.saturating_sub(start));
        let mut times: Vec<Duration> = done.map(|at| after(at.load(Ordering::Relaxed))).collect();
        times.sort_unstable();
        times
    }
}

/// The value below which this share of the ordered values lies (nearest rank).
pub(crate) fn quantile(ordered: &[Duration], share: f64) -> Duration {
    let rank = (share * ordered.len() as f64).ceil() as usize;
    let index = rank.clamp(1, ordered.len().max(1)) - 1;
    ordered.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_round_is_whole_when_each_has_done_it_once() {
        let board = Board::of("counted", 2);
        let start = Instant::now();
        board.begin();
        board.done(0);
        board.done(0);
        let early = board.all(start, Duration::from_millis(10)).await;
        assert_eq!(
            early.unwrap_err().to_string(),
            "counted: 1 of 2 clients within 10ms"
        );
        board.done(1);
        let times = board.all(start, Duration::from_secs(5)).await.unwrap();
        assert!(times.len() == 2 && times[0] <= times[1]);
        board.begin();
        board.fail("gone".into());
        board.all(start, Duration::from_secs(5)).await.unwrap_err();
    }

    #[test]
    fn a_quantile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        for (share, millis) in [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)] {
            assert_eq!(quantile(&values, share), Duration::from_millis(millis));
        }
        assert_eq!(quantile(&[], 0.5), Duration::ZERO);
    }
}
