//! Reads all nodes of every fleet, again and again, for two reasons. What is read stays in the store's memory for readers
//! who come while the database is away. And it tells whether a node that has a live stream here is written down as another
//! replica's: a node that has moved loses its old stream within moments, but two clients with one id go on at both.
//!
//! In: the store and the nodes of this replica. Out: claims on nodes, which the store shows as their problem.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::nodes::Nodes;
use crate::store::memory::Census;
use crate::store::node_status::Claims;
use crate::store::{Fleet, Store, StoreError};

/// How often all nodes are read. Claims count for three times as long.
const EVERY: Duration = Duration::from_secs(5);
/// How long a node must have been another's, with its stream here alive, to be claimed: one that moves is given the time
/// that its old stream takes to end.
const PATIENCE: Duration = Duration::from_secs(4);
/// A page of revisions as the API shows it, and the one more that tells whether there is another.
const REVISIONS: u32 = 101;

/// Looks for nodes of this replica that others have as well.
#[derive(Debug)]
pub struct Lookout {
    store: Arc<dyn Store>,
    nodes: Arc<Nodes>,
    /// By fleet.
    seen: HashMap<String, Seen>,
}

/// What was seen of the nodes of a fleet.
#[derive(Debug, Default)]
struct Seen {
    /// The streams here, by id, when they were last looked at.
    live: HashMap<String, u64>,
    /// When a node was first seen to be another's, by id, while it has the same stream here.
    of_others: HashMap<String, Instant>,
}

/// What follows from a reading.
#[derive(Debug, Default, PartialEq, Eq)]
struct Findings {
    claims: Claims,
    /// The ids of those whose new owner has lost them: they are ours again.
    ours_again: Vec<String>,
}

impl Lookout {
    /// A lookout that has seen nothing yet.
    pub fn new(store: Arc<dyn Store>, nodes: Arc<Nodes>) -> Self {
        Self {
            store,
            nodes,
            seen: HashMap::new(),
        }
    }

