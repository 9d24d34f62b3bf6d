//! Drives rollouts. In: the rows of the rollouts that are active, and what is known of their fleets. Out: the rows as
//! `rollout::step` wants them next. The reconciler calls it; nothing here waits for anything but the store.
//!
//! Every replica could do this: a step counts only if the row is still the one that it was decided from. A lease says which
//! of them does, so that the others need not read all nodes again and again. Nothing rests on it.

mod forecast;
mod watch;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch as channel;
use tokio::time::Instant;
use xds::node::ClientClass;

use crate::model::timestamp::Timestamp;
use crate::rollout::observed::{Forecast, Node, Observed};
use crate::rollout::step;
use crate::rollout::window::Freeze;
use crate::rollout::{Change, Rollout, State};
use crate::store::node_status::NodeStatus;
use crate::store::rollout::Step;
use crate::store::{Store, StoreError};
use crate::webhooks::Webhooks;

use self::forecast::Slot;
use self::watch::{Requests, Watch};

/// The lease that says which replica drives.
const LEASE: &str = "rollouts";
/// How long the lease lasts: so long nothing moves when the replica that drives has died.
const LEASE_LASTS: Duration = Duration::from_secs(3);
/// How often the lease is renewed.
const LEASE_RENEWED: Duration = Duration::from_secs(1);
/// How often an active rollout is looked at when nothing hints at it: nodes' words come without hints.
const LOOK: Duration = Duration::from_millis(200);
/// What is known of nodes is at most so old: it is written in batches (see `nodes`), and a replica hears of a row a moment after
/// it was written. What was written before a rollout went back says nothing of who is back.
const KNOWN_WITHIN: Duration = Duration::from_millis(400);
/// Looking may take this share of the time: with many nodes it is done less often.
const SHARE_OF_TIME: u32 = 5;
/// How long nothing is judged after the store was away: what it holds of nodes is as old as its absence, and every replica needs
/// a moment to write what it knows.
const AFTER_OUTAGE: Duration = Duration::from_secs(3);
/// So many steps follow each other at once; a further one waits for the next look.
const STEPS_AT_ONCE: usize = 8;

/// Who drives.
#[derive(Debug)]
pub struct Driver {
    store: Arc<dyn Store>,
    replica: String,
    /// When this replica last took the lease.
    leased: Mutex<Option<Instant>>,
    /// The rollouts that were seen to go back, and since when.
    going_back: Mutex<HashMap<String, Instant>>,
    /// The waves that are judged by requests, by rollout.
    watched: Mutex<HashMap<String, Watch>>,
    webhooks: Arc<Webhooks>,
    /// What rollouts would do to requests, by rollout, where that is asked.
    forecasts: Mutex<HashMap<String, Slot>>,
    /// When the store last failed.
    failed: Mutex<Option<Instant>>,
    /// Changes when something of this replica's own nodes was written.
    written: channel::Receiver<()>,
}

/// When to look at rollouts again.
#[derive(Debug)]
pub struct Look {
    /// Not before, whatever nodes say.
    soonest: Instant,
    latest: Instant,
    /// Changes with what nodes have said since the last look began.
    written: channel::Receiver<()>,
}

impl Look {
    /// After a look that began then and has just ended.
    fn after(began: Instant, written: channel::Receiver<()>) -> Self {
        let now = Instant::now();
        let pause = (now - began) * SHARE_OF_TIME;
        Self {
            soonest: now + pause,
            latest: now + pause.max(LOOK),
            written,
        }
    }
}

impl Driver {
    /// A driver that is known to others as `replica`, and that `written` tells of what its own nodes say.
    pub fn new(
        store: Arc<dyn Store>,
        replica: String,
        webhooks: Arc<Webhooks>,
        written: channel::Receiver<()>,
    ) -> Self {
        Self {
            store,
            replica,
            leased: Mutex::default(),
            going_back: Mutex::default(),
            watched: Mutex::default(),
            webhooks,
            forecasts: Mutex::default(),
            failed: Mutex::default(),
            written,
        }
    }

    /// Waits until rollouts are to be looked at again: as long as [`Self::drive`] said, or until nodes have said something.
    pub async fn look(next: Option<Look>) {
        let Some(mut next) = next else {
            return std::future::pending().await;
        };
        tokio::time::sleep_until(next.soonest).await;
        tokio::select! {
            () = tokio::time::sleep_until(next.latest) => {}
            Ok(()) = next.written.changed() => {}
        }
    }

