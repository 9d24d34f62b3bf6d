//! What every database must do. A rule takes a fresh database and panics where it is broken.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use control_plane::model::timestamp::Timestamp;
use control_plane::model::{Config, Endpoints, canonical};
use control_plane::store::node_status::{Claims, NodeStatus, Refusal};
use control_plane::store::{Commit, Expected, FleetSettings, StoreError};

use super::{ADA, Fresh, SOON, commit, validated};

type Rule = fn(Fresh) -> Pin<Box<dyn Future<Output = ()>>>;

macro_rules! rules {
    ($($name:ident),+ $(,)?) => {
        pub(super) const RULES: &[(&str, Rule)] = &[$((stringify!($name), |fresh| Box::pin($name(fresh)))),+];
    };
}

mod access;
mod refusals;
mod rollout_steps;
mod rollouts;
mod samples;
mod served;
mod traffic;

/// All of them.
pub(super) fn rules() -> impl Iterator<Item = &'static (&'static str, Rule)> {
    RULES
        .iter()
        .chain(access::RULES)
        .chain(rollouts::RULES)
        .chain(rollout_steps::RULES)
        .chain(refusals::RULES)
        .chain(samples::RULES)
        .chain(served::RULES)
        .chain(traffic::RULES)
}

rules!(
    a_new_database_has_the_default_fleet_and_nothing_in_it,
    what_is_not_there_is_said_to_be_not_there,
    a_revision_is_read_back_as_it_was_committed,
    every_revision_stays_readable_after_those_that_follow,
    a_config_larger_than_a_batch_is_whole,
    a_commit_from_an_old_head_changes_nothing,
    of_commits_from_one_head_exactly_one_succeeds,
    revisions_are_listed_from_the_newest,
    endpoints_are_written_only_as_expected,
    every_change_that_clients_can_see_is_counted_and_hinted_at,
    what_is_stored_outlives_the_process,
    a_resource_that_cannot_be_read_is_an_error_that_names_it,
    a_node_is_what_its_replica_last_wrote,
    a_node_that_has_moved_belongs_to_its_new_replica,
    a_node_of_a_replica_that_is_dead_is_not_connected,
    a_node_that_two_replicas_have_is_a_problem_while_both_say_so,
    nodes_are_listed_by_id_in_pages,
    a_revision_is_the_same_whatever_was_read_before,
    nodes_are_counted_by_class_and_those_of_a_dead_replica_are_not_connected,
    what_was_read_last_is_remembered_when_the_database_is_gone,
    an_odd_node_does_not_keep_the_others_from_being_written,
);

const A: &str = "clusters: [{name: a, discovery: api}]";
const B: &str = "clusters: [{name: b, discovery: api}]";

async fn a_new_database_has_the_default_fleet_and_nothing_in_it(fresh: Fresh) {
    let fleets = fresh.store.fleets().await.unwrap();
    let [fleet] = fleets.as_slice() else {
        panic!("{fleets:?}")
    };
    assert_eq!(
        (fleet.name.as_str(), fleet.head, fleet.change_seq),
        ("default", 0, 0)
    );
    let age = Timestamp::now().as_micros() - fleet.created_at.as_micros();
    assert!((-1_000_000..600_000_000).contains(&age), "{age}");
    assert_eq!(
        *fresh.store.config_at("default", 0).await.unwrap(),
        Config::default()
    );
    assert!(
        fresh
            .store
            .revisions("default", None, 10)
            .await
            .unwrap()
            .is_empty()
    );
    assert!(fresh.store.endpoints("default").await.unwrap().is_empty());
    assert!(
        fresh
            .store
            .nodes("default", "", 10)
            .await
            .unwrap()
            .is_empty()
    );
}

