//! Backups: one database as a file and back, into either kind.

use std::path::Path;
use std::process::{Command, Output};

use control_plane::model::document;
use control_plane::model::timestamp::Timestamp;
use control_plane::revision::Draft;
use control_plane::rollout::begin::Terms;
use control_plane::rollout::observed::Refused;
use control_plane::rollout::{Event, EventKind, Paused, Rollout, State};
use control_plane::store::backup::{BackupError, backup, restore};
use control_plane::store::rollout::{NewRollout, Step, TrafficRow};
use control_plane::store::sql::{Database, SqlStore};
use control_plane::store::{By, Commit, Expected, FleetSettings, Store};
use e2e::postgres::Postgres;

const BY: By<'_> = By {
    actor: "ada",
    request_id: "request-1",
};

/// Two revisions, of which the second changes, adds and deletes; endpoints; another fleet.
async fn fill(database: &Database) {
    let store = SqlStore::open(database).await.unwrap();
    let configs = [
        "clusters: [{name: a, discovery: api}, {name: b, endpoints: []}]",
        "clusters: [{name: a, discovery: api, load_balancing: random}, {name: c, endpoints: []}]",
    ];
    for (base, yaml) in configs.into_iter().enumerate() {
        let document = document::yaml(yaml.as_bytes()).unwrap();
        let draft = Draft::new(document::config(&document).unwrap().config);
        let config = draft.validate(None, &[]).unwrap();
        let commit = Commit {
            fleet: "default",
            base: base as u64,
            by: BY,
            message: "ünïcode, \"quotes\"\nand lines",
            config: &config,
            release: false,
            not_before: None,
        };
        store.commit(commit).await.unwrap();
    }
    let endpoints =
        serde_json::from_str(r#"{"endpoints":[{"address":"127.0.0.1","port":9}]}"#).unwrap();
    let expected = Expected {
        head: Some(2),
        hash: None,
    };
    let put = store.put_endpoints("default", "a", &endpoints, expected, BY);
    put.await.unwrap();
    let settings = FleetSettings::default();
    store.create_fleet("edge", &settings, BY).await.unwrap();
    roll_out(&store).await;
    store.close().await;
}

/// One rollout that ended, one that is active, each with events, the active one with a refusal and all that a row may have.
async fn roll_out(store: &SqlStore) {
    for state in [State::RolledBack, State::Paused] {
        let active = store.active_rollouts().await.unwrap().remove(0);
        let node = Refused {
            node: "n".to_owned(),
            type_url: "t".to_owned(),
            resources: vec!["r".to_owned()],
            message: "no".to_owned(),
            reverted: false,
            at: Timestamp::from_micros(0),
        };
        let refused = store.refuse_rollout("default", active.to, &node).await;
        let (_, row_version) = refused.unwrap().unwrap();
        let next = Rollout {
            state,
            paused: Some(Paused {
                state: State::Settling,
                left_us: None,
                only: Some(["n".to_owned()].into()),
            }),
            wave_at: Some(Timestamp::from_micros(1)),
            deadline: Some(Timestamp::from_micros(2)),
            approved_by: Some("bob".to_owned()),
            outcome: Some("why".to_owned()),
            row_version,
            ..active
        };
        let events = [Event {
            kind: EventKind::Moved,
            state,
            wave: 0,
            detail: "so".to_owned(),
            data: Some(serde_json::json!({ "n": 1 })),
        }];
        let step = Step {
            next: &next,
            events: &events,
            by: None,
        };
        store.step_rollout(step).await.unwrap();
        if state == State::RolledBack {
            let start = NewRollout {
                fleet: "default",
                to: 1,
                strategy: &next.strategy,
                reason: "back to the first",
                supersede: false,
                terms: Terms::default(),
                by: BY,
            };
            store.start_rollout(start).await.unwrap();
        }
    }
    let traffic = [TrafficRow {
        fleet: "default".to_owned(),
        revision: 1,
        at: Timestamp::from_micros(0),
        body: vec![1],
    }];
    store.write_traffic("r1", &traffic).await.unwrap();
}

async fn bytes(database: &Database) -> Vec<u8> {
    let mut bytes = Vec::new();
    backup(database, &mut bytes).await.unwrap();
    bytes
}

fn sqlite(folder: &Path, name: &str) -> Database {
    Database::Sqlite(folder.join(name))
}

#[tokio::test]
async fn what_is_restored_is_what_was_there_in_either_database() {
    let (folder, postgres) = (
        tempfile::tempdir().unwrap(),
        Postgres::start().await.unwrap(),
    );
    let first = sqlite(folder.path(), "first.db");
    fill(&first).await;
    let kept = bytes(&first).await;
    let second = Database::Postgres(postgres.database().unwrap());
    let rows = restore(&second, &mut kept.as_slice()).await.unwrap();
    assert_eq!(bytes(&second).await, kept);
    let third = sqlite(folder.path(), "third.db");
    let again = bytes(&second).await;
    assert_eq!(restore(&third, &mut again.as_slice()).await.unwrap(), rows);
    assert_eq!(bytes(&third).await, kept);

    // It is a database to go on with.
    let store = SqlStore::open(&third).await.unwrap();
    let config = store.config_at("default", 1).await.unwrap();
    assert!(config.clusters.contains_key("b") && !config.clusters.contains_key("c"));
    let fleets = store.fleets().await.unwrap();
    assert_eq!(fleets.len(), 2);
    assert!(fleets[0].held.is_some() && fleets[0].assignment == 0);
    let rollouts = store.rollouts("default", None, 10).await.unwrap();
    let states: Vec<_> = rollouts.iter().map(|rollout| rollout.state).collect();
    assert_eq!(states, [State::Paused, State::RolledBack]);
    let id = &rollouts[0].id;
    assert_eq!(store.rollout_events(id, 0, 10).await.unwrap().len(), 2);
    assert_eq!(store.rollout_refusals(id).await.unwrap().len(), 1);
    // What nodes say of requests they say again.
    let traffic = store.traffic("default", Timestamp::from_micros(0)).await;
    assert!(traffic.unwrap().is_empty());
    // The one that was active goes on.
    let next = Rollout {
        state: State::Completed,
        ..rollouts[0].clone()
    };
    let step = Step {
        next: &next,
        events: &[],
        by: None,
    };
    store.step_rollout(step).await.unwrap();
    assert_eq!(store.fleet("default").await.unwrap().stable, 1);
}

#[tokio::test]
async fn a_database_that_holds_something_is_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (
        sqlite(folder.path(), "first.db"),
        sqlite(folder.path(), "second.db"),
    );
    fill(&first).await;
    fill(&second).await;
    let (kept, before) = (bytes(&first).await, bytes(&second).await);
    let error = restore(&second, &mut kept.as_slice()).await.unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty(_)), "{error}");
    assert_eq!(bytes(&second).await, before);
}

