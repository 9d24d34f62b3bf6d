use std::collections::BTreeMap;

use super::*;
use crate::rollout::begin::{Begin, Terms, begin};
use crate::rollout::built_in::built_in;
use crate::rollout::observed::{Forecast, Node};
use crate::rollout::strategy::{Strategy, Wave};
use crate::rollout::verb::{Verb, Word, apply};
use crate::rollout::want::{Phase, Want, want};
use crate::sketch::Sketch;

const SECOND: i64 = 1_000_000;

struct Play {
    rollout: Rollout,
    observed: Observed,
    now: i64,
}

impl Play {
    fn new(strategy: &Strategy, nodes: usize) -> Self {
        let what = Begin {
            id: "r",
            fleet: "f",
            from: 1,
            to: 2,
            strategy,
            reason: "",
            by: "ann",
            validators: false,
            instead_of: None,
            terms: Terms::default(),
        };
        let node = |n: usize| Node {
            id: format!("n{n}"),
            zone: ["a", "b"][n % 2].to_owned(),
            labels: BTreeMap::new(),
            connected: true,
            has: Some(1),
            stages: false,
            staged: None,
            doubtful: false,
        };
        Self {
            rollout: begin(what, Timestamp::default()).0,
            observed: Observed {
                nodes: (0..nodes).map(node).collect(),
                ..Observed::default()
            },
            now: 0,
        }
    }

    fn named(name: &str, nodes: usize) -> Self {
        Self::new(&built_in(name).unwrap(), nodes)
    }

    /// One step, so many seconds later: what is told, and the state after it.
    fn step(&mut self, seconds: i64) -> Option<(Vec<EventKind>, State)> {
        self.now += seconds * SECOND;
        let now = Timestamp::from_micros(self.now);
        let change = step(&self.rollout, &self.observed, now)?;
        self.rollout = change.next;
        let kinds = change.events.iter().map(|event| event.kind).collect();
        Some((kinds, self.rollout.state))
    }

    /// Every node does what it is told.
    fn take(&mut self) {
        for node in &mut self.observed.nodes {
            node.follow(wanted(&self.rollout, node));
        }
    }

    /// The same with our own proxies in the place of other clients, but for the first of every so many nodes.
    fn with_proxies(mut self, one_other_of: usize) -> Self {
        for (n, node) in self.observed.nodes.iter_mut().enumerate() {
            node.stages = !n.is_multiple_of(one_other_of);
        }
        self
    }

    fn connect(&mut self, connected: bool) {
        for node in &mut self.observed.nodes {
            node.connected = connected;
        }
    }

    fn moved(&self) -> usize {
        let nodes = self.observed.nodes.iter();
        nodes.filter(|node| serves(&self.rollout, node)).count()
    }

    fn traffic(&mut self, errors: u64) {
        let mut latencies = Sketch::default();
        latencies.record_all(std::time::Duration::from_millis(20), 1_000);
        let good = Traffic {
            requests: 1_000,
            errors: 0,
            no_route: 0,
            latencies,
        };
        self.observed.old = good.clone();
        self.observed.new = Traffic { errors, ..good };
    }

    fn refuse(&mut self, nodes: usize) {
        let refused = |n| Refused {
            node: format!("n{n}"),
            type_url: String::new(),
            resources: Vec::new(),
            message: "no".to_owned(),
            reverted: false,
            at: Timestamp::default(),
        };
        self.observed.refusals = (0..nodes).map(refused).collect();
    }
}

fn wanted(rollout: &Rollout, node: &Node) -> Want {
    want(rollout.from, Some(rollout), node.member(), node.class())
}

fn serves(rollout: &Rollout, node: &Node) -> bool {
    let want = wanted(rollout, node);
    (want.revision, want.phase) == (rollout.to, Phase::Activate)
}

#[test]
fn all_at_once_is_three_changes_and_needs_nobody() {
    for nodes in [0, 20] {
        let mut play = Play::named("all-at-once", nodes);
        let chosen = play.step(0).unwrap();
        assert_eq!(chosen, (vec![EventKind::Advanced], State::Settling));
        play.take();
        let ended = play.step(1).unwrap();
        assert_eq!(
            ended,
            (vec![EventKind::Moved, EventKind::Ended], State::Completed)
        );
        assert_eq!(play.step(1), None);
    }
}

