//! Who is connected to this replica, what was sent to them and what they said to it. Streams write here, in memory; one
//! loop brings what changed to the store in batches, where every replica reads it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds::node::{ClientClass, Node};
use xds::type_url::ResourceType;

use crate::metrics::Metrics;
use crate::model::timestamp::Timestamp;
use crate::store::Store;
use crate::store::node_status::{NodeStatus, Refusal};

/// How long changes are collected at most before they are written: a batch is few statements, however many nodes there are.
const BATCH_PAUSE_MAX: Duration = Duration::from_millis(100);
/// And at least: what the proxies of a small fleet say of one revision comes together.
const BATCH_PAUSE_MIN: Duration = Duration::from_millis(2);
/// In between, writing takes one part of so many of the time: a wave waits for what is written here.
const BATCH_PARTS: u32 = 10;
/// How often a replica says that it lives; the store takes it for dead after three times as long.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// How soon it says so again if nobody heard: once the store is back, its nodes count as connected at once.
const HEARTBEAT_RETRY: Duration = Duration::from_millis(500);

/// The nodes of this replica.
#[derive(Debug)]
pub struct Nodes {
    replica: String,
    streams: AtomicU64,
    table: Mutex<HashMap<NodeKey, Entry>>,
    /// What sessions that live have said last, by node, each with the number of its session. A session may speak before the
    /// node's stream is there, and says nothing twice. Locked after the table.
    said: Mutex<HashMap<NodeKey, (u64, Report)>>,
    changed: Notify,
    written: watch::Sender<()>,
    metrics: Arc<Metrics>,
}

type NodeKey = (String, String);

#[derive(Debug)]
struct Entry {
    /// The newest stream of the node owns its entry.
    stream: u64,
    /// Its streams here that live, each with the type that it is for, if it is for one alone.
    streams: BTreeMap<u64, Option<ResourceType>>,
    status: NodeStatus,
    /// How often what it has acknowledged has become another revision.
    moves: u64,
    dirty: bool,
}

/// The revision that a node has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Has {
    /// What it has acknowledged whole.
    pub revision: Option<u64>,
    /// Another number if it has had another revision meanwhile.
    pub moves: u64,
}

/// What a node of ours says of the revisions it holds.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// What requests are served by.
    pub live_revision: Option<u64>,
    /// What can be switched to at once.
    pub staged_revision: Option<u64>,
    /// What could not be staged, or was left again, and why.
    pub refused: Option<Refusal>,
}

/// What a client refused by a NACK.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The revision that it was sent.
    pub revision: u64,
    /// The type of the response.
    pub ty: ResourceType,
    /// The resources that it names, or all that were new to it.
    pub resources: Vec<Arc<str>>,
    /// What it said.
    pub message: String,
}

impl Nodes {
    /// No nodes yet; `replica` names this process in the store.
    pub fn new(replica: String, metrics: Arc<Metrics>) -> Arc<Self> {
        Arc::new(Self {
            replica,
            streams: AtomicU64::new(0),
            table: Mutex::default(),
            said: Mutex::default(),
            changed: Notify::new(),
            written: watch::Sender::default(),
            metrics,
        })
    }

    /// Notes a new stream that serves what is for clients of `class`, of `only` one type if it is not an aggregated one, and is to
    /// bring the revision `wanted`. The node
    /// counts as connected until the handles of all its streams are dropped.
    pub fn connect(
        self: &Arc<Self>,
        node: &Node,
        class: ClientClass,
        only: Option<ResourceType>,
        wanted: u64,
    ) -> NodeHandle {
        let stream = self.streams.fetch_add(1, Ordering::Relaxed);
        let key = (node.fleet.clone(), node.id.clone());
        let now = Timestamp::now();
        let mut table = self.table();
        let said = self.said().get(&key).map(|(_, report)| report.clone());
        let said = said.unwrap_or_default();
        let status = NodeStatus {
            fleet: node.fleet.clone(),
            id: node.id.clone(),
            replica: self.replica.clone(),
            connected: true,
            class: class.as_str().to_owned(),
            user_agent: user_agent(node),
            zone: node.zone.clone(),
            labels: node.labels.clone(),
            connected_at: now,
            wanted_revision: Some(wanted),
            sent_revision: None,
            acked_revision: None,
            live_revision: said.live_revision,
            staged_revision: said.staged_revision,
            refused: said.refused,
            problems: Vec::new(),
            updated_at: now,
        };
        let before = table.remove(&key);
        let moves = before.as_ref().map_or(0, |entry| entry.moves);
        let mut streams = before.map(|entry| entry.streams).unwrap_or_default();
        streams.insert(stream, only);
        let mut entry = Entry {
            stream,
            streams,
            status,
            moves,
            dirty: true,
        };
        entry.look_for_problems();
        if !entry.status.problems.is_empty() {
            tracing::warn!(fleet = %node.fleet, node = %node.id, "two live streams have one node id");
        }
        table.insert(key.clone(), entry);
        drop(table);
        self.metrics.nodes_connected.inc();
        self.changed.notify_one();
        NodeHandle {
            nodes: self.clone(),
            key,
            stream,
        }
    }

