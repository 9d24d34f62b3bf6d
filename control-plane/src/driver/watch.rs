//! What requests tell of a rollout, read piece by piece: a wave may be watched for an hour, with a row for each second. In: the
//! rows of the store. Out: the sums since the wave's nodes were chosen.

use std::sync::Arc;
use std::time::Duration;

use crate::model::timestamp::Timestamp;
use crate::rollout::Rollout;
use crate::rollout::observed::{Parts, Traffic};
use crate::rollout::strategy::Scope;
use crate::rollout::touched::Touched;
use crate::store::rollout::TrafficRow;
use crate::store::{Store, StoreError};
use crate::traffic::sum::Tally;

/// A row carries the time at which its transaction began: so long after it, it is there or will never be. No statement may
/// take longer.
const SETTLED_AFTER: Duration = Duration::from_secs(10);

/// What requests tell.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// On the new revision.
    pub(super) new: Traffic,
    /// On the old one.
    pub(super) old: Traffic,
    /// Both by what the new one changes, if that is compared by itself.
    pub(super) parts: Option<Parts>,
}

/// A wave that is watched.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    since: Timestamp,
    /// Rows before this are in the tally.
    settled: Timestamp,
    tally: Tally,
}

impl Watch {
    /// Of the wave whose nodes were chosen then.
    pub(super) async fn new(
        store: &dyn Store,
        rollout: &Rollout,
        since: Timestamp,
    ) -> Result<Self, StoreError> {
        let touched = touched(store, rollout).await?;
        Ok(Self {
            since,
            settled: since,
            tally: Tally::new(rollout.from, rollout.to, touched.map(Arc::new)),
        })
    }

    /// Whether this is the wave that began then.
    pub(super) fn is_since(&self, since: Timestamp) -> bool {
        self.since == since
    }

    /// Reads what has come, and adds everything up: requests on the new revision, on the old one, and on both by what the new one
    /// changes.
    pub(super) async fn read(
        &mut self,
        store: &dyn Store,
        fleet: &str,
    ) -> Result<Requests, StoreError> {
        let now = store.clock().await?;
        let rows = store.traffic(fleet, self.settled).await?;
        Ok(self.add(&rows, now))
    }

    /// Adds up what was read: all rows that are not in the tally yet.
    fn add(&mut self, rows: &[TrafficRow], now: Timestamp) -> Requests {
        let settled = now.as_micros() - SETTLED_AFTER.as_micros() as i64;
        let settled = Timestamp::from_micros(settled).max(self.settled);
        let (done, open): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.at < settled);
        self.tally.add(done);
        self.settled = settled;
        let mut tally = self.tally.clone();
        tally.add(open);
        let (new, old) = tally.traffic();
        Requests {
            new,
            old,
            parts: tally.parts(),
        }
    }
}

/// What the new revision touches, if the rollout's gate compares that by itself. `None` if it compares everything.
async fn touched(store: &dyn Store, rollout: &Rollout) -> Result<Option<Touched>, StoreError> {
    let health = rollout.strategy.gates.health.as_ref();
    let compare = health.and_then(|gate| gate.compare.as_ref());
    if compare.is_none_or(|compare| compare.scope == Scope::All) {
        return Ok(None);
    }
    let old = store.config_at(&rollout.fleet, rollout.from).await?;
    let new = store.config_at(&rollout.fleet, rollout.to).await?;
    Ok(Touched::between(&old, &new))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use prost::Message;
    use proto::session::{Outcomes, RevisionTraffic};

    use super::*;

    const SECOND: i64 = 1_000_000;

    fn row(at: i64, revision: u64, requests: u64) -> TrafficRow {
        let total = Outcomes {
            requests,
            classes: vec![0, requests, 0, 0, 0],
            ..Outcomes::default()
        };
        let body = RevisionTraffic {
            revision,
            total: Some(total),
            ..RevisionTraffic::default()
        };
        TrafficRow {
            fleet: "f".to_owned(),
            revision,
            at: Timestamp::from_micros(at),
            body: body.encode_to_vec(),
        }
    }

    proptest! {
        /// Rows are seen up to eight seconds after the time that they carry.
        #[test]
        fn each_row_counts_once_however_late_it_is_seen(
            rows in vec((0..60 * SECOND, 0..8 * SECOND, 1u64..3, 1u64..100), 0..40),
            mut looks in vec(0..70 * SECOND, 1..40),
        ) {
            let end = 70 * SECOND;
            looks.push(end);
            looks.sort_unstable();
            let since = Timestamp::from_micros(0);
            let mut watch = Watch { since, settled: since, tally: Tally::new(1, 2, None) };
            let mut traffic = Requests::default();
            for look in looks {
                let seen = rows.iter().filter(|(at, late, ..)| at + late <= look);
                let seen = seen.filter(|(at, ..)| *at >= watch.settled.as_micros());
                let seen: Vec<_> = seen.map(|(at, _, revision, requests)| row(*at, *revision, *requests)).collect();
                traffic = watch.add(&seen, Timestamp::from_micros(look));
            }
            let Requests { new, old, .. } = traffic;
            let whole = |of| rows.iter().filter(|row| row.2 == of).map(|row| row.3).sum::<u64>();
            prop_assert_eq!((new.requests, old.requests), (whole(2), whole(1)));
        }
    }
}
