//! A rollout as the API shows it: its row, its waves with what their nodes do, its gates and what happened.

use std::collections::BTreeMap;

use serde::Serialize;
use utoipa::ToSchema;
use xds::node::ClientClass;

use crate::api::ApiState;
use crate::api::problem::Result;
use crate::driver;
use crate::model::is_default;
use crate::model::timestamp::Timestamp;
use crate::rollout::selection::{Member, Selection};
use crate::rollout::strategy::{Strategy, Wave};
use crate::rollout::verdict::Verdict;
use crate::rollout::want::{Phase, want};
use crate::rollout::{self, EventKind, State};
use crate::store::node_status::NodeStatus;
use crate::store::rollout::StoredEvent;

/// So many events are shown, the newest.
const EVENTS_MAX: usize = 1_000;
/// So many events are read in one statement.
const PAGE: u32 = 1_000;
/// So many nodes are named, those that are not where they should be first.
const NODES_MAX: usize = 1_000;

/// A rollout, as it stands in a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::api) struct RolloutSummary {
    /// Names it.
    pub(super) id: String,
    /// The revision that the fleet comes from.
    from: u64,
    /// The revision that it goes to.
    to: u64,
    /// Where it stands.
    state: State,
    /// If it is paused, the state that it goes on with.
    #[serde(skip_serializing_if = "Option::is_none")]
    paused_state: Option<State>,
    /// The position of the wave that it is in, from 0.
    wave: u32,
    /// How many waves there are.
    wave_count: usize,
    /// Why it was begun.
    reason: String,
    /// Who began it.
    created_by: String,
    /// When it was begun.
    created_at: Timestamp,
    /// Who approved the current wave, if it asked for that.
    #[serde(skip_serializing_if = "Option::is_none")]
    approved_by: Option<String>,
    /// It waits neither for time nor for requests, neither for webhooks nor for the end of a freeze window.
    #[serde(skip_serializing_if = "is_default")]
    urgent: bool,
    /// No wave begins before this.
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Timestamp>,
    /// When its state ends at the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Timestamp>,
    /// When it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    ended_at: Option<Timestamp>,
    /// Why it ended, or goes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<String>,
    /// Grows with every change.
    version: u64,
}

/// A rollout.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::api) struct Rollout {
    #[serde(flatten)]
    summary: RolloutSummary,
    /// How it goes.
    strategy: Strategy,
    /// How each wave is doing.
    waves: Vec<WaveStatus>,
    /// How the gates stand.
    verdicts: Vec<Verdict>,
    /// Where nodes are, wave by wave; those that are not where they should be first. Only while it is active.
    nodes: Vec<NodeInRollout>,
    /// What happened, from the oldest.
    events: Vec<RolloutEvent>,
}

/// A wave.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct WaveStatus {
    /// Its position, from 0.
    index: u32,
    /// A word for people.
    #[serde(skip_serializing_if = "String::is_empty")]
    name: String,
    /// Whom it takes, in a few words.
    #[schema(example = "10 %")]
    takes: String,
    /// Whether it is to come, under way or over.
    progress: Progress,
    /// How many of its own nodes are where; those of the waves before are not counted again. Only while the rollout is
    /// active.
    #[serde(skip_serializing_if = "Option::is_none")]
    nodes: Option<Counts>,
}

/// Where a wave stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
enum Progress {
    /// It is to come.
    Pending,
    /// It is under way.
    Active,
    /// It is over.
    Passed,
}

/// Nodes of a wave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
struct Counts {
    /// Those that are to serve the new revision.
    wanted: u64,
    /// Those that have acknowledged it.
    acknowledged: u64,
    /// Those that could switch to it at once.
    staged: u64,
    /// Those whose requests are served by it.
    live: u64,
    /// Those that refuse it.
    refused: u64,
    /// Those that are no longer connected.
    lost: u64,
}