#[tokio::test]
async fn a_backup_that_is_damaged_anywhere_restores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (
        sqlite(folder.path(), "first.db"),
        sqlite(folder.path(), "second.db"),
    );
    fill(&first).await;
    let kept = String::from_utf8(bytes(&first).await).unwrap();
    let lines: Vec<&str> = kept.lines().collect();
    let without = |gone: usize| {
        let mut left = lines.clone();
        left.remove(gone);
        left.join("\n")
    };
    let mut damaged: Vec<String> = (0..lines.len()).map(without).collect();
    damaged.push(kept[..kept.len() / 2].to_owned());
    damaged.push(kept.replace("\"head\":2", "\"head\":\"2\""));
    damaged.push(kept.replace("\"head\":2", "\"herd\":2"));
    damaged.push(kept.replace("\"table\":\"endpoints\"", "\"table\":\"elsewhere\""));
    let fresh = {
        SqlStore::open(&second).await.unwrap().close().await;
        bytes(&second).await
    };
    for damaged in damaged {
        let error = restore(&second, &mut damaged.as_bytes()).await.unwrap_err();
        let left = String::from_utf8(bytes(&second).await).unwrap();
        assert_eq!(left, String::from_utf8(fresh.clone()).unwrap(), "{error}");
    }
}

#[tokio::test]
async fn the_commands_carry_a_database_from_one_kind_to_the_other() {
    let (folder, postgres) = (
        tempfile::tempdir().unwrap(),
        Postgres::start().await.unwrap(),
    );
    let path = folder.path().join("signalbox.db");
    fill(&Database::Sqlite(path.clone())).await;
    let url = postgres.database().unwrap();
    let run = |arguments: &[&str]| -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command.current_dir(folder.path()).args(arguments);
        command.output().unwrap()
    };
    let from = format!("sqlite:{}", path.display());
    let copied = run(&["migrate-store", &from, &url]);
    assert!(copied.status.success(), "{copied:?}");
    for (arguments, file) in [
        (["--data-dir", "."], "a.jsonl"),
        (["--database", &url], "b.jsonl"),
    ] {
        let kept = run(&["backup", arguments[0], arguments[1], file]);
        assert!(kept.status.success(), "{kept:?}");
        // Once there, it is not written over.
        let again = run(&["backup", arguments[0], arguments[1], file]);
        assert_eq!(again.status.code(), Some(1), "{again:?}");
    }
    let read = |file: &str| std::fs::read_to_string(folder.path().join(file)).unwrap();
    assert_eq!(read("a.jsonl"), read("b.jsonl"));
    let restored = run(&["restore", "--data-dir", "new", "a.jsonl"]);
    assert!(restored.status.success(), "{restored:?}");
    let kept = run(&["backup", "--data-dir", "new", "-"]);
    assert_eq!(String::from_utf8(kept.stdout).unwrap(), read("a.jsonl"));
    let absent = run(&["backup", "--data-dir", "nowhere", "c.jsonl"]);
    assert_eq!(absent.status.code(), Some(1));
    assert!(!folder.path().join("c.jsonl").exists());
}