async fn what_is_not_there_is_said_to_be_not_there(fresh: Fresh) {
    let store = &*fresh.store;
    let no_fleet = |result: Result<(), StoreError>| {
        assert!(matches!(result, Err(StoreError::NoSuchFleet(name)) if name == "nope"));
    };
    no_fleet(store.fleet("nope").await.map(drop));
    no_fleet(store.config_at("nope", 0).await.map(drop));
    no_fleet(store.revision("nope", 1).await.map(drop));
    no_fleet(store.revisions("nope", None, 1).await.map(drop));
    no_fleet(store.endpoints("nope").await.map(drop));
    no_fleet(store.nodes("nope", "", 1).await.map(drop));
    no_fleet(store.node("nope", "n").await.map(drop));
    let expected = Expected {
        head: None,
        hash: None,
    };
    no_fleet(
        store
            .put_endpoints("nope", "a", &Endpoints::default(), expected, ADA)
            .await,
    );
    let config = validated(A);
    no_fleet(
        store
            .commit(Commit {
                fleet: "nope",
                base: 0,
                by: ADA,
                message: "",
                config: &config,
                release: false,
                not_before: None,
            })
            .await
            .map(drop),
    );

    let no_revision = |result| {
        assert!(matches!(
            result,
            Err(StoreError::NoSuchRevision { number: 1.., .. })
        ));
    };
    no_revision(store.config_at("default", 1).await.map(drop));
    no_revision(store.revision("default", 1).await.map(drop));
    no_revision(store.revision("default", u64::MAX).await.map(drop));
    assert!(store.node("default", "n").await.unwrap().is_none());
    assert!(store.endpoints_of("default", "a").await.unwrap().is_none());
}

async fn a_revision_is_read_back_as_it_was_committed(fresh: Fresh) {
    let shop = validated(include_str!("../../../../examples/shop.yaml"));
    let store = &*fresh.store;
    let commit = Commit {
        fleet: "default",
        base: 0,
        by: ADA,
        message: "the «shop»",
        config: &shop,
        release: false,
        not_before: None,
    };
    let revision = store.commit(commit).await.unwrap();
    assert_eq!((revision.number, revision.hash), (1, *shop.hash()));
    assert_eq!(
        (revision.author.as_str(), revision.message.as_str()),
        ("ada", "the «shop»")
    );
    assert_eq!(store.revision("default", 1).await.unwrap(), revision);
    let fresh = fresh.reopen().await;
    assert_eq!(
        fresh.store.config_at("default", 1).await.unwrap(),
        *shop.config()
    );
}

async fn every_revision_stays_readable_after_those_that_follow(fresh: Fresh) {
    let states = [
        "clusters: [{name: a, discovery: api}, {name: b, discovery: api}]",
        "clusters: [{name: a, endpoints: []}, {name: b, discovery: api}]",
        "clusters: [{name: b, discovery: api}]",
        "clusters: [{name: a, discovery: api}, {name: b, discovery: api}]\nroutes: [{name: a, forward: {cluster: a}}]",
        "{}",
    ];
    for (base, state) in (0..).zip(states) {
        commit(&*fresh.store, base, state).await.unwrap();
    }
    let fresh = fresh.reopen().await;
    for (number, state) in (1..).zip(states) {
        assert_eq!(
            fresh.store.config_at("default", number).await.unwrap(),
            *validated(state).config(),
            "{number}"
        );
    }
    let hash = async |number| fresh.store.revision("default", number).await.unwrap().hash;
    assert_ne!(hash(1).await, hash(4).await);
}

async fn a_config_larger_than_a_batch_is_whole(fresh: Fresh) {
    let clusters = |from: u32, to: u32| {
        let clusters: Vec<_> = (from..to)
            .map(|n| format!("{{name: c{n}, discovery: api}}"))
            .collect();
        format!("clusters: [{}]", clusters.join(", "))
    };
    commit(&*fresh.store, 0, &clusters(0, 450)).await.unwrap();
    commit(&*fresh.store, 1, &clusters(449, 900)).await.unwrap();
    let fresh = fresh.reopen().await;
    for (number, from, to) in [(1, 0, 450), (2, 449, 900)] {
        let config = fresh.store.config_at("default", number).await.unwrap();
        assert_eq!(config, *validated(&clusters(from, to)).config(), "{number}");
    }
}

async fn a_commit_from_an_old_head_changes_nothing(fresh: Fresh) {
    commit(&*fresh.store, 0, A).await.unwrap();
    let before = fresh.store.fleet("default").await.unwrap();
    let error = commit(&*fresh.store, 0, B).await.unwrap_err();
    assert!(matches!(error, StoreError::Moved), "{error}");
    assert_eq!(fresh.store.fleet("default").await.unwrap(), before);
    assert!(matches!(
        commit(&*fresh.store, 7, B).await,
        Err(StoreError::NoSuchRevision { number: 7, .. })
    ));
    let fresh = fresh.reopen().await;
    assert_eq!(
        fresh.store.config_at("default", 1).await.unwrap(),
        *validated(A).config()
    );
}

