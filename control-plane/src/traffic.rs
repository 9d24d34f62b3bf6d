//! What nodes report of the requests they have served. In: reports of our proxies (`session`) and of those that send load
//! reports (`lrs`). Out: every second a row for each revision to the store, where all replicas and the driver of rollouts
//! find it; and series for `/metrics`.
//!
//! A report costs memory by what is bounded, not by what it says (`merged`, `outcomes`): revisions, routes, clusters and
//! causes have a most, counts stop at the largest number, and what is too much is added up or left out.
//!
//! A proxy numbers its reports and repeats one until it hears that it was taken (`numbered`). It hears so when the store has
//! it, and the store takes each number once, so that a request is counted once whatever breaks in between. Load reports have
//! no number: one that is lost is lost.

pub mod merged;
pub mod numbered;
pub mod outcomes;
pub mod series;
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
use self::numbered::{Numbered, Reporter};
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
    numbered: Mutex<Numbered>,
    series: Arc<Series>,
}

/// By fleet and revision.
type Pending = BTreeMap<String, BTreeMap<u64, Merged>>;

/// What is written at once.
#[derive(Debug)]
struct Batch {
    pending: Pending,
    numbered: Numbered,
}

impl Traffic {
    /// Nothing was reported yet; `replica` names this process in the store.
    pub fn new(replica: String) -> Arc<Self> {
        Arc::new(Self {
            replica,
            pending: Mutex::default(),
            numbered: Mutex::default(),
            series: Arc::default(),
        })
    }

    /// What `/metrics` shows of it.
    pub fn series(&self) -> Arc<Series> {
        self.series.clone()
    }

    /// Takes a report of a node of a fleet that exists, if the node has sent one. One with a number counts when it is written,
    /// if it was not before.
    pub fn report(&self, from: &Reporter, report: Option<&Report>) {
        let Some(report) = report else { return };
        let left_out = report.revisions.len().saturating_sub(REVISIONS_MAX);
        if left_out > 0 {
            tracing::debug!(
                fleet = from.fleet,
                node = from.node,
                left_out,
                "a report tells of too many revisions"
            );
        }
        let revisions = report.revisions.iter().take(REVISIONS_MAX);
        if from.numbers(report) {
            let mut merged = BTreeMap::<u64, Merged>::new();
            for reported in revisions {
                merged.entry(number(reported)).or_default().add(reported);
            }
            locked(&self.numbered).take(from, report.sequence, merged);
        } else {
            revisions.for_each(|revision| self.add(&from.fleet, revision));
        }
    }

    /// Takes what a node of a fleet says of the requests that one revision has served.
    pub fn add(&self, fleet: &str, reported: &RevisionTraffic) {
        let mut merged = Merged::default();
        merged.add(reported);
        self.series.count(fleet, number(reported), &merged);
        put(&mut locked(&self.pending), fleet, number(reported), &merged);
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

    /// Writes what is pending, and says of numbered reports that they are taken. If the store fails after it has committed, what
    /// has no number comes twice: what rollouts judge by is ratios, which stay as they are.
    pub async fn write(&self, store: &dyn Store) {
        let batch = self.begin();
        if batch.is_empty() {
            return;
        }
        let (numbers, rows) = (batch.numbered.numbers(), |new: &[bool]| batch.rows(new));
        match store.write_reports(&self.replica, &numbers, &rows).await {
            Ok(new) => self.is_written(batch, &new),
            Err(error) => {
                tracing::warn!(%error, "traffic was not written; it will be tried again");
                self.put_back(batch);
            }
        }
    }

    /// Takes what is to be written now.
    fn begin(&self) -> Batch {
        Batch {
            pending: std::mem::take(&mut *locked(&self.pending)),
            numbered: std::mem::take(&mut *locked(&self.numbered)),
        }
    }

    /// It is written; `new` says which numbered reports were not before.
    fn is_written(&self, batch: Batch, new: &[bool]) {
        for (fleet, revision, merged) in batch.numbered.those(new) {
            self.series.count(fleet, revision, merged);
        }
        batch.numbered.are_taken();
    }

    /// It is not written, as far as one knows.
    fn put_back(&self, batch: Batch) {
        let mut pending = locked(&self.pending);
        for (fleet, revisions) in &batch.pending {
            for (revision, merged) in revisions {
                put(&mut pending, fleet, *revision, merged);
            }
        }
        locked(&self.numbered).put_back(batch.numbered);
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
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The revision that is reported of; 0 if no database has such a number.
fn number(reported: &RevisionTraffic) -> u64 {
    let is_number = i64::try_from(reported.revision).is_ok();
    if is_number { reported.revision } else { 0 }
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

impl Batch {
    fn is_empty(&self) -> bool {
        self.pending.is_empty() && self.numbered.is_empty()
    }

    /// With those of the numbered reports that are new.
    fn rows(&self, new: &[bool]) -> Vec<TrafficRow> {
        let mut sum = self.pending.clone();
        for (fleet, revision, merged) in self.numbered.those(new) {
            put(&mut sum, fleet, revision, merged);
        }
        let revisions = sum
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
}

#[cfg(test)]
mod tests;
