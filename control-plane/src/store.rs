//! What outlives the process: fleets, revisions, endpoints, and what nodes said. [`Store`] is one trait of coarse
//! methods; [`sql::SqlStore`] implements it for SQLite and PostgreSQL. SQL stands in this folder alone.
//! Not here: what may be stored (`revision` decides), and when it is read again (the reconciler does).

pub mod audit;
pub mod backup;
pub mod error;
pub mod memory;
pub mod node_status;
pub mod readings;
pub mod rollout;
pub mod samples;
pub mod served;
pub mod sql;
pub mod token;

mod database;
mod dialect;
mod endpoints;
mod fleets;
mod leases;
mod listen;
mod lock;
mod nodes;
mod revisions;
mod rollouts;
mod tokens;
mod traffic;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use utoipa::ToSchema;

use crate::model::canonical::Hash;
use crate::model::timestamp::Timestamp;
use crate::model::{Config, Endpoints, is_default};
use crate::plan::NodeCount;
use crate::revision::Validated;
use crate::rollout::Rollout;
use crate::rollout::observed::Refused;
use crate::rollout::strategy::{RolloutSettings, Strategy};
use crate::sample::Sample;
use crate::translate::FastLane;

use self::audit::{AuditQuery, AuditRow};
pub use self::error::{Result, StoreError};
use self::memory::Memory;
use self::node_status::{Claims, NodeStatus};
use self::rollout::{NewRollout, ReportNumber, RowsOf, Step, StoredEvent, TrafficRow};
use self::samples::SampleRow;
use self::served::Served;
use self::token::{NewToken, Token};

/// So many nodes are read in one statement.
const NODES_AT_ONCE: u32 = 1_000;

/// A set of proxies that serve the same config.
#[derive(Clone, Debug, PartialEq)]
pub struct Fleet {
    /// Its name.
    pub name: String,
    /// Its newest revision; 0 before the first.
    pub head: u64,
    /// The revision that all its nodes are to serve while no rollout runs.
    pub stable: u64,
    /// Grows with every change of what any node is to serve.
    pub assignment: u64,
    /// The rollout after which commits begin none, until somebody reverts or begins one by hand: it was rolled back or
    /// canceled, or was sent by hand to another revision than the newest.
    pub held: Option<String>,
    /// Grows with every change that a client of the fleet can see.
    pub change_seq: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// What operators say of it.
    pub settings: FleetSettings,
}

/// What operators say of a fleet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetSettings {
    /// A sentence for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// Words to find it by.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// What it does with commits.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rollout: RolloutSettings,
    /// Strategies by name; one that is built in can be replaced.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub strategies: BTreeMap<String, Strategy>,
}

/// Who writes: every write leaves an audit row with it, in its own transaction.
#[derive(Clone, Copy, Debug)]
pub struct By<'a> {
    /// The actor's name.
    pub actor: &'a str,
    /// The request that asks.
    pub request_id: &'a str,
}

/// An immutable state of a fleet's slow lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// Its number: one more than that of the revision before.
    pub number: u64,
    /// The hash of its whole content.
    pub hash: Hash,
    /// Who committed it.
    pub author: String,
    /// What the author says of it; may be empty.
    pub message: String,
    /// When it was committed, by the database's clock.
    pub created_at: Timestamp,
}

/// A revision to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Commit<'a> {
    /// The fleet.
    pub fleet: &'a str,
    /// The head that it was made from.
    pub base: u64,
    /// Who commits.
    pub by: By<'a>,
    /// What the author says of it.
    pub message: &'a str,
    /// The content.
    pub config: &'a Validated,
    /// Somebody has looked at why the fleet is held: it no longer is.
    pub release: bool,
    /// No rollout that a commit begins takes it to nodes before this.
    pub not_before: Option<Timestamp>,
}

/// What a write of endpoints counts on.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// The fleet's head, if what is written was judged by it.
    pub head: Option<u64>,
    /// The hash of the endpoints that are stored; `None` if none are.
    pub hash: Option<Hash>,
}

