//! Rules of fleets, tokens, the audit trail and leases.

use std::collections::BTreeSet;
use std::time::Duration;

use control_plane::access::{Fleets, Role, TokenKind, secret};
use control_plane::model::Endpoints;
use control_plane::rollout::State;
use control_plane::store::audit::{AuditQuery, AuditRow};
use control_plane::store::token::NewToken;
use control_plane::store::{By, Expected, FleetSettings, Store, StoreError};

use super::super::{ADA, Fresh, commit};
use super::{A, Rule, node, rollouts};

rules!(
    a_fleet_is_created_once_and_said_something_of,
    a_fleet_is_deleted_only_when_it_is_empty,
    a_fleet_that_is_created_again_goes_on_counting,
    a_token_is_read_back_as_it_was_made,
    of_tokens_with_one_name_at_most_one_is_good,
    a_token_is_revoked_once_and_for_ever,
    every_write_leaves_one_audit_row_and_a_failed_one_none,
    the_audit_trail_is_read_from_the_newest_in_pages_of_what_may_be_seen,
    a_lease_is_held_by_one_until_it_ends,
);

pub(super) const BOB: By<'_> = By {
    actor: "bob",
    request_id: "request-2",
};

fn settings(description: &str) -> FleetSettings {
    FleetSettings {
        description: description.to_owned(),
        labels: [("env".to_owned(), "test".to_owned())].into(),
        ..FleetSettings::default()
    }
}

fn token(name: &str, fleets: &[&str], lasts_us: Option<i64>) -> NewToken {
    NewToken {
        name: name.to_owned(),
        kind: TokenKind::Api,
        role: Role::Editor,
        fleets: match fleets {
            [] => Fleets::All,
            fleets => Fleets::These(fleets.iter().map(ToString::to_string).collect()),
        },
        hash: secret::hash(&secret::draw(TokenKind::Api).unwrap()),
        lasts_us,
    }
}

async fn all_audit(store: &dyn Store) -> Vec<AuditRow> {
    let asked = AuditQuery {
        fleets: Fleets::All,
        actor: None,
        before: None,
        limit: 100,
    };
    store.audit(&asked).await.unwrap()
}

fn expect_nothing() -> Expected {
    Expected {
        head: None,
        hash: None,
    }
}

async fn a_fleet_is_created_once_and_said_something_of(fresh: Fresh) {
    let store = &*fresh.store;
    let (one, other) = (settings("one"), settings("other"));
    let fleet = store.create_fleet("edge", &one, ADA).await.unwrap();
    assert_eq!(
        (fleet.name.as_str(), fleet.head, &fleet.settings),
        ("edge", 0, &one)
    );
    let again = store.create_fleet("edge", &other, ADA).await;
    assert!(matches!(again, Err(StoreError::Exists(_))), "{again:?}");
    let moved = store.change_fleet("edge", &one, &other, ADA).await;
    assert!(matches!(moved, Err(StoreError::Moved)), "{moved:?}");
    store.change_fleet("edge", &other, &one, ADA).await.unwrap();
    assert_eq!(store.fleet("edge").await.unwrap().settings, other);
    let names: Vec<_> = store.fleets().await.unwrap();
    let names: Vec<_> = names.iter().map(|fleet| fleet.name.as_str()).collect();
    assert_eq!(names, ["default", "edge"]);
    let missing = store.change_fleet("nope", &one, &one, ADA).await;
    assert!(matches!(missing, Err(StoreError::NoSuchFleet(_))));
}

async fn a_fleet_is_deleted_only_when_it_is_empty(fresh: Fresh) {
    let store = &*fresh.store;
    let full = async |what: &str| match store.delete_fleet("default", ADA).await {
        Err(StoreError::NotEmpty { what: has, .. }) => assert!(has.contains(what), "{has}"),
        other => panic!("{other:?}"),
    };
    commit(store, 0, A).await.unwrap();
    full("clusters/a").await;
    store
        .put_endpoints("default", "a", &Endpoints::default(), expect_nothing(), ADA)
        .await
        .unwrap();
    commit(store, 1, "{}").await.unwrap();
    full("endpoints/a").await;
    // Nobody is served by the cluster any more.
    rollouts::end(store, State::Completed).await;
    rollouts::end(store, State::Completed).await;
    let stored = store.endpoints_of("default", "a").await.unwrap().unwrap();
    let bytes = control_plane::model::canonical::to_bytes(&stored);
    let expected = Expected {
        head: None,
        hash: Some(control_plane::model::canonical::hash(&bytes)),
    };
    store
        .delete_endpoints("default", "a", expected, ADA)
        .await
        .unwrap();
    store.heartbeat("r1").await.unwrap();
    store.write_nodes("r1", &[node("n", "r1")]).await.unwrap();
    full("node \"n\"").await;
    let mut gone = node("n", "r1");
    gone.connected = false;
    store.write_nodes("r1", &[gone]).await.unwrap();
    store.delete_fleet("default", ADA).await.unwrap();
    let missing = store.fleet("default").await;
    assert!(matches!(missing, Err(StoreError::NoSuchFleet(_))));
    assert!(store.fleets().await.unwrap().is_empty());
    let again = store.delete_fleet("default", ADA).await;
    assert!(matches!(again, Err(StoreError::NoSuchFleet(_))));
    let late = commit(store, 2, A).await;
    assert!(matches!(late, Err(StoreError::NoSuchFleet(_))), "{late:?}");
}

