use std::collections::BTreeMap;

use super::*;
use crate::rollout::begin::{Begin, begin};
use crate::rollout::built_in::built_in;
use crate::rollout::observed::{Forecast, Node};
use crate::rollout::strategy::Strategy;
use crate::rollout::verb::{Verb, Word, apply};

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
            instead_of: None,
        };
        let node = |n: usize| Node {
            id: format!("n{n}"),
            zone: ["a", "b"][n % 2].to_owned(),
            labels: BTreeMap::new(),
            connected: true,
            has: Some(1),
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

    /// Every node takes what it is to have.
    fn take(&mut self) {
        for node in &mut self.observed.nodes {
            let chosen = self.rollout.chooses(node.member());
            node.has = Some(if chosen {
                self.rollout.to
            } else {
                self.rollout.from
            });
        }
    }

    fn connect(&mut self, connected: bool) {
        for node in &mut self.observed.nodes {
            node.connected = connected;
        }
    }

    fn moved(&self) -> usize {
        let nodes = self.observed.nodes.iter();
        nodes
            .filter(|node| self.rollout.chooses(node.member()))
            .count()
    }

    fn traffic(&mut self, errors: u64) {
        let good = Traffic {
            requests: 1_000,
            errors: 0,
            no_route: 0,
            p99_ms: Some(20.0),
        };
        self.observed.old = good;
        self.observed.new = Traffic { errors, ..good };
    }

    fn refuse(&mut self, nodes: usize) {
        let refused = |n| Refused {
            node: format!("n{n}"),
            type_url: String::new(),
            resources: Vec::new(),
            message: "no".to_owned(),
            at: Timestamp::default(),
        };
        self.observed.refusals = (0..nodes).map(refused).collect();
    }
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
    assert!(outcome.contains("10.00% of requests"), "{outcome}");
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
        .find(|node| play.rollout.chooses(node.member()));
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
        let mut course = Play::new(&strategy, 2);
        assert!(first(&course.rollout, Timestamp::default()).is_none());
        course.observed.forecast = known;
        course.step(1);
        let holds = course.rollout.state == State::Advancing;
        assert_eq!(holds, !passes, "{:?}", course.observed.forecast);
        if holds {
            let word = Word {
                actor: "eve",
                revision_author: "bob",
                reason: "",
            };
            let now = Timestamp::from_micros(course.now);
            let promoted = apply(&course.rollout, Verb::Promote, word, now).unwrap();
            course.rollout = promoted.next;
            course.step(1);
            assert_eq!(course.rollout.state, State::Settling);
        }
    }
}
