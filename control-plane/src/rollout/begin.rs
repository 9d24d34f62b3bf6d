//! How a rollout begins: what is asked comes in, its first row and its first event go out.

use crate::model::timestamp::Timestamp;

use super::selection::Selection;
use super::strategy::Strategy;
use super::{Change, Event, EventKind, Rollout, State};

/// A rollout to be begun.
#[derive(Clone, Copy, Debug)]
pub struct Begin<'a> {
    /// What it is to be named.
    pub id: &'a str,
    /// The fleet.
    pub fleet: &'a str,
    /// The revision that the fleet comes from.
    pub from: u64,
    /// The revision that it goes to.
    pub to: u64,
    /// How.
    pub strategy: &'a Strategy,
    /// Why.
    pub reason: &'a str,
    /// Who begins it.
    pub by: &'a str,
    /// The rollout that it takes the place of: its salt and the nodes that it has chosen are kept.
    pub instead_of: Option<&'a Rollout>,
}

/// The first row of a rollout, and what is told of it.
pub fn begin(asked: Begin<'_>, now: Timestamp) -> (Rollout, Vec<Event>) {
    let first = asked.strategy.waves.first();
    let state = match first.and_then(|wave| wave.approval) {
        Some(_) => State::AwaitingApproval,
        None => State::Advancing,
    };
    let (salt, selection) = match asked.instead_of {
        Some(old) => (old.salt.clone(), old.selection.clone()),
        None => (asked.id.to_owned(), Selection::default()),
    };
    let rollout = Rollout {
        id: asked.id.to_owned(),
        fleet: asked.fleet.to_owned(),
        from: asked.from,
        to: asked.to,
        strategy: asked.strategy.clone(),
        salt,
        state,
        paused: None,
        wave: 0,
        selection,
        wave_at: None,
        deadline: None,
        promoted: false,
        verdicts: Vec::new(),
        refusals_judged: 0,
        reason: asked.reason.to_owned(),
        created_by: asked.by.to_owned(),
        created_at: now,
        approved_by: None,
        ended_at: None,
        outcome: None,
        row_version: 0,
    };
    let event = Event {
        kind: EventKind::Started,
        state,
        wave: 0,
        detail: format!(
            "from revision {} to {}: {}",
            asked.from, asked.to, asked.reason
        ),
        data: None,
    };
    (rollout, vec![event])
}

/// The end of a rollout whose place another takes.
pub fn superseded(rollout: &Rollout, by: &Rollout, now: Timestamp) -> Change {
    let detail = format!("revision {} takes the place of {}", by.to, rollout.to);
    let next = Rollout {
        state: State::Superseded,
        paused: None,
        deadline: None,
        ended_at: Some(now),
        outcome: Some(detail.clone()),
        ..rollout.clone()
    };
    let event = Event {
        kind: EventKind::Ended,
        state: next.state,
        wave: next.wave,
        detail,
        data: None,
    };
    Change {
        next,
        events: vec![event],
    }
}
