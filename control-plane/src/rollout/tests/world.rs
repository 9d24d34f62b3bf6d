//! A fleet, a store and two drivers, none of them real: what may happen to a rollout, one action after the other.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::law;
use crate::model::duration::Duration;
use crate::model::timestamp::Timestamp;
use crate::rollout::begin::{Begin, Terms, begin, superseded};
use crate::rollout::observed::{Node, Observed, Refused, Traffic};
use crate::rollout::step::step;
use crate::rollout::strategy::{
    Approval, Compare, Gates, HealthGate, OnFailure, Strategy as Waves, Wave,
};
use crate::rollout::verb::{Verb, Word, apply};
use crate::rollout::verdict::{Gate, Outcome};
use crate::rollout::want::want;
use crate::rollout::webhook::{Answer, Occasion, OnError, Reply, Webhook, When};
use crate::rollout::window::Freeze;
use crate::rollout::{Event, Rollout, State};
use crate::sketch::Sketch;

pub(super) const ZONES: [&str; 4] = ["", "a", "b", "c"];
const ACTORS: [&str; 2] = ["author", "other"];
const SECOND: i64 = 1_000_000;
/// One node of so many is a validator, from this one on.
const ONE_VALIDATOR_OF: u32 = 11;
const FIRST_VALIDATOR: u32 = 5;

/// Something that happens.
#[derive(Clone, Debug)]
pub(super) enum Action {
    Join(u8, bool),
    Leave(u8),
    Return(u8),
    Rezone(u8, u8),
    Relabel(u8),
    Doubt(u8),
    /// A node takes what its replica says.
    Take(u8),
    TakeAll,
    /// A node refuses the new revision.
    Refuse(u8),
    /// A replica reads the row.
    Sync(usize),
    Traffic(u8, u8),
    /// A freeze window begins that lasts so long, or all are taken away.
    Freeze(Option<u16>),
    /// What webhooks say from now on.
    Answer(u8),
    Tick(u16),
    /// A driver reads everything,
    Read(usize),
    /// decides and writes,
    Write(usize),
    /// or dies in between.
    Kill(usize),
    /// All of it at once.
    Drive(usize),
    Say(u8, bool),
    Supersede,
}

/// What a driver has read.
#[derive(Clone, Debug)]
struct Reading {
    rollout: Rollout,
    observed: Observed,
    now: Timestamp,
}

pub(super) struct World {
    pub(super) nodes: Vec<Node>,
    refusals: Vec<Refused>,
    /// Requests a second on both revisions, and how they end.
    rate: u64,
    bad: u8,
    freeze: Vec<Freeze>,
    answer: Option<Reply>,
    now: i64,
    stable: u64,
    pub(super) row: Rollout,
    pub(super) log: Vec<Event>,
    replicas: [Rollout; 2],
    drivers: [Option<Reading>; 2],
    pub(super) law: law::Law,
    joined: u32,
    pub(super) seen: BTreeSet<&'static str>,
}

impl World {
    pub(super) fn new(strategy: &Waves, terms: Terms<'static>, nodes: &[(u8, bool)]) -> Self {
        let what = Begin {
            id: "r",
            fleet: "f",
            from: 1,
            to: 2,
            strategy,
            reason: "",
            by: ACTORS[0],
            validators: nodes.len() > FIRST_VALIDATOR as usize,
            instead_of: None,
            terms,
        };
        let (row, log) = begin(what, Timestamp::from_micros(0));
        let mut world = Self {
            nodes: Vec::new(),
            refusals: Vec::new(),
            rate: 100,
            bad: 0,
            freeze: Vec::new(),
            answer: Some(Reply::Pass),
            now: 0,
            stable: 1,
            replicas: [row.clone(), row.clone()],
            law: law::Law::default(),
            row,
            log,
            drivers: [None, None],
            joined: 0,
            seen: BTreeSet::new(),
        };
        for (zone, label) in nodes {
            world.join(*zone, *label);
        }
        world.see();
        world
    }

