//! New streams take turns: a token bucket. A replica that comes back meets all its clients at once, and each new stream
//! costs a reading of the store, a full comparison and its largest response. In: the clock. Out: when one may go on.

use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many seconds' worth of streams may come at once.
const BURST: Duration = Duration::from_secs(1);

/// The bucket. What is kept is not a number of tokens but the time at which it would be full again.
#[derive(Debug)]
pub struct Admission {
    interval: Duration,
    full_at: Mutex<Option<Instant>>,
}

impl Admission {
    /// Lets in so many streams a second, and as many at once after a quiet second.
    pub fn per_second(streams: NonZeroU32) -> Self {
        Self {
            interval: Duration::from_secs(1) / streams.get(),
            full_at: Mutex::new(None),
        }
    }

    /// Takes a token; returns when it may be used.
    pub(super) fn admit(&self, now: Instant) -> Instant {
        let mut full_at = self.full_at.lock().unwrap_or_else(PoisonError::into_inner);
        let next = full_at.map_or(now, |full_at| full_at.max(now)) + self.interval;
        *full_at = Some(next);
        now.max(next.checked_sub(BURST).unwrap_or(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_s_worth_comes_at_once_and_the_rest_takes_turns() {
        let admission = Admission::per_second(NonZeroU32::new(10).unwrap());
        let now = Instant::now();
        for _ in 0..10 {
            assert_eq!(admission.admit(now), now);
        }
        let tenth = Duration::from_millis(100);
        assert_eq!(admission.admit(now), now + tenth);
        assert_eq!(admission.admit(now), now + tenth * 2);
        let later = now + Duration::from_secs(5);
        assert_eq!(admission.admit(later), later);
    }
}
