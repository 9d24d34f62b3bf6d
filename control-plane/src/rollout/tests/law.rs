//! What holds for every change of a rollout, said a second time and in another way than `step` does.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::world::ZONES;
use crate::model::timestamp::Timestamp;
use crate::rollout::observed::{Node, Observed, Traffic};
use crate::rollout::selection::{Member, Selection};
use crate::rollout::step::step;
use crate::rollout::strategy::{OnFailure, Strategy as Waves, Wave};
use crate::rollout::verb::Verb;
use crate::rollout::verdict::{Gate, Outcome};
use crate::rollout::want::{Phase, want};
use crate::rollout::webhook::{OnError, Reply, When};
use crate::rollout::{Change, EventKind, Rollout, State};

type Verdict = Result<(), TestCaseError>;

/// What holds over several changes.
#[derive(Clone, Debug, Default)]
pub(super) struct Law {
    /// When the state that has a deadline began, by the time that runs: not while it is paused.
    since: Option<i64>,
    /// When it was paused,
    paused: Option<i64>,
    /// and whether the state then has all of its time again.
    anew: bool,
    /// Waves whose last node has been chosen, and those that have settled.
    chosen: Vec<u32>,
    settled: Vec<u32>,
}

/// What holds for a change that a driver makes, whether it is written or not.
pub(super) fn of_a_change(
    before: &Rollout,
    change: &Change,
    observed: &Observed,
    now: Timestamp,
) -> Verdict {
    let next = &change.next;
    is_told(before, change)?;
    is_a_transition(before, next)?;
    prop_assert_eq!(
        (&next.id, &next.salt, next.from, next.to, next.row_version),
        (
            &before.id,
            &before.salt,
            before.from,
            before.to,
            before.row_version
        )
    );
    prop_assert!(next.refusals_judged >= before.refusals_judged);
    prop_assert!(
        next.wave == before.wave || next.wave == before.wave + 1,
        "a wave is skipped"
    );
    nests_as_it_stands(before, next, &observed.nodes)?;
    grows_as_far_as_it_may(before, next, observed)?;
    let grows = before.selection != next.selection || before.activated() != next.activated();
    if grows || next.wave > before.wave || next.state == State::Completed {
        gates_hold(before, next, observed, now)?;
    }
    goes_back_for_a_reason(before, next, observed, now)?;
    // What was decided is not decided again.
    let same = (before.state, before.wave, grows) == (next.state, next.wave, false);
    if same && next.deadline == before.deadline {
        prop_assert_eq!(step(next, observed, now), None);
    }
    Ok(())
}

/// What fails does not go on, whether there is a change or not.
pub(super) fn what_fails_stops(
    before: &Rollout,
    next: &Rollout,
    observed: &Observed,
    now: Timestamp,
) -> Verdict {
    let refused: BTreeSet<&str> = observed
        .refusals
        .iter()
        .map(|it| it.node.as_str())
        .collect();
    let (have, members) = match before.state {
        State::Staging => ready(before, observed),
        State::Validating => validated(before, observed),
        _ => have(before, observed),
    };
    let share = before.strategy.waves[before.wave as usize].share;
    let missing = if before.state == State::Validating {
        have < members || members == 0
    } else {
        (have as f64) < share * members as f64
    };
    let waits = matches!(
        before.state,
        State::Validating | State::Staging | State::Settling
    );
    let late = waits
        && !before.promoted
        && before.deadline.is_some_and(|deadline| now >= deadline)
        && missing;
    let fails = late
        || (before.state == State::Validating && a_validator_refused(observed))
        || says(before, observed) == Some(Outcome::Fail)
        || refused.len() > before.strategy.gates.max_refusals as usize
        || (!before.activated().is_empty() && healthy(before, observed) == Some(false));
    let stopped = match before.strategy.on_failure {
        _ if before.state == State::Validating => next.state == State::RollingBack,
        OnFailure::RollBack => matches!(next.state, State::RollingBack | State::RolledBack),
        OnFailure::Pause => matches!(
            next.state,
            State::Paused | State::RollingBack | State::RolledBack
        ),
    };
    prop_assert!(!fails || stopped, "it stays {} though it fails", next.state);
    Ok(())
}