    pub(super) fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match *action {
            Action::Join(zone, label) => self.join(zone, label),
            Action::Leave(n) => self.node(n, |node| node.connected = false),
            Action::Return(n) => self.node(n, |node| node.connected = true),
            Action::Rezone(n, zone) => self.node(n, |node| {
                node.zone = ZONES[zone as usize % ZONES.len()].to_owned();
            }),
            Action::Relabel(n) => self.node(n, |node| {
                if node.labels.remove("c").is_none() {
                    node.labels.extend(labels(true));
                }
            }),
            Action::Doubt(n) => self.node(n, |node| node.doubtful = !node.doubtful),
            Action::Take(n) => self.take(n as usize),
            Action::TakeAll => self.take_all(),
            Action::Refuse(n) => self.refuse(n),
            Action::Sync(replica) => self.replicas[replica].clone_from(&self.row),
            Action::Traffic(rate, bad) => {
                self.rate = [0, 2, 100][rate as usize % 3];
                self.bad = bad % 4;
            }
            Action::Freeze(None) => self.freeze.clear(),
            Action::Freeze(Some(seconds)) => self.freeze.push(Freeze {
                name: "window".to_owned(),
                from: Timestamp::from_micros(self.now).to_string(),
                until: Timestamp::from_micros(self.now + i64::from(seconds) * SECOND).to_string(),
                ..Freeze::default()
            }),
            Action::Answer(answer) => {
                let all = [
                    None,
                    Some(Reply::Wait),
                    Some(Reply::Error),
                    Some(Reply::Fail),
                ];
                self.answer = all
                    .get(answer as usize)
                    .copied()
                    .unwrap_or(Some(Reply::Pass));
            }
            Action::Tick(seconds) => self.now += i64::from(seconds) * SECOND,
            Action::Read(driver) => self.read(driver),
            Action::Write(driver) => self.write(driver)?,
            Action::Kill(driver) => self.drivers[driver] = None,
            Action::Drive(driver) => self.drive(driver)?,
            Action::Say(verb, other) => self.say(verb, other)?,
            Action::Supersede => self.supersede()?,
        }
        Ok(())
    }

    /// From here on everything goes well: the rollout ends.
    pub(super) fn goes_well(&mut self) -> Result<(), TestCaseError> {
        self.rate = 100;
        self.bad = 0;
        self.freeze.clear();
        self.answer = Some(Reply::Pass);
        // A wave asks for two nodes at most, and a zone may have lost its own to another.
        for zone in (0..ZONES.len() as u8).chain(0..ZONES.len() as u8) {
            self.join(zone, true);
        }
        for node in &mut self.nodes {
            node.connected = true;
            node.doubtful = false;
        }
        for _ in 0..2_000 {
            if self.row.state.is_terminal() {
                return Ok(());
            }
            match self.row.state {
                State::AwaitingApproval => self.say(3, true)?,
                // What has failed for good is for an operator to end.
                State::Paused if self.row.outcome.is_some() => self.say(4, true)?,
                State::Paused => self.say(1, true)?,
                _ => {}
            }
            self.replicas = [self.row.clone(), self.row.clone()];
            self.take_all();
            self.now += 5 * SECOND;
            self.drive(0)?;
        }
        Err(TestCaseError::fail(format!(
            "it never ends: {:#?}",
            self.row
        )))
    }

    fn join(&mut self, zone: u8, label: bool) {
        if self.nodes.len() >= 24 {
            return;
        }
        let mut labels = labels(label);
        if self.joined % ONE_VALIDATOR_OF == FIRST_VALIDATOR {
            labels.insert("role".to_owned(), "validator".to_owned());
        }
        self.nodes.push(Node {
            id: format!("n{}", self.joined),
            zone: ZONES[zone as usize % ZONES.len()].to_owned(),
            labels,
            connected: true,
            has: Some(self.stable),
            stages: !self.joined.is_multiple_of(3),
            staged: None,
            doubtful: false,
        });
        self.joined += 1;
    }

    fn node(&mut self, n: u8, change: impl FnOnce(&mut Node)) {
        let count = self.nodes.len();
        if count > 0 {
            change(&mut self.nodes[n as usize % count]);
        }
    }

    fn take(&mut self, n: usize) {
        if self.nodes.is_empty() {
            return;
        }
        let n = n % self.nodes.len();
        let row = &self.replicas[n % 2];
        let active = (!row.state.is_terminal()).then_some(row);
        let stable = if row.state == State::Completed {
            row.to
        } else {
            row.from
        };
        let node = &mut self.nodes[n];
        let want = want(stable, active, node.member(), node.class());
        let refuses = node.stages
            && row.id == self.row.id
            && want.revision == row.to
            && self.refusals.iter().any(|it| it.node == node.id);
        if node.connected && !refuses {
            node.follow(want);
        }
    }

    fn take_all(&mut self) {
        for n in 0..self.nodes.len() {
            self.take(n);
        }
    }

    /// Only who is sent the new revision can refuse it. The row moves.
    fn refuse(&mut self, n: u8) {
        let count = self.nodes.len();
        if count == 0 || self.row.state.is_terminal() {
            return;
        }
        let node = &self.nodes[n as usize % count];
        let known = self.refusals.iter().any(|refused| refused.node == node.id);
        let want = want(self.stable, Some(&self.row), node.member(), node.class());
        let ready = node.stages && [node.has, node.staged].contains(&Some(self.row.to));
        if known || ready || !node.connected || want.revision != self.row.to {
            return;
        }
        self.refusals.push(Refused {
            node: node.id.clone(),
            type_url: "t".to_owned(),
            resources: Vec::new(),
            message: "no".to_owned(),
            reverted: false,
            at: Timestamp::from_micros(self.now),
        });
        self.row.row_version += 1;
    }

    fn read(&mut self, driver: usize) {
        let requests = self.row.wave_at.map_or(0, |at| {
            self.rate * ((self.now - at.as_micros()) / SECOND) as u64
        });
        let has = |revision| {
            let mut nodes = self.nodes.iter();
            let serves = |node: &Node| node.has.unwrap_or(self.row.from) == revision;
            nodes.any(|node| node.connected && serves(node))
        };
        let traffic = |revision, is_bad, is_slow| Traffic {
            requests: if has(revision) { requests } else { 0 },
            errors: if is_bad && has(revision) {
                requests / 2
            } else {
                0
            },
            no_route: 0,
            latencies: {
                let took = std::time::Duration::from_millis(if is_slow { 900 } else { 20 });
                let mut latencies = Sketch::default();
                latencies.record_all(took, if has(revision) { requests } else { 0 });
                latencies
            },
        };
        let observed = Observed {
            nodes: self.nodes.clone(),
            refusals: self.refusals.clone(),
            new: traffic(self.row.to, self.bad == 1 || self.bad == 2, self.bad == 3),
            old: traffic(self.row.from, self.bad == 2, false),
            parts: None,
            freeze: self.freeze.clone(),
            answers: self
                .answer
                .map(|reply| said(&self.row, reply))
                .into_iter()
                .collect(),
            forecast: None,
        };
        self.drivers[driver] = Some(Reading {
            rollout: self.row.clone(),
            observed,
            now: Timestamp::from_micros(self.now),
        });
    }

    fn write(&mut self, driver: usize) -> Result<(), TestCaseError> {
        let Some(Reading {
            rollout,
            observed,
            now,
        }) = self.drivers[driver].take()
        else {
            return Ok(());
        };
        let change = step(&rollout, &observed, now);
        if !rollout.state.is_terminal() {
            let next = change.as_ref().map_or(&rollout, |change| &change.next);
            law::what_fails_stops(&rollout, next, &observed, now)?;
        }
        let Some(change) = change else {
            return Ok(());
        };
        law::of_a_change(&rollout, &change, &observed, now)?;
        if rollout.row_version != self.row.row_version {
            self.seen.insert("fenced");
            return Ok(());
        }
        prop_assert_eq!(&rollout, &self.row);
        if change.next.activated() != rollout.activated() {
            prop_assert_eq!(change.next.refusals_judged as usize, self.refusals.len());
        }
        self.law.driven(&rollout, &change, now)?;
        self.accept(change.next, change.events)
    }

    fn drive(&mut self, driver: usize) -> Result<(), TestCaseError> {
        self.read(driver);
        self.write(driver)
    }

    fn say(&mut self, verb: u8, other: bool) -> Result<(), TestCaseError> {
        let verbs = [
            Verb::Pause,
            Verb::Resume,
            Verb::Promote,
            Verb::Approve,
            Verb::Abort,
            Verb::Skip,
        ];
        let verb = verbs[verb as usize % verbs.len()];
        let word = Word {
            actor: ACTORS[usize::from(other)],
            revision_author: ACTORS[0],
            reason: "",
            is_admin: false,
        };
        let now = Timestamp::from_micros(self.now);
        let before = self.row.clone();
        if let Ok(change) = apply(&before, verb, word, now) {
            law::of_a_verb(&before, verb, &change)?;
            self.law.said(&before, &change, now);
            self.accept(change.next, change.events)?;
        }
        Ok(())
    }

    fn supersede(&mut self) -> Result<(), TestCaseError> {
        if self.row.state.is_terminal() {
            return Ok(());
        }
        let id = format!("{}'", self.row.id);
        let what = Begin {
            id: &id,
            fleet: "f",
            from: self.stable,
            to: self.row.to + 1,
            strategy: &self.row.strategy.clone(),
            reason: "urgent",
            by: ACTORS[0],
            validators: self
                .nodes
                .iter()
                .any(|node| node.connected && node.member().is_validator()),
            instead_of: Some(&self.row.clone()),
            terms: Terms::default(),
        };
        let now = Timestamp::from_micros(self.now);
        let (next, log) = begin(what, now);
        let old = self.row.clone();
        let end = superseded(&old, &next, now);
        prop_assert_eq!(end.next.state, State::Superseded);
        if old.state != State::RollingBack {
            law::goes_forward(&old, &next, &self.nodes)?;
        }
        self.seen.insert(State::Superseded.as_str());
        self.refusals.clear();
        self.log = log;
        self.law = law::Law::default();
        // Another row: whoever has read the old one writes nothing.
        let row_version = old.row_version + 1_000;
        self.row = Rollout {
            row_version,
            ..next
        };
        self.see();
        Ok(())
    }

    fn accept(&mut self, next: Rollout, events: Vec<Event>) -> Result<(), TestCaseError> {
        law::two_revisions(self.stable, &next, &self.nodes)?;
        law::survives_storage(&next, &self.nodes)?;
        law::each_contains_the_next(&next, &self.nodes)?;
        self.row = Rollout {
            row_version: next.row_version + 1,
            ..next
        };
        self.log.extend(events);
        if self.row.state == State::Completed {
            self.stable = self.row.to;
        }
        self.see();
        Ok(())
    }

    fn see(&mut self) {
        self.seen.insert(self.row.state.as_str());
        if self.row.selection.partial {
            self.seen.insert("partial");
        }
        if self.row.promoted {
            self.seen.insert("promoted");
        }
        if self.row.promoted && self.row.state == State::Settling {
            self.seen.insert("skipped");
        }
        for verdict in &self.row.verdicts {
            match (verdict.gate, verdict.outcome) {
                (Gate::Freeze, _) => self.seen.insert("frozen"),
                (Gate::Schedule, _) => self.seen.insert("scheduled"),
                (Gate::Webhooks, Outcome::Hold) => self.seen.insert("held by a webhook"),
                (Gate::Webhooks, Outcome::Fail) => self.seen.insert("failed by a webhook"),
                _ => false,
            };
        }
        if self.row.paused.is_some() && self.row.outcome.is_some() {
            self.seen.insert("paused by a gate");
        }
    }
}

