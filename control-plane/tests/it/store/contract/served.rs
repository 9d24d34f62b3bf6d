//! Rules of what nodes have served.

use control_plane::model::timestamp::Timestamp;
use control_plane::store::node_status::NodeStatus;

use super::super::Fresh;
use super::{Rule, node};

rules!(
    what_a_node_served_is_known_for_each_moment,
    what_a_node_served_long_ago_is_forgotten_but_for_what_it_served_then,
);

fn serving(id: &str, revision: u64) -> NodeStatus {
    NodeStatus {
        class: "envoy".to_owned(),
        acked_revision: Some(revision),
        ..node(id, "r")
    }
}

async fn write(fresh: &Fresh, nodes: &[NodeStatus]) -> Timestamp {
    fresh.store.write_nodes("r", nodes).await.unwrap();
    moment(fresh).await
}

/// The time; what is written after this returns has a later one. SQLite's clock counts milliseconds.
async fn moment(fresh: &Fresh) -> Timestamp {
    let now = fresh.store.clock().await.unwrap();
    while fresh.store.clock().await.unwrap() == now {}
    now
}

async fn what_a_node_served_is_known_for_each_moment(fresh: Fresh) {
    let store = &*fresh.store;
    let before = moment(&fresh).await;
    let first = write(&fresh, &[serving("n", 1), serving("m", 1)]).await;
    let again = write(&fresh, &[serving("n", 1)]).await;
    let second = write(&fresh, &[serving("n", 2)]).await;
    // Who has gone has served what it served, whatever is written of it late.
    let gone = NodeStatus {
        connected: false,
        ..serving("n", 1)
    };
    let late = write(&fresh, &[gone]).await;
    let proxy = NodeStatus {
        class: "signalbox".to_owned(),
        live_revision: Some(1),
        ..serving("p", 2)
    };
    write(&fresh, &[proxy]).await;
    let served = async |node: &str, at| store.served("default", node, at).await.unwrap();
    assert_eq!(served("n", before).await, None);
    let one = served("n", first).await.unwrap();
    assert_eq!(one, served("n", again).await.unwrap());
    let two = served("n", second).await.unwrap();
    assert_eq!((one.revision, two.revision), (1, 2));
    assert!(before < one.since && one.since <= first);
    assert_eq!((one.until, two.until), (Some(two.since), None));
    assert_eq!(served("n", late).await, Some(two));
    assert_eq!(served("m", late).await.unwrap().revision, 1);
    let now = store.clock().await.unwrap();
    assert_eq!(served("p", now).await.unwrap().revision, 1);
    assert_eq!(served("nobody", now).await, None);
    assert!(store.served("nowhere", "n", now).await.is_err());
}

async fn what_a_node_served_long_ago_is_forgotten_but_for_what_it_served_then(fresh: Fresh) {
    let store = &*fresh.store;
    let mut times = Vec::new();
    for revision in 1..=3 {
        times.push(write(&fresh, &[serving("n", revision)]).await);
    }
    // A hundred days.
    let long = 8_640_000_000_000;
    fresh
        .sql("UPDATE node_served SET at = at - 8640000000000")
        .await;
    let then: Vec<_> = times
        .iter()
        .map(|at| Timestamp::from_micros(at.as_micros() - long))
        .collect();
    let served = async |at| {
        let served = store.served("default", "n", at).await.unwrap();
        served.map(|served| served.revision)
    };
    assert_eq!(served(then[0]).await, Some(1));
    write(&fresh, &[serving("n", 4)]).await;
    assert_eq!(served(then[0]).await, None);
    assert_eq!(served(then[2]).await, Some(3));
    assert_eq!(served(store.clock().await.unwrap()).await, Some(4));
}