/// No transition without an event, in the state after it.
fn is_told(before: &Rollout, change: &Change) -> Verdict {
    let last = change.events.last();
    prop_assert!(last.is_some(), "nothing is told");
    prop_assert_eq!(
        last.map(|event| (event.state, event.wave)),
        Some((change.next.state, change.next.wave))
    );
    let told = |kind| change.events.iter().any(|event| event.kind == kind);
    if change.next.selection != before.selection {
        prop_assert!(told(EventKind::Advanced));
    } else if change.next.activated() != before.activated() {
        prop_assert!(told(EventKind::Moved));
    }
    if change.next.wave != before.wave {
        prop_assert!(told(EventKind::Moved));
    }
    if change.next.state.is_terminal() {
        prop_assert!(told(EventKind::Ended));
        prop_assert!(change.next.ended_at.is_some());
    }
    let refused = change
        .events
        .iter()
        .filter(|event| event.kind == EventKind::Refused);
    prop_assert_eq!(
        refused.count() as u64,
        change.next.refusals_judged - before.refusals_judged
    );
    Ok(())
}

fn is_a_transition(before: &Rollout, next: &Rollout) -> Verdict {
    use State::{
        Advancing, AwaitingApproval, Baking, Completed, Paused, RolledBack, RollingBack, Settling,
        Staging, Validating,
    };
    let legal = before.state == next.state
        || match before.state {
            Validating => matches!(
                next.state,
                AwaitingApproval | Advancing | Staging | Settling | RollingBack
            ),
            AwaitingApproval => matches!(next.state, RollingBack | Paused),
            Advancing => matches!(next.state, Staging | Settling | RollingBack | Paused),
            Staging => matches!(next.state, Settling | RollingBack | Paused),
            Settling | Baking => matches!(
                next.state,
                Baking
                    | Staging
                    | Settling
                    | Advancing
                    | AwaitingApproval
                    | Completed
                    | RollingBack
                    | Paused
            ),
            Paused => next.state == RollingBack,
            RollingBack => next.state == RolledBack,
            _ => false,
        };
    prop_assert!(legal, "{} to {}", before.state, next.state);
    if next.state == Paused && before.state != Paused {
        prop_assert_eq!(next.strategy.on_failure, OnFailure::Pause);
    }
    Ok(())
}

/// At most two revisions are wanted.
pub(super) fn two_revisions(stable: u64, rollout: &Rollout, nodes: &[Node]) -> Verdict {
    let active = (!rollout.state.is_terminal()).then_some(rollout);
    let all: BTreeSet<u64> = nodes
        .iter()
        .map(|node| want(stable, active, node.member(), node.class()).revision)
        .collect();
    prop_assert_eq!(rollout.from, stable);
    prop_assert!(
        all.iter()
            .all(|one| *one == rollout.from || *one == rollout.to)
    );
    Ok(())
}

/// Whoever reads the row again says the same of every node.
pub(super) fn survives_storage(rollout: &Rollout, nodes: &[Node]) -> Verdict {
    let selection = serde_json::to_vec(&rollout.selection).unwrap();
    let strategy = serde_json::to_vec(&rollout.strategy).unwrap();
    let paused = serde_json::to_vec(&rollout.paused).unwrap();
    let activated = serde_json::to_vec(&rollout.activated).unwrap();
    let confirmed = serde_json::to_vec(&rollout.confirmed).unwrap();
    let again = Rollout {
        activated: serde_json::from_slice(&activated).unwrap(),
        confirmed: serde_json::from_slice(&confirmed).unwrap(),
        paused: serde_json::from_slice(&paused).unwrap(),
        selection: serde_json::from_slice::<Selection>(&selection).unwrap(),
        strategy: serde_json::from_slice::<Waves>(&strategy).unwrap(),
        ..rollout.clone()
    };
    prop_assert_eq!(&again, rollout);
    for node in nodes {
        let wants = |rollout| want(1, Some(rollout), node.member(), node.class());
        prop_assert_eq!(wants(&again), wants(rollout));
    }
    Ok(())
}

