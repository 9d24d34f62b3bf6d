//! Verdicts: how each gate stands, with the numbers that say so. Stored with the rollout and shown as they are.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a gate stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Verdict {
    /// Which gate.
    pub gate: Gate,
    /// How it stands.
    pub outcome: Outcome,
    /// A sentence for people, with the numbers.
    pub detail: String,
    /// The numbers, by name.
    #[schema(value_type = Object)]
    pub numbers: serde_json::Map<String, serde_json::Value>,
}

impl Verdict {
    /// Whether it says what another of the same gate says, but for the numbers.
    pub(super) fn stands_as(&self, other: &Self) -> bool {
        let replies = |verdict: &Self| verdict.numbers.get("replies").cloned();
        self.outcome == other.outcome && replies(self) == replies(other)
    }
}

/// The gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Refusals of the new revision.
    Refusals,
    /// The validators.
    Validators,
    /// The share of the wave's nodes that could switch to the new revision at once.
    Staged,
    /// The share of the wave's nodes that serve the new revision.
    Share,
    /// The number of the wave's nodes that serve the new revision.
    Nodes,
    /// The number of requests.
    Requests,
    /// How requests fare.
    Health,
    /// The share of sampled requests that would get something else.
    Changed,
    /// Nodes of which nothing can be said for certain.
    Identity,
    /// The time that the wave is watched.
    Bake,
    /// The time before which no wave begins.
    Schedule,
    /// The windows in which no wave begins.
    Freeze,
    /// What webhooks say, all of them together.
    Webhooks,
}

/// How a gate stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It does not stand in the way.
    Pass,
    /// It is not known yet, or too little is: nothing goes on.
    Hold,
    /// The new revision is not good.
    Fail,
}