/// A node.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct NodeInRollout {
    /// Its id.
    id: String,
    /// Its zone.
    #[serde(skip_serializing_if = "String::is_empty")]
    zone: String,
    /// The wave that took it; absent if none has, as of validators.
    #[serde(skip_serializing_if = "Option::is_none")]
    wave: Option<u32>,
    /// The revision that it is to serve.
    wanted: u64,
    /// The revision that it has; absent if that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    has: Option<u64>,
    /// Whether it is connected.
    connected: bool,
    /// What it says against the new revision.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct RolloutEvent {
    /// Its number, from 1.
    seq: u64,
    /// When.
    at: Timestamp,
    /// Who asked for it, if somebody did.
    #[serde(skip_serializing_if = "String::is_empty")]
    actor: String,
    /// What.
    kind: EventKind,
    /// The state after it.
    state: State,
    /// The wave after it.
    wave: u32,
    /// A sentence for people.
    detail: String,
    /// The numbers behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    data: Option<serde_json::Value>,
}

impl From<&rollout::Rollout> for RolloutSummary {
    fn from(rollout: &rollout::Rollout) -> Self {
        Self {
            id: rollout.id.clone(),
            from: rollout.from,
            to: rollout.to,
            state: rollout.state,
            paused_state: rollout.paused.as_ref().map(|paused| paused.state),
            wave: rollout.wave,
            wave_count: rollout.strategy.waves.len(),
            reason: rollout.reason.clone(),
            created_by: rollout.created_by.clone(),
            created_at: rollout.created_at,
            approved_by: rollout.approved_by.clone(),
            urgent: rollout.urgent,
            not_before: rollout.not_before,
            deadline: rollout.deadline,
            ended_at: rollout.ended_at,
            outcome: rollout.outcome.clone(),
            version: rollout.row_version,
        }
    }
}

impl Rollout {
    /// A rollout with everything that is known of it.
    pub(super) async fn of(state: &ApiState, rollout: rollout::Rollout) -> Result<Self> {
        let mut events = events(state, &rollout.id).await?;
        let selections = selections(&rollout, &events);
        let excess = events.len().saturating_sub(EVENTS_MAX);
        events.drain(..excess);
        let nodes = if rollout.state.is_terminal() {
            None
        } else {
            Some(state.store.every_node(&rollout.fleet).await?)
        };
        Ok(Self::new(rollout, events, &selections, nodes.as_deref()))
    }

    fn new(
        rollout: rollout::Rollout,
        events: Vec<StoredEvent>,
        selections: &BTreeMap<u32, Selection>,
        nodes: Option<&[NodeStatus]>,
    ) -> Self {
        let mut counts = nodes.map(|_| vec![Counts::default(); rollout.strategy.waves.len()]);
        let mut shown = Vec::new();
        for status in nodes.into_iter().flatten() {
            let wave = wave_of(&rollout, selections, status);
            let node = NodeInRollout::new(&rollout, wave, status);
            if let (Some(counts), Some(wave)) = (&mut counts, wave)
                && let Some(counts) = counts.get_mut(wave as usize)
            {
                counts.add(&rollout, &node, status);
            }
            let is_news = status.connected || status.updated_at >= rollout.created_at;
            if is_news {
                shown.push(node);
            }
        }
        shown.sort_by_key(|node| (node.has == Some(node.wanted), node.wave.unwrap_or(u32::MAX)));
        shown.truncate(NODES_MAX);
        Self {
            waves: waves(&rollout, counts.as_deref()),
            verdicts: rollout.verdicts.clone(),
            nodes: shown,
            events: events.into_iter().map(RolloutEvent::from).collect(),
            summary: RolloutSummary::from(&rollout),
            strategy: rollout.strategy,
        }
    }
}

impl NodeInRollout {
    fn new(rollout: &rollout::Rollout, wave: Option<u32>, status: &NodeStatus) -> Self {
        let refused = status.refused.as_ref();
        let class = ClientClass::ALL
            .into_iter()
            .find(|class| class.as_str() == status.class);
        let class = class.unwrap_or(ClientClass::Envoy);
        let want = want(rollout.from, Some(rollout), member(status), class);
        let serves = want.phase == Phase::Activate;
        Self {
            id: status.id.clone(),
            zone: status.zone.clone(),
            wave,
            wanted: if serves { want.revision } else { rollout.from },
            has: driver::has(status),
            connected: status.connected,
            refused: refused
                .filter(|refused| refused.revision == rollout.to)
                .map(|refused| refused.message.clone()),
        }
    }
}

