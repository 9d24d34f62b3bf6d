//! What happens to fleets, as it happens. In: the store, read again and again while somebody listens. Out: events, to
//! any number of listeners. Every replica reads the same rows, so all tell the same. A listener that is too slow loses
//! events and is told how many; it costs nobody anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::{Mutex, broadcast};
use utoipa::ToSchema;

use crate::lookout;
use crate::model::timestamp::Timestamp;
use crate::rollout::{EventKind, Rollout};
use crate::store::memory::Census;
use crate::store::node_status::NodeStatus;
use crate::store::rollout::StoredEvent;
use crate::store::{Revision, Store, StoreError};

/// How often the store is read without a hint.
const POLL: Duration = Duration::from_millis(500);
/// So many events are kept for listeners that are behind.
const BUFFER: usize = 1_024;
/// So many rows are read in one statement.
const PAGE: u32 = 1_000;
/// So many rollouts of a fleet may begin between two readings before events are lost.
const ROLLOUTS: u32 = 20;

/// Something that happened to a fleet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Event {
    /// What happened.
    pub kind: Kind,
    /// The fleet.
    pub fleet: String,
    /// When, by the database's clock for revisions, by the reporting control plane's for nodes.
    pub at: Timestamp,
    /// The revision that was committed, acknowledged or refused.
    pub revision: Option<u64>,
    /// The node that it is about.
    pub node: Option<String>,
    /// The rollout that it is about.
    pub rollout: Option<String>,
    /// Of an event of a rollout, its number there, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seq: Option<u64>,
    /// Who committed, and what they say; or what the node says.
    pub detail: String,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A revision was committed.
    RevisionCommitted,
    /// A node has connected.
    NodeConnected,
    /// A node is no longer connected.
    NodeDisconnected,
    /// A node has acknowledged a revision whole.
    NodeAcknowledged,
    /// A node has refused a revision.
    NodeRefused,
    /// A rollout has begun.
    RolloutStarted,
    /// A rollout is in another state.
    RolloutMoved,
    /// A rollout has chosen nodes.
    RolloutAdvanced,
    /// A gate of a rollout stands otherwise than before.
    RolloutJudged,
    /// A node has refused the revision of a rollout.
    RolloutRefused,
    /// An operator has said something to a rollout.
    RolloutOrdered,
    /// A rollout has ended.
    RolloutEnded,
}

impl Kind {
    /// The name as it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RevisionCommitted => "revision-committed",
            Self::NodeConnected => "node-connected",
            Self::NodeDisconnected => "node-disconnected",
            Self::NodeAcknowledged => "node-acknowledged",
            Self::NodeRefused => "node-refused",
            Self::RolloutStarted => "rollout-started",
            Self::RolloutMoved => "rollout-moved",
            Self::RolloutAdvanced => "rollout-advanced",
            Self::RolloutJudged => "rollout-judged",
            Self::RolloutRefused => "rollout-refused",
            Self::RolloutOrdered => "rollout-ordered",
            Self::RolloutEnded => "rollout-ended",
        }
    }
}

/// Reads the store while somebody listens.
#[derive(Debug)]
pub struct Feed {
    store: Arc<dyn Store>,
    events: broadcast::Sender<Arc<Event>>,
    /// Whether the loop runs.
    running: Mutex<bool>,
}

/// What was seen of the fleets when they were last read.
#[derive(Debug, Default)]
struct Seen(HashMap<String, SeenFleet>);

#[derive(Debug, Default)]
struct SeenFleet {
    head: u64,
    /// The newest rollout, and the number of its last event.
    rollout: Option<(String, u64)>,
    nodes: Arc<Census>,
}