async fn of_commits_from_one_head_exactly_one_succeeds(fresh: Fresh) {
    let commits = (0..20).map(|n| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            commit(
                &*store,
                0,
                &format!("clusters: [{{name: c{n}, discovery: api}}]"),
            )
            .await
        })
    });
    let mut stored = Vec::new();
    for commit in commits.collect::<Vec<_>>() {
        match commit.await.unwrap() {
            Ok(revision) => stored.push(revision),
            Err(error) => assert!(matches!(error, StoreError::Moved), "{error:?}"),
        }
    }
    assert_eq!(stored.len(), 1);
    assert_eq!(
        fresh.store.revisions("default", None, 10).await.unwrap(),
        stored
    );
}

async fn revisions_are_listed_from_the_newest(fresh: Fresh) {
    for base in 0..5 {
        commit(&*fresh.store, base, if base % 2 == 0 { A } else { B })
            .await
            .unwrap();
    }
    let numbers = async |before, limit| -> Vec<u64> {
        let page = fresh
            .store
            .revisions("default", before, limit)
            .await
            .unwrap();
        page.into_iter().map(|revision| revision.number).collect()
    };
    assert_eq!(numbers(None, 3).await, [5, 4, 3]);
    assert_eq!(numbers(Some(3), 3).await, [2, 1]);
    assert_eq!(numbers(Some(1), 3).await, [0; 0]);
}

async fn endpoints_are_written_only_as_expected(fresh: Fresh) {
    let store = &*fresh.store;
    let one: Endpoints =
        serde_json::from_str(r#"{"endpoints":[{"address":"127.0.0.1","port":1}]}"#).unwrap();
    let none = Endpoints::default();
    let hash = |endpoints: &Endpoints| Some(canonical::hash(&canonical::to_bytes(endpoints)));
    let expect = |head, hash| Expected { head, hash };
    let moved = |result| assert!(matches!(result, Err(StoreError::Moved)));

    moved(
        store
            .put_endpoints("default", "a", &one, expect(None, hash(&none)), ADA)
            .await,
    );
    moved(
        store
            .put_endpoints("default", "a", &one, expect(Some(1), None), ADA)
            .await,
    );
    store
        .put_endpoints("default", "a", &one, expect(Some(0), None), ADA)
        .await
        .unwrap();
    moved(
        store
            .put_endpoints("default", "a", &none, expect(None, None), ADA)
            .await,
    );
    assert_eq!(
        store.endpoints_of("default", "a").await.unwrap(),
        Some(one.clone())
    );
    store
        .put_endpoints("default", "a", &none, expect(None, hash(&one)), ADA)
        .await
        .unwrap();
    store
        .put_endpoints("default", "b", &one, expect(None, None), ADA)
        .await
        .unwrap();
    let all = store.endpoints("default").await.unwrap();
    assert_eq!(
        all.iter()
            .map(|(name, given)| (&**name, &**given))
            .collect::<Vec<_>>(),
        [("a", &none), ("b", &one)]
    );

    moved(
        store
            .delete_endpoints("default", "a", expect(None, hash(&one)), ADA)
            .await,
    );
    store
        .delete_endpoints("default", "a", expect(None, hash(&none)), ADA)
        .await
        .unwrap();
    assert!(store.endpoints_of("default", "a").await.unwrap().is_none());
}

async fn every_change_that_clients_can_see_is_counted_and_hinted_at(fresh: Fresh) {
    let store = &*fresh.store;
    let mut hints = store.hints();
    let mut seen = async |head, change_seq| {
        tokio::time::timeout(SOON, hints.changed())
            .await
            .unwrap()
            .unwrap();
        let fleet = store.fleet("default").await.unwrap();
        assert_eq!((fleet.head, fleet.change_seq), (head, change_seq));
    };
    commit(store, 0, A).await.unwrap();
    seen(1, 1).await;
    let none = Endpoints::default();
    store
        .put_endpoints(
            "default",
            "unused",
            &none,
            Expected {
                head: None,
                hash: None,
            },
            ADA,
        )
        .await
        .unwrap();
    seen(1, 2).await;
    let hash = Some(canonical::hash(&canonical::to_bytes(&none)));
    store
        .delete_endpoints("default", "unused", Expected { head: None, hash }, ADA)
        .await
        .unwrap();
    seen(1, 3).await;
    store.write_nodes("r1", &[node("n", "r1")]).await.unwrap();
    store.heartbeat("r1").await.unwrap();
    assert_eq!(store.fleet("default").await.unwrap().change_seq, 3);
}

async fn what_is_stored_outlives_the_process(fresh: Fresh) {
    commit(&*fresh.store, 0, A).await.unwrap();
    fresh
        .store
        .write_nodes("r1", &[node("n", "r1")])
        .await
        .unwrap();
    let expected = Expected {
        head: None,
        hash: None,
    };
    fresh
        .store
        .put_endpoints("default", "a", &Endpoints::default(), expected, ADA)
        .await
        .unwrap();
    let fleet = fresh.store.fleet("default").await.unwrap();
    let fresh = fresh.reopen().await;
    assert_eq!(fresh.store.fleet("default").await.unwrap(), fleet);
    assert!(fresh.store.node("default", "n").await.unwrap().is_some());
    assert_eq!(fresh.store.endpoints("default").await.unwrap().len(), 1);
}

async fn a_resource_that_cannot_be_read_is_an_error_that_names_it(fresh: Fresh) {
    commit(&*fresh.store, 0, A).await.unwrap();
    fresh.sql("UPDATE resource SET name = 'other'").await;
    let fresh = fresh.reopen().await;
    let error = fresh.store.config_at("default", 1).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { what } if what.contains("clusters/other")),
        "{error}"
    );
}

