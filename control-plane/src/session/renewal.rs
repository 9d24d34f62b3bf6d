//! When a proxy is told again what it is to serve for a time. In: leases that were told, and the time. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// A lease is renewed so often while it lasts: a renewal may be late, or lost with a connection, and another one comes in time.
const PARTS: u32 = 3;

/// When the next renewal is due, if what was told last was told for a time.
#[derive(Debug, Default)]
pub(super) struct Renewal(Option<Instant>);

impl Renewal {
    /// Whether it is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.0.is_some_and(|due| due <= now)
    }

    /// Something was told, for a time or for good; or it could not be told, and is to be tried again after as long.
    pub(super) fn told(&mut self, lease: Option<Duration>, now: Instant) {
        self.0 = lease.map(|lease| now + lease / PARTS);
    }

    /// Waits until it is due.
    pub(super) async fn due(&self) {
        match self.0 {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_due_after_a_third_of_the_lease_and_never_without_one() {
        let (mut renewal, now) = (Renewal::default(), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        assert!(!renewal.is_due(after(900)));
        renewal.told(Some(Duration::from_mins(5)), now);
        assert!(!renewal.is_due(after(99)) && renewal.is_due(after(100)));
        renewal.told(None, after(100));
        assert!(!renewal.is_due(after(900)));
    }
}
