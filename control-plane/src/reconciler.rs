//! The one loop: reads the store, builds what every fleet is to be served, publishes it. It takes no arguments from
//! whoever wakes it: a hint, a timer or a restart all lead to the same reading of the whole state.
//!
//! A fleet's row and that of its rollout are used only as they stood together: each change of either raises the fleet's
//! `change_seq` in its own transaction, so if that is the same before and after the rollouts were read, nothing came
//! between. So nobody is served what no moment of the database said, and an assignment means one thing for ever.

mod built;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::driver::Driver;
use crate::rollout::Rollout;
use crate::snapshots::{Publication, Snapshots};
use crate::store::readings::Readings;
use crate::store::{Fleet, Store, StoreError};
use crate::workbench::Workbench;

use self::built::{Built, Problems};

/// How often the store is read without a hint. Hints can be lost; the counter in the fleet's row cannot.
const POLL: Duration = Duration::from_millis(500);

/// How often one reading looks for a moment at which rows stand still. What moves on is read at the next one.
const TRIES: u32 = 5;

/// Reads and publishes.
#[derive(Debug)]
pub struct Reconciler {
    store: Arc<dyn Store>,
    snapshots: Arc<Snapshots>,
    workbench: Arc<Workbench>,
    readings: Readings,
    built: Mutex<HashMap<String, Built>>,
}

impl Reconciler {
    /// A reconciler from a store to what is served.
    pub fn new(
        store: Arc<dyn Store>,
        snapshots: Arc<Snapshots>,
        workbench: Arc<Workbench>,
    ) -> Self {
        Self {
            store,
            snapshots,
            workbench,
            readings: Readings::default(),
            built: Mutex::default(),
        }
    }

    /// Goes on until it is cancelled; has the rollouts driven as well. While the store is away, what was published stays, and
    /// no rollout moves.
    pub async fn run(self: Arc<Self>, driver: Driver, shutdown: CancellationToken) {
        let mut hints = self.store.hints();
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the store could not be read; what is served stays");
            }
            let look = driver.drive().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "rollouts stand still until the store answers");
                None
            });
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hints.changed() => {}
                () = Driver::look(look) => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Brings what is served up to the store as it is now, or later. Whoever calls while another reading runs shares the
    /// next one, so a storm of callers costs two.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.readings.share(self.reconcile()).await?;
        self.snapshots.were_read();
        Ok(())
    }

    async fn reconcile(&self) -> Result<(), StoreError> {
        let mut fleets = self.store.fleets().await?;
        for _ in 0..TRIES {
            let is_known = |name: &str| fleets.iter().any(|fleet| fleet.name == name);
            self.snapshots.forget_all_but(is_known);
            self.built().retain(|name, _| is_known(name));
            self.workbench.tidy(Instant::now(), is_known);
            fleets.retain(|fleet| self.snapshots.change_seq(&fleet.name) != Some(fleet.change_seq));
            if fleets.is_empty() {
                return Ok(());
            }
            let rollouts = self.store.active_rollouts().await?;
            let after = self.store.fleets().await?;
            for fleet in &fleets {
                let rollout = rollouts.iter().find(|it| it.fleet == fleet.name);
                if stood_together(fleet, rollout, &after) {
                    self.publish(fleet, rollout).await?;
                }
            }
            fleets = after;
        }
        Ok(())
    }

    async fn publish(&self, fleet: &Fleet, rollout: Option<&Rollout>) -> Result<(), StoreError> {
        let name = &fleet.name;
        let endpoints = self.store.endpoints(name).await?;
        let before = self.built().get(name).cloned().unwrap_or_default();
        let mut built = before.with(endpoints);
        let to = rollout.map(|rollout| rollout.to);
        for number in [Some(fleet.stable), to].into_iter().flatten() {
            if built.classes(number).is_empty() {
                built = self.build(name, built, number).await?;
            }
        }
        built.keep(&[fleet.stable, to.unwrap_or(fleet.stable)]);
        let stable = built.classes(fleet.stable);
        // What is served stays if the stable revision cannot be built.
        if !stable.is_empty() {
            tracing::info!(
                fleet = %name, stable = fleet.stable, ?to, assignment = fleet.assignment,
                change_seq = fleet.change_seq, "published"
            );
            let rollout = rollout.cloned().map(Arc::new);
            let publication = Publication {
                change_seq: fleet.change_seq,
                assignment: fleet.assignment,
                stable,
                rollout: rollout.map(|rollout| (rollout.clone(), built.classes(rollout.to))),
            };
            self.snapshots.publish(name, publication);
        }
        self.built().insert(name.clone(), built);
        Ok(())
    }

    /// Builds one revision. Only a validated config is ever stored, so one that cannot be served is a defect of ours: a newer
    /// release that refuses what an older one took.
    async fn build(&self, fleet: &str, built: Built, number: u64) -> Result<Built, StoreError> {
        let config = match built.config(number) {
            Some(config) => config.clone(),
            None => self.store.config_at(fleet, number).await?,
        };
        let (earlier, mut next) = (self.snapshots.all(fleet), built.clone());
        let validated = self.workbench.translation(fleet);
        let building = tokio::task::spawn_blocking(move || {
            next.build(number, config, validated, &earlier)?;
            Ok::<_, Problems>(next)
        });
        match building.await {
            Ok(Ok(next)) => return Ok(next),
            Ok(Err(problems)) => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                let problems = problems.join("; ");
                tracing::error!(fleet, revision = number, %problems, "the stored config cannot be served");
            }
            Err(panic) => {
                tracing::error!(fleet, revision = number, %panic, "building the snapshots failed");
            }
        }
        Ok(built)
    }

    fn built(&self) -> MutexGuard<'_, HashMap<String, Built>> {
        self.built.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a fleet's row and its rollout's stood together: `after` was read after both.
fn stood_together(fleet: &Fleet, rollout: Option<&Rollout>, after: &[Fleet]) -> bool {
    let still = |after: &Fleet| after.name == fleet.name && after.change_seq == fleet.change_seq;
    let fits = rollout.is_none_or(|rollout| rollout.from == fleet.stable);
    let stood = after.iter().any(still);
    if stood && !fits {
        tracing::error!(fleet = %fleet.name, "the rollout does not begin at the stable revision; what is served stays");
    }
    stood && fits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brake::tests::rollout;
    use crate::model::timestamp::Timestamp;
    use crate::store::FleetSettings;

    #[test]
    fn rows_between_which_something_was_written_are_not_used() {
        let fleet = |change_seq: u64, stable: u64| Fleet {
            name: "default".to_owned(),
            head: 2,
            stable,
            assignment: 1,
            held: None,
            change_seq,
            created_at: Timestamp::now(),
            settings: FleetSettings::default(),
        };
        let row = rollout();
        let together = |before: &Fleet, after: Fleet| stood_together(before, Some(&row), &[after]);
        assert!(together(&fleet(3, 1), fleet(3, 1)));
        // It has ended meanwhile, or begun.
        assert!(!together(&fleet(3, 1), fleet(4, 2)));
        assert!(!together(&fleet(3, 2), fleet(3, 2)));
        assert!(!stood_together(&fleet(3, 1), None, &[]));
    }
}
