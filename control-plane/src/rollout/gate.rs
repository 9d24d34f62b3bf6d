//! How the gates of a rollout stand: values in, verdicts out. What follows from them is in `step`.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use crate::model::timestamp::Timestamp;

use super::health::Crowd;
use super::observed::{Forecast, Node, Observed};
use super::selection::Selection;
use super::strategy::Wave;
use super::verdict::{Gate, Outcome, Verdict};
use super::{Rollout, State, health};

/// How every gate stands that is asked in the rollout's state.
pub(super) fn judge(rollout: &Rollout, observed: &Observed, now: Timestamp) -> Vec<Verdict> {
    let count = Count::of(rollout, observed);
    let mut verdicts = vec![refusals(rollout, observed)];
    if let (Some(gate), false) = (
        &rollout.strategy.gates.health,
        rollout.activated().is_empty(),
    ) {
        let crowd = Crowd {
            have: count.have,
            others: count.others > 0,
            rounds: rounds(rollout, observed),
        };
        verdicts.push(health::judge(gate, observed, crowd));
    }
    let over = rollout.deadline.is_some_and(|deadline| now >= deadline);
    match (rollout.state, rollout.current()) {
        (State::Validating, _) => verdicts.push(validators(rollout, observed, over)),
        (State::Advancing, _) => {
            verdicts.extend(changed(rollout, observed));
            if let Some(before) = rollout.wave.checked_sub(1)
                && let Some(before) = rollout.strategy.waves.get(before as usize)
            {
                verdicts.push(nodes(&count, before.min_nodes, Outcome::Hold));
                verdicts.extend(identity(rollout, before, observed));
            }
        }
        (State::Staging, Some(wave)) => {
            let late = over && count.connected > 0;
            verdicts.push(staged(&Staging::of(rollout, observed), wave.share, late));
        }
        (State::Settling, Some(wave)) => {
            let wanted = if rollout.selection.partial {
                wave.min_nodes.min(1)
            } else {
                wave.min_nodes
            };
            // While no node is connected, nobody fails to do what is asked.
            let late = over && !rollout.promoted && (count.connected > 0 || wanted == 0);
            let missed = if late { Outcome::Fail } else { Outcome::Hold };
            verdicts.push(share(&count, wave.share, late));
            verdicts.push(nodes(&count, wanted, missed));
            if rollout.selection.partial {
                verdicts.extend(identity(rollout, wave, observed));
            }
        }
        (State::Baking, Some(wave)) => {
            verdicts.push(nodes(&count, wave.min_nodes, Outcome::Hold));
            if wave.min_requests > 0 {
                verdicts.push(requests(wave.min_requests, observed.new.requests));
            }
            verdicts.extend(identity(rollout, wave, observed));
            verdicts.push(bake(rollout, over));
        }
        _ => {}
    }
    verdicts
}

/// How often requests are counted anew in a rollout, about: with every wave, every zone of one that goes by zone, and every step.
fn rounds(rollout: &Rollout, observed: &Observed) -> usize {
    let strategy = &rollout.strategy;
    let nodes = observed.nodes.iter().filter(|node| node.connected);
    let zones: BTreeSet<&str> = nodes.clone().map(|node| node.zone.as_str()).collect();
    let by_zone = strategy.waves.iter().filter(|wave| wave.each_zone).count();
    let steps = strategy
        .max_step
        .map_or(0, |most| nodes.count() / most.max(1) as usize);
    strategy.waves.len() + by_zone * zones.len() + steps
}

/// The nodes of a rollout, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Count {
    /// The connected nodes of the fleet.
    pub(super) connected: u64,
    /// Those of them that are to serve the new revision.
    pub(super) members: u64,
    /// Those of the members that have it.
    pub(super) have: u64,
    /// Nodes that are to serve the new revision and are not connected.
    pub(super) lost: u64,
    /// Connected nodes that are to serve the old revision.
    pub(super) others: u64,
}

impl Count {
    pub(super) fn of(rollout: &Rollout, observed: &Observed) -> Self {
        let mut count = Self::default();
        let in_waves = |node: &&Node| !node.member().is_validator();
        for node in observed.nodes.iter().filter(in_waves) {
            let chosen = rollout.activated().contains(&rollout.salt, node.member());
            count.connected += u64::from(node.connected);
            count.members += u64::from(node.connected && chosen);
            count.have += u64::from(node.connected && chosen && node.has == Some(rollout.to));
            count.lost += u64::from(!node.connected && chosen);
            count.others += u64::from(node.connected && !chosen);
        }
        count
    }
}

/// The nodes that are to get ready for the new revision, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Staging {
    /// Those that are connected.
    pub(super) members: u64,
    /// Those of them that could switch to it at once.
    pub(super) ready: u64,
    /// Those that are not connected.
    pub(super) lost: u64,
}

