//! What happened in a rollout: rows that are only added, each in the transaction of the change that it tells of.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AnyPool, Row as _};

use super::super::error::{Result, StoreError};
use super::super::rollout::StoredEvent;
use super::super::sql::unsigned;
use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::rollout::{Event, EventKind, Rollout, State};

const LAST: &str = "SELECT COALESCE(MAX(seq), 0) FROM rollout_event WHERE rollout = $1";
const ADD: &str = "INSERT INTO rollout_event (rollout, seq, at, actor, kind, state, wave, detail, data) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const PAGE: &str =
    "SELECT * FROM rollout_event WHERE rollout = $1 AND seq > $2 ORDER BY seq LIMIT $3";

/// Adds events to the transaction of their change; `actor` is empty if nobody asked for it. The fleet is locked.
pub(super) async fn add(
    tx: &mut AnyConnection,
    rollout: &Rollout,
    now: Timestamp,
    actor: &str,
    events: &[Event],
) -> Result<()> {
    let last: i64 = sqlx::query_scalar(LAST)
        .bind(rollout.id.as_str())
        .fetch_one(&mut *tx)
        .await?;
    for (seq, event) in (last + 1..).zip(events) {
        let query = sqlx::query(ADD)
            .bind(rollout.id.as_str())
            .bind(seq)
            .bind(now.as_micros())
            .bind(actor)
            .bind(event.kind.as_str());
        let query = query
            .bind(event.state.as_str())
            .bind(i64::from(event.wave))
            .bind(event.detail.replace('\0', "\u{fffd}"))
            .bind(event.data.as_ref().map(canonical::to_bytes));
        query.execute(&mut *tx).await?;
    }
    Ok(())
}

/// Events of a rollout above `after`, from the oldest.
pub(super) async fn page(
    reader: &AnyPool,
    rollout: &str,
    after: u64,
    limit: u32,
) -> Result<Vec<StoredEvent>> {
    let page = sqlx::query(PAGE)
        .bind(rollout)
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::from(limit));
    let rows = page.fetch_all(reader).await?;
    rows.iter().map(read).collect()
}

fn read(row: &AnyRow) -> Result<StoredEvent> {
    let (rollout, seq): (String, i64) = (row.try_get("rollout")?, row.try_get("seq")?);
    let corrupt = |what: &str| StoreError::Corrupt {
        what: format!("event {seq} of rollout {rollout}: {what}"),
    };
    let (kind, state): (String, String) = (row.try_get("kind")?, row.try_get("state")?);
    let data: Option<Vec<u8>> = row.try_get("data")?;
    let data = data.map(|bytes| serde_json::from_slice(&bytes)).transpose();
    let wave: i64 = row.try_get("wave")?;
    Ok(StoredEvent {
        seq: unsigned(seq),
        at: Timestamp::from_micros(row.try_get("at")?),
        actor: row.try_get("actor")?,
        event: Event {
            kind: EventKind::of_str(&kind).ok_or_else(|| corrupt("its kind is not known"))?,
            state: State::of_str(&state).ok_or_else(|| corrupt("its state is not known"))?,
            wave: u32::try_from(wave).map_err(|_| corrupt("its wave is no number"))?,
            detail: row.try_get("detail")?,
            data: data.map_err(|_| corrupt("its data cannot be read"))?,
        },
    })
}