fn node(id: &str, replica: &str) -> NodeStatus {
    NodeStatus {
        fleet: "default".into(),
        id: id.into(),
        replica: replica.into(),
        connected: true,
        class: "signalbox".into(),
        user_agent: "signalbox-proxy/0.1.0".into(),
        zone: "a".into(),
        labels: BTreeMap::from([("role".into(), "canary".into())]),
        connected_at: Timestamp::from_micros(1),
        wanted_revision: Some(3),
        sent_revision: Some(3),
        acked_revision: None,
        live_revision: None,
        staged_revision: None,
        refused: None,
        problems: Vec::new(),
        updated_at: Timestamp::from_micros(2),
    }
}

async fn a_node_is_what_its_replica_last_wrote(fresh: Fresh) {
    let store = &*fresh.store;
    store.heartbeat("r1").await.unwrap();
    let mut status = node("n", "r1");
    store
        .write_nodes("r1", std::slice::from_ref(&status))
        .await
        .unwrap();
    assert_eq!(
        store.node("default", "n").await.unwrap(),
        Some(status.clone())
    );
    status.acked_revision = Some(2);
    status.live_revision = Some(1);
    status.staged_revision = Some(2);
    status.refused = Some(Refusal {
        revision: 3,
        type_url: "type.googleapis.com/x".into(),
        resources: vec!["r".into()],
        message: "no".into(),
        reverted: false,
        at: Timestamp::from_micros(7),
    });
    status.problems = vec!["two".into()];
    status.labels.clear();
    store
        .write_nodes("r1", std::slice::from_ref(&status))
        .await
        .unwrap();
    assert_eq!(
        store.node("default", "n").await.unwrap(),
        Some(status.clone())
    );
    assert_eq!(store.nodes("default", "", 10).await.unwrap(), [status]);
    store.write_nodes("r1", &[]).await.unwrap();
}

async fn a_node_that_has_moved_belongs_to_its_new_replica(fresh: Fresh) {
    let store = &*fresh.store;
    store.heartbeat("r2").await.unwrap();
    store.write_nodes("r1", &[node("n", "r1")]).await.unwrap();
    store.write_nodes("r2", &[node("n", "r2")]).await.unwrap();
    let late = NodeStatus {
        connected: false,
        ..node("n", "r1")
    };
    store.write_nodes("r1", &[late]).await.unwrap();
    assert_eq!(
        store.node("default", "n").await.unwrap(),
        Some(node("n", "r2"))
    );
}

