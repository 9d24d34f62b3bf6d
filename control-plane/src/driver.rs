//! Drives rollouts. In: the rows of the rollouts that are active, and what is known of their fleets. Out: the rows as
//! `rollout::step` wants them next. The reconciler calls it; nothing here waits for anything but the store.
//!
//! Every replica could do this: a step counts only if the row is still the one that it was decided from. A lease says which
//! of them does, so that the others need not read all nodes again and again. Nothing rests on it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::rollout::observed::{Node, Observed};
use crate::rollout::step::step;
use crate::rollout::{Change, Rollout};
use crate::store::node_status::NodeStatus;
use crate::store::rollout::Step;
use crate::store::{Store, StoreError};
use crate::traffic::sum;

/// The lease that says which replica drives.
const LEASE: &str = "rollouts";
/// How long the lease lasts: so long nothing moves when the replica that drives has died.
const LEASE_LASTS: Duration = Duration::from_secs(3);
/// How often the lease is renewed.
const LEASE_RENEWED: Duration = Duration::from_secs(1);
/// How often an active rollout is looked at when nothing hints at it: nodes' words come without hints.
const LOOK: Duration = Duration::from_millis(200);
/// Looking may take this share of the time: with many nodes it is done less often.
const SHARE_OF_TIME: u32 = 5;
/// So many steps follow each other at once; a further one waits for the next look.
const STEPS_AT_ONCE: usize = 8;

/// Who drives.
#[derive(Debug)]
pub struct Driver {
    store: Arc<dyn Store>,
    replica: String,
    /// When this replica last took the lease.
    leased: Mutex<Option<Instant>>,
    /// Changes when something of this replica's own nodes was written.
    written: watch::Receiver<()>,
}

impl Driver {
    /// A driver that is known to others as `replica`, and that `written` tells of what its own nodes say.
    pub fn new(store: Arc<dyn Store>, replica: String, written: watch::Receiver<()>) -> Self {
        Self {
            store,
            replica,
            leased: Mutex::default(),
            written,
        }
    }

    /// Waits until rollouts are to be looked at again: so long as [`Self::drive`] said, or until nodes have said something.
    pub async fn look(&self, after: Option<Duration>) {
        let Some(after) = after else {
            return std::future::pending().await;
        };
        let mut written = self.written.clone();
        tokio::select! {
            () = tokio::time::sleep(after) => {}
            Ok(()) = written.changed() => {}
        }
    }

    /// Looks at every active rollout and takes the steps that are due. Returns when to look again; `None` if nothing is to
    /// be looked at until something changes.
    ///
    /// # Errors
    /// The store cannot be read or written. What is not written is not decided.
    pub async fn drive(&self) -> Result<Option<Duration>, StoreError> {
        let began = Instant::now();
        let active = self.store.active_rollouts().await?;
        if active.is_empty() {
            return Ok(None);
        }
        if self.may_drive().await? {
            for rollout in active {
                self.look_at(rollout).await?;
            }
        }
        Ok(Some(LOOK.max(began.elapsed() * SHARE_OF_TIME)))
    }

    async fn may_drive(&self) -> Result<bool, StoreError> {
        let now = Instant::now();
        let renewed = *self.leased.lock().unwrap_or_else(PoisonError::into_inner);
        if renewed.is_some_and(|at| now < at + LEASE_RENEWED) {
            return Ok(true);
        }
        let taken = self
            .store
            .take_lease(LEASE, &self.replica, LEASE_LASTS)
            .await?;
        *self.leased.lock().unwrap_or_else(PoisonError::into_inner) = taken.then_some(now);
        Ok(taken)
    }

    async fn look_at(&self, mut rollout: Rollout) -> Result<(), StoreError> {
        for _ in 0..STEPS_AT_ONCE {
            let observed = self.observe(&rollout).await?;
            let now = self.store.clock().await?;
            let Some(Change { next, events }) = step(&rollout, &observed, now) else {
                return Ok(());
            };
            let step = Step {
                next: &next,
                events: &events,
                by: None,
            };
            match self.store.step_rollout(step).await {
                Ok(stored) => {
                    let (fleet, id, state) = (&stored.fleet, &stored.id, stored.state);
                    tracing::info!(%fleet, rollout = %id, %state, wave = stored.wave, "rollout");
                    rollout = stored;
                }
                // An operator or a refusal was faster: the next look starts from what they left.
                Err(StoreError::Moved) => return Ok(()),
                Err(error) => return Err(error),
            }
            if rollout.state.is_terminal() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// What is known of a rollout's fleet. Refusals are read last: one that comes later than that moves the row.
    async fn observe(&self, rollout: &Rollout) -> Result<Observed, StoreError> {
        let (mut new, mut old) = <_>::default();
        if let Some(since) = rollout.wave_at
            && rollout.strategy.asks_for_traffic()
        {
            let rows = self.store.traffic(&rollout.fleet, since).await?;
            (new, old) = sum::observed(&rows, rollout.from, rollout.to, since);
        }
        let nodes = self.store.every_node(&rollout.fleet).await?;
        let refusals = self.store.rollout_refusals(&rollout.id).await?;
        Ok(Observed {
            nodes: nodes.into_iter().map(node).collect(),
            refusals,
            new,
            old,
        })
    }
}

/// The revision that a node has: the one that it acknowledged whole; our own proxies must serve it as well.
pub fn has(status: &NodeStatus) -> Option<u64> {
    let acked = status.acked_revision;
    match status.class.as_str() {
        "signalbox" => acked.filter(|acked| status.live_revision == Some(*acked)),
        _ => acked,
    }
}

/// A node as a rollout sees it.
fn node(status: NodeStatus) -> Node {
    Node {
        has: has(&status),
        id: status.id,
        zone: status.zone,
        labels: status.labels,
        connected: status.connected,
        doubtful: !status.problems.is_empty(),
    }
}
