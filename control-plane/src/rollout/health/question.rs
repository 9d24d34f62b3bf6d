//! One question of a comparison: whether one part of the requests fares worse by one measure than is allowed. In: the requests on
//! both revisions, and, if there are enough, those of routes that the revision leaves as they were, on the same nodes. Out:
//! whether it is worse, is not, or is not known, and the sentence that says so.

use crate::rollout::observed::{Sides, Traffic};
use crate::sketch::Sketch;

use super::evidence::{Allowed, Share, doubt, however_often, is_below};
use super::text::{count, percent};

/// A 99th percentile that is higher by less than this says nothing: between one and three milliseconds lies one pause of a
/// scheduler, and a factor of three.
const P99_NOISE_MS: f64 = 10.0;
/// The same for a median, which one pause does not move.
const P50_NOISE_MS: f64 = 1.0;
/// What is told apart from what is allowed: to say that no more fail than that, this many more are ruled out, or half of what is
/// allowed if that is more. To rule out one in a thousand would take a canary of one node hours.
const TOLD_APART: f64 = 0.005;
/// The same as a share of the requests that may take longer than the old revision's percentile.
const SLOWER_TOLD_APART: (f64, f64) = (0.05, 0.01);
/// Nodes are not alike under one revision either: one node's share of errors may be higher by this factor, and its times by the
/// next: three standard deviations of a quarter, and of 5 %. The mean of n nodes differs by the root of n less. Nothing is added
/// where the nodes' other requests show how they are.
const NODE_ERRORS: f64 = 0.75;
const NODE_TIMES: f64 = 0.15;
/// So many requests must be beyond a percentile for it to say how nodes are.
const BEYOND: f64 = 20.0;
/// By how much untouched requests are worse is told from 0.05 % of errors and 1 % of times on.
const ERRORS_TOLD_FROM: f64 = 0.000_5;
const TIMES_TOLD_FROM: f64 = 0.01;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    /// The share of 5xx, and what may be added to it.
    Errors(f64),
    /// The share of requests without a route, and what may be added to it.
    NoRoute(f64),
    /// The median, and by what it may be multiplied.
    P50(f64),
    /// The 99th percentile, and by what it may be multiplied.
    P99(f64),
}

/// What is asked.
#[derive(Debug)]
pub(super) struct Question<'a> {
    /// Of which requests, for people.
    pub(super) part: String,
    /// The requests.
    pub(super) sides: &'a Sides,
    /// Requests that the revision does not touch, if there are such.
    pub(super) control: Option<&'a Sides>,
    /// By what.
    pub(super) measure: Measure,
}

/// What all questions share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// How many nodes have the new revision.
    pub(super) nodes: u64,
    /// So many requests of a control at least say how nodes are.
    pub(super) enough: u64,
    /// So much evidence says that it is worse, in nats.
    pub(super) worse_at: f64,
}

/// So much evidence says that it is not worse, or raises a doubt that holds, in nats: one chance in twenty when one looks once,
/// by Chernoff's bound, which leaves room for looking again. Later waves look again too.
const NO_WORSE_AT: f64 = 2.995_732_273_553_991;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Answer {
    /// It is no worse than is allowed, or by so little that it is not told apart.
    NoWorse,
    /// Nothing speaks for worse, and too little against it.
    Unknown,
    /// It looks worse, by too few requests to say so.
    Doubtful,
    /// It is worse than is allowed.
    Worse,
}

/// An answer and what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Answered {
    pub(super) answer: Answer,
    /// For people.
    pub(super) sentence: String,
    /// What speaks for worse, in nats.
    pub(super) nats: f64,
}

/// Shares to be compared.
struct Shares {
    new: Share,
    old: Share,
    allowed: Allowed,
    /// What is ruled out beyond what is allowed.
    beyond: f64,
    sentence: String,
}