async fn a_node_of_a_replica_that_is_dead_is_not_connected(fresh: Fresh) {
    let store = &*fresh.store;
    store.write_nodes("r1", &[node("n", "r1")]).await.unwrap();
    let connected = async || store.node("default", "n").await.unwrap().unwrap().connected;
    assert!(!connected().await, "it was never seen alive");
    store.heartbeat("r1").await.unwrap();
    assert!(connected().await);
    fresh
        .sql("UPDATE replica SET seen_at = seen_at - 16000000")
        .await;
    assert!(!connected().await);
    store.heartbeat("r1").await.unwrap();
    assert!(connected().await);
}

async fn a_node_that_two_replicas_have_is_a_problem_while_both_say_so(fresh: Fresh) {
    let store = &*fresh.store;
    let claims = |held: &[&str], given_up: &[&str]| Claims {
        held: held.iter().map(ToString::to_string).collect(),
        given_up: given_up.iter().map(ToString::to_string).collect(),
    };
    let problems = async || store.node("default", "n").await.unwrap().unwrap().problems;
    let write = async |replica| {
        let nodes = [node("n", replica), node("other", replica)];
        store.write_nodes(replica, &nodes).await.unwrap();
    };
    let say = async |replica, claims| {
        let said = store.claim_nodes(replica, "default", &claims).await;
        said.unwrap();
    };
    store.heartbeat("r1").await.unwrap();
    store.heartbeat("r2").await.unwrap();
    write("r1").await;
    write("r2").await;
    assert!(problems().await.is_empty());
    // One's own node cannot be claimed.
    say("r2", claims(&["n"], &[])).await;
    assert!(problems().await.is_empty());
    say("r1", claims(&["n"], &[])).await;
    let told = problems().await;
    assert!(told.len() == 1 && told[0].contains("r1"), "{told:?}");
    let other = store.node("default", "other").await.unwrap().unwrap();
    assert!(other.problems.is_empty());
    // Whoever writes last owns it; it stays a problem.
    write("r1").await;
    let told = problems().await;
    assert!(told.len() == 1 && told[0].contains("r2"), "{told:?}");
    write("r2").await;
    say("r1", claims(&[], &["n"])).await;
    assert!(problems().await.is_empty());
    // What is not said again counts no longer.
    say("r1", claims(&["n"], &[])).await;
    assert_eq!(problems().await.len(), 1);
    fresh
        .sql("UPDATE node SET rival_at = rival_at - 16000000")
        .await;
    assert!(problems().await.is_empty());
}

async fn nodes_are_counted_by_class_and_those_of_a_dead_replica_are_not_connected(fresh: Fresh) {
    let store = &*fresh.store;
    assert!(store.count_nodes("default").await.unwrap().is_empty());
    let envoy = NodeStatus {
        class: "envoy".into(),
        ..node("e", "r2")
    };
    store.heartbeat("r1").await.unwrap();
    store
        .write_nodes("r1", &[node("a", "r1"), node("b", "r1")])
        .await
        .unwrap();
    store.write_nodes("r2", &[envoy]).await.unwrap();
    let counts = store.count_nodes("default").await.unwrap();
    let of = |class: &str| (counts[class].connected, counts[class].known);
    assert_eq!((of("signalbox"), of("envoy")), ((2, 2), (0, 1)));
}

async fn what_was_read_last_is_remembered_when_the_database_is_gone(fresh: Fresh) {
    let store = &*fresh.store;
    let memory = store.memory();
    assert!(memory.newest_config("default").is_none());
    commit(store, 0, A).await.unwrap();
    store.fleets().await.unwrap();
    store.endpoints("default").await.unwrap();
    let fleet = store.fleet("default").await.unwrap();
    let revisions = store.revisions("default", None, 10).await.unwrap();
    store.close().await;
    let newest = memory.newest_config("default").unwrap();
    assert_eq!(newest.value.0, 1);
    assert!(newest.value.1.clusters.contains_key("a"));
    assert_eq!(memory.fleet("default").unwrap().value, fleet);
    assert_eq!(memory.fleets().unwrap().value, [fleet]);
    assert!(memory.endpoints("default").unwrap().value.is_empty());
    let kept = memory.revisions("default", None, 10).unwrap();
    assert_eq!(kept.value, revisions);
    assert!(memory.newest_config("other").is_none());
}

