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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::duration::Duration;

    fn traffic(requests: u64, errors: u64, p99_ms: f64) -> Traffic {
        Traffic {
            requests,
            errors,
            no_route: 0,
            p99_ms: Some(p99_ms),
        }
    }

    fn compares() -> HealthGate {
        HealthGate {
            min_requests: 100,
            compare: Some(Compare {
                error_ratio: 0.01,
                no_route_ratio: 0.01,
                p99_factor: Some(2.0),
            }),
            ..HealthGate::default()
        }
    }

    #[test]
    fn it_is_compared_with_the_old_revision_on_enough_requests_of_both() {
        let fine = traffic(1_000, 10, 20.0);
        for (new, old, others, outcome) in [
            (fine, fine, true, Outcome::Pass),
            (traffic(99, 99, 20.0), fine, true, Outcome::Hold),
            (fine, traffic(99, 0, 20.0), true, Outcome::Hold),
            (fine, Traffic::default(), false, Outcome::Pass),
            (traffic(1_000, 20, 20.0), fine, true, Outcome::Pass),
            (traffic(1_000, 21, 20.0), fine, true, Outcome::Fail),
            (traffic(1_000, 10, 41.0), fine, true, Outcome::Fail),
            (traffic(1_000, 21, 20.0), fine, false, Outcome::Pass),
            // Three times as long, and yet nothing.
            (
                traffic(1_000, 0, 3.0),
                traffic(1_000, 0, 1.0),
                true,
                Outcome::Pass,
            ),
        ] {
            let verdict = judge(&compares(), &new, &old, others);
            assert_eq!(
                verdict.outcome, outcome,
                "{new:?} {old:?}: {}",
                verdict.detail
            );
        }
    }

    #[test]
    fn limits_hold_whether_or_not_there_is_something_to_compare_with() {
        let gate = HealthGate {
            max_error_ratio: Some(0.05),
            max_no_route_ratio: Some(0.0),
            max_p99: Some(Duration::from_millis(50)),
            ..compares()
        };
        let none = Traffic::default();
        let lost = Traffic {
            no_route: 1,
            ..traffic(1_000, 0, 20.0)
        };
        for new in [traffic(1_000, 51, 20.0), traffic(1_000, 0, 51.0), lost] {
            for others in [true, false] {
                let verdict = judge(&gate, &new, &none, others);
                assert_eq!(verdict.outcome, Outcome::Fail, "{}", verdict.detail);
            }
        }
        assert_eq!(
            judge(&gate, &traffic(1_000, 60, 60.0), &none, false).detail,
            "6.00% of requests on the new revision failed: 5.00% at most; \
             the 99th percentile is 60.0ms: 50ms at most"
        );
    }
}
