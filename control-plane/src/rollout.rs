//! Rollouts: how a fleet moves from its stable revision to another, in waves. Pure: what is decided is decided here, from
//! values, time included; who reads, writes and serves is elsewhere.
//!
//! ```text
//!   [validating] → [awaiting-approval(w)] → advancing(w) → [staging(w)] → settling(w) → baking(w) → … w+1 … → completed
//!     any → paused → resume        any → rolling-back → rolled-back        before anybody has moved → canceled
//! ```
//!
//! A rollout is one row. What a node is to serve follows from the fleet's row, this row and the node alone
//! ([`want::want`]), so every replica says the same without asking another. The row changes by [`step::step`], which the
//! one loop calls with what was observed, and by an operator's [`verb::Verb`]; each change is fenced by the row's version.

// What is said.
pub mod selection;
pub mod touched;
pub mod verdict;
pub mod webhook;
pub mod window;

pub mod observed;
pub mod strategy;

// Which revision a node is to serve.
pub mod want;

// What may be said.
pub mod built_in;

pub mod check;

// How it begins, and what operators do to it.
pub mod begin;
pub mod verb;

// What follows from what was observed.
mod advance;
mod health;

mod gate;

mod outside;

pub mod step;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::timestamp::Timestamp;

use self::selection::Selection;
use self::strategy::{Strategy, Wave};
use self::verdict::Verdict;

/// A rollout, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Names it: a UUID.
    pub id: String,
    /// The fleet.
    pub fleet: String,
    /// The revision that the fleet comes from: its stable one.
    pub from: u64,
    /// The revision that it goes to.
    pub to: u64,
    /// By which strategy, as it was when the rollout began.
    pub strategy: Strategy,
    /// What goes into the hash of nodes: its id, or the salt of the rollout that it supersedes, so that the same nodes go
    /// first.
    pub salt: String,
    /// Where it stands.
    pub state: State,
    /// The state that it goes back to when it is resumed; only if it is paused.
    pub paused: Option<Paused>,
    /// The position of the wave that it is in.
    pub wave: u32,
    /// Which nodes get the new revision.
    pub selection: Selection,
    /// Which of them have been told to serve it; `None`: all of them, as rows of versions say that knew no stages.
    pub activated: Option<Selection>,
    /// Which of those serve it for good, lease or not; `None`: all of them, as rows of versions say that knew no leases.
    pub confirmed: Option<Selection>,
    /// When the last node of the current wave was chosen or activated; what is compared is counted from here on.
    pub wave_at: Option<Timestamp>,
    /// When the state's time is over, by the database's clock: settling fails, a bake ends, going back is told to be late.
    pub deadline: Option<Timestamp>,
    /// An operator has ended the bake of the wave whose nodes were chosen last.
    pub promoted: bool,
    /// How the gates stood when they were last looked at with another outcome.
    pub verdicts: Vec<Verdict>,
    /// Of how many refusals the row knows; a replica that has seen more sends the new revision to nobody else.
    pub refusals_judged: u64,
    /// Why it was begun.
    pub reason: String,
    /// Who began it.
    pub created_by: String,
    /// When it was begun.
    pub created_at: Timestamp,
    /// Who approved the current wave, if it asks for that.
    pub approved_by: Option<String>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it ended, or goes back.
    pub outcome: Option<String>,
    /// Grows with every change of the row.
    pub row_version: u64,
    /// No wave begins before this.
    pub not_before: Option<Timestamp>,
    /// It waits for nodes alone, and for those whose word a wave asks for: neither for time nor for requests, neither for
    /// webhooks nor for the end of a freeze window.
    pub urgent: bool,
}

/// Where a rollout stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The validators of the fleet try the new revision; nobody else has it.
    Validating,
    /// The next wave asks for an operator's word.
    AwaitingApproval,
    /// Nodes of the wave are about to be chosen.
    Advancing,
    /// The nodes that were chosen last get ready for the new revision, and go on with the old one.
    Staging,
    /// The nodes that were chosen last take the new revision.
    Settling,
    /// The nodes of the wave serve the new revision, and are watched.
    Baking,
    /// An operator has stopped it: no further nodes are chosen, and what fails still goes back. Or something has failed: then
    /// those that are chosen and do not have the new revision yet do not get it either.
    Paused,
    /// All nodes are to have the old revision again.
    RollingBack,
    /// All nodes have the new revision, which is the stable one now.
    Completed,
    /// All nodes have the old revision again.
    RolledBack,
    /// It was ended before any node had moved.
    Canceled,
    /// Another rollout has taken its place.
    Superseded,
}

