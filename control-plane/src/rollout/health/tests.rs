use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::duration::Duration as Limit;
use crate::rollout::observed::{Part, Parts, Sides};
use crate::rollout::strategy::Compare;
use crate::sketch::Sketch;

fn traffic(requests: u64, errors: u64, ms: u64) -> Traffic {
    let mut latencies = Sketch::default();
    latencies.record_all(Duration::from_millis(ms), requests);
    Traffic {
        requests,
        errors,
        no_route: 0,
        latencies,
    }
}

/// What clients with load reports tell.
fn without_times(requests: u64, errors: u64) -> Traffic {
    Traffic {
        latencies: Sketch::default(),
        ..traffic(requests, errors, 0)
    }
}

fn compares() -> HealthGate {
    HealthGate {
        min_requests: 100,
        compare: Some(Compare {
            p99_factor: Some(2.0),
            ..Compare::default()
        }),
        ..HealthGate::default()
    }
}

const CROWD: Crowd = Crowd {
    have: 1,
    others: true,
    rounds: 4,
};

fn whole(new: Traffic, old: Traffic) -> Observed {
    Observed {
        new,
        old,
        ..Observed::default()
    }
}

/// A fleet in which the revision changes one route, beside others.
fn changed(changed: Sides, others: Sides) -> Observed {
    let sum = |a: &Traffic, b: &Traffic| {
        let mut latencies = a.latencies.clone();
        latencies.merge(&b.latencies);
        Traffic {
            requests: a.requests + b.requests,
            errors: a.errors + b.errors,
            no_route: a.no_route + b.no_route,
            latencies,
        }
    };
    Observed {
        new: sum(&changed.new, &others.new),
        old: sum(&changed.old, &others.old),
        parts: Some(Parts {
            changed: vec![(Part::Route("shop".to_owned()), changed.clone())],
            routes: changed,
            other_routes: others,
            ..Parts::default()
        }),
        ..Observed::default()
    }
}

fn outcome(observed: &Observed) -> (Outcome, String) {
    let verdict = judge(&compares(), observed, CROWD);
    (verdict.outcome, verdict.detail)
}

#[test]
fn few_requests_hold_many_decide() {
    let fine = || traffic(20_000, 200, 20);
    for (new, old, expected) in [
        (traffic(2_000, 20, 20), fine(), Outcome::Pass),
        (traffic(99, 99, 20), fine(), Outcome::Hold),
        (fine(), traffic(99, 0, 20), Outcome::Hold),
        // As many as are allowed, and what cannot be told from that by so few.
        (traffic(200, 4, 20), fine(), Outcome::Hold),
        (traffic(200, 8, 20), fine(), Outcome::Hold),
        (traffic(200, 40, 20), fine(), Outcome::Fail),
        (traffic(100_000, 2_000, 20), fine(), Outcome::Pass),
        (traffic(100_000, 4_000, 20), fine(), Outcome::Fail),
        (traffic(2_000, 20, 60), fine(), Outcome::Fail),
        // Three times as long, and yet nothing.
        (
            traffic(2_000, 20, 3),
            traffic(20_000, 200, 1),
            Outcome::Pass,
        ),
    ] {
        let observed = whole(new, old);
        let (is, detail) = outcome(&observed);
        assert_eq!(is, expected, "{detail}");
    }
}

#[test]
fn where_no_node_is_left_on_the_old_revision_nothing_is_compared() {
    let crowd = Crowd {
        others: false,
        ..CROWD
    };
    let ill = whole(traffic(1_000, 900, 20), Traffic::default());
    let verdict = judge(&compares(), &ill, crowd);
    assert_eq!(verdict.outcome, Outcome::Pass, "{}", verdict.detail);
}

