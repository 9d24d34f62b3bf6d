//! Of which fleets load reports are needed, and of which clusters: while a rollout is under way that is judged by requests,
//! the clusters of both its revisions. In: the store. Out: a watch that streams follow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::rollout::Rollout;
use crate::rollout::strategy::Strategy;
use crate::store::{Store, StoreError};

use super::Clusters;

/// How often the store is read without a hint.
const POLL: Duration = Duration::from_secs(1);

/// Clusters by fleet.
pub(super) type Wanted = BTreeMap<String, Clusters>;

/// What is needed.
#[derive(Debug)]
pub struct Demand {
    store: Arc<dyn Store>,
    wanted: watch::Sender<Wanted>,
    /// The revisions whose clusters are wanted, by fleet: they are read once.
    read: Mutex<BTreeMap<String, (u64, u64)>>,
}

impl Demand {
    /// Nothing is needed until [`Self::run`] has read the store.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        let (wanted, read) = (watch::Sender::default(), Mutex::default());
        Arc::new(Self {
            store,
            wanted,
            read,
        })
    }

    /// Follows the store until it is cancelled. While the store is away, what was needed still is.
    pub async fn run(self: Arc<Self>, shutdown: CancellationToken) {
        let mut hints = self.store.hints();
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "it is not known who needs load reports");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = hints.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Wanted> {
        self.wanted.subscribe()
    }

    async fn refresh(&self) -> Result<(), StoreError> {
        let mut wanted = Wanted::new();
        let mut read = BTreeMap::new();
        for rollout in self.store.active_rollouts().await? {
            if !asks(&rollout.strategy) {
                continue;
            }
            let revisions = (rollout.from, rollout.to);
            let clusters = match self.known(&rollout) {
                Some(clusters) => clusters,
                None => Arc::new(self.clusters(&rollout).await?),
            };
            wanted.insert(rollout.fleet.clone(), clusters);
            read.insert(rollout.fleet, revisions);
        }
        *self.read.lock().unwrap_or_else(PoisonError::into_inner) = read;
        self.wanted.send_if_modified(|before| {
            let changed = *before != wanted;
            *before = wanted;
            changed
        });
        Ok(())
    }

    fn known(&self, rollout: &Rollout) -> Option<Clusters> {
        let read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let same = read.get(&rollout.fleet) == Some(&(rollout.from, rollout.to));
        let known = self.wanted.borrow().get(&rollout.fleet).cloned();
        known.filter(|_| same)
    }

    async fn clusters(&self, rollout: &Rollout) -> Result<BTreeSet<Arc<str>>, StoreError> {
        let mut clusters = BTreeSet::new();
        for revision in [rollout.from, rollout.to] {
            let config = self.store.config_at(&rollout.fleet, revision).await?;
            clusters.extend(config.clusters.keys().cloned());
        }
        Ok(clusters)
    }
}

/// Whether requests are asked for before the next wave.
fn asks(strategy: &Strategy) -> bool {
    strategy.gates.health.is_some() || strategy.waves.iter().any(|wave| wave.min_requests > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gates_that_look_at_requests_ask_for_reports() {
        let read = |json: &str| serde_json::from_str::<Strategy>(json).unwrap();
        assert!(!asks(&read(
            r#"{"waves": [{"percent": 100, "min_nodes": 2}]}"#
        )));
        assert!(asks(&read(
            r#"{"waves": [{"percent": 1}, {"percent": 100, "min_requests": 1}]}"#
        )));
        assert!(asks(&read(
            r#"{"waves": [{"percent": 100}], "gates": {"health": {"max_error_ratio": 0.1}}}"#
        )));
    }
}
