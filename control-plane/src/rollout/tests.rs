//! Rollouts played on generated histories: nodes that come, go and change, refusals, good traffic and bad, operators, a clock that
//! jumps, and two drivers that read, decide and write at their own pace and die in between.

mod law;
mod world;

use std::cell::RefCell;
use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRunner, contextualize_config};

use self::world::World;

/// Histories, if `PROPTEST_CASES` does not say how many.
const CASES: u32 = 10_000;

/// What the histories must have come to, taken together.
const REACHED: [&str; 21] = [
    "validating",
    "awaiting-approval",
    "advancing",
    "staging",
    "settling",
    "baking",
    "paused",
    "rolling-back",
    "completed",
    "rolled-back",
    "canceled",
    "superseded",
    "partial",
    "promoted",
    "paused by a gate",
    "fenced",
    "skipped",
    "frozen",
    "scheduled",
    "held by a webhook",
    "failed by a webhook",
];

#[test]
fn whatever_happens_a_rollout_keeps_its_laws_and_ends() {
    let config = contextualize_config(Config {
        cases: CASES,
        failure_persistence: None,
        // Most of the time went into the default generator, which an unoptimized build makes slow.
        rng_algorithm: RngAlgorithm::XorShift,
        ..Config::default()
    });
    let reached = RefCell::new(BTreeSet::new());
    let histories = (
        world::strategy(),
        world::terms(),
        prop::collection::vec((any::<u8>(), any::<bool>()), 0..10),
        prop::collection::vec(world::action(), 0..80),
    );
    TestRunner::new(config)
        .run(&histories, |(strategy, terms, nodes, actions)| {
            let mut world = World::new(&strategy, terms, &nodes);
            for action in &actions {
                world.act(action)?;
            }
            world.goes_well()?;
            reached.borrow_mut().extend(world.seen);
            Ok(())
        })
        .unwrap();
    for state in REACHED {
        assert!(
            reached.borrow().contains(state),
            "no history has come to {state}"
        );
    }
}