/// Whether a node is to serve the new revision.
fn serves(rollout: &Rollout, node: &Node) -> bool {
    let want = want(rollout.from, Some(rollout), node.member(), node.class());
    (want.revision, want.phase) == (rollout.to, Phase::Activate)
}

/// Whoever served the one serves the other.
pub(super) fn goes_forward(old: &Rollout, new: &Rollout, nodes: &[Node]) -> Verdict {
    for node in nodes {
        let left = serves(old, node) && !serves(new, node);
        prop_assert!(!left, "{} is left behind", node.id);
    }
    Ok(())
}

/// Whoever is confirmed is activated, whoever is activated is chosen, and a lease is for those between the first two.
pub(super) fn each_contains_the_next(rollout: &Rollout, nodes: &[Node]) -> Verdict {
    let wave = &rollout.strategy.waves[rollout.wave as usize];
    let is_last = rollout.wave as usize + 1 == rollout.strategy.waves.len();
    let leases = !is_last && wave.lease().as_millis() > 0;
    for node in nodes {
        let is_in = |selection: &Selection| selection.contains(&rollout.salt, node.member());
        let (chosen, activated) = (is_in(&rollout.selection), is_in(rollout.activated()));
        let confirmed = is_in(rollout.confirmed());
        prop_assert!((chosen || !activated) && (activated || !confirmed));
        let want = want(rollout.from, Some(rollout), node.member(), node.class());
        let validates = node.member().is_validator();
        let leased = leases && serves(rollout, node) && !confirmed && !validates;
        let ended = rollout.state.is_terminal();
        prop_assert_eq!(want.lease.is_some(), leased && !ended, "{}", node.id);
        let new = want.revision == rollout.to;
        prop_assert!(
            !new || chosen || validates || ended,
            "{} is not chosen",
            node.id
        );
    }
    Ok(())
}

/// Whoever was chosen stays chosen, known or not; the same of who is activated, and who is confirmed.
fn nests(before: &Rollout, next: &Rollout, nodes: &[Node]) -> Verdict {
    let ids = ["p0", "p1"];
    let none = std::collections::BTreeMap::new();
    let probes = ids.iter().flat_map(|id| {
        let none = &none;
        ZONES.iter().map(move |zone| Member {
            id,
            zone,
            labels: none,
        })
    });
    let parts = [
        (&before.selection, &next.selection),
        (before.activated(), next.activated()),
        (before.confirmed(), next.confirmed()),
    ];
    for member in nodes.iter().map(Node::member).chain(probes) {
        for (was, is) in parts {
            let was = was.contains(&before.salt, member);
            let is = is.contains(&next.salt, member);
            prop_assert!(!was || is, "{member:?} moves back");
        }
    }
    let confirms = before.confirmed() != next.confirmed();
    prop_assert!(!confirms || next.wave > before.wave, "confirmed too soon");
    Ok(())
}

fn nests_as_it_stands(before: &Rollout, next: &Rollout, nodes: &[Node]) -> Verdict {
    nests(before, next, nodes)?;
    let back = matches!(next.state, State::RollingBack | State::RolledBack);
    // What fails stops: only who had it keeps it, and nobody gets it.
    let failed = |rollout: &Rollout| rollout.state == State::Paused && rollout.outcome.is_some();
    let fails = failed(next) && !failed(before);
    for node in nodes {
        let (was, is) = (serves(before, node), serves(next, node));
        if fails {
            let has = node.has == Some(next.to);
            prop_assert_eq!(is, was && has, "{} when it fails", node.id);
        } else if was && !back {
            prop_assert!(is, "{} moves back", node.id);
        } else if is && !was {
            prop_assert!(!failed(next), "{} moves after it has failed", node.id);
        }
    }
    Ok(())
}

