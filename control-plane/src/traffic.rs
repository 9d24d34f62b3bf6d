//! What nodes report of the requests they have served. In: reports of our proxies (`session`) and of those that send load
//! reports (`lrs`). Out: every second a row for each revision to the store, where all replicas and the driver of rollouts
//! find it; and series for `/metrics`.
//!
//! A report costs memory by what is bounded, not by what it says (`merged`, `outcomes`): revisions, routes, clusters and
//! causes have a most, counts stop at the largest number, and what is too much is added up or left out.

pub mod merged;
pub mod outcomes;
pub mod series;
pub mod sketch;
pub mod sum;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::session::{RevisionTraffic, Traffic as Report};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::model::timestamp::Timestamp;
use crate::store::rollout::TrafficRow;
use crate::store::{Store, StoreError};

use self::merged::Merged;
use self::series::Series;

/// How often what was reported is written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often the series of whole fleets are made anew.
const SERIES_EVERY: Duration = Duration::from_secs(10);
/// So many routes, and so many clusters, are in a row by name: a row is some 20 KiB at most in practice.
const ROW_NAMES: usize = 100;
/// So many revisions of one fleet are told apart between two writes. A fleet serves two at a time.
const REVISIONS_MAX: usize = 8;

/// What was reported here and is not written yet.
#[derive(Debug)]
pub struct Traffic {
    replica: String,
    pending: Mutex<Pending>,
    series: Arc<Series>,
}

/// By fleet and revision.
type Pending = BTreeMap<String, BTreeMap<u64, Merged>>;

impl Traffic {
    /// Nothing was reported yet; `replica` names this process in the store.
    pub fn new(replica: String) -> Arc<Self> {
        Arc::new(Self {
            replica,
            pending: Mutex::default(),
            series: Arc::default(),
        })
    }

    /// What `/metrics` shows of it.
    pub fn series(&self) -> Arc<Series> {
        self.series.clone()
    }

    /// Takes a report of a node of a fleet that exists, if the node has sent one.
    pub fn report(&self, fleet: &str, node: &str, report: Option<&Report>) {
        let Some(report) = report else { return };
        let left_out = report.revisions.len().saturating_sub(REVISIONS_MAX);
        if left_out > 0 {
            tracing::debug!(
                fleet,
                node,
                left_out,
                "a report tells of too many revisions"
            );
        }
        for revision in report.revisions.iter().take(REVISIONS_MAX) {
            self.add(fleet, revision);
        }
    }

    /// Takes what a node of a fleet says of the requests that one revision has served.
    pub fn add(&self, fleet: &str, reported: &RevisionTraffic) {
        let mut merged = Merged::default();
        merged.add(reported);
        // No database has such a number.
        let is_number = i64::try_from(reported.revision).is_ok();
        let revision = if is_number { reported.revision } else { 0 };
        self.series.count(fleet, revision, &merged);
        put(&mut self.pending(), fleet, revision, &merged);
    }

    /// Writes what was reported until it is cancelled. What could not be written is kept, merged with what comes, and
    /// written when the store is back.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let mut write = tokio::time::interval(WRITE_EVERY);
        write.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut series = tokio::time::interval(SERIES_EVERY);
        series.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                _ = write.tick() => self.write(&*store).await,
                _ = series.tick() => if let Err(error) = self.refresh_series(&*store).await {
                    tracing::warn!(%error, "the series of the fleets' traffic are not made anew");
                },
            }
        }
        self.write(&*store).await;
    }

    /// Writes what is pending. If the store fails after it has committed, the same comes twice: what rollouts judge by is
    /// ratios, which stay as they are.
    pub async fn write(&self, store: &dyn Store) {
        let taken = self.take();
        if taken.is_empty() {
            return;
        }
        let rows = rows(&taken);
        if let Err(error) = store.write_traffic(&self.replica, &rows).await {
            tracing::warn!(%error, rows = rows.len(), "traffic was not written; it will be tried again");
            self.put_back(&taken);
        }
    }

    fn take(&self) -> Pending {
        std::mem::take(&mut *self.pending())
    }

    fn put_back(&self, taken: &Pending) {
        let mut pending = self.pending();
        for (fleet, revisions) in taken {
            for (revision, merged) in revisions {
                put(&mut pending, fleet, *revision, merged);
            }
        }
    }

    async fn refresh_series(&self, store: &dyn Store) -> Result<(), StoreError> {
        let since = series::WINDOW.as_micros() as i64;
        let since = Timestamp::from_micros(store.clock().await?.as_micros() - since);
        let mut fleets = BTreeMap::new();
        for fleet in store.fleets().await? {
            let rows = store.traffic(&fleet.name, since).await?;
            fleets.insert(fleet.name, sum::by_revision(&rows));
        }
        self.series.replace(&fleets);
        Ok(())
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(pending: &mut Pending, fleet: &str, revision: u64, more: &Merged) {
    if !pending.contains_key(fleet) {
        pending.insert(fleet.to_owned(), BTreeMap::new());
    }
    let Some(revisions) = pending.get_mut(fleet) else {
        return;
    };
    if revisions.len() < REVISIONS_MAX || revisions.contains_key(&revision) {
        revisions.entry(revision).or_default().merge(more);
    } else {
        tracing::debug!(fleet, revision, "too many revisions are reported");
    }
}

fn rows(pending: &Pending) -> Vec<TrafficRow> {
    let revisions = pending
        .iter()
        .flat_map(|(fleet, revisions)| revisions.iter().map(move |revision| (fleet, revision)));
    let row = |(fleet, (revision, merged)): (&String, (&u64, &Merged))| TrafficRow {
        fleet: fleet.clone(),
        revision: *revision,
        at: Timestamp::default(),
        body: merged.encode(*revision, ROW_NAMES),
    };
    revisions.map(row).collect()
}

#[cfg(test)]
mod tests;