    /// Looks at every active rollout and takes the steps that are due. Returns when to look again; `None` if nothing is to
    /// be looked at until something changes.
    ///
    /// # Errors
    /// The store cannot be read or written. What is not written is not decided.
    pub async fn drive(&self) -> Result<Option<Look>, StoreError> {
        self.drive_at(Instant::now()).await
    }

    /// The same at a time.
    async fn drive_at(&self, now: Instant) -> Result<Option<Look>, StoreError> {
        let look = self.look_at_all(now).await;
        if let Err(StoreError::Unavailable(_)) = look {
            *locked(&self.failed) = Some(Instant::now());
        }
        look
    }

    async fn look_at_all(&self, began: Instant) -> Result<Option<Look>, StoreError> {
        let mut written = self.written.clone();
        written.mark_unchanged();
        let active = self.store.active_rollouts().await?;
        self.forget_all_but(&active, began);
        if active.is_empty() {
            return Ok(None);
        }
        let outage = *locked(&self.failed);
        if outage.is_some_and(|at| began.saturating_duration_since(at) < AFTER_OUTAGE) {
            return Ok(Some(Look::after(began, written)));
        }
        if self.may_drive().await? {
            for rollout in active {
                let (fleet, id) = (rollout.fleet.clone(), rollout.id.clone());
                match self.look_at(rollout).await {
                    Ok(()) => {}
                    Err(error @ StoreError::Unavailable(_)) => return Err(error),
                    // A fleet whose rows somebody has to look at does not hold up the others.
                    Err(error) => {
                        tracing::error!(%fleet, rollout = %id, %error, "a rollout stands still");
                    }
                }
            }
        }
        Ok(Some(Look::after(began, written)))
    }

    /// Forgets what is no longer active, and notes what goes back.
    fn forget_all_but(&self, active: &[Rollout], now: Instant) {
        let going_back = active.iter().filter(|it| it.state == State::RollingBack);
        let mut since = locked(&self.going_back);
        *since = going_back
            .map(|it| (it.id.clone(), since.get(&it.id).copied().unwrap_or(now)))
            .collect();
        locked(&self.watched).retain(|id, _| active.iter().any(|it| it.id == *id));
        self.webhooks.forget_all_but(active);
        locked(&self.forecasts).retain(|id, _| active.iter().any(|it| it.id == *id));
    }

    /// Whether all that is known of nodes was written after a rollout went back.
    fn is_known(&self, id: &str) -> bool {
        let since = locked(&self.going_back).get(id).copied();
        since.is_some_and(|since| since.elapsed() >= KNOWN_WITHIN)
    }

    async fn may_drive(&self) -> Result<bool, StoreError> {
        let now = Instant::now();
        let renewed = *locked(&self.leased);
        if renewed.is_some_and(|at| now < at + LEASE_RENEWED) {
            return Ok(true);
        }
        let taken = self
            .store
            .take_lease(LEASE, &self.replica, LEASE_LASTS)
            .await?;
        *locked(&self.leased) = taken.then_some(now);
        Ok(taken)
    }

