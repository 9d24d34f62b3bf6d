//! Rollouts of which the truth is known, played request by request: how often the gate stops them, lets them pass, or holds, and how
//! soon; and the same by the rule that went before, a fixed difference of two ratios. docs/health-gates.md shows what comes out.
//!
//! A fleet of twenty nodes moves in the waves of `canary-then-all`. A third of its requests go by the route that the revision
//! changes. Nodes differ from each other, the load and the errors of all of them drift, and now and then an upstream
//! has a bad ten seconds. Nodes report every five seconds; nothing new is seen in between.

use std::time::Duration;

use super::random::Random;
use super::{Crowd, judge};
use crate::rollout::observed::{Observed, Part, Parts, Sides, Traffic};
use crate::rollout::strategy::{Compare, HealthGate};
use crate::rollout::verdict::Outcome;
use crate::sketch::{BUCKETS, Sketch, bounds};

const NODES: usize = 20;
/// Nodes with the new revision, and how long they are watched at least, in seconds.
const WAVES: [(usize, u32); 3] = [(1, 60), (2, 120), (10, 120)];
const REPORTED_EVERY: u32 = 5;
/// A rollout that has not ended by then holds.
const HALF_AN_HOUR: u32 = 1_800;
/// Requests a second of each node.
const RATES: [f64; 3] = [1.0, 20.0, 500.0];
/// The share of the requests that goes by the route that the revision changes.
const CHANGED: f64 = 0.3;

/// What is true of the new revision, or of the canary.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Truth {
    NoEffect,
    /// So many more of the changed route's requests fail.
    Errors(f64),
    /// The changed route's requests take longer by this factor.
    Slower(f64),
    /// The revision is good; the node that gets it first is not: so many more of all its requests fail, and take longer.
    IllNode(f64, f64),
}

const TRUTHS: [(Truth, &str); 5] = [
    (Truth::NoEffect, "none"),
    (Truth::IllNode(0.02, 1.3), "none, but the first node is ill"),
    (Truth::Errors(0.01), "1 % more errors"),
    (Truth::Errors(0.05), "5 % more errors"),
    (Truth::Slower(1.2), "20 % slower"),
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    Evidence,
    Fixed,
}

/// How a rollout ended, after so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Stopped(u32),
    Passed(u32),
    Held,
}

fn gate() -> HealthGate {
    HealthGate {
        min_requests: 100,
        compare: Some(Compare {
            error_ratio: 0.005,
            p50_factor: Some(1.1),
            p99_factor: Some(2.0),
            ..Compare::default()
        }),
        ..HealthGate::default()
    }
}

/// A node, and how its requests by the changed route and by all others fare by nature.
struct Node {
    errors: [f64; 2],
    times: f64,
}

struct World {
    random: Random,
    truth: Truth,
    rate: f64,
    /// Of the changed route, and of all others.
    errors: [f64; 2],
    median_ms: [f64; 2],
    nodes: Vec<Node>,
    /// Where the day stands when it begins.
    phase: f64,
    /// Until when an upstream is bad.
    bad_until: u32,
}

/// What the requests of one side are by one route, expected in a second: all, errors, and by bucket.
struct Expected {
    requests: f64,
    errors: f64,
    added: f64,
    buckets: Vec<(usize, f64)>,
}

impl World {
    fn new(seed: u64, truth: Truth, rate: f64) -> Self {
        let mut random = Random::new(seed);
        // 0.1 to 1 %.
        let mut base = || 0.001 * 10_f64.powf(random.unit());
        let errors = [base(), base()];
        let mut node = || {
            let whole = 0.25 * random.normal();
            let mut by_route = || (whole + 0.1 * random.normal()).exp();
            Node {
                errors: [by_route(), by_route()],
                times: (0.05 * random.normal()).exp(),
            }
        };
        let nodes = (0..NODES).map(|_| node()).collect();
        let phase = random.unit() * std::f64::consts::TAU;
        Self {
            random,
            truth,
            rate,
            errors,
            median_ms: [20.0, 35.0],
            nodes,
            phase,
            bad_until: 0,
        }
    }