impl Question<'_> {
    /// Answers it. `None` if there is nothing to compare: no request on one side, or none whose time is known.
    pub(super) fn answer(&self, terms: Terms) -> Option<Answered> {
        let shares = match self.measure {
            Measure::Errors(more) => self.shares(|it| it.errors, more, "failed", terms),
            Measure::NoRoute(more) => {
                self.shares(|it| it.no_route, more, "matched no route", terms)
            }
            Measure::P50(factor) => self.times(0.5, factor, terms),
            Measure::P99(factor) => self.times(0.99, factor, terms),
        }?;
        let Shares {
            new, old, allowed, ..
        } = shares;
        let doubt = doubt(new, old, allowed);
        let nats = however_often(doubt, new, old);
        let answer = if nats >= terms.worse_at {
            Answer::Worse
        } else if doubt >= NO_WORSE_AT {
            Answer::Doubtful
        } else if is_below(new, old, allowed.and(shares.beyond)) >= NO_WORSE_AT {
            Answer::NoWorse
        } else {
            Answer::Unknown
        };
        Some(Answered {
            answer,
            sentence: format!("{}: {}", self.part, shares.sentence),
            nats,
        })
    }

    fn shares(
        &self,
        bad: impl Fn(&Traffic) -> u64,
        more: f64,
        what: &str,
        terms: Terms,
    ) -> Option<Shares> {
        let share = |traffic: &Traffic| Share::of(bad(traffic), traffic.requests);
        let (new, old) = (share(&self.sides.new), share(&self.sides.old));
        if new.all() == 0.0 || old.all() == 0.0 {
            return None;
        }
        let control = self.control.filter(|control| {
            control.new.requests >= terms.enough && control.old.requests >= terms.enough
        });
        let elsewhere =
            control.map(|control| share(&control.new).ratio() - share(&control.old).ratio());
        let excused = elsewhere.unwrap_or(0.0).max(0.0);
        let times = match control {
            Some(_) => 1.0,
            None => 1.0 + spread(NODE_ERRORS, terms.nodes),
        };
        let mut sentence = format!(
            "{} of {} requests {what}, {} on the old revision; {} more is allowed",
            percent(new.ratio()),
            count(self.sides.new.requests),
            percent(old.ratio()),
            percent(more),
        );
        if excused > ERRORS_TOLD_FROM {
            let also = format!(
                ", and the {} more that other requests on these nodes fail",
                percent(excused)
            );
            sentence.push_str(&also);
        }
        let beside = control.filter(|_| excused > 0.0);
        Some(Shares {
            new: beside.map_or(new, |control| new.beside(control.new.requests as f64)),
            old,
            allowed: Allowed {
                times,
                more: more + excused,
            },
            beyond: (more / 2.0).max(TOLD_APART),
            sentence,
        })
    }

    /// Times are compared by the share of requests that take longer than the old revision's percentile, stretched by what is allowed:
    /// that of the old revision is known, for it is what the percentile says.
    fn times(&self, q: f64, factor: f64, terms: Terms) -> Option<Shares> {
        let (name, noise_ms, beyond) = if q > 0.5 {
            ("99th percentile", P99_NOISE_MS, SLOWER_TOLD_APART.1)
        } else {
            ("median", P50_NOISE_MS, SLOWER_TOLD_APART.0)
        };
        let (new, old) = (&self.sides.new.latencies, &self.sides.old.latencies);
        let (was, is) = (old.quantile_ms(q)?, new.quantile_ms(q)?);
        let control = self
            .control
            .and_then(|control| slower(control, q).map(|by| (control, by)));
        let nodes = match control {
            Some((_, by)) => by.max(1.0),
            None => 1.0 + spread(NODE_TIMES, terms.nodes),
        };
        let bound = (was * factor * nodes).max(was * nodes + noise_ms);
        let mut sentence = format!(
            "the {name} of {} requests is {is:.1}ms, {was:.1}ms on the old revision; {factor} times that is allowed",
            count(new.count()),
        );
        if control.is_some() && nodes > 1.0 + TIMES_TOLD_FROM {
            let also = format!(
                ", and the {} that other requests on these nodes take longer",
                percent(nodes - 1.0)
            );
            sentence.push_str(&also);
        }
        let all = |sketch: &Sketch| sketch.count() as f64;
        let share = Share::new(new.above_ms(bound), all(new));
        let beside = control.filter(|(_, by)| *by > 1.0);
        Some(Shares {
            new: beside.map_or(share, |(control, _)| {
                share.beside(all(&control.new.latencies))
            }),
            old: Share::new(all(old) * (1.0 - q), all(old)),
            allowed: Allowed {
                times: 1.0,
                more: 0.0,
            },
            beyond,
            sentence,
        })
    }
}

/// How far the mean of so many nodes may be from the fleet's.
fn spread(one: f64, nodes: u64) -> f64 {
    one / (nodes.max(1) as f64).sqrt()
}

/// By what factor a percentile of untouched requests is higher on the nodes with the new revision. `None` if they are too few.
fn slower(control: &Sides, q: f64) -> Option<f64> {
    let (new, old) = (&control.new.latencies, &control.old.latencies);
    let knows = |sketch: &Sketch| sketch.count() as f64 * (1.0 - q) >= BEYOND;
    let known = knows(new) && knows(old);
    let (was, is) = (old.quantile_ms(q)?, new.quantile_ms(q)?);
    (known && was > 0.0).then(|| is / was)
}
