//! Strategies: in which waves a fleet moves, and what must hold before the next one. As operators write them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::duration::Duration;
use crate::model::is_default;

use super::webhook::Webhook;
use super::window::Freeze;

/// What a fleet does with commits.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutSettings {
    /// Whether a commit begins a rollout.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mode: Mode,
    /// The strategy of rollouts that name none: the name of one of the fleet's `strategies` or of one that is built in, or the
    /// strategy itself.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strategy: StrategyRef,
    /// When no wave begins. What bakes goes on baking, and what fails goes back at any time.
    #[serde(default, skip_serializing_if = "is_default")]
    pub freeze: Vec<Freeze>,
}

/// Whether a commit begins a rollout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Each does. Commits during a rollout are taken together in the next one. After a rollback none does until somebody
    /// reverts or begins a rollout by hand.
    #[default]
    Automatic,
    /// None does.
    Manual,
}

/// A strategy, by its name or as it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum StrategyRef {
    /// By its name.
    Named(String),
    /// As it is.
    Inline(Strategy),
}

impl Default for StrategyRef {
    fn default() -> Self {
        Self::Named(ALL_AT_ONCE.to_owned())
    }
}

/// The strategy of a fleet that says nothing else: one wave of everybody, with the gate of refusals.
pub const ALL_AT_ONCE: &str = "all-at-once";
/// One node, 10 %, 50 %, 100 %.
pub const CANARY_THEN_ALL: &str = "canary-then-all";
/// One zone after the other.
pub const BY_ZONE: &str = "by-zone";

/// How a fleet moves from one revision to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Strategy {
    /// The waves, one after the other. Waves nest: whoever is in one is in all that follow.
    pub waves: Vec<Wave>,
    /// What is asked of every wave.
    #[serde(default, skip_serializing_if = "is_default")]
    pub gates: Gates,
    /// The most nodes that are moved in one step; a wave with more goes in several. No limit if it is not set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_step: Option<u32>,
    /// What happens when a gate fails.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_failure: OnFailure,
}

impl Strategy {
    /// Whether anything of it is judged by requests.
    pub fn asks_for_traffic(&self) -> bool {
        self.gates.health.is_some() || self.waves.iter().any(|wave| wave.min_requests > 0)
    }
}

/// What happens when a gate fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnFailure {
    /// All nodes go back to the old revision.
    #[default]
    RollBack,
    /// No further node moves until an operator says what to do.
    Pause,
}

/// A part of the fleet that gets the new revision together. Exactly one of `nodes`, `count`, `percent`, `labels`, `zones` and
/// `each_zone` says which. The last wave takes everybody: `percent: 100` or `labels: {}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Wave {
    /// A word for people.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// These nodes, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Vec<String>>,
    /// So many nodes of those that are connected when the wave begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// This share of each zone's nodes, in percent, one node at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 100, example = 10)]
    pub percent: Option<f64>,
    /// Nodes that have all these labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// All nodes of these zones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zones: Option<Vec<String>>,
    /// One zone after the other, by name, as long as connected nodes are in one that has not had its turn; each settles and is
    /// watched before the next. Nodes that do not say their zone, and zones that turn up later, are left to a later wave.
    #[serde(default, skip_serializing_if = "is_default")]
    pub each_zone: bool,
    /// How long the wave is watched once it has settled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bake: Duration,
    /// How long its nodes may take to serve the new revision; our own proxies, which first get ready for it together, have as
    /// long for that before.
    #[serde(default = "settle", skip_serializing_if = "is_settle")]
    pub settle: Duration,
    /// The share of its connected nodes that must be ready for the new revision, and then serve it, when `settle` is over; all
    /// of them end it at once. With 0 nobody is waited for, and nodes do not get ready together first.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    #[schema(minimum = 0, maximum = 1)]
    pub share: f64,
    /// So many of its nodes must be connected and serve the new revision before the next wave.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_nodes: u32,
    /// So many requests must have been served by the new revision before the next wave.
    #[serde(default, skip_serializing_if = "is_default")]
    pub min_requests: u64,
    /// How long our own proxies of the wave serve the new revision without hearing of a control plane, before they go back by
    /// themselves; until the wave has passed. 5 minutes if it is not set, `0s`: for good. The last wave has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Duration>,
    /// An operator must say so before the wave begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<Approval>,
    /// Who else is asked, beside the webhooks of `gates`.
    #[serde(default, skip_serializing_if = "is_default")]
    pub webhooks: Vec<Webhook>,
}

