use proptest::prelude::*;

use super::*;

fn endpoints(list: &[(u32, HealthStatus)]) -> Vec<Endpoint> {
    let endpoint = |(weight, health): &(u32, HealthStatus)| Endpoint {
        address: "127.0.0.1:80".parse().unwrap(),
        hostname: None,
        weight: *weight,
        zone: "".into(),
        health: *health,
    };
    list.iter().map(endpoint).collect()
}

fn healthy(weights: &[u32]) -> Vec<Endpoint> {
    let list: Vec<_> = weights
        .iter()
        .map(|weight| (*weight, HealthStatus::Healthy))
        .collect();
    endpoints(&list)
}

/// How often each of `count` endpoints is chosen in so many picks, with nothing in flight.
fn counts(balancer: &Balancer, count: usize, picks: usize) -> Vec<usize> {
    let cursor = Counter::default();
    cursor.add(7);
    let mut counts = vec![0; count];
    for _ in 0..picks {
        counts[balancer.pick(&cursor, |_| 0).unwrap()] += 1;
    }
    counts
}

proptest! {
    #[test]
    fn a_turn_gives_every_endpoint_exactly_its_weight(weights in prop::collection::vec(1u32..40, 1..12)) {
        let turn: usize = weights.iter().map(|weight| *weight as usize).sum();
        for policy in [LbPolicy::RoundRobin, LbPolicy::LeastRequest] {
            let balancer = Balancer::new(policy, &healthy(&weights));
            let expected: Vec<usize> = weights.iter().map(|weight| *weight as usize).collect();
            prop_assert_eq!(counts(&balancer, weights.len(), turn), expected);
        }
    }

    #[test]
    fn only_usable_endpoints_are_chosen_unless_too_few_are(
        health in prop::collection::vec(0u8..3, 1..12),
    ) {
        let statuses = [HealthStatus::Healthy, HealthStatus::Degraded, HealthStatus::Unhealthy];
        let list: Vec<_> = health.iter().map(|h| (1, statuses[usize::from(*h)])).collect();
        let usable: usize = health.iter().map(|h| usize::from(*h != 2)).sum();
        let balancer = Balancer::new(LbPolicy::Random, &endpoints(&list));
        let chosen = counts(&balancer, health.len(), 200);
        let to_unhealthy: usize = health.iter().zip(&chosen).filter(|(h, _)| **h == 2).map(|(_, n)| n).sum();
        let panic = usable * 2 < health.len();
        prop_assert!(to_unhealthy == 0 || panic, "{chosen:?}");
    }
}

#[test]
fn the_turns_of_one_endpoint_are_spread() {
    let balancer = Balancer::new(LbPolicy::RoundRobin, &healthy(&[5, 1, 1, 1, 1, 1]));
    let cursor = Counter::default();
    let picks: Vec<usize> = (0..20)
        .map(|_| balancer.pick(&cursor, |_| 0).unwrap())
        .collect();
    let longest = picks.chunk_by(|a, b| a == b).map(<[usize]>::len).max();
    assert!(longest <= Some(2), "{picks:?}");
}

#[test]
fn random_choice_follows_the_weights() {
    fastrand::seed(1);
    let balancer = Balancer::new(LbPolicy::Random, &healthy(&[1, 3]));
    let chosen = counts(&balancer, 2, 4000);
    assert!((2850..=3150).contains(&chosen[1]), "{chosen:?}");
}

#[test]
fn a_busy_endpoint_gets_fewer_requests() {
    fastrand::seed(1);
    let balancer = Balancer::new(LbPolicy::LeastRequest, &healthy(&[1, 1, 1]));
    let cursor = Counter::default();
    let busy = |index| if index == 0 { 10 } else { 0 };
    let to_busy = (0..300)
        .filter(|_| balancer.pick(&cursor, busy) == Some(0))
        .count();
    assert!((10..60).contains(&to_busy), "{to_busy}");
}

#[test]
fn load_is_judged_by_weight() {
    let balancer = Balancer::new(LbPolicy::LeastRequest, &healthy(&[1, 10]));
    let cursor = Counter::default();
    // 2 of weight 1 is a higher load than 10 of weight 10.
    let active = |index| if index == 0 { 2 } else { 10 };
    let to_small = (0..1100)
        .filter(|_| balancer.pick(&cursor, active) == Some(0))
        .count();
    assert!(to_small < 50, "{to_small}");
}

#[test]
fn without_endpoints_there_is_no_choice() {
    for policy in [
        LbPolicy::RoundRobin,
        LbPolicy::LeastRequest,
        LbPolicy::Random,
    ] {
        let balancer = Balancer::new(policy, &[]);
        assert_eq!(balancer.pick(&Counter::default(), |_| 0), None);
    }
}

#[test]
fn health_splits_the_load_as_envoy_documents() {
    // (all, healthy, degraded) → share of the healthy ones; the examples of Envoy's page "Degraded endpoints"
    // and the panic threshold of 50 %.
    for (counts, share) in [
        ((10, 10, 0), Some(100)),
        ((100, 72, 28), Some(100)),
        ((100, 71, 29), Some(99)),
        ((100, 50, 50), Some(70)),
        ((100, 25, 75), Some(35)),
        ((100, 0, 100), Some(0)),
        ((10, 5, 0), Some(100)),
        ((10, 4, 0), None),
        ((10, 0, 4), None),
        ((3, 0, 0), None),
        ((0, 0, 0), Some(100)),
    ] {
        assert_eq!(split(counts.0, counts.1, counts.2), share, "{counts:?}");
    }
}