/// Every webhook of a strategy here has the same name: no wave asks two.
fn said(rollout: &Rollout, reply: Reply) -> Answer {
    Answer {
        occasion: Occasion::of(rollout),
        name: "hook".to_owned(),
        reply,
        message: String::new(),
    }
}

fn labels(given: bool) -> BTreeMap<String, String> {
    let label = given.then(|| ("c".to_owned(), "1".to_owned()));
    label.into_iter().collect()
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let d = 0..2_usize;
    prop_oneof![
        3 => (any::<u8>(), any::<bool>()).prop_map(|(zone, label)| Action::Join(zone, label)),
        2 => any::<u8>().prop_map(Action::Leave),
        4 => any::<u8>().prop_map(Action::Return),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(n, zone)| Action::Rezone(n, zone)),
        1 => any::<u8>().prop_map(Action::Relabel),
        1 => any::<u8>().prop_map(Action::Doubt),
        4 => any::<u8>().prop_map(Action::Take),
        12 => Just(Action::TakeAll),
        1 => any::<u8>().prop_map(Action::Refuse),
        1 => prop_oneof![1 => Just(None), 2 => (1..40_u16).prop_map(Some)].prop_map(Action::Freeze),
        2 => prop_oneof![6 => 0..3_u8, 1 => Just(3_u8), 8 => Just(4_u8)].prop_map(Action::Answer),
        10 => d.clone().prop_map(Action::Sync),
        3 => (any::<u8>(), prop_oneof![6 => Just(0_u8), 1 => any::<u8>()])
            .prop_map(|(rate, bad)| Action::Traffic(rate, bad)),
        10 => prop_oneof![4 => 0..8_u16, 1 => 20..90_u16].prop_map(Action::Tick),
        6 => d.clone().prop_map(Action::Read),
        6 => d.clone().prop_map(Action::Write),
        1 => d.clone().prop_map(Action::Kill),
        20 => d.prop_map(Action::Drive),
        // Approving more often than the rest, aborting less.
        6 => (prop_oneof![
            4 => Just(3_u8), 2 => Just(2_u8), 1 => Just(0_u8), 3 => Just(1_u8), 1 => Just(5_u8),
        ], any::<bool>()).prop_map(|(verb, other)| Action::Say(verb, other)),
        1 => prop_oneof![
            3 => Just(Action::Sync(0)), 1 => Just(Action::Say(4, true)), 1 => Just(Action::Supersede),
        ],
    ]
}