    /// Goes on until it is cancelled.
    pub async fn run(mut self, shutdown: CancellationToken) {
        loop {
            if let Err(error) = self.round(Instant::now()).await {
                tracing::warn!(%error, "the nodes could not be read; what is known of them stays");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    /// Reads everything once.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn round(&mut self, now: Instant) -> Result<(), StoreError> {
        let fleets = self.store.fleets().await?;
        self.seen
            .retain(|name, _| fleets.iter().any(|fleet| fleet.name == *name));
        // First the streams: one that begins meanwhile may be written down already, and not be among ours.
        let streams: Vec<_> = fleets
            .iter()
            .map(|fleet| self.nodes.live(&fleet.name))
            .collect();
        let mut nodes = census(&*self.store, &fleets).await?;
        for (fleet, live) in fleets.iter().zip(streams) {
            let nodes = nodes.remove(&fleet.name).unwrap_or_default();
            match self.look_at(&fleet.name, live, &nodes, now).await {
                // It was deleted meanwhile.
                Ok(()) | Err(StoreError::NoSuchFleet(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn look_at(
        &mut self,
        fleet: &str,
        live: HashMap<String, u64>,
        nodes: &Census,
        now: Instant,
    ) -> Result<(), StoreError> {
        let memory = self.store.memory();
        if memory.revisions(fleet, None, REVISIONS).is_none() {
            self.store.revisions(fleet, None, REVISIONS).await?;
        }
        let seen = self.seen.entry(fleet.to_owned()).or_default();
        let findings = compare(self.nodes.replica(), live, nodes, seen, now);
        self.nodes.write_again(fleet, &findings.ours_again);
        for id in &findings.claims.held {
            tracing::warn!(fleet, node = %id, "another control plane has a live stream with this node id too");
        }
        let claims = &findings.claims;
        self.store
            .claim_nodes(self.nodes.replica(), fleet, claims)
            .await
    }
}

/// Reads all nodes of these fleets, for the store's memory too: one query for a thousand of them, of however many fleets.
///
/// # Errors
/// The store cannot be read.
pub async fn census(
    store: &dyn Store,
    fleets: &[Fleet],
) -> Result<HashMap<String, Arc<Census>>, StoreError> {
    let began = std::time::Instant::now();
    let none = fleets
        .iter()
        .map(|fleet| (fleet.name.clone(), Census::new()));
    let mut found: HashMap<_, _> = none.collect();
    for node in store.every_node_of_all().await? {
        // One of a fleet that was created meanwhile is read the next time.
        if let Some(nodes) = found.get_mut(&node.fleet) {
            nodes.insert(node.id.clone(), node);
        }
    }
    let found: HashMap<_, _> = found
        .into_iter()
        .map(|(fleet, nodes)| (fleet, Arc::new(nodes)))
        .collect();
    for (fleet, nodes) in &found {
        store.memory().keep_nodes(fleet, nodes.clone(), began);
    }
    Ok(found)
}

/// Compares the streams that live at `replica` with what is written down.
fn compare(
    replica: &str,
    live: HashMap<String, u64>,
    census: &Census,
    seen: &mut Seen,
    now: Instant,
) -> Findings {
    let of_other = |id: &str| census.get(id).filter(|row| row.replica != replica);
    let before = std::mem::replace(&mut seen.live, live);
    let live = &seen.live;
    let goes_on = |id: &str| before.get(id) == live.get(id);
    seen.of_others.retain(|id, _| goes_on(id));
    // The other may have made this one its rival without a word from here.
    let ended = before.keys().filter(|id| !goes_on(id));
    let ended = ended.filter(|id| of_other(id).is_some());
    let mut found = Findings::default();
    found.claims.given_up = ended.cloned().collect();
    for id in live.keys() {
        let Some(row) = of_other(id) else {
            continue;
        };
        if !row.connected {
            found.ours_again.push(id.clone());
            continue;
        }
        let since = *seen.of_others.entry(id.clone()).or_insert(now);
        if now.duration_since(since) >= PATIENCE {
            found.claims.held.push(id.clone());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::timestamp::Timestamp;
    use crate::store::node_status::NodeStatus;

    fn census(replica: &str, connected: bool) -> Census {
        let node = NodeStatus {
            fleet: "default".to_owned(),
            id: "n".to_owned(),
            replica: replica.to_owned(),
            connected,
            class: "envoy".to_owned(),
            user_agent: String::new(),
            zone: String::new(),
            labels: BTreeMap::new(),
            connected_at: Timestamp::from_micros(0),
            wanted_revision: None,
            sent_revision: None,
            acked_revision: None,
            live_revision: None,
            staged_revision: None,
            refused: None,
            problems: Vec::new(),
            updated_at: Timestamp::from_micros(0),
        };
        Census::from([("n".to_owned(), node)])
    }

    fn claims(held: &[&str], given_up: &[&str]) -> Claims {
        let owned = |ids: &[&str]| ids.iter().map(ToString::to_string).collect();
        Claims {
            held: owned(held),
            given_up: owned(given_up),
        }
    }

    #[test]
    fn a_node_that_stays_at_both_is_claimed_until_its_stream_here_ends() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let (here, gone) = (HashMap::from([("n".to_owned(), 7)]), HashMap::new());
        let mut look = |live: &HashMap<_, _>, replica, seconds| {
            let now = start + Duration::from_secs(seconds);
            let census = census(replica, true);
            compare("a", live.clone(), &census, &mut seen, now).claims
        };
        assert_eq!(look(&here, "a", 0), claims(&[], &[]));
        assert_eq!(look(&here, "b", 5), claims(&[], &[]));
        // The row goes to whoever wrote last; both streams live all the same.
        assert_eq!(look(&here, "a", 10), claims(&[], &[]));
        assert_eq!(look(&here, "b", 15), claims(&["n"], &[]));
        assert_eq!(look(&here, "b", 20), claims(&["n"], &[]));
        assert_eq!(look(&gone, "b", 25), claims(&[], &["n"]));
        assert_eq!(look(&gone, "b", 30), claims(&[], &[]));
    }

    #[test]
    fn a_node_that_moves_is_not_claimed() {
        let (mut seen, start) = (Seen::default(), Instant::now());
        let stream = |number: u64| HashMap::from([("n".to_owned(), number)]);
        let mut held = |live, replica, seconds| {
            let now = start + Duration::from_secs(seconds);
            let found = compare("a", live, &census(replica, true), &mut seen, now);
            found.claims.held
        };
        // Away, its old stream not ended yet; back; away again at once.
        assert!(held(stream(1), "b", 0).is_empty());
        assert!(held(stream(2), "a", 5).is_empty());
        assert!(held(stream(2), "b", 10).is_empty());
        assert!(held(HashMap::new(), "b", 15).is_empty());
    }

    #[test]
    fn a_node_that_its_new_replica_has_lost_is_ours_again() {
        let live = HashMap::from([("n".to_owned(), 1)]);
        let found = |replica, connected| {
            let (census, mut seen) = (census(replica, connected), Seen::default());
            compare("a", live.clone(), &census, &mut seen, Instant::now()).ours_again
        };
        assert_eq!(found("b", false), ["n"]);
        assert!(found("a", false).is_empty() && found("b", true).is_empty());
    }
}
