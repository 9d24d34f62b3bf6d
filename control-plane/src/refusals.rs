//! Refusals of the new revision of a rollout: at once they pull the brake of this replica, then they are brought to the store,
//! in their order, however long it is away. In: what streams and sessions hear from nodes. Out: rows that know of it, by
//! which every replica and whoever drives the rollout decides.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::brake::Brake;
use crate::rollout::observed::Refused;
use crate::snapshots::Snapshots;
use crate::store::{Store, StoreError};

/// How long a refusal waits that could not be written.
const RETRY_PAUSE: Duration = Duration::from_millis(250);

/// The way of refusals into the store.
#[derive(Debug)]
pub struct Refusals {
    snapshots: Arc<Snapshots>,
    /// Bounded by what is sent: each node refuses a rollout once.
    queue: mpsc::UnboundedSender<Refusal>,
    /// Until somebody carries them.
    queued: Mutex<Option<mpsc::UnboundedReceiver<Refusal>>>,
}

#[derive(Debug)]
struct Refusal {
    fleet: String,
    revision: u64,
    refused: Refused,
    brake: Arc<Brake>,
}

impl Refusals {
    /// For the rollouts of what is served.
    pub fn new(snapshots: Arc<Snapshots>) -> Arc<Self> {
        let (queue, queued) = mpsc::unbounded_channel();
        Arc::new(Self {
            snapshots,
            queue,
            queued: Mutex::new(Some(queued)),
        })
    }

    /// A node refuses a revision that it was sent. If that is the new one of a rollout, nobody else on this replica is sent it
    /// from now on. Whatever the reason is: a port that is taken on one machine may be taken on the next, and Envoy does not
    /// say which it is.
    pub fn note(&self, fleet: &str, revision: u64, refused: Refused) {
        let Some(brake) = self.snapshots.brake(fleet, revision) else {
            return;
        };
        if !brake.pull(&refused.node) {
            return;
        }
        tracing::warn!(fleet, revision, node = %refused.node, message = %refused.message, "a rollout is braked");
        // The receiver is gone if the process is about to end; the node will refuse again elsewhere.
        let _ = self.queue.send(Refusal {
            fleet: fleet.to_owned(),
            revision,
            refused,
            brake,
        });
    }

    /// Brings refusals to the store until it is cancelled. There is one such task.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let queued = {
            let mut queued = self.queued.lock().unwrap_or_else(PoisonError::into_inner);
            queued.take()
        };
        let Some(mut queued) = queued else { return };
        let carry = async {
            while let Some(refusal) = queued.recv().await {
                self.write(&*store, &refusal).await;
            }
        };
        shutdown.run_until_cancelled(carry).await;
    }

    async fn write(&self, store: &dyn Store, refusal: &Refusal) {
        let Refusal {
            fleet,
            revision,
            refused,
            brake,
        } = refusal;
        let known = loop {
            match tell(store, fleet, *revision, refused).await {
                Ok(known) => break known,
                Err(error @ StoreError::Unavailable(_)) => {
                    tracing::warn!(%error, fleet, node = %refused.node, "a refusal was not written; it will be tried again");
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => {
                    tracing::error!(%error, fleet, node = %refused.node, "a refusal cannot be written");
                    break None;
                }
            }
        };
        if brake.written(known) {
            self.snapshots.look_again(fleet);
        }
    }
}

/// Writes a refusal; how many the rollout has up to it, if the store has such a rollout.
async fn tell(
    store: &dyn Store,
    fleet: &str,
    revision: u64,
    refused: &Refused,
) -> Result<Option<u64>, StoreError> {
    let Some((rollout, _)) = store.refuse_rollout(fleet, revision, refused).await? else {
        return Ok(None);
    };
    let all = store.rollout_refusals(&rollout).await?;
    let own = all.iter().position(|known| known.node == refused.node);
    Ok(Some(own.map_or(all.len(), |own| own + 1) as u64))
}