pub(super) fn terms() -> impl Strategy<Value = Terms<'static>> {
    prop_oneof![
        6 => Just(Terms::default()),
        1 => (1..40_i64).prop_map(|seconds| Terms {
            not_before: Some(Timestamp::from_micros(seconds * SECOND)),
            ..Terms::default()
        }),
        1 => Just(Terms { urgent: true, ..Terms::default() }),
    ]
}

pub(super) fn strategy() -> impl Strategy<Value = Waves> {
    let last = (0..2_u8, limits()).prop_map(|(kind, limits)| {
        if kind == 0 {
            Wave {
                percent: Some(100.0),
                ..limits
            }
        } else {
            Wave {
                labels: Some(BTreeMap::new()),
                ..limits
            }
        }
    });
    (
        prop::collection::vec((0..6_u8, 1..4_u32, limits()), 0..4),
        last,
        0..2_u32,
        prop::option::weighted(0.7, any::<bool>()),
        prop::option::of(1..4_u32),
        any::<bool>(),
    )
        .prop_map(|(waves, last, max_refusals, health, max_step, pauses)| {
            let mut waves: Vec<Wave> = waves.into_iter().enumerate().map(select).collect();
            waves.push(last);
            Waves {
                waves,
                gates: Gates {
                    max_changed: None,
                    max_refusals,
                    health: health.map(gate),
                    webhooks: Vec::new(),
                },
                max_step,
                on_failure: if pauses {
                    OnFailure::Pause
                } else {
                    OnFailure::RollBack
                },
            }
        })
}