    /// Notes a new session of a node of ours.
    pub fn session(self: &Arc<Self>, fleet: &str, id: &str) -> SessionHandle {
        SessionHandle {
            nodes: self.clone(),
            key: (fleet.to_owned(), id.to_owned()),
            session: self.streams.fetch_add(1, Ordering::Relaxed),
        }
    }

    fn report(&self, key: &NodeKey, session: u64, report: Report) {
        let mut table = self.table();
        self.said().insert(key.clone(), (session, report.clone()));
        let Some(entry) = table.get_mut(key) else {
            return;
        };
        let status = &mut entry.status;
        let held = (report.live_revision, report.staged_revision);
        let is_known = |refusal: &Refusal| {
            let known = status.refused.as_ref();
            known.is_some_and(|known| {
                (known.revision, known.reverted) == (refusal.revision, refusal.reverted)
                    && known.message == refusal.message
            })
        };
        // A status that only brings a report of traffic says the same as the one before.
        if held == (status.live_revision, status.staged_revision)
            && report.refused.as_ref().is_none_or(is_known)
        {
            return;
        }
        (status.live_revision, status.staged_revision) = held;
        if let Some(refusal) = report.refused {
            status.refused = Some(refusal);
        }
        status.updated_at = Timestamp::now();
        entry.dirty = true;
        self.changed.notify_one();
    }

    /// Changes whenever something of this replica's nodes was written to the store.
    pub fn written(&self) -> watch::Receiver<()> {
        self.written.subscribe()
    }

    /// What a node has that is connected here.
    pub fn has(&self, fleet: &str, id: &str) -> Option<Has> {
        let table = self.table();
        let entry = table.get(&(fleet.to_owned(), id.to_owned()))?;
        entry.status.connected.then_some(Has {
            revision: entry.status.acked_revision,
            moves: entry.moves,
        })
    }

    /// The name of this process in the store.
    pub fn replica(&self) -> &str {
        &self.replica
    }

    /// The nodes of a fleet that have a stream here now, each with a number that changes with its streams.
    pub fn live(&self, fleet: &str) -> HashMap<String, u64> {
        let table = self.table();
        let of_fleet = table.iter().filter(|((of, _), _)| of == fleet);
        let live = of_fleet.filter(|(_, entry)| entry.status.connected);
        live.map(|((_, id), entry)| (id.clone(), entry.stream))
            .collect()
    }

    /// Has the status of nodes written again, if they have a stream here.
    pub fn write_again(&self, fleet: &str, ids: &[String]) {
        let mut table = self.table();
        for id in ids {
            if let Some(entry) = table.get_mut(&(fleet.to_owned(), id.clone())) {
                entry.dirty = true;
            }
        }
        self.changed.notify_one();
    }

    /// Writes what changes to the store, and that this replica lives, until it is cancelled.
    pub async fn run(self: Arc<Self>, store: Arc<dyn Store>, shutdown: CancellationToken) {
        let mut heartbeat_due = Instant::now();
        let mut pause = BATCH_PAUSE_MIN;
        loop {
            tokio::select! {
                () = shutdown.cancelled() => break,
                () = tokio::time::sleep_until(heartbeat_due) => {
                    let pause = match store.heartbeat(&self.replica).await {
                        Ok(()) => HEARTBEAT,
                        Err(error) => {
                            tracing::warn!(%error, "the heartbeat was not written");
                            HEARTBEAT_RETRY
                        }
                    };
                    heartbeat_due = Instant::now() + pause;
                }
                () = self.changed.notified() => {
                    tokio::time::sleep(pause).await;
                    let began = Instant::now();
                    self.flush(&*store).await;
                    pause = began.elapsed() * BATCH_PARTS;
                    pause = pause.clamp(BATCH_PAUSE_MIN, BATCH_PAUSE_MAX);
                }
            }
        }
        self.flush(&*store).await;
    }

