//! What each node was sent and what it said to it, as its replica last wrote it down; and which replicas are alive.

use std::collections::HashMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::error::{Result, StoreError};
use super::node_status::{Claims, NodeStatus, Refusal};
use super::served::{self, Serves};
use super::sql::{BATCH, SqlStore, placeholders, unsigned};
use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::plan::NodeCount;
use crate::rollout::selection::is_validator;

/// A replica that was not seen alive for so long is taken for dead, and its nodes for disconnected.
const REPLICA_IS_DEAD_AFTER: Duration = Duration::from_secs(15);

/// A refusal as it is stored: times are numbers in the database.
#[derive(Serialize, Deserialize)]
struct StoredRefusal {
    revision: u64,
    type_url: String,
    #[serde(default)]
    resources: Vec<String>,
    message: String,
    #[serde(default)]
    reverted: bool,
    at: i64,
}

/// Longest id of a node, in bytes: PostgreSQL's index takes a key of 2,700 at most.
const ID_MAX: usize = 1_024;

const COLUMNS: usize = 18;
/// So many nodes are written in one statement. SQLite looks for a parameter's name in a list of all of them, so the time that a
/// statement takes grows with the square of its rows; and one of always the same size is prepared once.
const ROWS: usize = 16;
/// So many nodes are written in one transaction; whoever commits a revision comes in between.
const AT_ONCE: usize = 1_024;
const PUT: &str = "INSERT INTO node (fleet, id, replica, connected, class, user_agent, zone, labels, connected_at, \
     sent_revision, acked_revision, live_revision, staged_revision, refused, updated_at, \
     wanted_revision, problems, validator) VALUES ";
/// A node that has gone to another replica is that replica's: the old one's word that the stream has ended comes late. If
/// both have a stream of it, whoever wrote last owns the row and the other is its rival.
const PUT_OVER: &str = " ON CONFLICT (fleet, id) DO UPDATE SET replica = excluded.replica, \
     connected = excluded.connected, class = excluded.class, user_agent = excluded.user_agent, zone = excluded.zone, \
     labels = excluded.labels, connected_at = excluded.connected_at, sent_revision = excluded.sent_revision, \
     acked_revision = excluded.acked_revision, live_revision = excluded.live_revision, \
     staged_revision = excluded.staged_revision, refused = excluded.refused, updated_at = excluded.updated_at, \
     wanted_revision = excluded.wanted_revision, problems = excluded.problems, validator = excluded.validator, \
     rival = CASE WHEN node.rival = excluded.replica THEN node.replica ELSE node.rival END \
     WHERE node.replica = excluded.replica OR excluded.connected = 1";
const PAGE: &str = "SELECT node.*, replica.seen_at FROM node LEFT JOIN replica ON replica.id = node.replica \
     WHERE node.fleet = $1 AND node.id > $2 ORDER BY node.id LIMIT $3";
const PAGE_OF_ALL: &str = "SELECT node.*, replica.seen_at FROM node LEFT JOIN replica ON replica.id = node.replica \
     WHERE (node.fleet, node.id) > ($1, $2) ORDER BY node.fleet, node.id LIMIT $3";
const ONE: &str = "SELECT node.*, replica.seen_at FROM node LEFT JOIN replica ON replica.id = node.replica \
     WHERE node.fleet = $1 AND node.id = $2";
const COUNT: &str = "SELECT node.class, COUNT(*), \
     SUM(CASE WHEN node.connected = 1 AND replica.seen_at >= $2 THEN 1 ELSE 0 END) \
     FROM node LEFT JOIN replica ON replica.id = node.replica WHERE node.fleet = $1 GROUP BY node.class";
const CLAIM: &str =
    "UPDATE node SET rival = $1, rival_at = $2 WHERE replica <> $1 AND fleet = $3 AND id IN ";
const GIVE_UP: &str = "UPDATE node SET rival = NULL WHERE rival = $1 AND fleet = $2 AND id IN ";
const HEARTBEAT: &str = "INSERT INTO replica (id, seen_at) VALUES ($1, $2) ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at";

impl SqlStore {
    pub(super) async fn upsert_nodes(&self, replica: &str, nodes: &[NodeStatus]) -> Result<()> {
        let mut nodes: Vec<_> = nodes.iter().filter(|node| can_be_stored(node)).collect();
        // Two replicas that write the same rows do so in the same order, and neither waits for the other for ever.
        nodes.sort_unstable_by_key(|node| (&node.fleet, &node.id));
        for batch in nodes.chunks(AT_ONCE) {
            let mut tx = self.begin().await?;
            let now = self.now(&mut tx).await?;
            for rows in batch.chunks(ROWS) {
                put(&mut tx, replica, rows).await?;
                note(&mut tx, rows, now).await?;
            }
            tx.commit().await?;
        }
        Ok(())
    }