#[test]
fn a_canary_goes_before_ten_percent_of_each_zone_before_half_before_all() {
    let mut play = Play::named("canary-then-all", 40);
    let mut moved = Vec::new();
    while play.rollout.state != State::Completed {
        play.step(0);
        moved.push(play.moved());
        play.take();
        assert_eq!(play.step(5).unwrap().1, State::Baking);
        assert_eq!(play.step(30), None);
        // Without requests it holds, as long as it may be.
        play.observed.new = Traffic::default();
        play.step(600).unwrap();
        assert_eq!(play.rollout.state, State::Baking);
        assert_eq!(play.step(600), None);
        play.traffic(0);
        play.step(0).unwrap();
        play.observed.new = Traffic::default();
    }
    assert_eq!(moved, [1, 4, 20, 40]);
}

#[test]
fn what_fails_in_the_canary_goes_back_and_is_told_once_if_it_is_late() {
    let mut play = Play::named("canary-then-all", 40);
    play.step(0);
    play.take();
    play.step(1);
    play.traffic(100);
    assert_eq!(
        play.step(1),
        Some((vec![EventKind::Moved], State::RollingBack))
    );
    assert_eq!(play.moved(), 0);
    assert_eq!(play.step(59), None);
    assert_eq!(
        play.step(1),
        Some((vec![EventKind::Judged], State::RollingBack))
    );
    assert_eq!(play.step(600), None);
    play.take();
    assert_eq!(
        play.step(1),
        Some((vec![EventKind::Ended], State::RolledBack))
    );
    let outcome = play.rollout.outcome.unwrap();
    assert!(
        outcome.contains("10.00% of 1,000 requests failed"),
        "{outcome}"
    );
}

#[test]
fn many_refusals_are_told_together() {
    let mut play = Play::named("all-at-once", 300);
    play.step(0);
    play.refuse(1);
    let (kinds, state) = play.step(1).unwrap();
    assert_eq!(kinds, [EventKind::Refused, EventKind::Moved]);
    assert_eq!(state, State::RollingBack);
    play.refuse(300);
    let (kinds, _) = play.step(1).unwrap();
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == EventKind::Refused)
            .count(),
        TOLD_MAX + 1
    );
    assert_eq!(play.rollout.refusals_judged, 300);
}

#[test]
fn while_nobody_is_connected_time_to_settle_does_not_run_out() {
    let mut play = Play::named("canary-then-all", 4);
    play.step(0);
    play.connect(false);
    assert_eq!(play.step(59), None);
    for seconds in [1, 60, 60] {
        let (kinds, state) = play.step(seconds).unwrap();
        assert_eq!(
            (kinds.last(), state),
            (Some(&EventKind::Judged), State::Settling)
        );
        assert_eq!(play.step(0), None);
    }
    play.connect(true);
    assert_eq!(play.step(1), None);
    play.take();
    assert_eq!(play.step(1).unwrap().1, State::Baking);
}

#[test]
fn a_wave_whose_nodes_have_all_gone_is_waited_for_to_the_end() {
    let mut play = Play::named("all-at-once", 4);
    play.step(0);
    play.connect(false);
    assert_eq!(play.step(14), None);
    assert_eq!(play.rollout.state, State::Settling);
    assert_eq!(play.step(1).unwrap().1, State::Completed);

    let mut play = Play::named("canary-then-all", 4);
    play.step(0);
    let canary = play
        .observed
        .nodes
        .iter_mut()
        .find(|node| serves(&play.rollout, node));
    canary.unwrap().connected = false;
    assert_eq!(play.step(59), None);
    assert_eq!(play.step(1).unwrap().1, State::RollingBack);
}

#[test]
fn zones_follow_each_other_and_each_is_watched() {
    let mut play = Play::named("by-zone", 6);
    let mut moved = Vec::new();
    while play.rollout.state != State::Completed {
        play.step(0);
        moved.push((play.rollout.wave, play.moved()));
        play.take();
        play.step(1);
        assert_eq!(play.rollout.state, State::Baking);
        play.traffic(0);
        play.step(120).unwrap();
        play.observed.new = Traffic::default();
    }
    assert_eq!(moved, [(0, 3), (0, 6), (1, 6)]);
}