/// No step moves more connected nodes than the strategy allows, and the waves choose whom they say.
fn grows_as_far_as_it_may(before: &Rollout, next: &Rollout, observed: &Observed) -> Verdict {
    let chosen =
        |rollout: &Rollout, node: &Node| rollout.selection.contains(&rollout.salt, node.member());
    let connected = || in_waves(observed).filter(|node| node.connected);
    let moved = connected().filter(|node| !chosen(before, node) && chosen(next, node));
    let moved: Vec<&Node> = moved.collect();
    if let Some(most) = next.strategy.max_step {
        prop_assert!(moved.len() <= most as usize, "{} nodes move", moved.len());
    }
    if before.selection == next.selection || next.selection.partial {
        return Ok(());
    }
    let wave = &next.strategy.waves[next.wave as usize];
    for node in connected() {
        let named =
            wave.nodes
                .as_ref()
                .is_some_and(|nodes| nodes.contains(&node.id))
                || wave
                    .zones
                    .as_ref()
                    .is_some_and(|zones| zones.contains(&node.zone))
                || wave.labels.as_ref().is_some_and(|labels| {
                    labels.iter().all(|(k, v)| node.labels.get(k) == Some(v))
                })
                || wave.percent == Some(100.0);
        prop_assert!(!named || chosen(next, node), "{} is left out", node.id);
    }
    if let Some(percent) = wave.percent {
        for zone in ZONES {
            let all: Vec<&Node> = connected().filter(|node| node.zone == zone).collect();
            let least = (all.len() as f64 * percent / 100.0).ceil() as usize;
            let taken = all.iter().filter(|node| chosen(next, node)).count();
            prop_assert!(taken >= least, "{taken} of {} in zone {zone:?}", all.len());
        }
    }
    if let Some(count) = wave.count {
        prop_assert!(moved.len() <= count as usize);
    }
    if wave.each_zone {
        let zones: BTreeSet<&str> = moved.iter().map(|node| node.zone.as_str()).collect();
        prop_assert!(zones.len() <= 1 && !zones.contains(""));
    }
    Ok(())
}

