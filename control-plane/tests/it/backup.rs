//! Backups: one database as a file and back, into either kind.

use std::path::Path;
use std::process::{Command, Output};

use control_plane::model::document;
use control_plane::revision::Draft;
use control_plane::store::backup::{BackupError, backup, restore};
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
        let config = draft.validate(&[]).unwrap();
        let commit = Commit {
            fleet: "default",
            base: base as u64,
            by: BY,
            message: "ünïcode, \"quotes\"\nand lines",
            config: &config,
            release: false,
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
    store.close().await;
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
    assert_eq!(store.fleets().await.unwrap().len(), 2);
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
