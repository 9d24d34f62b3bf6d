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

/// The gates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Gate {
    /// Refusals of the new revision.
    Refusals,
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
