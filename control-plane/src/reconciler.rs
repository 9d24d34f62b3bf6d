//! The one loop: reads the store, builds what every fleet is to be served, publishes it. It takes no arguments from
//! whoever wakes it: a hint, a timer or a restart all lead to the same reading of the whole state.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;

use crate::model::Config;
use crate::snapshots::Snapshots;
use crate::store::readings::Readings;
use crate::store::{Fleet, Store, StoreError};
use crate::translate::{self, FastLane};

/// How often the store is read without a hint. Hints can be lost; the counter in the fleet's row cannot.
const POLL: Duration = Duration::from_millis(500);

/// Reads and publishes.
#[derive(Debug)]
pub struct Reconciler {
    store: Arc<dyn Store>,
    snapshots: Arc<Snapshots>,
    readings: Readings,
}

impl Reconciler {
    /// A reconciler from a store to what is served.
    pub fn new(store: Arc<dyn Store>, snapshots: Arc<Snapshots>) -> Self {
        Self {
            store,
            snapshots,
            readings: Readings::default(),
        }
    }

    /// Goes on until it is cancelled. While the store is away, what was published stays.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut hints = self.store.hints();
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "the store could not be read; what is served stays");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hints.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    /// Brings what is served up to the store as it is now, or later. Whoever calls while another reading runs shares the
    /// next one, so a storm of callers costs two.
    pub async fn refresh(&self) -> Result<(), StoreError> {
        self.readings.share(self.reconcile()).await
    }

    async fn reconcile(&self) -> Result<(), StoreError> {
        let fleets = self.store.fleets().await?;
        self.snapshots
            .forget_all_but(|name| fleets.iter().any(|fleet| fleet.name == name));
        for fleet in &fleets {
            if self.snapshots.change_seq(&fleet.name) != Some(fleet.change_seq) {
                self.publish(fleet).await?;
            }
        }
        Ok(())
    }

    async fn publish(&self, fleet: &Fleet) -> Result<(), StoreError> {
        let config = self.store.config_at(&fleet.name, fleet.head).await?;
        let endpoints = self.store.endpoints(&fleet.name).await?;
        let before: Vec<Snapshot> = ClientClass::ALL
            .into_iter()
            .filter_map(|class| self.served(&fleet.name, class))
            .collect();
        let built = tokio::task::spawn_blocking(move || build(&config, &endpoints, &before)).await;
        match built {
            Ok(Ok(snapshots)) => {
                tracing::info!(fleet = %fleet.name, revision = fleet.head, change_seq = fleet.change_seq, "published");
                self.snapshots
                    .publish(&fleet.name, fleet.head, fleet.change_seq, snapshots);
            }
            // Only a validated config is ever stored, so this is a defect of ours: a newer release that refuses what an
            // older one took. What is served stays.
            Ok(Err(problems)) => {
                let problems = problems
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; ");
                tracing::error!(fleet = %fleet.name, revision = fleet.head, %problems, "the stored config cannot be served");
            }
            Err(panic) => {
                tracing::error!(fleet = %fleet.name, %panic, "building the snapshots failed");
            }
        }
        Ok(())
    }

    fn served(&self, fleet: &str, class: ClientClass) -> Option<Snapshot> {
        Some(
            self.snapshots
                .watch(fleet, class)?
                .borrow()
                .snapshot()
                .clone(),
        )
    }
}

type Built = Result<Vec<(ClientClass, Snapshot)>, Vec<xds::problem::Problem>>;

/// One snapshot a class; what did not change is shared with `before`.
fn build(config: &Config, endpoints: &FastLane, before: &[Snapshot]) -> Built {
    let earlier: Vec<&Snapshot> = before.iter().collect();
    ClientClass::ALL
        .into_iter()
        .map(|class| {
            Ok((
                class,
                translate::snapshot(config, endpoints, class, &earlier)?,
            ))
        })
        .collect()
}