    pub(super) async fn write_claims(
        &self,
        replica: &str,
        fleet: &str,
        claims: &Claims,
    ) -> Result<()> {
        for ids in claims.held.chunks(BATCH) {
            let mut connection = self.writer.acquire().await?;
            let now = self.now(&mut connection).await?;
            let statement = format!("{CLAIM}{}", placeholders(1, ids.len(), 4));
            let query = sqlx::query(AssertSqlSafe(statement))
                .persistent(false)
                .bind(replica)
                .bind(now.as_micros())
                .bind(fleet);
            let query = ids.iter().fold(query, |query, id| query.bind(text(id)));
            query.execute(&mut *connection).await?;
        }
        for ids in claims.given_up.chunks(BATCH) {
            let statement = format!("{GIVE_UP}{}", placeholders(1, ids.len(), 3));
            let query = sqlx::query(AssertSqlSafe(statement))
                .persistent(false)
                .bind(replica)
                .bind(fleet);
            let query = ids.iter().fold(query, |query, id| query.bind(text(id)));
            query.execute(&self.writer).await?;
        }
        Ok(())
    }

    pub(super) async fn read_nodes(
        &self,
        fleet: &str,
        after: &str,
        limit: u32,
    ) -> Result<Vec<NodeStatus>> {
        let mut connection = self.reader.acquire().await?;
        let alive = self.alive_since(&mut connection).await?;
        let page = sqlx::query(PAGE)
            .bind(fleet)
            .bind(after)
            .bind(i64::from(limit));
        let rows = page.fetch_all(&mut *connection).await?;
        drop(connection);
        if rows.is_empty() {
            self.read_fleet(fleet).await?;
        }
        rows.iter().map(|row| node(row, alive)).collect()
    }

    pub(super) async fn read_nodes_of_all(
        &self,
        (fleet, id): (&str, &str),
        limit: u32,
    ) -> Result<Vec<NodeStatus>> {
        let mut connection = self.reader.acquire().await?;
        let alive = self.alive_since(&mut connection).await?;
        let page = sqlx::query(PAGE_OF_ALL)
            .bind(fleet)
            .bind(id)
            .bind(i64::from(limit));
        let rows = page.fetch_all(&mut *connection).await?;
        rows.iter().map(|row| node(row, alive)).collect()
    }

    pub(super) async fn read_node(&self, fleet: &str, id: &str) -> Result<Option<NodeStatus>> {
        let mut connection = self.reader.acquire().await?;
        let alive = self.alive_since(&mut connection).await?;
        let row = sqlx::query(ONE)
            .bind(fleet)
            .bind(id)
            .fetch_optional(&mut *connection)
            .await?;
        drop(connection);
        if row.is_none() {
            self.read_fleet(fleet).await?;
        }
        row.map(|row| node(&row, alive)).transpose()
    }

    pub(super) async fn read_node_counts(&self, fleet: &str) -> Result<HashMap<String, NodeCount>> {
        let mut connection = self.reader.acquire().await?;
        let alive = self.alive_since(&mut connection).await?;
        let rows: Vec<(String, i64, i64)> = sqlx::query_as(COUNT)
            .bind(fleet)
            .bind(alive.as_micros())
            .fetch_all(&mut *connection)
            .await?;
        let count = |(class, known, connected)| {
            let (known, connected) = (unsigned(known), unsigned(connected));
            (class, NodeCount { connected, known })
        };
        Ok(rows.into_iter().map(count).collect())
    }

    pub(super) async fn upsert_replica(&self, replica: &str) -> Result<()> {
        let mut connection = self.writer.acquire().await?;
        let now = self.now(&mut connection).await?;
        sqlx::query(HEARTBEAT)
            .bind(replica)
            .bind(now.as_micros())
            .execute(&mut *connection)
            .await?;
        Ok(())
    }

    /// A replica that was seen since then is alive. Both times are the database's, so clocks need not agree.
    pub(super) async fn alive_since(&self, connection: &mut AnyConnection) -> Result<Timestamp> {
        Ok(alive_since(self.now(connection).await?))
    }
}

/// A replica that was seen since then is alive now.
pub(super) fn alive_since(now: Timestamp) -> Timestamp {
    Timestamp::from_micros(now.as_micros() - REPLICA_IS_DEAD_AFTER.as_micros() as i64)
}

async fn put(connection: &mut AnyConnection, replica: &str, nodes: &[&NodeStatus]) -> Result<()> {
    let statement = format!("{PUT}{}{PUT_OVER}", placeholders(nodes.len(), COLUMNS, 1));
    let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(nodes.len() == ROWS);
    for node in nodes {
        query = query
            .bind(text(&node.fleet))
            .bind(text(&node.id))
            .bind(replica);
        query = query
            .bind(i64::from(node.connected))
            .bind(text(&node.class))
            .bind(text(&node.user_agent));
        query = query
            .bind(text(&node.zone))
            .bind(canonical::to_bytes(&node.labels));
        query = query
            .bind(node.connected_at.as_micros())
            .bind(node.sent_revision.map(|number| number as i64));
        for revision in [
            node.acked_revision,
            node.live_revision,
            node.staged_revision,
        ] {
            query = query.bind(revision.map(|number| number as i64));
        }
        query = query
            .bind(node.refused.as_ref().map(stored))
            .bind(node.updated_at.as_micros());
        query = query
            .bind(node.wanted_revision.map(|number| number as i64))
            .bind(canonical::to_bytes(&node.problems))
            .bind(i64::from(is_validator(&node.labels)));
    }
    query.execute(connection).await?;
    Ok(())
}