/// A wave grows or ends only if no gate fails, and, unless an operator has promoted it, none holds.
fn gates_hold(before: &Rollout, next: &Rollout, observed: &Observed, now: Timestamp) -> Verdict {
    let gates = &before.strategy.gates;
    let refused: BTreeSet<&str> = observed
        .refusals
        .iter()
        .map(|it| it.node.as_str())
        .collect();
    prop_assert!(
        refused.len() <= gates.max_refusals as usize,
        "it goes on after a refusal"
    );
    prop_assert_eq!(next.refusals_judged as usize, observed.refusals.len());
    let somebody = !before.activated().is_empty();
    prop_assert!(
        !somebody || healthy(before, observed) != Some(false),
        "it goes on while requests fail"
    );
    prop_assert_ne!(
        says(before, observed),
        Some(Outcome::Fail),
        "a webhook fails"
    );
    let begins = before.selection != next.selection && !before.selection.partial;
    if begins {
        prop_assert!(
            before.not_before.is_none_or(|at| at <= now),
            "it is too early"
        );
        let frozen = observed.freeze.iter().any(|freeze| {
            let time = |text: &str| text.parse::<Timestamp>().unwrap();
            (time(&freeze.from)..time(&freeze.until)).contains(&now)
        });
        prop_assert!(!frozen || before.urgent, "a wave begins in a freeze window");
        let asks = next.strategy.waves[next.wave as usize].webhooks.iter();
        let asks_before = asks.clone().any(|hook| hook.when == When::Before);
        if asks_before && !before.urgent {
            let first = (before.state, before.wave) == (State::Advancing, next.wave);
            let rounds = before.wave == next.wave && before.state != State::Advancing;
            prop_assert!(rounds || first, "nobody was asked");
            prop_assert!(rounds || says(before, observed) == Some(Outcome::Pass));
        }
    }
    if before.promoted {
        return Ok(());
    }
    let have = have(before, observed);
    let doubtful = observed.nodes.iter().any(|node| node.doubtful);
    let asks = |wave: &Wave| {
        wave.share > 0.0 || wave.min_nodes > 0 || wave.min_requests > 0 || gates.health.is_some()
    };
    let wave = &before.strategy.waves[before.wave as usize];
    match before.state {
        State::Advancing => {
            if let Some(wave) = before
                .wave
                .checked_sub(1)
                .map(|wave| &before.strategy.waves[wave as usize])
            {
                prop_assert!(have.0 >= wave.min_nodes as usize, "too few nodes are left");
                prop_assert!(!(doubtful && asks(wave)), "a node is doubtful");
            }
        }
        State::Validating => {
            let (have, all) = validated(before, observed);
            prop_assert!(have == all && all > 0, "a validator does not have it");
            prop_assert!(!a_validator_refused(observed), "a validator refused it");
        }
        State::Staging => {
            let over = before.deadline.is_some_and(|deadline| now >= deadline);
            let (ready, all) = ready(before, observed);
            let enough = ready as f64 >= wave.share * all as f64;
            prop_assert!(ready == all || (over && enough), "some are not ready");
        }
        State::Settling | State::Baking => {
            // Of its own it waits for those alone that are to settle.
            let goes_blind = before.urgent && !before.selection.partial;
            prop_assert!(
                goes_blind || !(doubtful && asks(wave)),
                "a node is doubtful"
            );
            if before.state == State::Settling {
                let over = before.deadline.is_some_and(|deadline| now >= deadline);
                let enough = have.0 as f64 >= wave.share * have.1 as f64;
                prop_assert!(have.0 == have.1 || (over && enough), "it has not settled");
            }
            if before.selection.partial {
                return Ok(());
            }
            prop_assert!(have.0 >= wave.min_nodes as usize, "too few nodes");
            // Neither bakes nor what is missing are waited for.
            if before.urgent {
                return Ok(());
            }
            if before.state == State::Baking {
                let said = says(before, observed);
                prop_assert!(
                    said.is_none_or(|said| said == Outcome::Pass),
                    "a webhook waits"
                );
            } else {
                let asks = wave.webhooks.iter().any(|hook| hook.when == When::Bake);
                prop_assert!(!asks, "nobody was asked while it baked");
            }
            prop_assert!(
                observed.new.requests >= wave.min_requests,
                "too few requests"
            );
            if gates.health.is_some() {
                prop_assert_eq!(healthy(before, observed), Some(true));
            }
        }
        state => prop_assert!(false, "it goes on while it is {state}"),
    }
    Ok(())
}

/// The nodes that are in waves.
fn in_waves(observed: &Observed) -> impl Iterator<Item = &Node> + Clone {
    let nodes = observed.nodes.iter();
    nodes.filter(|node| !node.member().is_validator())
}

/// How many validators have the new revision, of how many that are connected.
fn validated(rollout: &Rollout, observed: &Observed) -> (usize, usize) {
    let all = observed.nodes.iter();
    let all = all.filter(|node| node.connected && node.member().is_validator());
    let have = all.clone().filter(|node| node.has == Some(rollout.to));
    (have.count(), all.count())
}

fn a_validator_refused(observed: &Observed) -> bool {
    let mut validators = observed.nodes.iter();
    validators.any(|node| {
        let refused = observed.refusals.iter().any(|it| it.node == node.id);
        node.member().is_validator() && refused
    })
}

/// How many proxies are ready for the new revision, of how many that are to get ready.
fn ready(rollout: &Rollout, observed: &Observed) -> (usize, usize) {
    let is_in =
        |selection: &Selection, node: &Node| selection.contains(&rollout.salt, node.member());
    let members = in_waves(observed).filter(|node| {
        let waits = is_in(&rollout.selection, node) && !is_in(rollout.activated(), node);
        node.connected && node.stages && waits
    });
    let is_ready = |node: &&Node| node.staged == Some(rollout.to) || node.has == Some(rollout.to);
    (members.clone().filter(is_ready).count(), members.count())
}