impl Staging {
    pub(super) fn of(rollout: &Rollout, observed: &Observed) -> Self {
        let mut count = Self::default();
        let is_in =
            |selection: &Selection, node: &Node| selection.contains(&rollout.salt, node.member());
        let stages = |node: &&Node| node.stages && !node.member().is_validator();
        for node in observed.nodes.iter().filter(stages) {
            if is_in(&rollout.selection, node) && !is_in(rollout.activated(), node) {
                let ready = [node.staged, node.has].contains(&Some(rollout.to));
                count.members += u64::from(node.connected);
                count.ready += u64::from(node.connected && ready);
                count.lost += u64::from(!node.connected);
            }
        }
        count
    }
}

/// Whether all validators have the new revision. One that refuses it ends that, however many refusals are let pass elsewhere; and
/// if they have all gone, they may have gone because of it.
fn validators(rollout: &Rollout, observed: &Observed, over: bool) -> Verdict {
    let all = observed.nodes.iter();
    let all = all.filter(|node| node.member().is_validator());
    let connected: Vec<&Node> = all.clone().filter(|node| node.connected).collect();
    let have = connected.iter().filter(|node| node.has == Some(rollout.to));
    let have = have.count();
    let refused = observed.refusals.iter();
    let refused = refused.filter(|refused| all.clone().any(|node| node.id == refused.node));
    let numbers = [
        ("have", json!(have)),
        ("validators", json!(connected.len())),
    ];
    let (outcome, detail) = match refused.clone().next() {
        Some(refused) => (Outcome::Fail, refused.sentence()),
        None => {
            let detail = format!("{have} of {} validators have it", connected.len());
            let done = have > 0 && have == connected.len();
            let outcome = match (done, over) {
                (true, _) => Outcome::Pass,
                (false, false) => Outcome::Hold,
                (false, true) => Outcome::Fail,
            };
            (outcome, detail)
        }
    };
    verdict(Gate::Validators, outcome, detail, numbers)
}

/// Refusals of the new revision; each node's first one counts.
fn refusals(rollout: &Rollout, observed: &Observed) -> Verdict {
    let nodes: BTreeSet<&str> = observed
        .refusals
        .iter()
        .map(|it| it.node.as_str())
        .collect();
    let most = rollout.strategy.gates.max_refusals;
    let detail = match (nodes.len(), observed.refusals.first()) {
        (0, _) | (_, None) => "no node has refused it".to_owned(),
        (1, Some(first)) => first.sentence(),
        (n, Some(first)) => format!("{n} nodes did not keep it; {}", first.sentence()),
    };
    verdict(
        Gate::Refusals,
        if nodes.len() as u64 > u64::from(most) {
            Outcome::Fail
        } else {
            Outcome::Pass
        },
        detail,
        [("nodes", json!(nodes.len())), ("max", json!(most))],
    )
}

/// The share of the wave's proxies that could switch to the new revision, judged as the share of those that have it is.
fn staged(count: &Staging, wanted: f64, over: bool) -> Verdict {
    let Staging {
        members,
        ready,
        lost,
    } = *count;
    let detail = format!(
        "{ready} of {members} proxies are ready for the new revision, {lost} are away; {:.0}% are wanted",
        wanted * 100.0
    );
    let numbers = [
        ("ready", json!(ready)),
        ("members", json!(members)),
        ("lost", json!(lost)),
        ("wanted", json!(wanted)),
    ];
    let outcome = of_share(ready, members, lost, wanted, over);
    verdict(Gate::Staged, outcome, detail, numbers)
}

/// The share of the wave's nodes that have the new revision: all of them end the wait, the wave's share is asked when it is over.
/// Where all of them have gone nobody is left to ask; that is waited for too, for they may have gone because of it.
fn share(count: &Count, wanted: f64, over: bool) -> Verdict {
    let Count {
        members,
        have,
        lost,
        ..
    } = *count;
    let outcome = of_share(have, members, lost, wanted, over);
    let detail = format!(
        "{have} of {members} nodes have the new revision, {lost} are away; {:.0}% are wanted",
        wanted * 100.0
    );
    verdict(
        Gate::Share,
        outcome,
        detail,
        [
            ("have", json!(have)),
            ("members", json!(members)),
            ("lost", json!(lost)),
            ("share", json!(ratio(have, members))),
            ("wanted", json!(wanted)),
        ],
    )
}

fn of_share(have: u64, members: u64, lost: u64, wanted: f64, over: bool) -> Outcome {
    let done = have == members && (members > 0 || lost == 0);
    match (done, over) {
        (true, _) => Outcome::Pass,
        (false, false) => Outcome::Hold,
        (false, true) if ratio(have, members) >= wanted => Outcome::Pass,
        (false, true) => Outcome::Fail,
    }
}

fn ratio(have: u64, members: u64) -> f64 {
    if members == 0 {
        1.0
    } else {
        have as f64 / members as f64
    }
}

