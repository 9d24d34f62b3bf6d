//! Steps at fixed intervals, for what is about time itself.

use std::time::{Duration, Instant};

/// Marks time, for tests whose subject is time.
pub(crate) struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    /// The first step comes after one interval.
    pub(crate) fn every(every: Duration) -> Self {
        Self {
            every,
            next: Instant::now() + every,
        }
    }

    /// Waits for the next step.
    pub(crate) fn wait(&mut self) {
        std::thread::park_timeout(self.next.saturating_duration_since(Instant::now()));
        self.next += self.every;
    }
}