    /// Times are log-logistic: the 99th percentile is three times the median.
    fn expected(&self, is_new: bool, first: usize, route: usize) -> Expected {
        let nodes = if is_new {
            &self.nodes[..first]
        } else {
            &self.nodes[first..]
        };
        let share = if route == 0 { CHANGED } else { 1.0 - CHANGED };
        let each = self.rate * share;
        let (mut errors, mut added) = (0.0, 0.0);
        let mut buckets = vec![0.0; BUCKETS];
        for (index, node) in nodes.iter().enumerate() {
            errors += each * self.errors[route] * node.errors[route];
            let mut median = self.median_ms[route] * node.times;
            match self.truth {
                Truth::Errors(more) if is_new && route == 0 => added += each * more,
                Truth::Slower(factor) if is_new && route == 0 => median *= factor,
                Truth::IllNode(more, factor) if is_new && index == 0 => {
                    added += each * more;
                    median *= factor;
                }
                _ => {}
            }
            let below = |us: f64| 1.0 / (1.0 + (us / (median * 1_000.0)).max(1e-9).powi(-4));
            for (bucket, mass) in buckets.iter_mut().enumerate() {
                let (lowest, width) = bounds(bucket);
                *mass += each * (below((lowest + width) as f64) - below(lowest as f64));
            }
        }
        let filled = buckets
            .into_iter()
            .enumerate()
            .filter(|(_, mass)| *mass > each * 1e-6);
        Expected {
            requests: each * nodes.len() as f64,
            errors,
            added,
            buckets: filled.collect(),
        }
    }

    /// How much load there is, and how many of the errors of every day, relative to what is usual.
    fn drift(&mut self, at: u32) -> (f64, f64) {
        if self.random.unit() < 0.005 {
            self.bad_until = at + 10;
        }
        let day = (self.phase + f64::from(at) / f64::from(HALF_AN_HOUR) * 1.5).sin();
        let bad = if at < self.bad_until { 5.0 } else { 1.0 };
        (1.0 + 0.4 * day, (1.0 + 0.3 * day) * bad)
    }

    fn draw(&mut self, expected: &Expected, (load, ill): (f64, f64), into: &mut Traffic) {
        let seconds = f64::from(REPORTED_EVERY) * load;
        let mut requests = 0;
        for (bucket, mass) in &expected.buckets {
            let count = self.random.poisson(mass * seconds);
            let (lowest, _) = bounds(*bucket);
            into.latencies
                .record_all(Duration::from_micros(lowest), count);
            requests += count;
        }
        let chance = (expected.errors * ill + expected.added) / expected.requests;
        let errors = self.random.poisson(chance * requests as f64);
        into.requests += requests;
        into.errors += errors.min(requests);
    }

    fn play(&mut self, rule: Rule) -> End {
        let mut now = 0;
        for (first, bake) in WAVES {
            let began = now;
            let expected = |is_new| [0, 1].map(|route| self.expected(is_new, first, route));
            let (new, old) = (expected(true), expected(false));
            let mut sides = [Sides::default(), Sides::default()];
            loop {
                now += REPORTED_EVERY;
                if now > HALF_AN_HOUR {
                    return End::Held;
                }
                let drift = self.drift(now);
                for route in 0..2 {
                    self.draw(&new[route], drift, &mut sides[route].new);
                    self.draw(&old[route], drift, &mut sides[route].old);
                }
                match look(rule, &sides, first) {
                    Outcome::Fail => return End::Stopped(now),
                    Outcome::Pass if now - began >= bake => break,
                    Outcome::Pass | Outcome::Hold => {}
                }
            }
        }
        End::Passed(now)
    }
}

fn look(rule: Rule, [changed, others]: &[Sides; 2], have: usize) -> Outcome {
    let (new, old) = (
        both(&changed.new, &others.new),
        both(&changed.old, &others.old),
    );
    if rule == Rule::Fixed {
        return fixed(&new, &old);
    }
    let parts = Parts {
        changed: vec![
            (Part::Route("changed".to_owned()), changed.clone()),
            (Part::Cluster("behind".to_owned()), changed.clone()),
        ],
        routes: changed.clone(),
        clusters: changed.clone(),
        other_routes: others.clone(),
        other_clusters: others.clone(),
    };
    let observed = Observed {
        new,
        old,
        parts: Some(parts),
        ..Observed::default()
    };
    let crowd = Crowd {
        have: have as u64,
        others: true,
        rounds: WAVES.len() + 1,
    };
    judge(&gate(), &observed, crowd).outcome
}