    async fn flush(&self, store: &dyn Store) {
        let batch = self.take_dirty();
        if batch.is_empty() {
            return;
        }
        if let Err(error) = store.write_nodes(&self.replica, &batch).await {
            tracing::warn!(%error, nodes = batch.len(), "node status was not written; it will be tried again");
            self.put_back(&batch);
        } else {
            self.written.send_replace(());
        }
    }

    fn take_dirty(&self) -> Vec<NodeStatus> {
        let mut table = self.table();
        let dirty = table
            .values_mut()
            .filter_map(|entry| std::mem::take(&mut entry.dirty).then(|| entry.status.clone()));
        let batch = dirty.collect();
        // What is gone and written need not be remembered here.
        table.retain(|_, entry| entry.status.connected);
        batch
    }

    /// Marks as dirty what could not be written, unless something newer is there.
    fn put_back(&self, batch: &[NodeStatus]) {
        let mut table = self.table();
        for status in batch {
            let key = (status.fleet.clone(), status.id.clone());
            let entry = table.entry(key).or_insert_with(|| Entry {
                stream: u64::MAX,
                streams: BTreeMap::new(),
                status: status.clone(),
                moves: 0,
                dirty: true,
            });
            entry.dirty = true;
        }
        self.changed.notify_one();
    }

    fn said(&self) -> MutexGuard<'_, HashMap<NodeKey, (u64, Report)>> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<NodeKey, Entry>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Two clients with one id overwrite what is known of each other, and nobody can tell which of them was meant.
    fn look_for_problems(&mut self) {
        let kinds: BTreeSet<_> = self.streams.values().collect();
        let problem = "two live streams have this node id; every node needs an id of its own";
        self.status.problems = if kinds.len() == self.streams.len() {
            Vec::new()
        } else {
            vec![problem.to_owned()]
        };
    }
}

fn user_agent(node: &Node) -> String {
    match node.user_agent_version.as_str() {
        "" => node.user_agent.clone(),
        version => format!("{}/{version}", node.user_agent),
    }
}

/// A session's hold on what its node says of itself.
#[derive(Debug)]
pub struct SessionHandle {
    nodes: Arc<Nodes>,
    key: NodeKey,
    session: u64,
}

impl SessionHandle {
    /// The node says this of the revisions that it holds.
    pub fn report(&self, report: Report) {
        self.nodes.report(&self.key, self.session, report);
    }
}

impl Drop for SessionHandle {
    fn drop(&mut self) {
        let mut said = self.nodes.said();
        if said
            .get(&self.key)
            .is_some_and(|(session, _)| *session == self.session)
        {
            said.remove(&self.key);
        }
    }
}

/// One stream's hold on its node's status.
#[derive(Debug)]
pub struct NodeHandle {
    nodes: Arc<Nodes>,
    key: NodeKey,
    stream: u64,
}

impl NodeHandle {
    /// This revision is to be sent.
    pub fn wanted(&self, revision: u64) {
        self.update(|status| {
            let news = status.wanted_revision != Some(revision);
            status.wanted_revision = Some(revision);
            news
        });
    }

    /// Everything of this revision has been sent.
    pub fn sent(&self, revision: u64) {
        self.update(|status| {
            let news = status.sent_revision != Some(revision);
            status.sent_revision = Some(revision);
            news
        });
    }

    /// Everything of this revision has been acknowledged; what was refused before is history.
    pub fn acknowledged(&self, revision: u64) {
        self.update(|status| {
            let news = status.acked_revision != Some(revision) || status.refused.is_some();
            status.acked_revision = Some(revision);
            status.refused = None;
            news
        });
    }

    /// Something of this revision was refused.
    pub fn refused(&self, refused: Refused) {
        let names = refused.resources.iter();
        let refusal = Refusal {
            revision: refused.revision,
            type_url: refused.ty.type_url().to_owned(),
            resources: names.map(ToString::to_string).collect(),
            message: refused.message,
            reverted: false,
            at: Timestamp::now(),
        };
        self.update(|status| {
            status.refused = Some(refusal);
            true
        });
    }