#[test]
fn limits_hold_whether_or_not_there_is_something_to_compare_with() {
    let gate = HealthGate {
        max_error_ratio: Some(0.05),
        max_no_route_ratio: Some(0.0),
        max_p99: Some(Limit::from_millis(50)),
        ..compares()
    };
    let lost = Traffic {
        no_route: 1,
        ..traffic(1_000, 0, 20)
    };
    for new in [traffic(1_000, 51, 20), traffic(1_000, 0, 60), lost] {
        for others in [true, false] {
            let observed = whole(new.clone(), Traffic::default());
            let verdict = judge(&gate, &observed, Crowd { others, ..CROWD });
            assert_eq!(verdict.outcome, Outcome::Fail, "{}", verdict.detail);
        }
    }
    let ill = whole(traffic(1_000, 60, 60), Traffic::default());
    let crowd = Crowd {
        others: false,
        ..CROWD
    };
    assert_eq!(
        judge(&gate, &ill, crowd).detail,
        "6.00% of requests on the new revision failed: 5.00% at most; the 99th percentile is 65.5ms: 50ms at most"
    );
    // A limit of what is not known is not kept.
    let unknown = judge(
        &gate,
        &whole(without_times(1_000, 0), Traffic::default()),
        crowd,
    );
    assert_eq!(unknown.outcome, Outcome::Hold);
}

#[test]
fn one_route_that_fails_is_found_among_all_that_do_not() {
    let route = Sides {
        new: traffic(1_000, 60, 20),
        old: traffic(20_000, 40, 20),
    };
    let others = Sides {
        new: traffic(50_000, 100, 20),
        old: traffic(1_000_000, 2_000, 20),
    };
    let observed = changed(route, others);
    let verdict = judge(&compares(), &observed, CROWD);
    assert_eq!(verdict.outcome, Outcome::Fail);
    assert!(
        verdict.detail.contains(
            "route shop: 6.00% of 1,000 requests failed, 0.20% on the old revision; 1.00% more is allowed"
        ),
        "{}",
        verdict.detail
    );
    assert_eq!(verdict.numbers["parts"][0]["is"], "worse");
    // All requests together tell nothing of it.
    let all = Observed {
        parts: None,
        ..observed
    };
    assert_eq!(outcome(&all).0, Outcome::Pass);
}

#[test]
fn what_fails_on_all_routes_of_a_node_is_not_the_revisions_fault() {
    let ill = |errors, others| {
        changed(
            Sides {
                new: traffic(10_000, errors, 20),
                old: traffic(200_000, 400, 20),
            },
            Sides {
                new: traffic(20_000, others, 20),
                old: traffic(400_000, 800, 20),
            },
        )
    };
    assert_eq!(outcome(&ill(500, 40)).0, Outcome::Fail);
    let (excused, detail) = outcome(&ill(500, 1_000));
    assert_eq!(excused, Outcome::Pass, "{detail}");
    // A control of a few requests excuses nothing.
    let mut few = ill(500, 1_000);
    let parts = few.parts.as_mut().unwrap();
    parts.other_routes = Sides {
        new: traffic(10, 10, 20),
        old: traffic(200, 0, 20),
    };
    assert_eq!(outcome(&few).0, Outcome::Fail);
}

#[test]
fn a_slow_route_is_told_from_a_slow_node() {
    let slow = |others| {
        changed(
            Sides {
                new: traffic(10_000, 0, 100),
                old: traffic(200_000, 0, 40),
            },
            Sides {
                new: traffic(20_000, 0, others),
                old: traffic(400_000, 0, 40),
            },
        )
    };
    assert_eq!(outcome(&slow(40)).0, Outcome::Fail);
    assert_eq!(outcome(&slow(100)).0, Outcome::Pass);
}

#[test]
fn clients_with_load_reports_are_compared_by_cluster() {
    let cluster = |errors| Sides {
        new: without_times(5_000, errors),
        old: without_times(100_000, 100),
    };
    let observed = |errors| {
        let sides = cluster(errors);
        Observed {
            new: sides.new.clone(),
            old: sides.old.clone(),
            parts: Some(Parts {
                changed: vec![(Part::Cluster("pay".to_owned()), sides.clone())],
                clusters: sides,
                ..Parts::default()
            }),
            ..Observed::default()
        }
    };
    assert_eq!(outcome(&observed(5)).0, Outcome::Pass);
    let (fails, detail) = outcome(&observed(500));
    assert_eq!(fails, Outcome::Fail);
    assert!(detail.contains("cluster pay: 10.00% of 5,000"), "{detail}");
}