/// The database, by what the rest of the program asks of it. Every write is one transaction.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync {
    /// All fleets, by name.
    async fn fleets(&self) -> Result<Vec<Fleet>>;

    /// One fleet.
    async fn fleet(&self, name: &str) -> Result<Fleet>;

    /// Creates a fleet, if there is none of that name. One that was deleted goes on counting its revisions.
    async fn create_fleet(&self, name: &str, settings: &FleetSettings, by: By<'_>)
    -> Result<Fleet>;

    /// Changes what is said of a fleet, if that is still what the caller expects.
    async fn change_fleet(
        &self,
        name: &str,
        settings: &FleetSettings,
        expected: &FleetSettings,
        by: By<'_>,
    ) -> Result<()>;

    /// Deletes a fleet that has no resources, no endpoints and no connected nodes.
    async fn delete_fleet(&self, name: &str, by: By<'_>) -> Result<()>;

    /// The slow lane at a revision; revision 0 is empty.
    async fn config_at(&self, fleet: &str, revision: u64) -> Result<Arc<Config>>;

    /// Stores the next revision, if the head is still the one it was made from.
    async fn commit(&self, commit: Commit<'_>) -> Result<Revision>;

    /// One revision.
    async fn revision(&self, fleet: &str, number: u64) -> Result<Revision>;

    /// Revisions from the newest, those below `before` if it is given, `limit` at most.
    async fn revisions(
        &self,
        fleet: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>>;

    /// The endpoints of all clusters of a fleet.
    async fn endpoints(&self, fleet: &str) -> Result<FastLane>;

    /// The endpoints of one cluster, if any were put.
    async fn endpoints_of(&self, fleet: &str, cluster: &str) -> Result<Option<Endpoints>>;

    /// Stores the endpoints of a cluster.
    async fn put_endpoints(
        &self,
        fleet: &str,
        cluster: &str,
        endpoints: &Endpoints,
        expected: Expected,
        by: By<'_>,
    ) -> Result<()>;

    /// Deletes the endpoints of a cluster, if no revision that nodes are served, or are to be, refers to them: the newest one,
    /// the stable one and the one that a rollout goes to.
    async fn delete_endpoints(
        &self,
        fleet: &str,
        cluster: &str,
        expected: Expected,
        by: By<'_>,
    ) -> Result<()>;

    /// Writes what a replica knows of its nodes; each node stands in the list once. Nobody is told.
    async fn write_nodes(&self, replica: &str, nodes: &[NodeStatus]) -> Result<()>;

    /// Says, or takes back, that nodes whose row is another replica's have a live stream at this one too. What is said
    /// counts for 15 s from now.
    async fn claim_nodes(&self, replica: &str, fleet: &str, claims: &Claims) -> Result<()>;

    /// Nodes of a fleet by id, those after `after`, `limit` at most.
    async fn nodes(&self, fleet: &str, after: &str, limit: u32) -> Result<Vec<NodeStatus>>;

    /// All nodes of a fleet, by id.
    async fn every_node(&self, fleet: &str) -> Result<Vec<NodeStatus>> {
        let mut nodes = Vec::new();
        let mut after = String::new();
        loop {
            let page = self.nodes(fleet, &after, NODES_AT_ONCE).await?;
            let is_last = page.len() < NODES_AT_ONCE as usize;
            if let Some(last) = page.last() {
                after.clone_from(&last.id);
            }
            nodes.extend(page);
            if is_last {
                return Ok(nodes);
            }
        }
    }

    /// Nodes of all fleets by fleet and id, those after `after`, `limit` at most.
    async fn nodes_of_all(&self, after: (&str, &str), limit: u32) -> Result<Vec<NodeStatus>>;

    /// All nodes of all fleets, by fleet and id.
    async fn every_node_of_all(&self) -> Result<Vec<NodeStatus>> {
        let mut nodes = Vec::new();
        let mut after = (String::new(), String::new());
        loop {
            let page = self
                .nodes_of_all((&after.0, &after.1), NODES_AT_ONCE)
                .await?;
            let is_last = page.len() < NODES_AT_ONCE as usize;
            if let Some(last) = page.last() {
                after = (last.fleet.clone(), last.id.clone());
            }
            nodes.extend(page);
            if is_last {
                return Ok(nodes);
            }
        }
    }

    /// One node.
    async fn node(&self, fleet: &str, id: &str) -> Result<Option<NodeStatus>>;

    /// What a node served at a time; `None` if that is not known.
    async fn served(&self, fleet: &str, node: &str, at: Timestamp) -> Result<Option<Served>>;

    /// How many nodes of each class a fleet has.
    async fn count_nodes(&self, fleet: &str) -> Result<HashMap<String, NodeCount>>;

    /// Says that a replica is alive. Its nodes count as connected for 15 s from now.
    async fn heartbeat(&self, replica: &str) -> Result<()>;

    /// What this process has read last, for those who cannot wait until the database is back.
    fn memory(&self) -> &Memory;

    /// All tokens there ever were, from the oldest.
    async fn tokens(&self) -> Result<Vec<Token>>;

    /// Grows whenever a token is made or revoked.
    async fn token_seq(&self) -> Result<u64>;

    /// Stores a token, if no token that is not revoked has its name.
    async fn create_token(&self, token: &NewToken, by: By<'_>) -> Result<Token>;

    /// Revokes a token, for ever.
    async fn revoke_token(&self, id: &str, by: By<'_>) -> Result<Token>;

    /// The audit trail, from the newest.
    async fn audit(&self, asked: &AuditQuery) -> Result<Vec<AuditRow>>;

    /// Takes a lease or keeps it: whether `holder` has it for so long from now, by the database's clock.
    async fn take_lease(&self, name: &str, holder: &str, lasts: Duration) -> Result<bool>;

    /// Gives a lease back, if `holder` has it.
    async fn release_lease(&self, name: &str, holder: &str) -> Result<()>;

    /// Rollouts that have not ended; at most one a fleet. Read them before the fleets: then a rollout that completes in
    /// between is seen with the stable revision that came of it, which moves nobody; the other way round it is not seen at
    /// all, and everybody seems to want the old one again.
    async fn active_rollouts(&self) -> Result<Vec<Rollout>>;

    /// One rollout.
    async fn rollout(&self, fleet: &str, id: &str) -> Result<Rollout>;

    /// Rollouts of a fleet from the newest, those older than the rollout `before` if it is given, `limit` at most.
    async fn rollouts(&self, fleet: &str, before: Option<&str>, limit: u32)
    -> Result<Vec<Rollout>>;

    /// What happened in a rollout, from the oldest, events above `after`, `limit` at most.
    async fn rollout_events(&self, id: &str, after: u64, limit: u32) -> Result<Vec<StoredEvent>>;

    /// Begins a rollout, if none is active, or the one that is may be superseded.
    async fn start_rollout(&self, new: NewRollout<'_>) -> Result<Rollout>;

    /// Changes a rollout, if its row is still the one that the change was made from; else [`StoreError::Moved`].
    async fn step_rollout(&self, step: Step<'_>) -> Result<Rollout>;

    /// Notes that a node refused a revision: if an active rollout goes there, its row moves, so that whatever was decided
    /// without knowing of this fails. The refusal counts once a node. The rollout's id and row version, if there is one.
    async fn refuse_rollout(
        &self,
        fleet: &str,
        revision: u64,
        refused: &Refused,
    ) -> Result<Option<(String, u64)>>;

    /// Refusals of a rollout's new revision, from the first.
    async fn rollout_refusals(&self, id: &str) -> Result<Vec<Refused>>;

    /// Adds what a replica's nodes report of requests; what is older than an hour goes.
    async fn write_traffic(&self, replica: &str, rows: &[TrafficRow]) -> Result<()> {
        let rows = |_: &[bool]| rows.to_vec();
        self.write_reports(replica, &[], &rows).await.map(drop)
    }

    /// The same of numbered reports, each process once in the list: which of them nobody has written before, for a day. In the
    /// same transaction go the `rows` that those make.
    async fn write_reports(
        &self,
        replica: &str,
        reports: &[ReportNumber],
        rows: RowsOf<'_>,
    ) -> Result<Vec<bool>>;

    /// What was reported of a fleet's requests since then, by all replicas, from the oldest.
    async fn traffic(&self, fleet: &str, since: Timestamp) -> Result<Vec<TrafficRow>>;

    /// Adds what a replica's nodes have told of single requests; what is old or too much goes.
    async fn write_samples(&self, rows: &[SampleRow]) -> Result<()>;

    /// What is kept of a fleet's requests, those kinds that stand for most first.
    async fn samples(&self, fleet: &str) -> Result<Vec<Sample>>;

    /// What the database's clock says.
    async fn clock(&self) -> Result<Timestamp>;

    /// Changes when something may have changed: after every write here, and when another replica says so. A hint;
    /// [`Fleet::change_seq`] is the truth.
    fn hints(&self) -> watch::Receiver<u64>;

    /// Closes the connections once the writes that run have ended.
    async fn close(&self);
}