/// An operator's word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    /// Neither who began the rollout nor the author of its revision may give it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub by_another: bool,
}

/// What is asked of every wave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Gates {
    /// So many refusals by nodes are let pass: with 0 the first one stops the rollout.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_refusals: u32,
    /// The highest share of the requests that proxies have seen (`samples`) that may get something else by the new revision. It is
    /// asked before the first wave: above it, and while there are no samples, the rollout holds until an operator promotes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1, example = 0.01)]
    pub max_changed: Option<f64>,
    /// What requests tell, if they are asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<HealthGate>,
    /// Who is asked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub webhooks: Vec<Webhook>,
}

/// How well requests fare on the new revision. Without data it holds; with data that fails it fails, bake or not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthGate {
    /// The new revision is judged by so many requests at least.
    #[serde(default = "enough", skip_serializing_if = "is_enough")]
    pub min_requests: u64,
    /// The highest share of requests on the new revision that may end with a 5xx.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_error_ratio: Option<f64>,
    /// The highest share of requests on the new revision that may match no route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_no_route_ratio: Option<f64>,
    /// The highest 99th percentile of the time that requests on the new revision take.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_p99: Option<Duration>,
    /// How much worse the new revision may fare than the old one does on other nodes at the same time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compare: Option<Compare>,
}

/// How much worse the new revision may fare than the old one. Where no node is left on the old one, nothing is compared. What is
/// worse by too few requests to say so holds; docs/health-gates.md says how many it takes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    /// What may be added to the share of 5xx: 0.01 lets 2 % pass where the old revision has 1 %.
    #[serde(default = "one_percent")]
    pub error_ratio: f64,
    /// The same for the share of requests that match no route.
    #[serde(default = "one_percent")]
    pub no_route_ratio: f64,
    /// By what the median may be multiplied; it is not compared if this is not set. Less than 1 ms more is not held against the
    /// new revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub p50_factor: Option<f64>,
    /// By what the 99th percentile may be multiplied; it is not compared if this is not set. Less than 10 ms more is not held
    /// against the new revision: between short times a factor says little.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub p99_factor: Option<f64>,
    /// Which requests are compared.
    #[serde(default, skip_serializing_if = "is_default")]
    pub scope: Scope,
    /// How sure it must be that the new revision is worse: with 0.99 a whole rollout of a revision that fares as the old one does
    /// is stopped by chance no more than once in a hundred times.
    #[serde(default = "sure", skip_serializing_if = "is_sure")]
    #[schema(minimum = 0.5, maximum = 0.999_999)]
    pub confidence: f64,
}

/// Which requests are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = CompareScope)]
pub enum Scope {
    /// Those of the routes, hosts and clusters that the new revision changes, each by itself and all together. The other requests on
    /// the same nodes show what the nodes are to blame for. If it changes a listener, that is all requests.
    #[default]
    Changed,
    /// All of them, together.
    All,
}

impl Wave {
    /// How long its proxies serve the new revision without hearing of a control plane; 0: for good. As long as restarts of
    /// all control planes, one after the other, may take.
    pub fn lease(&self) -> Duration {
        self.lease.unwrap_or(LEASE)
    }

    /// Whether its nodes get ready together before any of them serves the new revision. Who waits for nobody does not wait for that.
    pub fn stages(&self) -> bool {
        self.share > 0.0
    }
}

const LEASE: Duration = Duration::from_millis(5 * 60_000);
const SETTLE: Duration = Duration::from_millis(60_000);
const ENOUGH: u64 = 100;

const fn settle() -> Duration {
    SETTLE
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_settle(settle: &Duration) -> bool {
    *settle == SETTLE
}

const fn whole() -> f64 {
    1.0
}

#[expect(
    clippy::float_cmp,
    clippy::trivially_copy_pass_by_ref,
    reason = "only the very value that stands for the default is left out; serde hands over references"
)]
fn is_whole(share: &f64) -> bool {
    *share == 1.0
}

const fn enough() -> u64 {
    ENOUGH
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_enough(requests: &u64) -> bool {
    *requests == ENOUGH
}

const fn one_percent() -> f64 {
    0.01
}

const SURE: f64 = 0.99;

const fn sure() -> f64 {
    SURE
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_sure(confidence: &f64) -> bool {
    *confidence == SURE
}

impl Default for Compare {
    fn default() -> Self {
        Self {
            error_ratio: one_percent(),
            no_route_ratio: one_percent(),
            p50_factor: None,
            p99_factor: None,
            scope: Scope::default(),
            confidence: SURE,
        }
    }
}
