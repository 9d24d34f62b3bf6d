//! A rollout as a row, and back. Documents are canonical JSON.

use serde::de::DeserializeOwned;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::super::error::{Result, StoreError};
use super::super::sql::unsigned;
use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::rollout::{Rollout, State};

const ACTIVE: &str = "SELECT * FROM rollout WHERE fleet = $1 AND ended_at IS NULL";
const INSERT: &str = "INSERT INTO rollout (id, fleet, from_revision, to_revision, strategy, salt, reason, created_by, created_at, \
     state, paused, wave, selection, wave_at, deadline, promoted, verdicts, refusals_judged, approved_by, ended_at, outcome, \
     row_version, activated, confirmed, not_before, urgent) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25, $26)";
const UPDATE: &str = "UPDATE rollout SET state = $3, paused = $4, wave = $5, selection = $6, wave_at = $7, deadline = $8, \
     promoted = $9, verdicts = $10, refusals_judged = $11, approved_by = $12, ended_at = $13, outcome = $14, row_version = $15, \
     activated = $16, confirmed = $17 \
     WHERE id = $1 AND row_version = $2 AND ended_at IS NULL";

/// The active rollout of a fleet.
pub(in crate::store) async fn active(
    tx: &mut AnyConnection,
    fleet: &str,
) -> Result<Option<Rollout>> {
    let found = sqlx::query(ACTIVE).bind(fleet).fetch_optional(tx).await?;
    found.as_ref().map(read).transpose()
}

/// Adds a row.
pub(super) async fn insert(tx: &mut AnyConnection, rollout: &Rollout) -> Result<()> {
    let query = sqlx::query(INSERT)
        .bind(rollout.id.as_str())
        .bind(rollout.fleet.as_str())
        .bind(rollout.from as i64)
        .bind(rollout.to as i64)
        .bind(canonical::to_bytes(&rollout.strategy))
        .bind(rollout.salt.as_str())
        .bind(rollout.reason.as_str())
        .bind(rollout.created_by.as_str())
        .bind(rollout.created_at.as_micros());
    let query = changing(query, rollout)
        .bind(rollout.not_before.map(Timestamp::as_micros))
        .bind(i64::from(rollout.urgent));
    query.execute(tx).await?;
    Ok(())
}

/// Writes what may change of a row, if it is still the one of version `was` and has not ended.
pub(super) async fn update(tx: &mut AnyConnection, was: u64, next: &Rollout) -> Result<()> {
    let query = sqlx::query(UPDATE).bind(next.id.as_str()).bind(was as i64);
    let updated = changing(query, next).execute(tx).await?.rows_affected();
    if updated == 0 {
        return Err(StoreError::Moved);
    }
    Ok(())
}

type Query<'q> = sqlx::query::Query<'q, sqlx::Any, sqlx::any::AnyArguments>;

/// What may change, in the order in which both statements have it.
fn changing<'q>(query: Query<'q>, rollout: &'q Rollout) -> Query<'q> {
    let query = query
        .bind(rollout.state.as_str())
        .bind(rollout.paused.as_ref().map(canonical::to_bytes))
        .bind(i64::from(rollout.wave))
        .bind(canonical::to_bytes(&rollout.selection))
        .bind(rollout.wave_at.map(Timestamp::as_micros))
        .bind(rollout.deadline.map(Timestamp::as_micros))
        .bind(i64::from(rollout.promoted));
    query
        .bind(canonical::to_bytes(&rollout.verdicts))
        .bind(rollout.refusals_judged as i64)
        .bind(rollout.approved_by.as_deref())
        .bind(rollout.ended_at.map(Timestamp::as_micros))
        .bind(rollout.outcome.as_deref())
        .bind(rollout.row_version as i64)
        .bind(rollout.activated.as_ref().map(canonical::to_bytes))
        .bind(rollout.confirmed.as_ref().map(canonical::to_bytes))
}

/// Reads a row.
pub(super) fn read(row: &AnyRow) -> Result<Rollout> {
    let id: String = row.try_get("id")?;
    let corrupt = |column: &str, why: &dyn std::fmt::Display| StoreError::Corrupt {
        what: format!("rollout {id}: {column}: {why}"),
    };
    let number = |column: &str| -> Result<u64> { Ok(unsigned(row.try_get(column)?)) };
    let time = |column: &str| -> Result<Option<Timestamp>> {
        Ok(row
            .try_get::<Option<i64>, _>(column)?
            .map(Timestamp::from_micros))
    };
    let state: String = row.try_get("state")?;
    Ok(Rollout {
        fleet: row.try_get("fleet")?,
        from: number("from_revision")?,
        to: number("to_revision")?,
        strategy: document(row, "strategy", &corrupt)?,
        salt: row.try_get("salt")?,
        state: State::of_str(&state).ok_or_else(|| corrupt("state", &"it is not known"))?,
        paused: optional(row, "paused", &corrupt)?,
        wave: u32::try_from(number("wave")?).map_err(|error| corrupt("wave", &error))?,
        selection: document(row, "selection", &corrupt)?,
        activated: optional(row, "activated", &corrupt)?,
        confirmed: optional(row, "confirmed", &corrupt)?,
        wave_at: time("wave_at")?,
        deadline: time("deadline")?,
        promoted: number("promoted")? != 0,
        verdicts: document(row, "verdicts", &corrupt)?,
        refusals_judged: number("refusals_judged")?,
        reason: row.try_get("reason")?,
        created_by: row.try_get("created_by")?,
        created_at: Timestamp::from_micros(row.try_get("created_at")?),
        approved_by: row.try_get("approved_by")?,
        ended_at: time("ended_at")?,
        outcome: row.try_get("outcome")?,
        row_version: number("row_version")?,
        not_before: time("not_before")?,
        urgent: number("urgent")? != 0,
        id: id.clone(),
    })
}

type Corrupt<'c> = dyn Fn(&str, &dyn std::fmt::Display) -> StoreError + 'c;

fn document<T: DeserializeOwned>(row: &AnyRow, column: &str, corrupt: &Corrupt<'_>) -> Result<T> {
    let bytes: Vec<u8> = row.try_get(column)?;
    serde_json::from_slice(&bytes).map_err(|error| corrupt(column, &error))
}

fn optional<T: DeserializeOwned>(
    row: &AnyRow,
    column: &str,
    corrupt: &Corrupt<'_>,
) -> Result<Option<T>> {
    let bytes: Option<Vec<u8>> = row.try_get(column)?;
    let read = bytes.map(|bytes| serde_json::from_slice(&bytes));
    read.transpose().map_err(|error| corrupt(column, &error))
}
