//! Nodes that refuse the revision that a rollout goes to, or leave it by themselves. The first refusal of a node moves the rollout's row, so that what
//! was decided without knowing of it fails; what the node says after that is the same refusal.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::super::error::{Result, StoreError};
use super::super::sql::{SqlStore, unsigned};
use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::rollout::observed::Refused;

/// Longest id of a node that is kept, in bytes: PostgreSQL's index takes a key of 2,700 at most.
const ID_MAX: usize = 1_024;

const FIND: &str = "SELECT rollout.id, rollout_refusal.row_version FROM rollout \
     LEFT JOIN rollout_refusal ON rollout_refusal.rollout = rollout.id AND rollout_refusal.node = $3 \
     WHERE rollout.fleet = $1 AND rollout.to_revision = $2 AND rollout.ended_at IS NULL";
const MOVE: &str =
    "UPDATE rollout SET row_version = row_version + 1 WHERE id = $1 RETURNING row_version";
const ADD: &str = "INSERT INTO rollout_refusal (rollout, node, row_version, at, type_url, resources, message, reverted) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const ALL: &str = "SELECT * FROM rollout_refusal WHERE rollout = $1 ORDER BY row_version";
const CHANGED: &str = "UPDATE fleet SET change_seq = change_seq + 1 WHERE name = $1";

/// A rollout, and the version of its row after a node's refusal if that was told.
type Found = Option<(String, Option<u64>)>;

impl SqlStore {
    pub(in crate::store) async fn note_refusal(
        &self,
        fleet: &str,
        revision: u64,
        refused: &Refused,
    ) -> Result<Option<(String, u64)>> {
        let node = node_key(&refused.node);
        // Most calls end here, without waiting for anybody: a node says again what it has said, or no rollout goes there.
        let mut connection = self.reader.acquire().await?;
        match find(&mut connection, fleet, revision, &node).await? {
            None => return Ok(None),
            Some((id, Some(version))) => return Ok(Some((id, version))),
            Some((_, None)) => drop(connection),
        }
        let mut tx = self.begin().await?;
        self.lock_fleet(&mut tx, fleet).await?;
        let id = match find(&mut tx, fleet, revision, &node).await? {
            None => return Ok(None),
            Some((id, Some(version))) => return Ok(Some((id, version))),
            Some((id, None)) => id,
        };
        let version: i64 = sqlx::query_scalar(MOVE)
            .bind(id.as_str())
            .fetch_one(&mut *tx)
            .await?;
        let now = self.now(&mut tx).await?;
        let query = sqlx::query(ADD)
            .bind(id.as_str())
            .bind(node)
            .bind(version)
            .bind(now.as_micros());
        let query = query
            .bind(text(&refused.type_url))
            .bind(canonical::to_bytes(&refused.resources))
            .bind(text(&refused.message))
            .bind(i64::from(refused.reverted));
        query.execute(&mut *tx).await?;
        sqlx::query(CHANGED).bind(fleet).execute(&mut *tx).await?;
        self.publish(tx, fleet).await?;
        Ok(Some((id, unsigned(version))))
    }
}

/// Refusals of a rollout, from the first.
pub(super) async fn all(reader: &AnyPool, rollout: &str) -> Result<Vec<Refused>> {
    let rows = sqlx::query(ALL).bind(rollout).fetch_all(reader).await?;
    rows.iter().map(read).collect()
}

async fn find(
    connection: &mut AnyConnection,
    fleet: &str,
    revision: u64,
    node: &str,
) -> Result<Found> {
    let found: Option<(String, Option<i64>)> = sqlx::query_as(FIND)
        .bind(fleet)
        .bind(i64::try_from(revision).unwrap_or(i64::MAX))
        .bind(node)
        .fetch_optional(connection)
        .await?;
    Ok(found.map(|(id, version)| (id, version.map(unsigned))))
}

fn read(row: &AnyRow) -> Result<Refused> {
    let node: String = row.try_get("node")?;
    let resources: Vec<u8> = row.try_get("resources")?;
    let resources = serde_json::from_slice(&resources);
    Ok(Refused {
        type_url: row.try_get("type_url")?,
        resources: resources.map_err(|error| StoreError::Corrupt {
            what: format!("the refusal of node {node:?}: resources: {error}"),
        })?,
        message: row.try_get("message")?,
        reverted: row.try_get::<i64, _>("reverted")? != 0,
        at: Timestamp::from_micros(row.try_get("at")?),
        node,
    })
}

/// What a node says of itself may hold anything, and PostgreSQL's text takes no NUL.
fn text(said: &str) -> String {
    said.replace('\0', "\u{fffd}")
}

/// A node whose id is too long counts all the same, by the id's begin.
fn node_key(id: &str) -> String {
    let mut key = text(id);
    key.truncate(key.floor_char_boundary(ID_MAX));
    key
}