async fn nodes_are_listed_by_id_in_pages(fresh: Fresh) {
    let store = &*fresh.store;
    let ids = ["Z", "a", "b", "é"];
    let nodes: Vec<_> = ids.iter().rev().map(|id| node(id, "r1")).collect();
    store.write_nodes("r1", &nodes).await.unwrap();
    let page = async |after, limit| -> Vec<String> {
        store
            .nodes("default", after, limit)
            .await
            .unwrap()
            .into_iter()
            .map(|node| node.id)
            .collect()
    };
    assert_eq!(page("", 10).await, ids);
    assert_eq!(page("", 2).await, ids[..2]);
    assert_eq!(page("a", 2).await, ids[2..]);

    store
        .create_fleet("Edge", &FleetSettings::default(), ADA)
        .await
        .unwrap();
    let elsewhere = NodeStatus {
        fleet: "Edge".to_owned(),
        ..node("b", "r1")
    };
    store.write_nodes("r1", &[elsewhere]).await.unwrap();
    let expected: Vec<_> = [("Edge", "b")]
        .into_iter()
        .chain(ids.map(|id| ("default", id)))
        .collect();
    for limit in [1, 2, 10] {
        let mut found = Vec::new();
        let mut after = (String::new(), String::new());
        loop {
            let page = store.nodes_of_all((&after.0, &after.1), limit).await;
            let Some(last) = page.as_ref().unwrap().last() else {
                break;
            };
            after = (last.fleet.clone(), last.id.clone());
            found.extend(page.unwrap());
        }
        let found: Vec<_> = found.iter().map(|it| (&*it.fleet, &*it.id)).collect();
        assert_eq!(found, expected, "{limit}");
    }
}

async fn a_revision_is_the_same_whatever_was_read_before(mut fresh: Fresh) {
    let configs = [
        "clusters: [{name: a, discovery: api}, {name: b, discovery: api}, {name: c, discovery: api}]",
        "clusters: [{name: a, discovery: api}, {name: c, endpoints: []}]",
        "clusters: [{name: a, discovery: api}, {name: b, endpoints: []}, {name: c, endpoints: []}, {name: d, discovery: api}]",
        "clusters: [{name: b, discovery: api}, {name: c, endpoints: []}]\nroutes: [{name: b, respond: {status: 200}}]",
    ];
    for (base, yaml) in (0..).zip(configs) {
        commit(&*fresh.store, base, yaml).await.unwrap();
    }
    let configs = configs.map(|yaml| validated(yaml).config().clone());
    for first in 1..=4 {
        for then in first + 1..=4 {
            fresh = fresh.reopen().await;
            let store = &*fresh.store;
            let before = store.config_at("default", first).await.unwrap();
            let after = store.config_at("default", then).await.unwrap();
            let wanted = |number: u64| &configs[usize::try_from(number).unwrap() - 1];
            assert_eq!(before, *wanted(first));
            assert_eq!(after, *wanted(then), "{first} to {then}");
            // What did not change is there once.
            for (name, cluster) in &after.clusters {
                let known = before.clusters.get(name);
                if let Some(known) = known.filter(|known| *known == cluster) {
                    assert!(std::sync::Arc::ptr_eq(known, cluster) || name.as_ref() == "b");
                }
            }
        }
    }
}

async fn an_odd_node_does_not_keep_the_others_from_being_written(fresh: Fresh) {
    let store = &*fresh.store;
    let odd = NodeStatus {
        zone: "\0".into(),
        user_agent: "'; --".into(),
        ..node("o\0dd", "r1")
    };
    let many: Vec<_> = (0..450)
        .map(|n| node(&format!("n{n:03}"), "r1"))
        .chain([odd, node(&"x".repeat(10_000), "r1")])
        .collect();
    store.write_nodes("r1", &many).await.unwrap();
    assert_eq!(store.nodes("default", "", 1_000).await.unwrap().len(), 451);
    let odd = store.node("default", "o\u{fffd}dd").await.unwrap().unwrap();
    assert_eq!(odd.user_agent, "'; --");
}