    async fn look_at(&self, mut rollout: Rollout) -> Result<(), StoreError> {
        for _ in 0..STEPS_AT_ONCE {
            if rollout.state == State::RollingBack && !self.is_known(&rollout.id) {
                return Ok(());
            }
            let observed = self.observe(&rollout).await?;
            let now = self.store.clock().await?;
            self.webhooks.ask(&rollout, Instant::now(), now);
            let Some(change) = step::step(&rollout, &observed, now) else {
                return Ok(());
            };
            match take(&*self.store, &change).await? {
                Some(stored) if !stored.state.is_terminal() => rollout = stored,
                // It has ended, or the next look starts from what somebody else has made of it.
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// What is known of a rollout's fleet. Refusals are read last: one that comes later than that moves the row.
    async fn observe(&self, rollout: &Rollout) -> Result<Observed, StoreError> {
        let mut requests = Requests::default();
        if let Some(since) = rollout.wave_at
            && rollout.strategy.asks_for_traffic()
        {
            requests = self.requests(rollout, since).await?;
        }
        let freeze = freeze(&*self.store, &rollout.fleet).await?;
        let answers = self.webhooks.answers(rollout, Instant::now());
        let forecast = self.forecast(rollout).await?;
        let nodes = self.store.every_node(&rollout.fleet).await?;
        let refusals = self.store.rollout_refusals(&rollout.id).await?;
        Ok(Observed {
            nodes: nodes.into_iter().map(node).collect(),
            refusals,
            new: requests.new,
            old: requests.old,
            parts: requests.parts,
            freeze,
            answers,
            forecast,
        })
    }

    /// What a rollout would do to requests, if it asks.
    async fn forecast(&self, rollout: &Rollout) -> Result<Option<Forecast>, StoreError> {
        if !forecast::is_asked(rollout) {
            return Ok(None);
        }
        let slot = locked(&self.forecasts).remove(&rollout.id);
        let mut slot = slot.unwrap_or_default();
        let forecast = slot.answer(&self.store, rollout).await?;
        locked(&self.forecasts).insert(rollout.id.clone(), slot);
        Ok(forecast)
    }

    async fn requests(&self, rollout: &Rollout, since: Timestamp) -> Result<Requests, StoreError> {
        let watched = locked(&self.watched).remove(&rollout.id);
        let mut watched = match watched.filter(|watched| watched.is_since(since)) {
            Some(watched) => watched,
            None => Watch::new(&*self.store, rollout, since).await?,
        };
        let requests = watched.read(&*self.store, &rollout.fleet).await?;
        locked(&self.watched).insert(rollout.id.clone(), watched);
        Ok(requests)
    }
}

/// A fleet's freeze windows.
async fn freeze(store: &dyn Store, fleet: &str) -> Result<Vec<Freeze>, StoreError> {
    Ok(store.fleet(fleet).await?.settings.rollout.freeze)
}

/// Writes a change. `None` if an operator, a refusal or another driver was faster.
async fn take(store: &dyn Store, change: &Change) -> Result<Option<Rollout>, StoreError> {
    let step = Step {
        next: &change.next,
        events: &change.events,
        by: None,
    };
    match store.step_rollout(step).await {
        Ok(stored) => {
            let (fleet, id, state) = (&stored.fleet, &stored.id, stored.state);
            tracing::info!(%fleet, rollout = %id, %state, wave = stored.wave, "rollout");
            Ok(Some(stored))
        }
        Err(StoreError::Moved) => Ok(None),
        Err(error) => Err(error),
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the first step of a fleet's rollout, if it can be taken blind and nobody has taken it: whoever began it need not wait
/// for the loop. What fails here the loop does.
pub async fn first_step(store: &dyn Store, fleet: &str) {
    let stepped = async {
        let active = store.active_rollouts().await?;
        let Some(rollout) = active.into_iter().find(|active| active.fleet == fleet) else {
            return Ok(());
        };
        let known = Observed {
            freeze: freeze(store, fleet).await?,
            ..Observed::default()
        };
        match step::first(&rollout, &known, store.clock().await?) {
            Some(change) => take(store, &change).await.map(drop),
            None => Ok(()),
        }
    };
    let stepped: Result<(), StoreError> = stepped.await;
    if let Err(error) = stepped {
        tracing::warn!(fleet, %error, "a rollout waits for the loop to take its first step");
    }
}

/// The revision that a node has: the one that it acknowledged whole, unless it was sent another one since. Our own proxies must
/// serve it as well; other clients, which use each resource as it comes, must not have refused a part of another one since.
pub fn has(status: &NodeStatus) -> Option<u64> {
    let acked = status.acked_revision?;
    let is_all = match status.class.as_str() {
        "signalbox" => status.live_revision == Some(acked),
        _ => status
            .refused
            .as_ref()
            .is_none_or(|refused| refused.revision == acked),
    };
    (is_all && status.sent_revision == Some(acked)).then_some(acked)
}

/// A node as a rollout sees it.
fn node(status: NodeStatus) -> Node {
    Node {
        has: has(&status),
        id: status.id,
        zone: status.zone,
        labels: status.labels,
        connected: status.connected,
        stages: status.class == ClientClass::Signalbox.as_str(),
        staged: status.staged_revision,
        doubtful: !status.problems.is_empty(),
    }
}

#[cfg(test)]
mod tests;