impl Feed {
    /// A feed that nobody listens to yet.
    pub fn new(store: Arc<dyn Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            events: broadcast::Sender::new(BUFFER),
            running: Mutex::new(false),
        })
    }

    /// Listens to everything that happens from now on.
    ///
    /// # Errors
    /// The store cannot be read, so there is no "now" yet.
    pub async fn subscribe(
        self: &Arc<Self>,
    ) -> Result<broadcast::Receiver<Arc<Event>>, StoreError> {
        let mut running = self.running.lock().await;
        if !*running {
            let mut seen = Seen::default();
            seen.read(&*self.store, &mut Vec::new()).await?;
            tokio::spawn(self.clone().run(seen));
            *running = true;
        }
        Ok(self.events.subscribe())
    }

    async fn run(self: Arc<Self>, mut seen: Seen) {
        let mut hints = self.store.hints();
        loop {
            tokio::select! {
                _ = hints.changed() => {}
                () = tokio::time::sleep(POLL) => {}
            }
            let mut running = self.running.lock().await;
            if self.events.receiver_count() == 0 {
                *running = false;
                return;
            }
            drop(running);
            let mut found = Vec::new();
            if let Err(error) = seen.read(&*self.store, &mut found).await {
                tracing::warn!(%error, "events wait until the store can be read");
            }
            for event in found {
                // Whoever has stopped listening misses nothing.
                let _ = self.events.send(Arc::new(event));
            }
        }
    }
}

impl Seen {
    /// Reads the store, and says what is not as it was. A fleet that is seen for the first time has no past. What was found
    /// when the store fails is as good as the rest, and is not found again.
    async fn read(&mut self, store: &dyn Store, found: &mut Vec<Event>) -> Result<(), StoreError> {
        let fleets = store.fleets().await?;
        self.0
            .retain(|name, _| fleets.iter().any(|fleet| fleet.name == *name));
        let mut censuses = lookout::census(store, &fleets).await?;
        for fleet in fleets {
            let nodes = censuses.remove(&fleet.name).unwrap_or_default();
            let before = self.0.get(&fleet.name).and_then(|it| it.rollout.as_ref());
            let (rollouts, rollout) = rollout_events(store, &fleet.name, before).await?;
            let Some(seen) = self.0.get_mut(&fleet.name) else {
                let head = fleet.head;
                let seen = SeenFleet {
                    head,
                    rollout,
                    nodes,
                };
                self.0.insert(fleet.name, seen);
                continue;
            };
            let committed = revisions_after(store, &fleet.name, seen.head).await?;
            seen.rollout = rollout;
            seen.head = committed.last().map_or(seen.head, |last| last.number);
            found.extend(
                committed
                    .iter()
                    .map(|revision| committed_event(&fleet.name, revision)),
            );
            found.extend(rollouts);
            for (id, node) in &*nodes {
                found.extend(node_events(seen.nodes.get(id), node));
            }
            seen.nodes = nodes;
        }
        Ok(())
    }
}

/// The revisions after one, oldest first; of more than [`PAGE`] the newest.
async fn revisions_after(
    store: &dyn Store,
    fleet: &str,
    number: u64,
) -> Result<Vec<Revision>, StoreError> {
    let mut found = store.revisions(fleet, None, 1).await?;
    if found
        .first()
        .is_some_and(|newest| newest.number > number + 1)
    {
        found = store.revisions(fleet, None, PAGE).await?;
    }
    found.retain(|revision| revision.number > number);
    found.reverse();
    Ok(found)
}

/// What happened in the rollouts of a fleet since they were last read, oldest first. At most one is active, and one that
/// follows another begins when that has ended: what is new belongs to the one that was seen last and those after it.
async fn rollout_events(
    store: &dyn Store,
    fleet: &str,
    seen: Option<&(String, u64)>,
) -> Result<(Vec<Event>, Option<(String, u64)>), StoreError> {
    let mut rollouts = store.rollouts(fleet, None, ROLLOUTS).await?;
    if let Some((last, _)) = seen
        && let Some(position) = rollouts.iter().position(|rollout| rollout.id == *last)
    {
        rollouts.truncate(position + 1);
    }
    let (mut found, mut newest) = (Vec::new(), seen.cloned());
    for rollout in rollouts.iter().rev() {
        let after = match seen {
            Some((last, seq)) if *last == rollout.id => *seq,
            _ => 0,
        };
        let (events, last) = events_of(store, rollout, after).await?;
        found.extend(events);
        newest = Some((rollout.id.clone(), last));
    }
    Ok((found, newest))
}

/// What happened in a rollout after the event of this number, and the number of the last one.
async fn events_of(
    store: &dyn Store,
    rollout: &Rollout,
    mut after: u64,
) -> Result<(Vec<Event>, u64), StoreError> {
    let mut found = Vec::new();
    loop {
        let events = store.rollout_events(&rollout.id, after, PAGE).await?;
        after = events.last().map_or(after, |event| event.seq);
        found.extend(events.iter().map(|event| rollout_event(rollout, event)));
        if events.len() < PAGE as usize {
            return Ok((found, after));
        }
    }
}

