//! How requests fare on the new revision: against limits, and against the old revision on other nodes at the same time.

mod compare;
mod evidence;
mod question;
#[cfg(test)]
mod random;
mod text;

use serde_json::{Map, Value, json};

use self::text::{count, percent};
use super::observed::{Observed, Traffic};
use super::strategy::HealthGate;
use super::verdict::{Gate, Outcome, Verdict};

/// Who serves which revision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// How many nodes have the new revision.
    pub(super) have: u64,
    /// Whether connected nodes are still to have the old one.
    pub(super) others: bool,
    /// How often requests are counted anew in the whole rollout.
    pub(super) rounds: usize,
}

/// What requests tell.
pub(super) fn judge(gate: &HealthGate, observed: &Observed, crowd: Crowd) -> Verdict {
    let (new, old) = (&observed.new, &observed.old);
    let mut told = Map::new();
    told.insert("new".to_owned(), whole(new));
    told.insert("old".to_owned(), whole(old));
    let enough = gate.min_requests.max(1);
    if new.requests < enough {
        let detail = format!("{} of {enough} requests on the new revision", new.requests);
        return verdict(Outcome::Hold, detail, told);
    }
    let (mut found, mut open) = limits(gate, new);
    let compared = gate.compare.as_ref().filter(|_| crowd.others);
    let mut passed = format!("{} requests fare well", count(new.requests));
    if let Some(by) = compared {
        if old.requests < enough {
            open.push(format!(
                "{} of {enough} requests on the old revision, which the new one is compared with",
                old.requests
            ));
        } else {
            let compared = compare::compare(by, observed, crowd.have, enough, crowd.rounds);
            found.extend(compared.worse);
            open.extend(compared.open);
            told.insert("parts".to_owned(), compared.parts.into());
            passed = format!(
                "{passed}, {} no worse than on the old revision",
                compared.of
            );
        }
    } else if gate.compare.is_some() {
        passed.push_str("; nothing is compared, for no node is left on the old revision");
    }
    if !found.is_empty() {
        verdict(Outcome::Fail, sentences(&found), told)
    } else if !open.is_empty() {
        verdict(Outcome::Hold, sentences(&open), told)
    } else {
        verdict(Outcome::Pass, passed, told)
    }
}

fn verdict(outcome: Outcome, detail: String, numbers: Map<String, Value>) -> Verdict {
    Verdict {
        gate: Gate::Health,
        outcome,
        detail,
        numbers,
    }
}

/// So many are said; the numbers have more.
const SENTENCES: usize = 5;

fn sentences(all: &[String]) -> String {
    let mut text = all[..all.len().min(SENTENCES)].join("; ");
    if all.len() > SENTENCES {
        text = format!("{text}; and {} more", all.len() - SENTENCES);
    }
    text
}

/// The limits that are broken, and those of which nothing is known.
fn limits(gate: &HealthGate, new: &Traffic) -> (Vec<String>, Vec<String>) {
    let (mut found, mut open) = (Vec::new(), Vec::new());
    let mut over = |what: &str, ratio: f64, limit: Option<f64>| {
        if let Some(limit) = limit.filter(|limit| ratio > *limit) {
            found.push(format!(
                "{} of requests on the new revision {what}: {} at most",
                percent(ratio),
                percent(limit)
            ));
        }
    };
    let ratio = |part: u64| part as f64 / new.requests.max(1) as f64;
    over("failed", ratio(new.errors), gate.max_error_ratio);
    over(
        "matched no route",
        ratio(new.no_route),
        gate.max_no_route_ratio,
    );
    match (gate.max_p99, new.latencies.quantile_ms(0.99)) {
        (Some(limit), Some(p99)) if p99 > limit.as_millis() as f64 => {
            found.push(format!(
                "the 99th percentile is {p99:.1}ms: {limit} at most"
            ));
        }
        (Some(_), None) => open.push("it is not known how long requests take".to_owned()),
        _ => {}
    }
    (found, open)
}

fn whole(traffic: &Traffic) -> Value {
    let mut numbers = numbers(traffic);
    numbers["no_route"] = traffic.no_route.into();
    numbers
}

fn numbers(traffic: &Traffic) -> Value {
    json!({
        "requests": traffic.requests,
        "errors": traffic.errors,
        "p50_ms": traffic.latencies.quantile_ms(0.5),
        "p99_ms": traffic.latencies.quantile_ms(0.99),
    })
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
