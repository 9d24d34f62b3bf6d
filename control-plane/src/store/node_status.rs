//! What is known of a node: as its replica writes it down, as the store keeps it, as the API shows it.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;

use crate::model::is_default;
use crate::model::timestamp::Timestamp;

/// What is known of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct NodeStatus {
    /// The fleet whose config it asked for.
    #[serde(skip)]
    pub fleet: String,
    /// Its id, unique within the fleet.
    #[schema(example = "edge-1")]
    pub id: String,
    /// The control plane that it is, or was, connected to.
    pub replica: String,
    /// Whether it is connected.
    pub connected: bool,
    /// Its class: what it can be served.
    #[schema(example = "signalbox")]
    pub class: String,
    /// What it says it is.
    pub user_agent: String,
    /// The zone it is in; empty if it does not say.
    pub zone: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// When its stream began.
    pub connected_at: Timestamp,
    /// The revision that it is to have.
    pub wanted_revision: Option<u64>,
    /// The newest revision that it was sent whole.
    pub sent_revision: Option<u64>,
    /// The newest revision that it acknowledged whole.
    pub acked_revision: Option<u64>,
    /// The revision that its requests are served by; only our own proxy says so.
    pub live_revision: Option<u64>,
    /// The revision that it can switch to at once; only our own proxy says so.
    pub staged_revision: Option<u64>,
    /// What it refused or left by itself, unless it has acknowledged something since.
    pub refused: Option<Refusal>,
    /// What is wrong with it beside what it refuses: two live streams that use its id.
    pub problems: Vec<String>,
    /// When any of this last changed.
    pub updated_at: Timestamp,
}

/// What a replica says of nodes that others have written down as theirs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Claims {
    /// The ids of those that have a live stream here as well.
    pub held: Vec<String>,
    /// The ids of those that have none here any longer.
    pub given_up: Vec<String>,
}

/// A NACK, or what a proxy of ours says against a revision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Refusal {
    /// The revision that was refused.
    pub revision: u64,
    /// The type of the resources.
    pub type_url: String,
    /// The names of the resources; those that the node named if it named any, else all that were new to it.
    pub resources: Vec<String>,
    /// What the node said.
    pub message: String,
    /// It served the revision, and went back by itself when its lease had run out.
    #[serde(skip_serializing_if = "is_default")]
    pub reverted: bool,
    /// When.
    pub at: Timestamp,
}
