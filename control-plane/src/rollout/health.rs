//! How requests fare on the new revision: against limits, and against the old revision on other nodes at the same time.

use serde_json::{Value, json};

use super::observed::Traffic;
use super::strategy::{Compare, HealthGate};
use super::verdict::{Gate, Outcome, Verdict};

/// A 99th percentile that is higher by less than this says nothing: between one and three milliseconds lies one pause of a
/// scheduler, and a factor of three.
const P99_NOISE_MS: f64 = 10.0;

/// What requests tell. `others` are there if connected nodes are still to have the old revision.
pub(super) fn judge(gate: &HealthGate, new: &Traffic, old: &Traffic, others: bool) -> Verdict {
    let verdict = |outcome, detail: String| Verdict {
        gate: Gate::Health,
        outcome,
        detail,
        numbers: [
            ("new".to_owned(), numbers(new)),
            ("old".to_owned(), numbers(old)),
        ]
        .into_iter()
        .collect(),
    };
    let enough = gate.min_requests.max(1);
    if new.requests < enough {
        let detail = format!("{} of {enough} requests on the new revision", new.requests);
        return verdict(Outcome::Hold, detail);
    }
    let mut found = limits(gate, new);
    let compared = gate.compare.as_ref().filter(|_| others);
    let comparable = old.requests >= enough;
    if let Some(compare) = compared.filter(|_| comparable) {
        found.extend(against(compare, new, old));
    }
    if !found.is_empty() {
        return verdict(Outcome::Fail, found.join("; "));
    }
    if compared.is_some() && !comparable {
        let detail = format!(
            "{} of {enough} requests on the old revision, which the new one is compared with",
            old.requests
        );
        return verdict(Outcome::Hold, detail);
    }
    let mut detail = format!("{} requests fare well", new.requests);
    if gate.compare.is_some() && !others {
        detail.push_str("; nothing is compared, for no node is left on the old revision");
    }
    verdict(Outcome::Pass, detail)
}

fn limits(gate: &HealthGate, new: &Traffic) -> Vec<String> {
    let mut found = Vec::new();
    let mut over = |what: &str, ratio: f64, limit: Option<f64>| {
        if let Some(limit) = limit.filter(|limit| ratio > *limit) {
            found.push(format!(
                "{}: {} at most",
                share(what, ratio),
                percent(limit)
            ));
        }
    };
    over(ERRORS, new.error_ratio(), gate.max_error_ratio);
    over(NO_ROUTE, new.no_route_ratio(), gate.max_no_route_ratio);
    if let (Some(p99), Some(limit)) = (new.p99_ms, gate.max_p99)
        && p99 > limit.as_millis() as f64
    {
        found.push(format!(
            "the 99th percentile is {p99:.1}ms: {limit} at most"
        ));
    }
    found
}

fn against(compare: &Compare, new: &Traffic, old: &Traffic) -> Vec<String> {
    let mut found = Vec::new();
    let mut over = |what: &str, new: f64, old: f64, more: f64| {
        if new > old + more {
            found.push(format!(
                "{}: {} on the old revision, and {} more at most",
                share(what, new),
                percent(old),
                percent(more)
            ));
        }
    };
    over(
        ERRORS,
        new.error_ratio(),
        old.error_ratio(),
        compare.error_ratio,
    );
    over(
        NO_ROUTE,
        new.no_route_ratio(),
        old.no_route_ratio(),
        compare.no_route_ratio,
    );
    if let (Some(new), Some(old), Some(factor)) = (new.p99_ms, old.p99_ms, compare.p99_factor)
        && new > (old * factor).max(old + P99_NOISE_MS)
    {
        found.push(format!(
            "the 99th percentile is {new:.1}ms: {old:.1}ms on the old revision, and {factor} times that at most"
        ));
    }
    found
}

const ERRORS: &str = "failed";
const NO_ROUTE: &str = "matched no route";

fn share(what: &str, ratio: f64) -> String {
    format!("{} of requests on the new revision {what}", percent(ratio))
}

fn percent(ratio: f64) -> String {
    format!("{:.2}%", ratio * 100.0)
}

fn numbers(traffic: &Traffic) -> Value {
    json!({
        "requests": traffic.requests,
        "errors": traffic.errors,
        "no_route": traffic.no_route,
        "p99_ms": traffic.p99_ms,
    })
}

impl Traffic {
    fn error_ratio(&self) -> f64 {
        ratio(self.errors, self.requests)
    }

    fn no_route_ratio(&self) -> f64 {
        ratio(self.no_route, self.requests)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}
