//! What a decision about a rollout is based on: nodes, refusals, traffic. Values; who gathers them is elsewhere.

use std::collections::BTreeMap;

use crate::model::timestamp::Timestamp;

use super::selection::Member;

/// Everything that is known when a decision is made.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Observed {
    /// The nodes of the fleet.
    pub nodes: Vec<Node>,
    /// Refusals of the new revision since the rollout began, from the first.
    pub refusals: Vec<Refused>,
    /// Requests served by nodes on the new revision, since the current wave's last nodes were chosen.
    pub new: Traffic,
    /// Requests served at the same time by nodes on the old one.
    pub old: Traffic,
    /// What the new revision would do to requests, if that is asked; `None` also while it is not known.
    pub forecast: Option<Forecast>,
}

/// What the new revision would do to the requests that proxies have seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forecast {
    /// How many were asked about.
    pub requests: u64,
    /// So many would get something else.
    pub changed: u64,
    /// Of so many it is not known.
    pub not_known: u64,
    /// What would happen to most of them, in words.
    pub groups: Vec<String>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its id.
    pub id: String,
    /// Its zone; empty if it does not say.
    pub zone: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is connected to a replica that lives.
    pub connected: bool,
    /// The revision that it has: acknowledged whole, and live if it is one that says so.
    pub has: Option<u64>,
    /// Something makes what is known of it doubtful, such as two live streams with its id.
    pub doubtful: bool,
}

/// A refusal of a revision by a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The node.
    pub node: String,
    /// The type of the resources.
    pub type_url: String,
    /// Their names.
    pub resources: Vec<String>,
    /// What the node said.
    pub message: String,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// What became of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// All of them.
    pub requests: u64,
    /// Those that were answered with a 5xx. A client that goes away is no error of a config.
    pub errors: u64,
    /// Those that matched no route.
    pub no_route: u64,
    /// The 99th percentile of the time they took, in milliseconds; `None` if it is not known of any of them, as of those that
    /// clients with load reports have served.
    pub p99_ms: Option<f64>,
}

impl Node {
    /// What it is chosen by.
    pub fn member(&self) -> Member<'_> {
        Member {
            id: &self.id,
            zone: &self.zone,
            labels: &self.labels,
        }
    }
}
