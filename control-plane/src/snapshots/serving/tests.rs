use std::collections::BTreeMap;

use proptest::prelude::*;
use xds::snapshot::Snapshot;

use super::*;
use crate::brake::tests::rollout;
use crate::rollout::State;
use crate::rollout::selection::HASH_END;

fn serving(rollout: Rollout) -> Serving {
    let brake = Arc::new(Brake::new(&rollout));
    Serving {
        class: ClientClass::Signalbox,
        assignment: 5,
        stable: Served::new(rollout.from, Snapshot::default()),
        moving: Some(Moving {
            to: Some(Served::new(rollout.to, Snapshot::default())),
            rollout: Arc::new(rollout),
            brake,
        }),
    }
}

fn picked(serving: &Serving, id: &str) -> u64 {
    let labels = BTreeMap::new();
    let node = Member {
        id,
        zone: "",
        labels: &labels,
    };
    serving.pick(node).served.revision()
}

fn chosen(nodes: &[&str]) -> Rollout {
    let mut rollout = rollout();
    rollout.selection.nodes = nodes.iter().map(ToString::to_string).collect();
    rollout
}

#[test]
fn each_node_gets_its_revision_and_whoever_joins_is_judged_by_the_row() {
    let serving = serving(chosen(&["a"]));
    assert_eq!(picked(&serving, "a"), 2);
    assert_eq!(picked(&serving, "newcomer"), 1);
    let alone = Serving {
        moving: None,
        ..serving
    };
    assert_eq!(picked(&alone, "a"), 1);
}

#[test]
fn with_the_brake_on_nobody_follows_and_nobody_is_moved_back() {
    let serving = serving(chosen(&["a", "b"]));
    assert_eq!(picked(&serving, "a"), 2);
    let moving = serving.moving.as_ref().unwrap();
    moving.brake.pull("a");
    assert_eq!(picked(&serving, "a"), 2);
    assert_eq!(picked(&serving, "b"), 1);
}

#[test]
fn a_rollout_that_goes_back_takes_everybody_back_although_they_were_across() {
    let before = serving(chosen(&["a"]));
    assert_eq!(picked(&before, "a"), 2);
    let mut moving = before.moving.clone().unwrap();
    moving.rollout = Arc::new(Rollout {
        state: State::RollingBack,
        ..chosen(&["a"])
    });
    let after = Serving {
        moving: Some(moving),
        ..before.clone()
    };
    let labels = BTreeMap::new();
    let node = Member {
        id: "a",
        zone: "",
        labels: &labels,
    };
    assert!(Arc::ptr_eq(&after.pick(node).served, &before.stable));
}

#[test]
fn a_revision_that_cannot_be_built_is_sent_to_nobody() {
    let mut serving = serving(chosen(&["a"]));
    serving.moving.as_mut().unwrap().to = None;
    assert_eq!(picked(&serving, "a"), 1);
}

proptest! {
    /// Whatever the row says: a node gets what it wants by the row, or the old revision while the brake is on.
    #[test]
    fn nobody_is_sent_what_the_row_does_not_say(
        cutoff in 0..=HASH_END,
        ids in prop::collection::vec("[a-z]{1,4}", 1..20),
        refuses in prop::option::of(0_usize..20),
    ) {
        let mut row = rollout();
        row.selection.default_cutoff = cutoff;
        let serving = serving(row.clone());
        let labels = BTreeMap::new();
        let mut sent = BTreeMap::new();
        for (at, id) in ids.iter().enumerate() {
            if refuses == Some(at) {
                serving.moving.as_ref().unwrap().brake.pull(id);
            }
            let node = Member { id, zone: "", labels: &labels };
            let picked = serving.pick(node).served.revision();
            let wanted = want(1, Some(&row), node, ClientClass::Signalbox).revision;
            let braked = refuses.is_some_and(|refuses| refuses <= at);
            let stays = *sent.get(id).unwrap_or(&1);
            prop_assert_eq!(picked, if braked { stays } else { wanted });
            sent.insert(id.clone(), picked);
        }
    }
}