/// How many nodes have the new revision, of how many that are to serve it.
fn have(rollout: &Rollout, observed: &Observed) -> (usize, usize) {
    let members = in_waves(observed).filter(|node| node.connected);
    let members = members.filter(|node| rollout.activated().contains(&rollout.salt, node.member()));
    let members: Vec<&Node> = members.collect();
    let have = members.iter().filter(|node| node.has == Some(rollout.to));
    (have.count(), members.len())
}

/// What requests tell; `None` if they are too few.
fn healthy(rollout: &Rollout, observed: &Observed) -> Option<bool> {
    let gate = rollout.strategy.gates.health.as_ref()?;
    let (new, old) = (&observed.new, &observed.old);
    if new.requests < gate.min_requests {
        return None;
    }
    let errors = |errors: u64, requests: u64| errors as f64 / requests as f64;
    let ratio = errors(new.errors, new.requests);
    let others = in_waves(observed)
        .any(|node| node.connected && !rollout.activated().contains(&rollout.salt, node.member()));
    match &gate.compare {
        None => Some(ratio <= gate.max_error_ratio.unwrap_or(1.0)),
        Some(_) if !others => Some(true),
        Some(_) if old.requests < gate.min_requests => None,
        Some(compare) => {
            let p99 = |traffic: &Traffic| traffic.latencies.quantile_ms(0.99);
            let slow = p99(new).unwrap_or(0.0) > 2.0 * p99(old).unwrap_or(f64::MAX);
            Some(ratio <= errors(old.errors, old.requests) + compare.error_ratio && !slow)
        }
    }
}

/// What the wave's webhook says, if it is asked in this state; of an occasion that is over it says nothing.
fn says(rollout: &Rollout, observed: &Observed) -> Option<Outcome> {
    let when = match rollout.state {
        State::Advancing => When::Before,
        State::Baking => When::Bake,
        _ => return None,
    };
    let mut hooks = rollout.strategy.waves[rollout.wave as usize]
        .webhooks
        .iter();
    let hook = hooks.find(|hook| hook.when == when && !rollout.urgent)?;
    Some(match observed.answers.first().map(|answer| answer.reply) {
        Some(Reply::Pass) => Outcome::Pass,
        Some(Reply::Fail) => Outcome::Fail,
        Some(Reply::Error) if hook.on_error == OnError::Fail => Outcome::Fail,
        Some(Reply::Error | Reply::Wait) | None => Outcome::Hold,
    })
}

/// Nothing goes back, or stops, but for a gate that fails.
fn goes_back_for_a_reason(
    before: &Rollout,
    next: &Rollout,
    observed: &Observed,
    now: Timestamp,
) -> Verdict {
    let fails = matches!(next.state, State::RollingBack | State::Paused);
    if next.state == State::RolledBack {
        for node in observed.nodes.iter().filter(|node| node.connected) {
            let chosen = before.selection.contains(&before.salt, node.member())
                || node.member().is_validator();
            prop_assert!(
                !chosen || node.has == Some(before.from),
                "{} is not back",
                node.id
            );
        }
    }
    if !fails || before.state == next.state {
        return Ok(());
    }
    prop_assert!(next.outcome.is_some());
    let refused: BTreeSet<&str> = observed
        .refusals
        .iter()
        .map(|it| it.node.as_str())
        .collect();
    let validates = before.state == State::Validating;
    let refused = refused.len() > before.strategy.gates.max_refusals as usize
        || (validates && a_validator_refused(observed));
    let unsettled = matches!(
        before.state,
        State::Validating | State::Staging | State::Settling
    ) && before.deadline.is_some_and(|deadline| now >= deadline)
        && (validates || observed.nodes.iter().any(|node| node.connected));
    let somebody = !before.activated().is_empty();
    let ill = somebody && healthy(before, observed) == Some(false);
    let said = says(before, observed) == Some(Outcome::Fail);
    prop_assert!(
        refused || unsettled || ill || said,
        "it fails without a reason"
    );
    Ok(())
}