#[test]
fn a_step_limit_splits_a_wave() {
    let mut strategy = built_in("all-at-once").unwrap();
    strategy.max_step = Some(3);
    let mut play = Play::new(&strategy, 10);
    let mut moved = Vec::new();
    while play.rollout.state != State::Completed {
        play.step(1);
        moved.push(play.moved());
        play.take();
    }
    assert_eq!(moved, [3, 6, 9, 10, 10]);
}

#[test]
fn a_fleet_without_its_first_revision_goes_back_to_nothing() {
    let mut play = Play::named("all-at-once", 2);
    play.rollout.from = 0;
    for node in &mut play.observed.nodes {
        node.has = None;
    }
    play.step(0);
    play.refuse(1);
    assert_eq!(play.step(1).unwrap().1, State::RollingBack);
    assert_eq!(play.step(1).unwrap().1, State::RolledBack);
}

/// One wave of everybody, who are waited for.
fn together() -> Strategy {
    let everybody = Wave {
        percent: Some(100.0),
        share: 1.0,
        settle: Duration::from_millis(60_000),
        ..Wave::default()
    };
    Strategy {
        waves: vec![everybody],
        ..built_in("all-at-once").unwrap()
    }
}

#[test]
fn nobody_serves_it_before_every_proxy_is_ready() {
    let mut play = Play::new(&together(), 10).with_proxies(5);
    let chosen = play.step(0).unwrap();
    assert_eq!(chosen, (vec![EventKind::Advanced], State::Staging));
    assert_eq!(play.moved(), 0);
    play.take();
    let slow = &mut play.observed.nodes[7];
    (slow.has, slow.staged) = (Some(1), None);
    assert_eq!(play.step(59), None);
    assert_eq!(play.moved(), 0);
    play.take();
    let (kinds, state) = play.step(0).unwrap();
    assert_eq!((kinds, state), (vec![EventKind::Moved], State::Settling));
    assert_eq!(play.moved(), 10);
    play.take();
    assert_eq!(play.step(1).unwrap().1, State::Completed);
}

#[test]
fn what_one_proxy_refuses_none_has_served() {
    let mut play = Play::new(&together(), 10).with_proxies(10);
    play.step(0);
    play.take();
    play.observed.nodes[3].staged = None;
    play.refuse(4);
    assert_eq!(play.step(1).unwrap().1, State::RollingBack);
    assert_eq!(play.moved(), 0);
    play.take();
    assert_eq!(play.step(1).unwrap().1, State::RolledBack);
}

#[test]
fn who_is_not_ready_in_time_is_judged_by_the_share_of_the_wave() {
    for (share, state) in [(0.5, State::Settling), (0.6, State::RollingBack)] {
        let mut strategy = together();
        strategy.waves[0].share = share;
        let mut play = Play::new(&strategy, 10).with_proxies(11);
        play.observed.nodes[0].stages = true;
        play.step(0);
        for node in &mut play.observed.nodes[5..] {
            node.staged = Some(2);
        }
        assert_eq!(play.step(59), None);
        assert_eq!(play.step(1).unwrap().1, state);
    }
}

#[test]
fn a_wave_without_our_proxies_or_that_waits_for_nobody_does_not_stage() {
    let mut play = Play::new(&together(), 10);
    assert_eq!(play.step(0).unwrap().1, State::Settling);
    let mut play = Play::named("all-at-once", 10).with_proxies(2);
    assert_eq!(play.step(0).unwrap().1, State::Settling);
    assert_eq!(play.moved(), 10);
}

#[test]
fn every_step_of_a_wave_stages_for_itself() {
    let mut strategy = together();
    strategy.max_step = Some(4);
    let mut play = Play::new(&strategy, 10).with_proxies(11);
    play.observed.nodes[0].stages = true;
    let mut moved = Vec::new();
    while play.rollout.state != State::Completed {
        let before = play.moved();
        assert_eq!(play.step(1).unwrap().1, State::Staging);
        assert_eq!(play.moved(), before);
        play.take();
        assert_eq!(play.step(1).unwrap().1, State::Settling);
        moved.push(play.moved());
        play.take();
        if play.moved() == 10 && !play.rollout.selection.partial {
            play.step(1);
        }
    }
    assert_eq!(moved, [4, 8, 10]);
}

