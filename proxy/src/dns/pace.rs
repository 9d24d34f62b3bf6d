//! When a name is asked for again. Pure: how the last lookup ended goes in, a pause comes out.
//! The rules are those of `StrictDnsClusterImpl::ResolveTarget::startResolve` in Envoy.

use std::time::Duration;

use xds::resource::cluster::dns::Lookup;

/// The times between lookups of one name.
#[derive(Debug)]
pub(super) struct Pace {
    lookup: Lookup,
    /// Failures in a row.
    failures: u32,
}

impl Pace {
    pub(super) fn new(lookup: Lookup) -> Self {
        Self {
            lookup,
            failures: 0,
        }
    }

    /// The pause after a lookup: `Ok` with the time to live of a good answer, if it had one. `random` is drawn from 0 to 1.
    pub(super) fn pause<E>(
        &mut self,
        outcome: Result<Option<Duration>, E>,
        random: f64,
    ) -> Duration {
        let Lookup {
            refresh,
            respect_ttl,
            jitter,
            failure,
            ..
        } = self.lookup;
        if let Ok(ttl) = outcome {
            self.failures = 0;
            let ttl = ttl.filter(|ttl| respect_ttl && !ttl.is_zero());
            return ttl.unwrap_or(refresh) + jitter.mul_f64(random);
        }
        let doublings = self.failures.min(31);
        self.failures = self.failures.saturating_add(1);
        match failure {
            None => refresh + jitter.mul_f64(random),
            // Never at once: even the luckiest draw leaves a tenth of the base.
            Some(backoff) => backoff
                .base
                .saturating_mul(1 << doublings)
                .min(backoff.max)
                .mul_f64(random)
                .max(backoff.base / 10),
        }
    }
}

#[cfg(test)]
mod tests {
    use xds::resource::cluster::dns::{Backoff, Family};

    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    const LOOKUP: Lookup = Lookup {
        family: Family::V4Only,
        refresh: s(5),
        respect_ttl: false,
        jitter: s(2),
        failure: None,
    };

    const FAILED: Result<Option<Duration>, ()> = Err(());

    #[test]
    fn jitter_only_ever_makes_the_next_question_later() {
        let mut pace = Pace::new(LOOKUP);
        assert_eq!(pace.pause::<()>(Ok(None), 0.0), s(5));
        assert_eq!(pace.pause::<()>(Ok(None), 0.5), s(6));
        assert_eq!(pace.pause(FAILED, 0.5), s(6), "failures follow it too");
    }

    #[test]
    fn the_time_to_live_counts_if_it_is_respected_and_there_is_one() {
        assert_eq!(Pace::new(LOOKUP).pause::<()>(Ok(Some(s(60))), 0.0), s(5));
        let mut pace = Pace::new(Lookup {
            respect_ttl: true,
            ..LOOKUP
        });
        assert_eq!(pace.pause::<()>(Ok(Some(s(60))), 0.0), s(60));
        assert_eq!(pace.pause::<()>(Ok(Some(s(0))), 0.0), s(5));
        assert_eq!(pace.pause::<()>(Ok(None), 0.0), s(5));
    }

    #[test]
    fn pauses_after_failures_double_up_to_a_bound_and_begin_anew_after_an_answer() {
        let failure = Some(Backoff {
            base: s(1),
            max: s(6),
        });
        let mut pace = Pace::new(Lookup { failure, ..LOOKUP });
        let mut failed = || pace.pause(FAILED, 1.0);
        assert_eq!(
            [failed(), failed(), failed(), failed()],
            [s(1), s(2), s(4), s(6)]
        );
        pace.pause::<()>(Ok(None), 0.0);
        assert_eq!(pace.pause(FAILED, 1.0), s(1));
        assert_eq!(pace.pause(FAILED, 0.0), s(1) / 10);
    }
}
