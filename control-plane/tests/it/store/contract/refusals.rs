//! Rules of refusals: each node counts once, and what was decided without knowing of one fails.

use control_plane::model::timestamp::Timestamp;
use control_plane::rollout::State;
use control_plane::rollout::observed::Refused;
use control_plane::store::StoreError;

use super::super::{Fresh, SOON, commit};
use super::rollouts::{active, details, fleet, step};
use super::{A, Rule};

rules!(
    a_refusal_between_reading_and_stepping_makes_the_step_fail,
    a_refusal_counts_once_a_node,
    refusals_at_once_are_all_counted,
    an_odd_refusal_counts_like_any_other,
);

/// A node's refusal of a revision.
pub(super) fn refused(node: &str) -> Refused {
    Refused {
        node: node.to_owned(),
        type_url: "type.googleapis.com/x".to_owned(),
        resources: vec!["r".to_owned()],
        message: "no".to_owned(),
        reverted: false,
        at: Timestamp::from_micros(0),
    }
}

async fn a_refusal_between_reading_and_stepping_makes_the_step_fail(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let was = active(store).await.unwrap();
    let other = store.refuse_rollout("default", 9, &refused("n")).await;
    assert_eq!(other.unwrap(), None, "nobody goes there");
    let elsewhere = store.refuse_rollout("nope", 1, &refused("n")).await;
    assert_eq!(elsewhere.unwrap(), None);
    let seq = fleet(store).await.change_seq;
    let mut hints = store.hints();
    hints.mark_unchanged();
    let (id, version) = store
        .refuse_rollout("default", 1, &refused("n"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((id, version), (was.id.clone(), was.row_version + 1));
    let hint = tokio::time::timeout(SOON, hints.changed());
    hint.await.unwrap().unwrap();
    assert_eq!(fleet(store).await.change_seq, seq + 1);
    let error = step(store, &was, State::Settling).await.unwrap_err();
    assert!(matches!(error, StoreError::Moved), "{error:?}");
    assert_eq!(details(store, &was.id).await.len(), 1);
    let again = active(store).await.unwrap();
    assert_eq!(again.row_version, version);
    step(store, &again, State::Settling).await.unwrap();
}

async fn a_refusal_counts_once_a_node(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let before = store.clock().await.unwrap();
    let told = async |node: &str| {
        let told = store.refuse_rollout("default", 1, &refused(node)).await;
        told.unwrap().unwrap().1
    };
    let (first, second) = (told("b").await, told("a").await);
    assert_eq!(second, first + 1);
    let rollout = active(store).await.unwrap();
    step(store, &rollout, State::Settling).await.unwrap();
    let seq = fleet(store).await.change_seq;
    // The row that was judged since is above what both are told, so nobody waits for another one.
    assert_eq!((told("b").await, told("a").await), (first, second));
    assert_eq!(fleet(store).await.change_seq, seq, "nothing is new");
    let refusals = store.rollout_refusals(&rollout.id).await.unwrap();
    let nodes: Vec<_> = refusals.iter().map(|it| it.node.as_str()).collect();
    assert_eq!(nodes, ["b", "a"], "from the first");
    assert!(refusals[0].at >= before && refusals[1].at >= refusals[0].at);
    let told = Refused {
        reverted: false,
        at: refusals[0].at,
        ..refused("b")
    };
    assert_eq!(refusals[0], told);
    assert!(store.rollout_refusals("nope").await.unwrap().is_empty());
}

async fn refusals_at_once_are_all_counted(fresh: Fresh) {
    commit(&*fresh.store, 0, A).await.unwrap();
    let was = active(&*fresh.store).await.unwrap();
    // Each of ten nodes is heard by two replicas.
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                let refused = refused(&format!("n{}", n % 10));
                let told = store.refuse_rollout("default", 1, &refused).await;
                told.unwrap().unwrap().1
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    versions.dedup();
    let expected: Vec<_> = (was.row_version + 1..=was.row_version + 10).collect();
    assert_eq!(versions, expected);
    let refusals = fresh.store.rollout_refusals(&was.id).await.unwrap();
    assert_eq!(refusals.len(), 10);
}

async fn an_odd_refusal_counts_like_any_other(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let odd = Refused {
        node: format!("\0'; --{}", "é".repeat(5_000)),
        type_url: "\0".to_owned(),
        resources: vec!["\0".to_owned()],
        message: "\0'; --".to_owned(),
        reverted: false,
        at: Timestamp::from_micros(0),
    };
    let told = store.refuse_rollout("default", 1, &odd).await.unwrap();
    let again = store.refuse_rollout("default", 1, &odd).await.unwrap();
    assert_eq!(told, again);
    let refusals = store.rollout_refusals(&told.unwrap().0).await.unwrap();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].message, "\u{fffd}'; --");
}
