//! When requests are due. Pure: time comes in as what has passed since the start.
//! In the open loop a request is due at a fixed time whether or not those before it were answered, and its latency counts from
//! then: a peer that stands still for a while is charged for all who would have come meanwhile.

use std::time::Duration;

/// Requests at a fixed rate.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    interval: Duration,
    /// How many have been taken.
    taken: u32,
}

impl Schedule {
    /// So many a second; the first one is due at the start.
    pub(crate) fn at(rate: u32) -> Self {
        Self {
            interval: Duration::from_secs(1) / rate,
            taken: 0,
        }
    }

    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// When the next request was due, if that has passed; it is then taken.
    pub(crate) fn take(&mut self, passed: Duration) -> Option<Duration> {
        let due = self.interval * self.taken;
        (due <= passed).then(|| {
            self.taken += 1;
            due
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_by_the_clock_and_not_by_the_answers() {
        let mut schedule = Schedule::at(1_000);
        let ms = Duration::from_millis;
        assert_eq!(schedule.take(ms(0)), Some(ms(0)));
        assert_eq!(schedule.take(ms(0)), None);
        // Nobody looked for three milliseconds: three have become due, each at its own time.
        assert_eq!(schedule.take(ms(3)), Some(ms(1)));
        assert_eq!(schedule.take(ms(3)), Some(ms(2)));
        assert_eq!(schedule.take(ms(3)), Some(ms(3)));
        assert_eq!(schedule.take(ms(3)), None);
    }
}