async fn a_fleet_that_is_created_again_goes_on_counting(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    commit(store, 1, "{}").await.unwrap();
    let before = store.fleet("default").await.unwrap().change_seq;
    store.delete_fleet("default", ADA).await.unwrap();
    let fleet = store
        .create_fleet("default", &settings("new"), ADA)
        .await
        .unwrap();
    assert_eq!(fleet.head, 2);
    assert!(fleet.change_seq > before, "{} {before}", fleet.change_seq);
    assert_eq!(fleet.settings, settings("new"));
    assert!(
        store
            .config_at("default", 2)
            .await
            .unwrap()
            .clusters
            .is_empty()
    );
    assert_eq!(commit(store, 2, A).await.unwrap().number, 3);
    assert_eq!(store.revision("default", 1).await.unwrap().number, 1);
}

async fn a_token_is_read_back_as_it_was_made(fresh: Fresh) {
    let store = &*fresh.store;
    let before = store.token_seq().await.unwrap();
    let (all, some) = (
        token("all", &[], None),
        token("some", &["a", "b"], Some(60_000_000)),
    );
    let all = store.create_token(&all, ADA).await.unwrap();
    let some = store.create_token(&some, BOB).await.unwrap();
    assert!(store.token_seq().await.unwrap() >= before + 2);
    assert_eq!(store.tokens().await.unwrap(), [all.clone(), some.clone()]);
    assert_eq!((all.created_by.as_str(), all.expires_at), ("ada", None));
    let lasts = some.expires_at.unwrap().as_micros() - some.created_at.as_micros();
    assert_eq!(lasts, 60_000_000);
    assert!(some.is_good(some.created_at) && !some.is_good(some.expires_at.unwrap()));
}

async fn of_tokens_with_one_name_at_most_one_is_good(fresh: Fresh) {
    let store = &*fresh.store;
    let (first, second) = (token("ci", &[], None), token("ci", &[], None));
    let (one, other) = tokio::join!(
        store.create_token(&first, ADA),
        store.create_token(&second, ADA)
    );
    let (made, failed) = match (one, other) {
        (Ok(made), Err(failed)) | (Err(failed), Ok(made)) => (made, failed),
        both => panic!("{both:?}"),
    };
    assert!(matches!(failed, StoreError::Exists(_)), "{failed:?}");
    store.revoke_token(&made.id, ADA).await.unwrap();
    store
        .create_token(&token("ci", &[], None), ADA)
        .await
        .unwrap();
}

async fn a_token_is_revoked_once_and_for_ever(fresh: Fresh) {
    let store = &*fresh.store;
    let made = store
        .create_token(&token("ci", &[], None), ADA)
        .await
        .unwrap();
    let seq = store.token_seq().await.unwrap();
    let revoked = store.revoke_token(&made.id, BOB).await.unwrap();
    assert!(!revoked.is_good(made.created_at));
    assert!(store.token_seq().await.unwrap() > seq);
    let again = store.revoke_token(&made.id, BOB).await.unwrap();
    assert_eq!(again.revoked_at, revoked.revoked_at);
    let missing = store.revoke_token("nope", ADA).await;
    assert!(matches!(missing, Err(StoreError::NoSuchToken(_))));
    let actions: Vec<_> = all_audit(store).await;
    let actions: Vec<_> = actions
        .iter()
        .map(|row| (row.actor.as_str(), row.action.as_str()))
        .collect();
    assert_eq!(actions, [("bob", "revoke-token"), ("ada", "create-token")]);
}