/// Notes what nodes serve, by the names that are stored.
async fn note(connection: &mut AnyConnection, nodes: &[&NodeStatus], now: Timestamp) -> Result<()> {
    let names: Vec<_> = nodes
        .iter()
        .filter_map(|node| {
            Some((
                text(&node.fleet),
                text(&node.id),
                served::revision_of(node)?,
            ))
        })
        .collect();
    let serves = names.iter().map(|(fleet, node, revision)| Serves {
        fleet,
        node,
        revision: *revision,
    });
    served::note(connection, &serves.collect::<Vec<_>>(), now).await
}

fn node(row: &AnyRow, alive_since: Timestamp) -> Result<NodeStatus> {
    let seen_at: Option<i64> = row.try_get("seen_at")?;
    let alive = seen_at.is_some_and(|seen_at| Timestamp::from_micros(seen_at) >= alive_since);
    let id: String = row.try_get("id")?;
    let labels: Vec<u8> = row.try_get("labels")?;
    let refused: Option<Vec<u8>> = row.try_get("refused")?;
    let problems: Option<Vec<u8>> = row.try_get("problems")?;
    let corrupt = |error| StoreError::Corrupt {
        what: format!("node {id:?}: {error}"),
    };
    let revision = |column: &str| -> Result<Option<u64>> {
        Ok(row.try_get::<Option<i64>, _>(column)?.map(unsigned))
    };
    let connected = alive && row.try_get::<i64, _>("connected")? == 1;
    let replica: String = row.try_get("replica")?;
    let rival: Option<String> = row.try_get("rival")?;
    let rival_at: Option<i64> = row.try_get("rival_at")?;
    let mut problems: Vec<String> = problems
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose()
        .map_err(corrupt)?
        .unwrap_or_default();
    let is_held = rival_at.is_some_and(|at| Timestamp::from_micros(at) >= alive_since);
    if let Some(rival) = rival.filter(|rival| connected && is_held && *rival != replica) {
        problems.push(format!(
            "two control planes have a live stream with this node id, this one and {rival}; every node needs an id of its own"
        ));
    }
    Ok(NodeStatus {
        fleet: row.try_get("fleet")?,
        replica,
        connected,
        class: row.try_get("class")?,
        user_agent: row.try_get("user_agent")?,
        zone: row.try_get("zone")?,
        labels: serde_json::from_slice(&labels).map_err(corrupt)?,
        connected_at: Timestamp::from_micros(row.try_get("connected_at")?),
        wanted_revision: revision("wanted_revision")?,
        sent_revision: revision("sent_revision")?,
        acked_revision: revision("acked_revision")?,
        live_revision: revision("live_revision")?,
        staged_revision: revision("staged_revision")?,
        refused: refused
            .map(|bytes| refusal(&bytes))
            .transpose()
            .map_err(corrupt)?,
        problems,
        updated_at: Timestamp::from_micros(row.try_get("updated_at")?),
        id,
    })
}

fn stored(refusal: &Refusal) -> Vec<u8> {
    canonical::to_bytes(&StoredRefusal {
        revision: refusal.revision,
        type_url: refusal.type_url.clone(),
        resources: refusal.resources.clone(),
        message: refusal.message.clone(),
        reverted: refusal.reverted,
        at: refusal.at.as_micros(),
    })
}

fn refusal(bytes: &[u8]) -> Result<Refusal, serde_json::Error> {
    let StoredRefusal {
        revision,
        type_url,
        resources,
        message,
        reverted,
        at,
    } = serde_json::from_slice(bytes)?;
    Ok(Refusal {
        revision,
        type_url,
        resources,
        message,
        reverted,
        at: Timestamp::from_micros(at),
    })
}

/// One node whose id is too long must not keep the status of all others from being written.
fn can_be_stored(node: &NodeStatus) -> bool {
    let can = node.id.len() <= ID_MAX;
    if !can {
        let begin: String = node.id.chars().take(64).collect();
        tracing::warn!(%begin, bytes = node.id.len(), "the status of a node is not kept: its id is too long");
    }
    can
}

/// What a node says of itself may hold anything, and PostgreSQL's text takes no NUL: one odd node must not keep the
/// status of all others from being written.
fn text(said: &str) -> String {
    said.replace('\0', "\u{fffd}")
}