#[test]
fn a_wave_is_leased_until_it_has_passed() {
    let mut play = Play::named("canary-then-all", 40).with_proxies(41);
    play.observed.nodes[0].stages = true;
    let mut leased = Vec::new();
    while play.rollout.state != State::Completed {
        play.step(0);
        play.take();
        play.step(0);
        play.take();
        let nodes = play.observed.nodes.iter();
        let wants: Vec<_> = nodes.map(|node| wanted(&play.rollout, node)).collect();
        leased.push(wants.iter().filter(|want| want.lease.is_some()).count());
        play.step(1);
        play.traffic(0);
        play.step(600);
        play.observed.new = Traffic::default();
    }
    assert_eq!(leased, [1, 3, 16, 0]);
}

/// The nodes are all proxies, and the last so many are validators that are being asked.
fn validating(strategy: &Strategy, nodes: usize, validators: usize) -> Play {
    let mut play = Play::new(strategy, nodes).with_proxies(nodes + 1);
    for node in &mut play.observed.nodes[nodes - validators..] {
        node.labels = BTreeMap::from([("role".to_owned(), "validator".to_owned())]);
    }
    let what = Begin {
        id: "r",
        fleet: "f",
        from: 1,
        to: 2,
        strategy,
        reason: "",
        by: "ann",
        validators: true,
        instead_of: None,
        terms: Terms::default(),
    };
    play.rollout = begin(what, Timestamp::default()).0;
    play
}

#[test]
fn validators_have_it_before_anybody_is_chosen_and_are_in_no_wave() {
    let mut play = validating(&built_in("canary-then-all").unwrap(), 6, 2);
    let judged = Some((vec![EventKind::Judged], State::Validating));
    assert_eq!(play.step(0), judged);
    assert_eq!(play.step(59), None);
    assert_eq!(play.moved(), 2);
    play.take();
    let (kinds, state) = play.step(0).unwrap();
    assert_eq!(kinds, [EventKind::Moved, EventKind::Advanced]);
    assert_eq!(
        (state, play.rollout.selection.nodes.len()),
        (State::Settling, 1)
    );
    let chosen = play.rollout.selection.nodes.first().unwrap();
    assert!(!["n4", "n5"].contains(&chosen.as_str()));
}

#[test]
fn what_a_validator_refuses_or_does_not_take_in_time_ends_there() {
    let mut strategy = together();
    strategy.on_failure = OnFailure::Pause;
    strategy.gates.max_refusals = 9;
    let mut late = validating(&strategy, 6, 6);
    late.step(0);
    assert_eq!(late.step(59), None);
    assert_eq!(late.step(1).unwrap().1, State::RollingBack);
    let mut refused = validating(&strategy, 6, 6);
    refused.refuse(1);
    assert_eq!(refused.step(1).unwrap().1, State::RollingBack);
    refused.observed.nodes[1].has = Some(2);
    assert_eq!(refused.step(1), None);
    refused.take();
    assert_eq!(refused.step(1).unwrap().1, State::RolledBack);
}

#[test]
fn more_change_than_is_allowed_holds_until_an_operator_lets_it_pass() {
    let mut strategy = built_in("all-at-once").unwrap();
    strategy.gates.max_changed = Some(0.01);
    let forecast = |changed| Forecast {
        requests: 1_000,
        changed,
        ..Forecast::default()
    };
    for (known, passes) in [
        (None, false),
        (Some(Forecast::default()), false),
        (Some(forecast(11)), false),
        (Some(forecast(10)), true),
    ] {
        let mut urgent = Play::new(&strategy, 2);
        urgent.rollout.urgent = true;
        urgent.observed.forecast = known.clone();
        urgent.step(1);
        assert_eq!(urgent.rollout.state, State::Settling);
        let mut course = Play::new(&strategy, 2);
        assert!(first(&course.rollout, &Observed::default(), Timestamp::default()).is_none());
        course.observed.forecast = known;
        course.step(1);
        let holds = course.rollout.state == State::Advancing;
        assert_eq!(holds, !passes, "{:?}", course.observed.forecast);
        if holds {
            let word = Word {
                actor: "eve",
                revision_author: "bob",
                reason: "",
                is_admin: false,
            };
            let now = Timestamp::from_micros(course.now);
            let promoted = apply(&course.rollout, Verb::Promote, word, now).unwrap();
            course.rollout = promoted.next;
            course.step(1);
            assert_eq!(course.rollout.state, State::Settling);
        }
    }
}