/// The rule that went before: ratios of all requests, from a hundred of them on. It knew no median.
fn fixed(new: &Traffic, old: &Traffic) -> Outcome {
    let gate = gate();
    if new.requests < gate.min_requests || old.requests < gate.min_requests {
        return Outcome::Hold;
    }
    let by = gate.compare.unwrap_or_default();
    let ratio = |it: &Traffic| it.errors as f64 / it.requests as f64;
    let p99 = |it: &Traffic| it.latencies.quantile_ms(0.99).unwrap_or(0.0);
    let slow = p99(new) > (p99(old) * by.p99_factor.unwrap_or(f64::MAX)).max(p99(old) + 10.0);
    if slow || ratio(new) > ratio(old) + by.error_ratio {
        Outcome::Fail
    } else {
        Outcome::Pass
    }
}

fn both(one: &Traffic, other: &Traffic) -> Traffic {
    let mut latencies: Sketch = one.latencies.clone();
    latencies.merge(&other.latencies);
    Traffic {
        requests: one.requests + other.requests,
        errors: one.errors + other.errors,
        no_route: 0,
        latencies,
    }
}

/// How many rollouts of one kind came to what end.
#[derive(Debug, Default)]
struct Ends {
    stopped: Vec<u32>,
    passed: Vec<u32>,
    held: usize,
}

fn ends(truth: Truth, rate: f64, rule: Rule, rollouts: u64) -> Ends {
    let mut ends = Ends::default();
    for seed in 0..rollouts {
        match World::new(seed * 1_000 + 17, truth, rate).play(rule) {
            End::Stopped(at) => ends.stopped.push(at),
            End::Passed(at) => ends.passed.push(at),
            End::Held => ends.held += 1,
        }
    }
    ends.stopped.sort_unstable();
    ends.passed.sort_unstable();
    ends
}

impl Ends {
    fn told(&self) -> String {
        let median = |all: &[u32]| match all.get(all.len() / 2) {
            Some(seconds) => format!(" ({seconds} s)"),
            None => String::new(),
        };
        format!(
            "{}{} / {}{} / {}",
            self.stopped.len(),
            median(&self.stopped),
            self.passed.len(),
            median(&self.passed),
            self.held
        )
    }
}

/// One row of the table.
fn row(truth: Truth, name: &str, rate: f64, rollouts: u64) -> (String, Ends) {
    let evidence = ends(truth, rate, Rule::Evidence, rollouts);
    let fixed = ends(truth, rate, Rule::Fixed, rollouts);
    let row = format!(
        "| {name} | {rate} | {} | {} |\n",
        evidence.told(),
        fixed.told()
    );
    (row, evidence)
}

fn played(rollouts: u64) -> String {
    let mut text = format!(
        "| the truth | requests/s of a node | of {rollouts} stopped / passed / held | the same by a fixed difference |\n|---|---|---|---|\n"
    );
    for (truth, name) in TRUTHS {
        for rate in RATES {
            text.push_str(&row(truth, name, rate, rollouts).0);
        }
    }
    text
}

const BEGIN: &str = "<!-- simulated rollouts -->\n";
const END: &str = "<!-- end of simulated rollouts -->";
/// Rollouts for each row of the table.
const ROLLOUTS: u64 = 20;
/// The same where there is time.
const MANY: u64 = 200;

/// Shows what the table in the docs has to be if it is not.
#[test]
fn the_docs_show_what_simulated_rollouts_come_to() {
    let docs = include_str!("../../../../docs/health-gates.md");
    let told = docs
        .split_once(BEGIN)
        .and_then(|(_, rest)| rest.split_once(END));
    let is = played(ROLLOUTS);
    let told = told.map(|(table, _)| table.trim());
    assert_eq!(told, Some(is.trim()), "{is}");
}

/// One in a hundred is what is promised. `cargo nextest run -p control-plane --release --run-ignored only --no-capture good_revision`.
#[test]
#[ignore = "takes minutes"]
fn a_good_revision_is_hardly_ever_stopped() {
    let (mut stopped, mut of) = (0, 0);
    for (truth, name) in TRUTHS {
        for rate in RATES {
            let (row, ends) = row(truth, name, rate, MANY);
            print!("{row}");
            if matches!(truth, Truth::NoEffect | Truth::IllNode(..)) {
                stopped += ends.stopped.len();
                of += MANY as usize;
            }
        }
    }
    println!("{stopped} of {of} good revisions were stopped");
    assert!(stopped * 100 <= of);
}
