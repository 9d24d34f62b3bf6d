//! How rollouts end that do not end by a step: another takes their place, or their fleet goes. And the fleet's row, where
//! every change of a rollout leaves its mark.

use sqlx::AnyConnection;

use super::super::Fleet;
use super::super::error::Result;
use super::{events, row};
use crate::model::timestamp::Timestamp;
use crate::rollout::{Change, Event, EventKind, Rollout, State};

const WRITE_FLEET: &str = "UPDATE fleet SET stable = $2, assignment = $3, held = $4, change_seq = change_seq + 1 WHERE name = $1";

/// Ends the active rollout of a fleet that goes; its id, if there was one.
pub(in crate::store) async fn cancel_active(
    tx: &mut AnyConnection,
    fleet: &str,
    actor: &str,
    now: Timestamp,
) -> Result<Option<String>> {
    let Some(active) = row::active(tx, fleet).await? else {
        return Ok(None);
    };
    let detail = "the fleet was deleted".to_owned();
    let next = Rollout {
        state: State::Canceled,
        paused: None,
        deadline: None,
        ended_at: Some(now),
        outcome: Some(detail.clone()),
        ..active
    };
    let event = Event {
        kind: EventKind::Ended,
        state: next.state,
        wave: next.wave,
        detail,
        data: None,
    };
    let (id, events) = (next.id.clone(), vec![event]);
    write(tx, &Change { next, events }, actor, now).await?;
    Ok(Some(id))
}

/// Writes a change of a rollout with its events.
pub(super) async fn write(
    tx: &mut AnyConnection,
    change: &Change,
    actor: &str,
    now: Timestamp,
) -> Result<()> {
    let was = change.next.row_version;
    let next = Rollout {
        row_version: was + 1,
        ..change.next.clone()
    };
    row::update(tx, was, &next).await?;
    events::add(tx, &next, now, actor, &change.events).await
}

/// Writes what a rollout changes of its fleet, which is locked, and counts the change.
pub(super) async fn write_fleet(tx: &mut AnyConnection, fleet: &Fleet) -> Result<()> {
    sqlx::query(WRITE_FLEET)
        .bind(fleet.name.as_str())
        .bind(fleet.stable as i64)
        .bind(fleet.assignment as i64)
        .bind(fleet.held.as_deref())
        .execute(tx)
        .await?;
    Ok(())
}

/// What a rollout is called in the audit trail.
pub(super) fn object(id: &str) -> String {
    format!("rollouts/{id}")
}
