//! Which nodes a rollout has chosen so far: the only thing by which a node is judged. It only grows, so whoever was in stays
//! in, and whoever joins later is judged by the same values.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::is_default;

/// Hashes of nodes are below this; it is also the cutoff that takes every node in. 52 bits: a number that JSON keeps.
pub const HASH_END: u64 = 1 << 52;

/// A node, by what it is chosen by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'n> {
    /// Its id.
    pub id: &'n str,
    /// Its zone; empty if it does not say.
    pub zone: &'n str,
    /// Its labels.
    pub labels: &'n BTreeMap<String, String>,
}

/// Nodes with this label are there to try revisions, without traffic: they get each one before everybody else.
const VALIDATOR: (&str, &str) = ("role", "validator");

impl Member<'_> {
    /// Whether it is there to try revisions.
    pub fn is_validator(&self) -> bool {
        is_validator(self.labels)
    }
}

/// Whether a node with these labels is there to try revisions.
pub fn is_validator(labels: &BTreeMap<String, String>) -> bool {
    let (key, value) = VALIDATOR;
    labels.get(key).is_some_and(|label| label == value)
}

/// The nodes that have been chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selection {
    /// By zone: nodes whose hash is below.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub cutoffs: BTreeMap<String, u64>,
    /// The same for zones that are not named.
    #[serde(default)]
    pub default_cutoff: u64,
    /// By id.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub nodes: BTreeSet<String>,
    /// By zone, whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub zones: BTreeSet<String>,
    /// By labels: nodes that have all of one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<BTreeMap<String, String>>,
    /// More nodes of the current wave are still to be chosen: its first ones were as many as one step may move.
    #[serde(default, skip_serializing_if = "is_default")]
    pub partial: bool,
}

impl Selection {
    /// Every node there is and will be.
    pub fn everybody() -> Self {
        Self {
            default_cutoff: HASH_END,
            ..Self::default()
        }
    }

    /// Nodes of a zone are chosen whose hash is below.
    pub fn cutoff(&self, zone: &str) -> u64 {
        *self.cutoffs.get(zone).unwrap_or(&self.default_cutoff)
    }

    /// Whether a node is chosen.
    pub fn contains(&self, salt: &str, node: Member<'_>) -> bool {
        self.nodes.contains(node.id)
            || self.zones.contains(node.zone)
            || hash(salt, node.id) < self.cutoff(node.zone)
            || self.labels.iter().any(|wanted| has(node.labels, wanted))
    }

    /// Whether nobody can be chosen.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where a node stands among all nodes, by a salt: evenly spread in `0..HASH_END`.
pub fn hash(salt: &str, id: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&(salt.len() as u64).to_le_bytes());
    hasher.update(salt.as_bytes());
    hasher.update(id.as_bytes());
    let mut first = [0; 8];
    hasher.finalize_xof().fill(&mut first);
    u64::from_le_bytes(first) % HASH_END
}

/// Whether labels have all that is wanted. What wants nothing takes everybody.
pub fn has(labels: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>) -> bool {
    wanted
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value))
}
