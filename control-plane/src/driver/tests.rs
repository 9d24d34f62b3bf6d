use std::collections::BTreeMap;

use prost::Message as _;
use proto::session::{Outcomes, RevisionTraffic, RouteTraffic};

use super::*;
use crate::model::document;
use crate::model::duration::Duration as Wait;
use crate::revision::Draft;
use crate::rollout::begin::Terms;
use crate::rollout::observed::Sides;
use crate::rollout::strategy::{Compare, Gates, HealthGate, OnFailure, Scope, Strategy, Wave};
use crate::store::node_status::Refusal;
use crate::store::rollout::{NewRollout, TrafficRow};
use crate::store::sql::{Database, SqlStore};
use crate::store::{By, Commit};
use crate::webhooks::WebhookSettings;

fn status(class: &str, sent: u64, acked: u64, live: Option<u64>) -> NodeStatus {
    NodeStatus {
        fleet: "default".to_owned(),
        id: "n".to_owned(),
        replica: "r".to_owned(),
        connected: true,
        class: class.to_owned(),
        user_agent: String::new(),
        zone: String::new(),
        labels: BTreeMap::new(),
        connected_at: Timestamp::from_micros(0),
        wanted_revision: None,
        sent_revision: Some(sent),
        acked_revision: Some(acked),
        live_revision: live,
        staged_revision: None,
        refused: None,
        problems: Vec::new(),
        updated_at: Timestamp::from_micros(0),
    }
}

fn refused(mut status: NodeStatus, revision: u64) -> NodeStatus {
    status.refused = Some(Refusal {
        revision,
        type_url: String::new(),
        resources: Vec::new(),
        message: String::new(),
        reverted: false,
        at: Timestamp::from_micros(0),
    });
    status
}

#[tokio::test(start_paused = true)]
async fn what_was_said_before_a_look_is_no_reason_for_the_next() {
    let (said, heard) = channel::channel(());
    said.send_replace(());
    let since = |mut heard: channel::Receiver<()>| {
        heard.mark_unchanged();
        heard
    };
    let (began, written) = (Instant::now(), since(heard.clone()));
    Driver::look(Some(Look::after(began, written))).await;
    assert!(began.elapsed() >= LOOK);
    let (began, written) = (Instant::now(), since(heard));
    said.send_replace(());
    Driver::look(Some(Look::after(began, written))).await;
    assert!(began.elapsed() < LOOK);
}

#[test]
fn what_a_client_has_is_not_known_from_what_it_is_sent_until_what_it_acknowledges() {
    assert_eq!(has(&status("envoy", 1, 1, None)), Some(1));
    assert_eq!(has(&status("envoy", 2, 1, None)), None);
    // It was sent the old one again after it had refused a part of the new one.
    assert_eq!(has(&refused(status("envoy", 1, 1, None), 2)), None);
    assert_eq!(has(&status("signalbox", 2, 2, Some(1))), None);
    assert_eq!(has(&status("signalbox", 2, 2, Some(2))), Some(2));
    // Our own proxy takes a revision whole or not at all.
    let proxy = status("signalbox", 1, 1, Some(1));
    assert_eq!(has(&refused(proxy, 2)), Some(1));
}

/// A fleet with a rollout whose nodes have had all of their time, and a node that has not taken the revision as far as the
/// store knows.
async fn overdue(store: &dyn Store) {
    let by = By {
        actor: "ada",
        request_id: "",
    };
    let document = serde_json::json!({"clusters": [{"name": "a", "discovery": "api"}]});
    let config = document::config(&document).unwrap().config;
    let commit = Commit {
        fleet: "default",
        base: 0,
        by,
        message: "",
        config: &Draft::new(config).validate(None, &[]).unwrap(),
        release: false,
        not_before: None,
    };
    store.commit(commit).await.unwrap();
    let everybody = Wave {
        percent: Some(100.0),
        settle: Wait::from_millis(0),
        share: 1.0,
        ..Wave::default()
    };
    let new = NewRollout {
        fleet: "default",
        to: 1,
        strategy: &Strategy {
            waves: vec![everybody],
            gates: Gates::default(),
            max_step: None,
            on_failure: OnFailure::RollBack,
        },
        reason: "",
        supersede: true,
        terms: Terms::default(),
        by,
    };
    store.start_rollout(new).await.unwrap();
    let begun = store.active_rollouts().await.unwrap().remove(0);
    let now = store.clock().await.unwrap();
    let change = step::step(&begun, &Observed::default(), now).unwrap();
    take(store, &change).await.unwrap().unwrap();
    store.heartbeat("r").await.unwrap();
    let stale = status("envoy", 1, 0, None);
    store.write_nodes("r", &[stale]).await.unwrap();
}

