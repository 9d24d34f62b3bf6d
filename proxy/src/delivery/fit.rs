//! When a wire set may go live: at once if its parts fit together, else when it has waited long enough for what is
//! missing. Pure; the clock is a parameter.

use std::time::Duration;

use tokio::time::Instant;
use xds::problem::{Code, Problem};

/// Decides about activation, one wire set after the other.
#[derive(Debug)]
pub(super) struct Fit {
    patience: Duration,
    /// Since when the wire sets have not fitted.
    unfit_since: Option<Instant>,
}

/// What to do with a wire set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    /// Activate it.
    Activate,
    /// Wait for more until then, then ask again.
    Wait(Instant),
}

impl Fit {
    /// `patience` is how long a set that does not fit waits: Envoy's `initial_fetch_timeout`, 15 s.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            unfit_since: None,
        }
    }

    /// `answered`: the server has answered what must be answered first. `problems`: what compiling the set found.
    pub(super) fn judge(&mut self, answered: bool, problems: &[Problem], now: Instant) -> Decision {
        let fits = answered
            && !problems
                .iter()
                .any(|problem| problem.code == Code::MissingReference);
        if fits {
            self.unfit_since = None;
            return Decision::Activate;
        }
        let due = *self.unfit_since.get_or_insert(now) + self.patience;
        if now >= due {
            Decision::Activate
        } else {
            Decision::Wait(due)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(15);

    fn hole() -> Vec<Problem> {
        vec![Problem {
            resource: None,
            path: String::new(),
            code: Code::MissingReference,
            detail: String::new(),
        }]
    }

    #[test]
    fn what_fits_goes_live_at_once() {
        assert_eq!(
            Fit::new(PATIENCE).judge(true, &[], Instant::now()),
            Decision::Activate
        );
    }

    #[test]
    fn what_does_not_fit_waits_once_and_not_anew_with_every_change() {
        let (mut fit, start) = (Fit::new(PATIENCE), Instant::now());
        assert_eq!(
            fit.judge(true, &hole(), start),
            Decision::Wait(start + PATIENCE)
        );
        assert_eq!(
            fit.judge(false, &[], start + PATIENCE / 2),
            Decision::Wait(start + PATIENCE)
        );
        assert_eq!(
            fit.judge(true, &hole(), start + PATIENCE),
            Decision::Activate
        );
    }

    #[test]
    fn the_wait_begins_anew_after_a_set_that_fitted() {
        let (mut fit, start) = (Fit::new(PATIENCE), Instant::now());
        fit.judge(true, &hole(), start);
        fit.judge(true, &[], start + PATIENCE);
        let later = start + PATIENCE * 2;
        assert_eq!(
            fit.judge(true, &hole(), later),
            Decision::Wait(later + PATIENCE)
        );
    }
}