/// What holds for an operator's word.
pub(super) fn of_a_verb(before: &Rollout, verb: Verb, change: &Change) -> Verdict {
    let next = &change.next;
    let last = change.events.last().map(|event| (event.state, event.wave));
    prop_assert_eq!(last, Some((next.state, next.wave)));
    prop_assert_eq!(change.events[0].kind, EventKind::Ordered);
    prop_assert_eq!(
        (next.wave, &next.selection, &next.activated),
        (before.wave, &before.selection, &before.activated)
    );
    prop_assert_eq!(&next.confirmed, &before.confirmed);
    prop_assert_eq!(next.refusals_judged, before.refusals_judged);
    if verb == Verb::Abort {
        let nobody = before.selection.is_empty();
        let state = if nobody {
            State::Canceled
        } else {
            State::RollingBack
        };
        prop_assert_eq!(next.state, state);
    }
    if verb == Verb::Approve {
        let wave = &before.strategy.waves[before.wave as usize];
        if wave.approval.is_some_and(|approval| approval.by_another) {
            prop_assert_ne!(next.approved_by.as_ref(), Some(&before.created_by));
        }
    }
    Ok(())
}

impl Law {
    /// A driver's change has been written.
    pub(super) fn driven(&mut self, before: &Rollout, change: &Change, now: Timestamp) -> Verdict {
        let next = &change.next;
        let now = now.as_micros();
        let wave = &before.strategy.waves[before.wave as usize];
        for event in &change.events {
            let partial = event.data.as_ref().and_then(|data| data.get("partial"));
            let rounds = before.strategy.waves[event.wave as usize].each_zone;
            if event.kind == EventKind::Advanced {
                for earlier in 0..event.wave {
                    prop_assert!(self.settled.contains(&earlier), "wave {earlier} is skipped");
                }
                if partial == Some(&serde_json::Value::Bool(false)) {
                    prop_assert!(rounds || !self.chosen.contains(&event.wave), "chosen twice");
                    self.chosen.push(event.wave);
                }
            }
            if event.kind == EventKind::Moved && event.state == State::Baking {
                prop_assert!(self.chosen.contains(&event.wave), "it bakes half chosen");
                prop_assert!(
                    rounds || !self.settled.contains(&event.wave),
                    "settled twice"
                );
                self.settled.push(event.wave);
                if next.state != State::Baking && !before.promoted && !before.urgent {
                    prop_assert_eq!(wave.bake.as_millis(), 0, "it has not baked");
                }
            }
        }
        let left = (before.state, before.wave) != (next.state, next.wave)
            || before.selection != next.selection;
        let on = matches!(
            next.state,
            State::Advancing
                | State::Staging
                | State::Settling
                | State::AwaitingApproval
                | State::Completed
        );
        let is_waited = !before.promoted && !before.urgent;
        if before.state == State::Baking && left && on && is_waited {
            let bake = wave.bake.as_millis() as i64 * 1_000;
            prop_assert!(
                now - self.since.unwrap_or(i64::MAX) >= bake,
                "a bake is shortened"
            );
        }
        let stops = next.state == State::Paused && before.state != State::Paused;
        let late = next.verdicts.iter().all(|verdict| {
            verdict.outcome != Outcome::Fail
                || matches!(verdict.gate, Gate::Staged | Gate::Share | Gate::Nodes)
        });
        let waited = matches!(before.state, State::Staging | State::Settling);
        if waited && (stops || next.state == State::RollingBack) && late {
            let settle = wave.settle.as_millis() as i64 * 1_000;
            prop_assert!(
                now - self.since.unwrap_or(i64::MAX) >= settle,
                "it had less time"
            );
        }
        if stops {
            self.paused = Some(now);
            self.anew = late;
        } else if left || before.deadline != next.deadline {
            self.since = Some(now);
        }
        Ok(())
    }

    /// An operator's word has been written.
    pub(super) fn said(&mut self, before: &Rollout, change: &Change, now: Timestamp) {
        let now = now.as_micros();
        if change.next.state == State::Paused {
            self.paused = Some(now);
            self.anew = false;
        } else if before.state == State::Paused
            && let Some(paused) = self.paused.take()
        {
            let since = self.since.map(|since| since + (now - paused));
            self.since = if self.anew { Some(now) } else { since };
        }
    }
}