    fn update(&self, change: impl FnOnce(&mut NodeStatus) -> bool) {
        let mut table = self.nodes.table();
        let Some(entry) = table
            .get_mut(&self.key)
            .filter(|entry| entry.stream == self.stream)
        else {
            return;
        };
        let before = entry.status.acked_revision;
        if change(&mut entry.status) {
            entry.moves += u64::from(entry.status.acked_revision != before);
            entry.status.updated_at = Timestamp::now();
            entry.dirty = true;
            self.nodes.changed.notify_one();
        }
    }
}

impl Drop for NodeHandle {
    fn drop(&mut self) {
        self.nodes.metrics.nodes_connected.dec();
        let mut table = self.nodes.table();
        let Some(entry) = table.get_mut(&self.key) else {
            return;
        };
        entry.streams.remove(&self.stream);
        match entry.streams.last_key_value() {
            Some((newest, _)) => entry.stream = *newest,
            None => entry.status.connected = false,
        }
        entry.look_for_problems();
        entry.status.updated_at = Timestamp::now();
        entry.dirty = true;
        self.nodes.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> Node {
        Node {
            id: "edge-1".into(),
            fleet: "default".into(),
            labels: BTreeMap::new(),
            zone: String::new(),
            user_agent: "envoy".into(),
            user_agent_version: String::new(),
        }
    }

    fn status(nodes: &Nodes) -> NodeStatus {
        let table = nodes.table();
        table.values().next().unwrap().status.clone()
    }

    #[test]
    fn two_live_streams_with_one_id_are_a_problem_until_one_ends() {
        let nodes = Nodes::new("r".into(), Arc::default());
        let first = nodes.connect(&node(), ClientClass::Envoy, None, 1);
        assert!(status(&nodes).problems.is_empty());
        let second = nodes.connect(&node(), ClientClass::Envoy, None, 1);
        assert_eq!(status(&nodes).problems.len(), 1);
        drop(second);
        assert!(status(&nodes).problems.is_empty() && status(&nodes).connected);
        first.acknowledged(1);
        assert_eq!(status(&nodes).acked_revision, Some(1));
        drop(first);
        assert!(!status(&nodes).connected);
    }

    #[test]
    fn what_a_session_says_again_is_no_news() {
        let nodes = Nodes::new("r".into(), Arc::default());
        let _stream = nodes.connect(&node(), ClientClass::Signalbox, None, 2);
        let session = nodes.session("default", "edge-1");
        let refuse = |message: &str| {
            let refused = Refusal {
                revision: 2,
                type_url: String::new(),
                resources: Vec::new(),
                message: message.to_owned(),
                reverted: false,
                at: Timestamp::now(),
            };
            let report = Report {
                live_revision: Some(1),
                staged_revision: None,
                refused: Some(refused),
            };
            session.report(report);
            nodes.take_dirty().len()
        };
        assert_eq!([refuse("no"), refuse("no"), refuse("never")], [1, 0, 1]);
    }

    #[test]
    fn what_a_session_said_before_its_stream_came_is_not_lost() {
        let nodes = Nodes::new("r".into(), Arc::default());
        let live = |revision| Report {
            live_revision: Some(revision),
            ..Report::default()
        };
        let session = nodes.session("default", "edge-1");
        session.report(live(7));
        let stream = nodes.connect(&node(), ClientClass::Signalbox, None, 7);
        assert_eq!(status(&nodes).live_revision, Some(7));
        // The next one is there before the old one ends.
        let next = nodes.session("default", "edge-1");
        next.report(live(8));
        drop((session, stream));
        nodes.take_dirty();
        let _stream = nodes.connect(&node(), ClientClass::Signalbox, None, 8);
        assert_eq!(status(&nodes).live_revision, Some(8));
        drop(next);
        let _another = nodes.connect(&node(), ClientClass::Signalbox, None, 8);
        assert_eq!(status(&nodes).live_revision, None);
    }

    #[test]
    fn streams_of_different_types_are_one_client() {
        let nodes = Nodes::new("r".into(), Arc::default());
        let _clusters = nodes.connect(&node(), ClientClass::Envoy, Some(ResourceType::Cluster), 1);
        let _listeners =
            nodes.connect(&node(), ClientClass::Envoy, Some(ResourceType::Listener), 1);
        assert!(status(&nodes).problems.is_empty());
    }
}