async fn every_write_leaves_one_audit_row_and_a_failed_one_none(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    commit(store, 0, A).await.unwrap_err();
    store
        .put_endpoints("default", "a", &Endpoints::default(), expect_nothing(), BOB)
        .await
        .unwrap();
    store
        .put_endpoints("default", "a", &Endpoints::default(), expect_nothing(), BOB)
        .await
        .unwrap_err();
    store
        .create_fleet("edge", &settings(""), ADA)
        .await
        .unwrap();
    store
        .create_fleet("edge", &settings(""), ADA)
        .await
        .unwrap_err();
    store.delete_fleet("edge", ADA).await.unwrap();
    store.delete_fleet("edge", ADA).await.unwrap_err();
    let mut rows = all_audit(store).await;
    rows.reverse();
    let told: Vec<_> = rows
        .iter()
        .map(|row| {
            (
                row.actor.as_str(),
                row.action.as_str(),
                row.fleet.as_deref(),
                row.object.as_str(),
                row.revision,
            )
        })
        .collect();
    let (default, edge) = (Some("default"), Some("edge"));
    assert_eq!(
        told,
        [
            ("ada", "commit", default, "config", Some(1)),
            ("bob", "put-endpoints", default, "endpoints/a", None),
            ("ada", "create-fleet", edge, "fleets/edge", None),
            ("ada", "delete-fleet", edge, "fleets/edge", None),
        ]
    );
    assert_eq!(rows[0].request_id, "request-1");
    let detail = rows[0].detail.as_ref().unwrap();
    assert_eq!(detail["created"]["names"][0], "clusters/a");
    assert_eq!(detail["message"], "why");
}

async fn the_audit_trail_is_read_from_the_newest_in_pages_of_what_may_be_seen(fresh: Fresh) {
    let store = &*fresh.store;
    for name in ["a", "b", "c"] {
        store
            .create_fleet(name, &settings(name), if name == "b" { BOB } else { ADA })
            .await
            .unwrap();
    }
    store
        .create_token(&token("all", &[], None), ADA)
        .await
        .unwrap();
    let page = async |fleets: &[&str], actor: Option<&str>, before, limit| {
        let asked = AuditQuery {
            fleets: match fleets {
                ["*"] => Fleets::All,
                fleets => Fleets::These(
                    fleets
                        .iter()
                        .map(ToString::to_string)
                        .collect::<BTreeSet<_>>(),
                ),
            },
            actor: actor.map(str::to_owned),
            before,
            limit,
        };
        store.audit(&asked).await.unwrap()
    };
    let fleets = |rows: &[AuditRow]| -> Vec<String> {
        rows.iter()
            .map(|row| row.fleet.clone().unwrap_or_default())
            .collect()
    };
    assert_eq!(
        fleets(&page(&["*"], None, None, 9).await),
        ["", "c", "b", "a"]
    );
    assert_eq!(fleets(&page(&["a", "b"], None, None, 9).await), ["b", "a"]);
    assert_eq!(fleets(&page(&["*"], Some("bob"), None, 9).await), ["b"]);
    assert_eq!(
        fleets(&page(&["a", "b"], Some("ada"), None, 9).await),
        ["a"]
    );
    assert!(page(&[], None, None, 9).await.is_empty());
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let rows = page(&["*"], None, before.take(), 1).await;
        let Some(row) = rows.last() else { break };
        before = Some((row.at, row.id.clone()));
        seen.extend(fleets(&rows));
    }
    assert_eq!(seen, ["", "c", "b", "a"]);
}

async fn a_lease_is_held_by_one_until_it_ends(fresh: Fresh) {
    let store = &*fresh.store;
    let (long, none) = (Duration::from_mins(10), Duration::ZERO);
    let take = async |holder: &str, lasts| store.take_lease("sweep", holder, lasts).await.unwrap();
    let (one, other) = tokio::join!(take("one", long), take("other", long));
    assert!(one != other, "exactly one gets it");
    let (holder, rival) = if one {
        ("one", "other")
    } else {
        ("other", "one")
    };
    assert!(take(holder, long).await, "its holder may keep it");
    store.release_lease("sweep", rival).await.unwrap();
    assert!(
        !take(rival, long).await,
        "who does not hold it cannot give it back"
    );
    assert!(take(holder, none).await);
    assert!(take(rival, long).await, "it had ended");
    store.release_lease("sweep", rival).await.unwrap();
    assert!(take(holder, long).await, "it was given back");
}
