//! Two revisions of a fleet at once, over real sockets and a real store: each node gets what the row says for it, on whatever
//! kind of stream, and after a refusal nobody else is moved.

mod rig;

use std::collections::BTreeMap;
use std::sync::Arc;

use control_plane::rollout::State;
use control_plane::rollout::selection::{HASH_END, Member};
use control_plane::rollout::want::want;
use control_plane::snapshots::Served;
use xds::node::ClientClass;

use self::rig::{Client, Clusters, FLEET, Follower, Kind, Rig};

/// What revisions 1 and 2 are on the wire.
async fn revisions(rig: &Rig) -> (Clusters, Clusters) {
    let channel = rig.channel().await;
    let rollout = rig.begin(2).await;
    let probe = |next: &mut control_plane::rollout::Rollout| {
        next.selection.nodes.insert("probe".to_owned());
    };
    let old = Client::open(&channel, Kind::Delta, "other", "").await.holds;
    let rollout = rig.step(&rollout, probe).await;
    let new = Client::open(&channel, Kind::Delta, "probe", "").await.holds;
    rig.step(&rollout, |next| next.state = State::Canceled)
        .await;
    assert_eq!((old.len(), new.len()), (2, 3));
    (old, new)
}

fn stable(rig: &Rig) -> Arc<Served> {
    let watched = rig.snapshots.watch(FLEET, ClientClass::Envoy).unwrap();
    watched.borrow().stable.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_node_gets_exactly_its_revision_on_every_kind_of_stream_and_the_old_bytes_again() {
    let rig = Rig::start().await;
    let (old, new) = revisions(&rig).await;
    let channel = rig.channel().await;
    let mut clients = BTreeMap::new();
    for kind in Kind::ALL {
        for number in 0..6 {
            let id = format!("{kind:?}-{number}");
            let client = Client::open(&channel, kind, &id, "").await;
            assert_eq!(client.holds, old);
            clients.insert(id, client);
        }
    }
    let first = stable(&rig);
    let rollout = rig.begin(2).await;
    let half = rig
        .step(&rollout, |next| {
            next.selection.default_cutoff = HASH_END / 2;
        })
        .await;
    let labels = BTreeMap::new();
    let is_chosen = |id: &str| {
        let node = Member {
            id,
            zone: "",
            labels: &labels,
        };
        want(1, Some(&half), node, ClientClass::Envoy).revision == 2
    };
    let chosen = clients.keys().filter(|id| is_chosen(id)).count();
    assert!((1..24).contains(&chosen), "{chosen} of 24");
    for (id, client) in &mut clients {
        if is_chosen(id) {
            client.comes_to_hold(&new).await;
        }
    }
    // Whoever was not chosen gets nothing of it when it comes again either.
    for kind in Kind::ALL {
        for id in clients.keys().filter(|id| !is_chosen(id)) {
            let again = Client::open(&channel, kind, id, "").await;
            assert_eq!((id, &again.holds), (id, &old));
        }
    }
    assert!(
        Arc::ptr_eq(&first, &stable(&rig)),
        "no step builds anything"
    );
    let back = rig
        .step(&half, |next| next.state = State::RollingBack)
        .await;
    for client in clients.values_mut() {
        client.comes_to_hold(&old).await;
    }
    let back = rig.step(&back, |next| next.state = State::RolledBack).await;
    rig.reconciler.refresh().await.unwrap();
    assert!(Arc::ptr_eq(&first, &stable(&rig)), "{back:?}");
    for client in clients.values() {
        assert_eq!(client.holds, old);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_revision_that_a_rollout_has_brought_becomes_the_stable_one_as_it_is() {
    let rig = Rig::start().await;
    let rollout = rig.begin(2).await;
    rig.reconciler.refresh().await.unwrap();
    let served = || rig.snapshots.watch(FLEET, ClientClass::Envoy).unwrap();
    let to = served()
        .borrow()
        .moving
        .as_ref()
        .unwrap()
        .to
        .clone()
        .unwrap();
    rig.step(&rollout, |next| next.state = State::Completed)
        .await;
    rig.reconciler.refresh().await.unwrap();
    assert!(Arc::ptr_eq(&to, &stable(&rig)));
    assert!(served().borrow().moving.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_joins_is_judged_by_the_row_and_a_session_says_the_same_as_a_stream() {
    let rig = Rig::start().await;
    let (old, new) = revisions(&rig).await;
    let channel = rig.channel().await;
    let mut early = Follower::open(&channel, "early", "east").await;
    let (before, revision) = early.target().await;
    assert_eq!(revision, 1);
    let rollout = rig.begin(2).await;
    let east = rig
        .step(&rollout, |next| {
            next.selection.zones.insert("east".to_owned());
        })
        .await;
    let (moved, revision) = early.target().await;
    assert!(moved > before && revision == 2, "{moved} {revision}");
    for (zone, revision, clusters) in [("east", 2, &new), ("west", 1, &old)] {
        let client = Client::open(&channel, Kind::Delta, &format!("late-{zone}"), zone).await;
        assert_eq!(client.holds, *clusters);
        let mut late = Follower::open(&channel, &format!("late-{zone}"), zone).await;
        assert_eq!(late.target().await, (moved, revision));
    }
    rig.step(&east, |next| next.state = State::RollingBack)
        .await;
    let (back, revision) = early.target().await;
    assert!(back > moved && revision == 1, "{back} {revision}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_refusal_nobody_else_is_moved_although_the_row_chooses_them_until_it_was_judged() {
    let rig = Rig::start().await;
    let (old, new) = revisions(&rig).await;
    let channel = rig.channel().await;
    let mut first = Client::open(&channel, Kind::Delta, "first", "").await;
    let mut second = Client::open(&channel, Kind::Delta, "second", "").await;
    let rollout = rig.begin(2).await;
    rig.step(&rollout, |next| {
        next.selection.nodes.insert("first".to_owned());
    })
    .await;
    first.take(Some("no, thank you")).await;
    let known = rig.refused(&rollout, 1).await;
    let refusals = rig.store.rollout_refusals(&rollout.id).await.unwrap();
    assert_eq!(
        (refusals[0].node.as_str(), refusals[0].message.as_str()),
        ("first", "no, thank you")
    );
    // Somebody chooses more nodes all the same, without having judged the refusal.
    let more = rig
        .step(&known, |next| {
            next.selection.nodes.insert("second".to_owned());
        })
        .await;
    for kind in Kind::ALL {
        let again = Client::open(&channel, kind, "second", "").await;
        assert_eq!(again.holds, old, "{kind:?}");
        // Who has it stays on it.
        let stays = Client::open(&channel, kind, "first", "").await;
        assert_eq!(stays.holds, new, "{kind:?}");
    }
    let mut session = Follower::open(&channel, "second", "").await;
    assert_eq!(session.target().await.1, 1);
    assert_eq!(second.holds, old);
    rig.step(&more, |next| next.refusals_judged = 1).await;
    second.comes_to_hold(&new).await;
    assert_eq!(session.target().await.1, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_refuses_on_its_session_brakes_too_and_is_told_by_its_revision() {
    let rig = Rig::start().await;
    let channel = rig.channel().await;
    let mut proxy = Follower::open(&channel, "proxy", "").await;
    proxy.target().await;
    let rollout = rig.begin(2).await;
    rig.step(&rollout, |next| {
        next.selection.nodes.insert("proxy".to_owned());
    })
    .await;
    let (assignment, revision) = proxy.target().await;
    assert_eq!(revision, 2);
    // It says so as often as it tries.
    proxy.refuse(assignment);
    proxy.refuse(assignment);
    let known = rig.refused(&rollout, 1).await;
    rig.reconciler.refresh().await.unwrap();
    let brake = rig.snapshots.brake(FLEET, 2).unwrap();
    assert!(brake.is_pulled());
    rig.step(&known, |next| next.state = State::RollingBack)
        .await;
    assert_eq!(proxy.target().await.1, 1);
}