#[test]
fn what_changes_waits_for_requests_of_its_own_unless_it_has_hardly_any() {
    let others = || Sides {
        new: traffic(5_000, 5, 20),
        old: traffic(100_000, 100, 20),
    };
    let with = |new, old| {
        let sides = Sides {
            new: traffic(new, 0, 20),
            old: traffic(old, 0, 20),
        };
        outcome(&changed(sides, others()))
    };
    let (waits, detail) = with(20, 2_000);
    assert_eq!(waits, Outcome::Hold);
    assert!(
        detail.contains("20 of 100 requests on the new revision"),
        "{detail}"
    );
    // Less than one in a hundred, none at all, and those of a route that is deleted.
    for (new, old) in [(3, 50), (0, 0), (0, 50_000)] {
        let (passes, detail) = with(new, old);
        assert_eq!(passes, Outcome::Pass, "{detail}");
        assert!(detail.contains("all requests"), "{detail}");
    }
}

#[test]
fn a_rollout_of_everything_is_stopped_if_requests_match_no_route_any_more() {
    let lost = Traffic {
        no_route: 300,
        ..traffic(5_000, 0, 20)
    };
    let (fails, detail) = outcome(&whole(lost, traffic(50_000, 0, 20)));
    assert_eq!(fails, Outcome::Fail);
    assert!(
        detail.contains("6.00% of 5,000 requests matched no route"),
        "{detail}"
    );
}

#[test]
fn the_numbers_name_the_worst_parts_and_no_more() {
    let mut observed = changed(
        Sides {
            new: traffic(10_000, 10, 20),
            old: traffic(100_000, 100, 20),
        },
        Sides::default(),
    );
    let parts = observed.parts.as_mut().unwrap();
    for n in 0..50 {
        let sides = Sides {
            new: traffic(1_000, n * 10, 20),
            old: traffic(10_000, 10, 20),
        };
        parts.changed.push((Part::Route(format!("r{n}")), sides));
    }
    let verdict = judge(&compares(), &observed, CROWD);
    let told = verdict.numbers["parts"].as_array().unwrap();
    assert_eq!(
        (told.len(), told[0]["part"].as_str()),
        (20, Some("route r49"))
    );
    assert!(verdict.detail.ends_with("more"), "{}", verdict.detail);
    assert!(verdict.detail.len() < 2_000);
}

fn badness(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Pass => 0,
        Outcome::Hold => 1,
        Outcome::Fail => 2,
    }
}

proptest! {
    #[test]
    fn more_errors_never_make_it_better(
        new in (0..20_000_u64, 0.0..=1.0_f64), old in (0..200_000_u64, 0.0..=0.2_f64), control in (0..20_000_u64, 0.0..=0.2_f64),
        more in 1..2_000_u64,
    ) {
        let of = |(requests, share): (u64, f64), more: u64| {
            let errors = (requests as f64 * share) as u64 + more;
            traffic(requests, errors.min(requests), 20)
        };
        let observed = |more| changed(
            Sides { new: of(new, more), old: of(old, 0) },
            Sides { new: of(control, 0), old: of((control.0 * 10, control.1), 0) },
        );
        let (before, after) = (outcome(&observed(0)), outcome(&observed(more)));
        prop_assert!(badness(after.0) >= badness(before.0), "{before:?} {after:?}");
    }

    #[test]
    fn what_fares_the_same_on_both_revisions_is_never_stopped(requests in 1..1_000_000_u64, errors in 0.0..=1.0_f64, ms in 1..10_000_u64, times in 1..20_u64) {
        let errors = (requests as f64 * errors) as u64;
        let new = traffic(requests, errors, ms);
        let old = traffic(requests * times, errors * times, ms);
        let (is, detail) = outcome(&whole(new, old));
        prop_assert!(is != Outcome::Fail, "{detail}");
    }

    #[test]
    fn whatever_is_counted_there_is_a_verdict(numbers in proptest::array::uniform12(any::<u64>())) {
        let [a, b, c, d, e, f, g, h, i, j, k, l] = numbers;
        let lies = |requests, errors, no_route| Traffic { no_route, ..traffic(requests, errors, 20) };
        let observed = changed_whole(
            Sides { new: lies(a, b, c), old: lies(d, e, f) },
            Sides { new: lies(g, h, i), old: lies(j, k, l) },
        );
        prop_assert!(!outcome(&observed).1.contains("NaN"));
    }
}

/// As [`changed`], with sums that do not overflow.
fn changed_whole(changed: Sides, others: Sides) -> Observed {
    Observed {
        new: changed.new.clone(),
        old: changed.old.clone(),
        parts: Some(Parts {
            changed: vec![(Part::Host("web/h".to_owned()), changed.clone())],
            routes: changed,
            other_routes: others,
            ..Parts::default()
        }),
        ..Observed::default()
    }
}