impl Counts {
    fn add(&mut self, rollout: &rollout::Rollout, node: &NodeInRollout, status: &NodeStatus) {
        if !status.connected {
            // Who left before the rollout began is not lost to it.
            self.lost += u64::from(status.updated_at >= rollout.created_at);
            return;
        }
        let to = Some(rollout.to);
        let is_ours = status.live_revision.is_some() || status.staged_revision.is_some();
        let live = if is_ours {
            status.live_revision == to
        } else {
            node.has == to
        };
        self.wanted += u64::from(node.wanted == rollout.to);
        self.acknowledged += u64::from(status.acked_revision == to);
        self.staged += u64::from(status.staged_revision == to);
        self.live += u64::from(live);
        self.refused += u64::from(node.refused.is_some());
    }
}

impl From<StoredEvent> for RolloutEvent {
    fn from(stored: StoredEvent) -> Self {
        let event = stored.event;
        Self {
            seq: stored.seq,
            at: stored.at,
            actor: stored.actor,
            kind: event.kind,
            state: event.state,
            wave: event.wave,
            detail: event.detail,
            data: event.data,
        }
    }
}

/// All events, from the oldest: the first waves are told by the first ones.
async fn events(state: &ApiState, id: &str) -> Result<Vec<StoredEvent>> {
    let mut events = Vec::new();
    let mut after = 0;
    loop {
        let page = state.store.rollout_events(id, after, PAGE).await?;
        let is_last = page.len() < PAGE as usize;
        after = page.last().map_or(after, |event| event.seq);
        events.extend(page);
        if is_last {
            break;
        }
    }
    Ok(events)
}

/// Whom each wave had chosen in the end, with those of the waves before: told by the events of choosing.
fn selections(rollout: &rollout::Rollout, events: &[StoredEvent]) -> BTreeMap<u32, Selection> {
    let chosen = events
        .iter()
        .filter(|stored| stored.event.kind == EventKind::Advanced);
    let mut selections: BTreeMap<u32, Selection> = chosen
        .filter_map(|stored| {
            let selection = stored.event.data.as_ref()?.get("selection")?.clone();
            Some((stored.event.wave, serde_json::from_value(selection).ok()?))
        })
        .collect();
    if !rollout.selection.is_empty() {
        selections.insert(rollout.wave, rollout.selection.clone());
    }
    selections
}

/// The first wave that took a node.
fn wave_of(
    rollout: &rollout::Rollout,
    selections: &BTreeMap<u32, Selection>,
    status: &NodeStatus,
) -> Option<u32> {
    if member(status).is_validator() {
        return None;
    }
    let mut selections = selections.iter();
    let first = selections.find(|(_, selection)| selection.contains(&rollout.salt, member(status)));
    first.map(|(wave, _)| *wave)
}

fn member(status: &NodeStatus) -> Member<'_> {
    Member {
        id: &status.id,
        zone: &status.zone,
        labels: &status.labels,
    }
}

fn waves(rollout: &rollout::Rollout, counts: Option<&[Counts]>) -> Vec<WaveStatus> {
    let done = rollout.state == State::Completed;
    let status = |(index, wave): (usize, &Wave)| {
        let index = index as u32;
        WaveStatus {
            index,
            name: wave.name.clone(),
            takes: takes(wave),
            progress: match index.cmp(&rollout.wave) {
                std::cmp::Ordering::Less => Progress::Passed,
                std::cmp::Ordering::Equal if done => Progress::Passed,
                std::cmp::Ordering::Equal => Progress::Active,
                std::cmp::Ordering::Greater => Progress::Pending,
            },
            nodes: counts.and_then(|counts| counts.get(index as usize).copied()),
        }
    };
    rollout
        .strategy
        .waves
        .iter()
        .enumerate()
        .map(status)
        .collect()
}

/// Whom a wave takes, in a few words.
fn takes(wave: &Wave) -> String {
    let labels = |labels: &BTreeMap<String, String>| {
        let labels: Vec<_> = labels
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        labels.join(", ")
    };
    if let Some(percent) = wave.percent {
        format!("{percent} %")
    } else if let Some(count) = wave.count {
        format!("{count} node{}", if count == 1 { "" } else { "s" })
    } else if let Some(nodes) = &wave.nodes {
        format!("nodes {}", nodes.join(", "))
    } else if let Some(zones) = &wave.zones {
        format!("zones {}", zones.join(", "))
    } else if let Some(wanted) = &wave.labels {
        format!("labels {}", labels(wanted))
    } else if wave.each_zone {
        "one zone after the other".to_owned()
    } else {
        String::new()
    }
}
