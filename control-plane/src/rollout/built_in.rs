//! The strategies that every fleet has.

use crate::model::duration::Duration;

use super::strategy::{
    ALL_AT_ONCE, BY_ZONE, CANARY_THEN_ALL, Compare, Gates, HealthGate, OnFailure, Strategy, Wave,
};

/// The names of the strategies that are built in.
pub const NAMES: [&str; 3] = [ALL_AT_ONCE, CANARY_THEN_ALL, BY_ZONE];

/// How long a wave is watched: at least one minute of every proxy's reports, and two where the next wave is larger by far.
const MINUTE: Duration = Duration::from_millis(60_000);
const TWO_MINUTES: Duration = Duration::from_millis(120_000);

/// How long `all-at-once` waits for nodes; whoever takes longer is not waited for.
const SETTLE_AT_ONCE: Duration = Duration::from_millis(15_000);

/// A strategy that is built in.
pub fn built_in(name: &str) -> Option<Strategy> {
    match name {
        ALL_AT_ONCE => Some(all_at_once()),
        CANARY_THEN_ALL => Some(canary_then_all()),
        BY_ZONE => Some(by_zone()),
        _ => None,
    }
}

/// Everybody, whether connected or not. Nothing but a refusal stops it.
fn all_at_once() -> Strategy {
    Strategy {
        waves: vec![Wave {
            settle: SETTLE_AT_ONCE,
            share: 0.0,
            ..wave("everybody", Some(100.0))
        }],
        gates: Gates::default(),
        max_step: None,
        on_failure: OnFailure::default(),
    }
}

fn canary_then_all() -> Strategy {
    let canary = Wave {
        count: Some(1),
        ..wave("canary", None)
    };
    Strategy {
        waves: vec![
            watched(canary, MINUTE),
            watched(wave("10 percent", Some(10.0)), TWO_MINUTES),
            watched(wave("50 percent", Some(50.0)), TWO_MINUTES),
            watched(wave("everybody", Some(100.0)), MINUTE),
        ],
        ..compared()
    }
}

fn by_zone() -> Strategy {
    let zones = Wave {
        each_zone: true,
        ..wave("zone by zone", None)
    };
    Strategy {
        waves: vec![
            watched(zones, TWO_MINUTES),
            watched(wave("everybody", Some(100.0)), MINUTE),
        ],
        ..compared()
    }
}

/// No waves, and gates that compare the new revision with the old one.
fn compared() -> Strategy {
    Strategy {
        waves: Vec::new(),
        gates: Gates {
            max_refusals: 0,
            max_changed: None,
            health: Some(HealthGate {
                min_requests: 100,
                max_error_ratio: None,
                max_no_route_ratio: None,
                max_p99: None,
                compare: Some(Compare {
                    p99_factor: Some(2.0),
                    ..Compare::default()
                }),
            }),
            webhooks: Vec::new(),
        },
        max_step: None,
        on_failure: OnFailure::default(),
    }
}

fn watched(wave: Wave, bake: Duration) -> Wave {
    Wave {
        bake,
        min_nodes: 1,
        ..wave
    }
}

fn wave(name: &str, percent: Option<f64>) -> Wave {
    Wave {
        name: name.to_owned(),
        percent,
        settle: MINUTE,
        share: 1.0,
        ..Wave::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strategy_is_written_as_it_is_read() {
        for name in NAMES {
            let strategy = built_in(name).unwrap();
            let json = serde_json::to_string(&strategy).unwrap();
            assert_eq!(serde_json::from_str::<Strategy>(&json).unwrap(), strategy);
        }
    }
}
