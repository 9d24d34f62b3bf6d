//! The audit trail: what was written, by whom, in the same transaction as what it tells of. Rows are only added.

use serde_json::Value;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::By;
use super::error::{Result, StoreError};
use super::sql::{SqlStore, placeholders, unsigned};
use crate::access::Fleets;
use crate::model::canonical;
use crate::model::timestamp::Timestamp;

/// A row of the trail.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Names it.
    pub id: String,
    /// When it was written, by the database's clock.
    pub at: Timestamp,
    /// Who wrote.
    pub actor: String,
    /// What was done: `commit`, `put-endpoints`, `create-token`, `pause-rollout`, …
    pub action: String,
    /// In which fleet, if in one.
    pub fleet: Option<String>,
    /// To what: `endpoints/api`, `tokens/…`; of a commit `config`.
    pub object: String,
    /// The revision that came of it.
    pub revision: Option<u64>,
    /// The request that asked for it; the log has it too.
    pub request_id: String,
    /// More, by the action.
    pub detail: Option<Value>,
}

/// Which rows are asked for, from the newest.
#[derive(Clone, Debug)]
pub struct AuditQuery {
    /// Only rows of these fleets; with [`Fleets::All`] also those of none.
    pub fleets: Fleets,
    /// Only rows of this actor.
    pub actor: Option<String>,
    /// Only rows before this one: its time and id.
    pub before: Option<(Timestamp, String)>,
    /// At most so many.
    pub limit: u32,
}

/// A row to be added.
pub(super) struct Entry<'a> {
    pub(super) action: &'static str,
    pub(super) fleet: Option<&'a str>,
    pub(super) object: String,
    pub(super) revision: Option<u64>,
    pub(super) detail: Option<Value>,
}

const ADD: &str = "INSERT INTO audit (id, at, actor, action, fleet, object, revision, request_id, detail) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const PAGE: &str = "SELECT * FROM audit WHERE (at < $1 OR (at = $1 AND id < $2))";
const NEWEST: &str = " ORDER BY at DESC, id DESC LIMIT $3";

impl<'a> Entry<'a> {
    pub(super) fn new(action: &'static str, fleet: Option<&'a str>, object: String) -> Self {
        Self {
            action,
            fleet,
            object,
            revision: None,
            detail: None,
        }
    }
}

/// Adds a row to the transaction that does what it tells of.
pub(super) async fn add(
    tx: &mut AnyConnection,
    by: By<'_>,
    at: Timestamp,
    entry: Entry<'_>,
) -> Result<()> {
    let query = sqlx::query(ADD)
        .bind(uuid::Uuid::now_v7().to_string())
        .bind(at.as_micros())
        .bind(by.actor)
        .bind(entry.action)
        .bind(entry.fleet)
        .bind(entry.object);
    let query = query
        .bind(entry.revision.map(|number| number as i64))
        .bind(by.request_id)
        .bind(entry.detail.map(|detail| canonical::to_bytes(&detail)));
    query.execute(tx).await?;
    Ok(())
}

impl SqlStore {
    pub(super) async fn read_audit(&self, asked: &AuditQuery) -> Result<Vec<AuditRow>> {
        let actor = asked.actor.iter().map(|_| " AND actor = $4".to_owned());
        let first = 4 + usize::from(asked.actor.is_some());
        let fleets = match &asked.fleets {
            Fleets::All => None,
            Fleets::These(fleets) if fleets.is_empty() => return Ok(Vec::new()),
            Fleets::These(fleets) => Some(format!(
                " AND fleet IN {}",
                placeholders(1, fleets.len(), first)
            )),
        };
        let conditions: String = actor.chain(fleets).collect();
        let statement = format!("{PAGE}{conditions}{NEWEST}");
        let (at, id) = match &asked.before {
            Some((at, id)) => (at.as_micros(), id.as_str()),
            None => (i64::MAX, ""),
        };
        let mut query = sqlx::query(AssertSqlSafe(statement))
            .persistent(false)
            .bind(at)
            .bind(id)
            .bind(i64::from(asked.limit));
        if let Some(actor) = &asked.actor {
            query = query.bind(actor.as_str());
        }
        if let Fleets::These(fleets) = &asked.fleets {
            for fleet in fleets {
                query = query.bind(fleet.as_str());
            }
        }
        let rows = query.fetch_all(&self.reader).await?;
        rows.iter().map(row).collect()
    }
}

fn row(row: &AnyRow) -> Result<AuditRow> {
    let id: String = row.try_get("id")?;
    let detail: Option<Vec<u8>> = row.try_get("detail")?;
    let detail = detail
        .map(|bytes| serde_json::from_slice(&bytes))
        .transpose();
    Ok(AuditRow {
        at: Timestamp::from_micros(row.try_get("at")?),
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        fleet: row.try_get("fleet")?,
        object: row.try_get("object")?,
        revision: row.try_get::<Option<i64>, _>("revision")?.map(unsigned),
        request_id: row.try_get("request_id")?,
        detail: detail.map_err(|error| StoreError::Corrupt {
            what: format!("audit {id}: {error}"),
        })?,
        id,
    })
}
