//! What proxies tell of single requests. In: reports (`session`). Out: every ten seconds what came of each fleet, each kind of
//! request once, to the store, where it is kept for those who ask what a change would do.
//! A sample comes at most once: what is lost makes the picture less sharp and not wrong.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use proto::session::Samples as Report;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::sample::Head;
use crate::store::Store;
use crate::store::samples::{KINDS_MAX, SampleRow};

/// How often what was told is written.
const WRITE_EVERY: Duration = Duration::from_secs(10);

/// What was told and is not written yet.
#[derive(Debug, Default)]
pub struct Samples(Mutex<Pending>);

/// Requests by fleet and head.
type Pending = BTreeMap<String, HashMap<Head, u64>>;

impl Samples {
    /// Takes what a node of a fleet that exists has sent, if it has.
    pub fn take(&self, fleet: &str, report: Option<&Report>) {
        let Some(report) = report else { return };
        let mut left_out = report.left_out;
        let mut pending = self.lock();
        let kinds = pending.entry(fleet.to_owned()).or_default();
        for sample in &report.samples {
            let head = Head::read(sample);
            match head.filter(|head| kinds.len() < KINDS_MAX || kinds.contains_key(head)) {
                Some(head) => {
                    let requests = kinds.entry(head).or_default();
                    *requests = requests.saturating_add(sample.requests);
                }
                None => left_out = left_out.saturating_add(sample.requests),
            }
        }
        if left_out > 0 {
            tracing::debug!(fleet, left_out, "requests that no sample stands for");
        }
    }

    /// Writes what was told until it is cancelled.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let mut write = tokio::time::interval(WRITE_EVERY);
        write.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while shutdown.run_until_cancelled(write.tick()).await.is_some() {
            self.write(&*store).await;
        }
        self.write(&*store).await;
    }

    /// Writes what is pending. What cannot be written is left out: there will be more.
    pub async fn write(&self, store: &dyn Store) {
        let pending = std::mem::take(&mut *self.lock());
        let rows = pending.into_iter().flat_map(|(fleet, kinds)| {
            let row = move |(head, requests): (Head, u64)| {
                let (head, fingerprint) = head.fingerprint();
                SampleRow {
                    fleet: fleet.clone(),
                    fingerprint,
                    head,
                    requests,
                }
            };
            kinds.into_iter().map(row)
        });
        let rows: Vec<SampleRow> = rows.collect();
        if !rows.is_empty()
            && let Err(error) = store.write_samples(&rows).await
        {
            tracing::warn!(%error, "samples of requests were not written");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