#[tokio::test]
async fn after_an_outage_nobody_is_judged_by_what_is_as_old_as_it() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("signalbox.db"));
    let store: Arc<dyn Store> = Arc::new(SqlStore::open(&database).await.unwrap());
    overdue(&*store).await;
    let (_written, written) = channel::channel(());
    let driver = Driver::new(
        store.clone(),
        "r".to_owned(),
        Webhooks::new(WebhookSettings::default()),
        written,
    );
    let state = async || {
        let newest = store.rollouts("default", None, 1).await.unwrap();
        newest[0].state
    };
    let failed = Instant::now();
    *locked(&driver.failed) = Some(failed);
    for quiet in [Duration::ZERO, AFTER_OUTAGE.mul_f64(0.99)] {
        let again = driver.drive_at(failed + quiet).await.unwrap();
        assert!(again.is_some());
        assert_eq!(state().await, State::Settling, "{quiet:?}");
    }
    driver.drive_at(failed + AFTER_OUTAGE).await.unwrap();
    let after = state().await;
    assert!(
        matches!(after, State::RollingBack | State::RolledBack),
        "{after}"
    );
}

/// A report of requests by two routes.
fn reported(revision: u64, errors: u64) -> TrafficRow {
    let route = |name: &str, errors| RouteTraffic {
        route_configuration: "web".to_owned(),
        virtual_host: "web/*".to_owned(),
        route: name.to_owned(),
        outcomes: Some(Outcomes {
            requests: 1_000,
            classes: vec![0, 1_000 - errors, 0, 0, errors],
            ..Outcomes::default()
        }),
    };
    let body = RevisionTraffic {
        revision,
        routes: vec![route("changes", errors), route("stays", 0)],
        ..RevisionTraffic::default()
    };
    TrafficRow {
        fleet: "default".to_owned(),
        revision,
        at: Timestamp::default(),
        body: body.encode_to_vec(),
    }
}

#[tokio::test]
async fn requests_are_told_apart_by_what_the_revision_changes_if_the_gate_compares_that() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("signalbox.db"));
    let store = SqlStore::open(&database).await.unwrap();
    let by = By {
        actor: "ada",
        request_id: "",
    };
    for (base, status) in [(0, 200), (1, 204)] {
        let document = serde_json::json!({"routes": [
            {"name": "stays", "respond": {"status": 200}, "match": {"path": {"exact": "/stays"}}},
            {"name": "changes", "hosts": ["x.example"], "respond": {"status": status}},
        ]});
        let config = document::config(&document).unwrap().config;
        let commit = Commit {
            fleet: "default",
            base,
            by,
            message: "",
            config: &Draft::new(config).validate(None, &[]).unwrap(),
            release: false,
            not_before: None,
        };
        store.commit(commit).await.unwrap();
    }
    let since = store.clock().await.unwrap();
    let rows = |_: &[bool]| vec![reported(1, 0), reported(2, 500)];
    store.write_reports("r", &[], &rows).await.unwrap();
    let parts = async |scope| {
        let mut rollout = crate::brake::tests::rollout();
        rollout.strategy.gates.health = Some(HealthGate {
            compare: Some(Compare {
                scope,
                ..Compare::default()
            }),
            ..HealthGate::default()
        });
        let mut watch = Watch::new(&store, &rollout, since).await.unwrap();
        watch.read(&store, "default").await.unwrap().parts
    };
    assert_eq!(parts(Scope::All).await, None);
    let parts = parts(Scope::Changed).await.unwrap();
    let errors = |sides: &Sides| (sides.new.errors, sides.old.errors);
    assert_eq!(errors(&parts.routes), (500, 0));
    assert_eq!(errors(&parts.other_routes), (0, 0));
    assert_eq!(parts.other_routes.requests(), 2_000);
    let named = parts.changed.iter().map(|(part, _)| part.to_string());
    assert_eq!(named.collect::<Vec<_>>(), ["route changes"]);
}