/// The number of nodes that have the new revision; `missed` is what becomes of too few.
fn nodes(count: &Count, wanted: u32, missed: Outcome) -> Verdict {
    let Count {
        connected,
        have,
        lost,
        ..
    } = *count;
    let outcome = if have >= u64::from(wanted) {
        Outcome::Pass
    } else {
        missed
    };
    let detail = if connected == 0 {
        format!("no node of the fleet is connected; {wanted} are wanted")
    } else {
        format!("{have} nodes have the new revision; {wanted} are wanted")
    };
    verdict(
        Gate::Nodes,
        outcome,
        detail,
        [
            ("have", json!(have)),
            ("wanted", json!(wanted)),
            ("lost", json!(lost)),
            ("connected", json!(connected)),
        ],
    )
}

/// Whether too much of what proxies have seen would get something else; asked before anybody has moved, and not of what is urgent.
fn changed(rollout: &Rollout, observed: &Observed) -> Option<Verdict> {
    let most = rollout.strategy.gates.max_changed?;
    if rollout.urgent || !rollout.selection.is_empty() {
        return None;
    }
    let hold = |detail: &str| {
        let numbers = [("max", json!(most))];
        Some(verdict(
            Gate::Changed,
            Outcome::Hold,
            detail.to_owned(),
            numbers,
        ))
    };
    let Some(Forecast {
        requests,
        changed,
        not_known,
        groups,
    }) = &observed.forecast
    else {
        return hold("what would change is being worked out");
    };
    if *requests == 0 {
        return hold("what would change is not known: no proxy has told of requests");
    }
    let share = *changed as f64 / *requests as f64;
    let outcome = if share <= most {
        Outcome::Pass
    } else {
        Outcome::Hold
    };
    let mut detail = format!(
        "{:.1}% of sampled requests change; {:.1}% may",
        share * 100.0,
        most * 100.0
    );
    if let (Outcome::Hold, Some(first)) = (outcome, groups.first()) {
        detail = format!("{detail}; {first}");
    }
    let numbers = [
        ("share", json!(share)),
        ("max", json!(most)),
        ("changed", json!(changed)),
        ("requests", json!(requests)),
        ("not_known", json!(not_known)),
        ("groups", json!(groups)),
    ];
    Some(verdict(Gate::Changed, outcome, detail, numbers))
}

/// A wave that no connected node is in.
pub(super) fn nobody(rollout: &Rollout) -> Verdict {
    let detail = format!("no connected node is in {}", rollout.title());
    verdict(Gate::Nodes, Outcome::Hold, detail, [("have", json!(0))])
}

fn requests(wanted: u64, have: u64) -> Verdict {
    let outcome = if have >= wanted {
        Outcome::Pass
    } else {
        Outcome::Hold
    };
    let detail = format!("{have} of {wanted} requests on the new revision");
    let numbers = [("requests", json!(have)), ("wanted", json!(wanted))];
    verdict(Gate::Requests, outcome, detail, numbers)
}

/// Nodes of which nothing can be said for certain; only where a wave asks something of nodes.
fn identity(rollout: &Rollout, wave: &Wave, observed: &Observed) -> Option<Verdict> {
    let asks = wave.share > 0.0
        || wave.min_nodes > 0
        || wave.min_requests > 0
        || rollout.strategy.gates.health.is_some();
    let mut doubtful = observed.nodes.iter().filter(|node| node.doubtful);
    let first = doubtful.next();
    let others = doubtful.count();
    let (outcome, detail) = match first {
        None => (Outcome::Pass, "every node is one".to_owned()),
        Some(node) if others == 0 => (Outcome::Hold, format!("{} is more than one", node.id)),
        Some(node) => (
            Outcome::Hold,
            format!(
                "{} and {others} other nodes are more than one each",
                node.id
            ),
        ),
    };
    let nodes = others + usize::from(first.is_some());
    asks.then(|| verdict(Gate::Identity, outcome, detail, [("nodes", json!(nodes))]))
}

fn bake(rollout: &Rollout, over: bool) -> Verdict {
    let (outcome, detail) = match (rollout.deadline, rollout.promoted) {
        (_, true) => (Outcome::Pass, "an operator has ended the bake".to_owned()),
        (Some(deadline), _) if !over => (Outcome::Hold, format!("until {deadline}")),
        _ => (Outcome::Pass, "the time is over".to_owned()),
    };
    let until = rollout.deadline.map(|deadline| deadline.to_string());
    verdict(Gate::Bake, outcome, detail, [("until", json!(until))])
}

pub(super) fn verdict<const N: usize>(
    gate: Gate,
    outcome: Outcome,
    detail: String,
    numbers: [(&str, Value); N],
) -> Verdict {
    let numbers: Map<String, Value> = numbers
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect();
    Verdict {
        gate,
        outcome,
        detail,
        numbers,
    }
}