fn rollout_event(rollout: &Rollout, stored: &StoredEvent) -> Event {
    let kind = match stored.event.kind {
        EventKind::Started => Kind::RolloutStarted,
        EventKind::Moved => Kind::RolloutMoved,
        EventKind::Advanced => Kind::RolloutAdvanced,
        EventKind::Judged => Kind::RolloutJudged,
        EventKind::Refused => Kind::RolloutRefused,
        EventKind::Ordered => Kind::RolloutOrdered,
        EventKind::Ended => Kind::RolloutEnded,
    };
    let waves = rollout.strategy.waves.len();
    let (state, wave) = (stored.event.state, stored.event.wave + 1);
    Event {
        kind,
        fleet: rollout.fleet.clone(),
        at: stored.at,
        revision: Some(rollout.to),
        node: None,
        rollout: Some(rollout.id.clone()),
        seq: Some(stored.seq),
        detail: format!("{state}, wave {wave} of {waves}: {}", stored.event.detail),
    }
}

/// The event of a revision.
pub fn committed_event(fleet: &str, revision: &Revision) -> Event {
    let Revision {
        author, message, ..
    } = revision;
    Event {
        kind: Kind::RevisionCommitted,
        fleet: fleet.to_owned(),
        at: revision.created_at,
        revision: Some(revision.number),
        node: None,
        rollout: None,
        seq: None,
        detail: format!("{author}: {message}")
            .trim_end_matches(": ")
            .to_owned(),
    }
}

/// What the store can tell again of a fleet after a time, oldest first: the revisions that were committed, of them the newest
/// [`PAGE`] at most, and what happened in the newest [`ROLLOUTS`] rollouts. Both have their times by the database's clock.
///
/// # Errors
/// The store cannot be read.
pub async fn told_again_since(
    store: &dyn Store,
    fleet: &str,
    since: Timestamp,
) -> Result<Vec<Event>, StoreError> {
    let mut revisions = store.revisions(fleet, None, PAGE).await?;
    revisions.retain(|revision| revision.created_at > since);
    let oldest_first = revisions.iter().rev();
    let mut found: Vec<Event> = oldest_first
        .map(|revision| committed_event(fleet, revision))
        .collect();
    let rollouts = store.rollouts(fleet, None, ROLLOUTS).await?;
    for rollout in rollouts.iter().rev() {
        if rollout.ended_at.is_none_or(|ended| ended > since) {
            let (mut events, _) = events_of(store, rollout, 0).await?;
            events.retain(|event| event.at > since);
            found.extend(events);
        }
    }
    found.sort_by_key(|event| event.at);
    Ok(found)
}

/// What happened to a node between two readings, in the order in which it must have happened.
fn node_events(before: Option<&NodeStatus>, now: &NodeStatus) -> Vec<Event> {
    let event = |kind, revision, detail: &str| Event {
        kind,
        fleet: now.fleet.clone(),
        at: now.updated_at,
        revision,
        node: Some(now.id.clone()),
        rollout: None,
        seq: None,
        detail: detail.to_owned(),
    };
    let was_connected = before.is_some_and(|before| before.connected);
    let again = before.is_some_and(|before| before.connected_at != now.connected_at);
    let acked = before.and_then(|before| before.acked_revision);
    let refused = before.and_then(|before| before.refused.as_ref());
    let mut found = Vec::new();
    if now.connected && (!was_connected || again) {
        found.push(event(Kind::NodeConnected, None, &now.user_agent));
    }
    if now.acked_revision.is_some() && now.acked_revision != acked {
        found.push(event(Kind::NodeAcknowledged, now.acked_revision, ""));
    }
    if let Some(refusal) = now.refused.as_ref().filter(|now| Some(*now) != refused) {
        let revision = Some(refusal.revision);
        found.push(event(Kind::NodeRefused, revision, &refusal.message));
    }
    if was_connected && !now.connected {
        found.push(event(Kind::NodeDisconnected, None, ""));
    }
    found
}
