//! What a rollout would do to requests that proxies have seen, worked out before its first wave. That takes a translation of two
//! configs, so an answer is kept for a while; samples come in all the time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use xds::node::ClientClass;

use crate::impact::Impact;
use crate::model::Config;
use crate::plan;
use crate::rollout::observed::Forecast;
use crate::rollout::{Rollout, State};
use crate::sample::Sample;
use crate::store::{Store, StoreError};
use crate::translate::{FastLane, Translation};

/// How long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(30);
/// So many groups of requests are told with it.
const GROUPS_MAX: usize = 5;

/// The answer of one rollout. It is worked out beside the loop that asks: with very many routes it takes seconds.
#[derive(Debug, Default)]
pub(super) struct Slot {
    known: Option<(Forecast, Instant)>,
    task: Option<AbortOnDropHandle<Result<Forecast, StoreError>>>,
}

impl Slot {
    /// The answer, if there is one; what is old is worked out anew meanwhile.
    ///
    /// # Errors
    /// The store could not be read.
    pub(super) async fn answer(
        &mut self,
        store: &Arc<dyn Store>,
        rollout: &Rollout,
    ) -> Result<Option<Forecast>, StoreError> {
        if let Some(task) = self.task.take_if(|task| task.is_finished()) {
            match task.await {
                Ok(forecast) => self.known = Some((forecast?, Instant::now())),
                Err(error) => tracing::error!(%error, "a forecast ended early"),
            }
        }
        let known = self.known.as_ref();
        if self.task.is_none() && known.is_none_or(|(_, at)| at.elapsed() >= GOOD_FOR) {
            let working = work_out(store.clone(), rollout.clone());
            self.task = Some(AbortOnDropHandle::new(tokio::spawn(working)));
        }
        Ok(known.map(|(forecast, _)| forecast.clone()))
    }
}

/// Whether a rollout asks for it: before anybody has moved, unless it is urgent.
pub(super) fn is_asked(rollout: &Rollout) -> bool {
    rollout.strategy.gates.max_changed.is_some()
        && !rollout.urgent
        && rollout.state == State::Advancing
        && rollout.selection.is_empty()
}

async fn work_out(store: Arc<dyn Store>, rollout: Rollout) -> Result<Forecast, StoreError> {
    let fleet = &rollout.fleet;
    let before = store.config_at(fleet, rollout.from).await?;
    let after = store.config_at(fleet, rollout.to).await?;
    let samples = store.samples(fleet).await?;
    let impact = tokio::task::spawn_blocking(move || impact(before, after, &samples));
    let impact = impact.await.ok().flatten().unwrap_or_else(|| {
        tracing::error!(%fleet, rollout = %rollout.id, "what a rollout would change cannot be said");
        Impact::default()
    });
    Ok(forecast(&impact))
}

/// `None` if a stored config cannot be translated.
fn impact(before: Arc<Config>, after: Arc<Config>, samples: &[Sample]) -> Option<Impact> {
    let fast_lane: Arc<FastLane> = Arc::default();
    let nothing = Translation::of_nothing(&[ClientClass::Signalbox]);
    let before = nothing.next(before, fast_lane.clone(), &[]).whole().ok()?;
    let after = before.next(after, fast_lane, &[]).whole().ok()?;
    Some(plan::impact(&before, &after, samples))
}

fn forecast(impact: &Impact) -> Forecast {
    let group = |group: &crate::impact::Group| {
        let route = group.before.as_deref().or(group.after.as_deref());
        format!(
            "{} of route {}: {}",
            group.requests,
            route.unwrap_or("-"),
            group.detail
        )
    };
    Forecast {
        requests: impact.requests,
        changed: impact.changed,
        not_known: impact.not_known,
        groups: impact.groups.iter().take(GROUPS_MAX).map(group).collect(),
    }
}
