//! What a decision about a rollout is based on: nodes, refusals, traffic. Values; who gathers them is elsewhere.

use std::collections::BTreeMap;
use std::fmt;

use crate::model::timestamp::Timestamp;
use crate::sketch::Sketch;

use super::selection::Member;
use super::webhook::Answer;
use super::window::Freeze;

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
    /// The same requests, by what the new revision changes; `None` if that is everything, or is not asked for.
    pub parts: Option<Parts>,
    /// The fleet's freeze windows.
    pub freeze: Vec<Freeze>,
    /// What webhooks have said, not too long ago.
    pub answers: Vec<Answer>,
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
    /// Whether it takes a revision in two steps, as our own proxies do.
    pub stages: bool,
    /// The revision that it could switch to at once.
    pub staged: Option<u64>,
    /// Something makes what is known of it doubtful, such as two live streams with its id.
    pub doubtful: bool,
}

/// A refusal of a revision by a node: it did not take it, or left it by itself.
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
    /// It served the revision, and went back by itself when its lease had run out.
    pub reverted: bool,
    /// When, by the database's clock.
    pub at: Timestamp,
}

/// What became of requests.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Traffic {
    /// All of them.
    pub requests: u64,
    /// Those that were answered with a 5xx. A client that goes away is no error of a config.
    pub errors: u64,
    /// Those that matched no route; known of all requests together only.
    pub no_route: u64,
    /// The time that they took, as far as it is known: of those that clients with load reports have served it is not.
    pub latencies: Sketch,
}

/// Requests by what the new revision changes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Parts {
    /// What it changes, one by one; those with the most requests, if there are too many.
    pub changed: Vec<(Part, Sides)>,
    /// All routes that it changes, together.
    pub routes: Sides,
    /// All clusters that it changes or that such routes lead to, together.
    pub clusters: Sides,
    /// All routes that it leaves as they were.
    pub other_routes: Sides,
    /// All clusters that it leaves as they were.
    pub other_clusters: Sides,
}

/// A part of a config, by its name. Displayed for people.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A route, on whichever listener and host it is served.
    Route(String),
    /// A cluster.
    Cluster(String),
    /// A virtual host, by its xDS name: a route that is added may take the requests of its neighbours.
    Host(String),
}

/// The same requests on both revisions.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sides {
    /// Served by nodes on the new revision.
    pub new: Traffic,
    /// Served by nodes on the old one.
    pub old: Traffic,
}

impl Sides {
    /// On both revisions.
    pub fn requests(&self) -> u64 {
        self.new.requests.saturating_add(self.old.requests)
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Route(name) => write!(f, "route {name}"),
            Self::Cluster(name) => write!(f, "cluster {name}"),
            Self::Host(name) => write!(f, "host {name}"),
        }
    }
}

impl Refused {
    /// What became of the revision at the node, as a sentence for people.
    pub fn sentence(&self) -> String {
        let Self { node, message, .. } = self;
        if self.reverted {
            format!("{node} went back by itself: {message}")
        } else {
            format!("{node} refused it: {message}")
        }
    }
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

#[cfg(test)]
impl Node {
    /// The class of its client.
    pub(super) fn class(&self) -> xds::node::ClientClass {
        if self.stages {
            xds::node::ClientClass::Signalbox
        } else {
            xds::node::ClientClass::Envoy
        }
    }

    /// It does what it is told.
    pub(super) fn follow(&mut self, want: super::want::Want) {
        match want.phase {
            super::want::Phase::Stage => {
                // It has acknowledged what it does not serve.
                self.has = None;
                self.staged = Some(want.revision);
            }
            super::want::Phase::Activate => {
                self.has = Some(want.revision);
                self.staged = None;
            }
        }
    }
}