/// What a paused rollout goes on with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// Its state before.
    pub state: State,
    /// How much of the state's time was left, in microseconds: it does not run while the rollout is paused.
    pub left_us: Option<i64>,
    /// If something has failed: the nodes that had the new revision by then. Of those that are chosen no other one has it until
    /// the rollout goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<BTreeSet<String>>,
}

/// What becomes of a rollout, to be written in one transaction.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The rollout as it is to be; its `row_version` is that of the one it was made from.
    pub next: Rollout,
    /// What happened, in order; never nothing.
    pub events: Vec<Event>,
}

/// A change of a rollout, as it is told: one for each transition, each choice of nodes and each verdict that is not as it was.
/// Written in the transaction of the change.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub kind: EventKind,
    /// The state after it.
    pub state: State,
    /// The wave after it.
    pub wave: u32,
    /// A sentence for people.
    pub detail: String,
    /// The numbers behind it.
    pub data: Option<serde_json::Value>,
}

/// The kinds of events of a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum EventKind {
    /// It began.
    Started,
    /// It is in another state.
    Moved,
    /// Nodes were chosen.
    Advanced,
    /// A gate stands otherwise than before.
    Judged,
    /// A node refused the new revision, or left it by itself.
    Refused,
    /// An operator said something.
    Ordered,
    /// It ended.
    Ended,
}

impl Rollout {
    /// An event that leaves the rollout as it is now.
    fn event(&self, kind: EventKind, detail: String, data: Option<serde_json::Value>) -> Event {
        Event {
            kind,
            state: self.state,
            wave: self.wave,
            detail,
            data,
        }
    }

    /// The wave that it is in. Strategies that are checked have one.
    fn current(&self) -> Option<&Wave> {
        self.strategy.waves.get(self.wave as usize)
    }

    /// The state in which the current wave begins.
    fn entry(&self) -> State {
        let asks = self.current().is_some_and(|wave| wave.approval.is_some());
        if asks {
            State::AwaitingApproval
        } else {
            State::Advancing
        }
    }

    /// A wave for people: `wave 1 of 4 (canary)`.
    fn title(&self) -> String {
        let number = self.wave + 1;
        let of = self.strategy.waves.len();
        match self.current() {
            Some(wave) if !wave.name.is_empty() => {
                format!("wave {number} of {of} ({})", wave.name)
            }
            _ => format!("wave {number} of {of}"),
        }
    }
}

impl State {
    /// The name as it stands in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Validating => "validating",
            Self::AwaitingApproval => "awaiting-approval",
            Self::Advancing => "advancing",
            Self::Staging => "staging",
            Self::Settling => "settling",
            Self::Baking => "baking",
            Self::Paused => "paused",
            Self::RollingBack => "rolling-back",
            Self::Completed => "completed",
            Self::RolledBack => "rolled-back",
            Self::Canceled => "canceled",
            Self::Superseded => "superseded",
        }
    }

    /// The state of that name.
    pub fn of_str(name: &str) -> Option<Self> {
        let all = [
            Self::Validating,
            Self::AwaitingApproval,
            Self::Advancing,
            Self::Staging,
            Self::Settling,
            Self::Baking,
            Self::Paused,
            Self::RollingBack,
            Self::Completed,
            Self::RolledBack,
            Self::Canceled,
            Self::Superseded,
        ];
        all.into_iter().find(|state| state.as_str() == name)
    }

    /// Whether nothing follows.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::RolledBack | Self::Canceled | Self::Superseded
        )
    }
}

impl EventKind {
    /// The name as it stands in the API and the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Moved => "moved",
            Self::Advanced => "advanced",
            Self::Judged => "judged",
            Self::Refused => "refused",
            Self::Ordered => "ordered",
            Self::Ended => "ended",
        }
    }

    /// The kind of that name.
    pub fn of_str(name: &str) -> Option<Self> {
        let all = [
            Self::Started,
            Self::Moved,
            Self::Advanced,
            Self::Judged,
            Self::Refused,
            Self::Ordered,
            Self::Ended,
        ];
        all.into_iter().find(|kind| kind.as_str() == name)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