fn select((index, (kind, size, limits)): (usize, (u8, u32, Wave))) -> Wave {
    let mut wave = limits;
    match kind {
        0 => wave.count = Some(size),
        1 => wave.percent = Some(10.0 + 20.0 * index as f64 + f64::from(size)),
        2 => wave.labels = Some(labels(true)),
        3 => wave.zones = Some(vec!["a".to_owned(), "c".to_owned()]),
        4 => wave.nodes = Some((0..=size).map(|n| format!("n{}", 2 * n)).collect()),
        _ => wave.each_zone = true,
    }
    wave
}

fn limits() -> impl Strategy<Value = Wave> {
    (
        prop_oneof![Just(0_u64), Just(5), Just(30)],
        prop_oneof![Just(5_u64), Just(20)],
        prop_oneof![4 => Just(1.0), 1 => Just(0.5), 2 => Just(0.0)],
        0..3_u32,
        prop_oneof![3 => Just(0_u64), 1 => Just(50)],
        prop_oneof![4 => Just(None), 1 => any::<bool>().prop_map(Some)],
        prop::option::of(prop_oneof![Just(0_u64), Just(20)]),
        prop_oneof![8 => Just(None), 1 => (any::<bool>(), any::<bool>()).prop_map(Some)],
    )
        .prop_map(
            |(bake, settle, share, min_nodes, min_requests, by_another, lease, hook)| Wave {
                bake: Duration::from_millis(bake * 1_000),
                settle: Duration::from_millis(settle * 1_000),
                share,
                min_nodes,
                min_requests,
                lease: lease.map(|lease| Duration::from_millis(lease * 1_000)),
                approval: by_another.map(|by_another| Approval { by_another }),
                webhooks: hook.map(webhook).into_iter().collect(),
                ..Wave::default()
            },
        )
}

fn webhook((before, fails): (bool, bool)) -> Webhook {
    let second = Duration::from_millis(1_000);
    Webhook {
        name: "hook".to_owned(),
        url: "http://a.example/".to_owned(),
        when: if before { When::Before } else { When::Bake },
        timeout: second,
        interval: second,
        on_error: if fails { OnError::Fail } else { OnError::Hold },
    }
}

fn gate(compares: bool) -> HealthGate {
    HealthGate {
        min_requests: 100,
        max_error_ratio: (!compares).then_some(0.1),
        max_no_route_ratio: None,
        max_p99: None,
        compare: compares.then_some(Compare {
            p99_factor: Some(2.0),
            ..Compare::default()
        }),
    }
}
