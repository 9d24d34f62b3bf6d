//! One contract, two databases: every rule of `contract` is run on SQLite and on PostgreSQL, each on a fresh database.
//! What only one of them can do has a test of its own here.

mod contract;

use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::model::document;
use control_plane::revision::{Draft, Validated};
use control_plane::store::error::OpenError;
use control_plane::store::sql::{Database, SqlStore};
use control_plane::store::{By, Commit, Revision, Store, StoreError};
use e2e::postgres::Postgres;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection as _, PgConnection, SqliteConnection};

use self::contract::rules;

/// Long enough for a busy machine, short enough to be a failure.
const SOON: Duration = Duration::from_secs(20);

/// Who writes.
const ADA: By<'_> = By {
    actor: "ada",
    request_id: "request-1",
};

/// A database that can be opened again.
struct Fresh {
    database: Database,
    store: Arc<dyn Store>,
}

impl Fresh {
    async fn open(database: Database) -> Self {
        let store = Arc::new(SqlStore::open(&database).await.unwrap());
        Self { database, store }
    }

    /// As a new process sees it: nothing is remembered.
    async fn reopen(self) -> Self {
        self.store.close().await;
        drop(self.store);
        Self::open(self.database).await
    }

    /// Runs a statement past the store.
    async fn sql(&self, statement: &'static str) {
        match &self.database {
            Database::Sqlite(path) => {
                let options = SqliteConnectOptions::new().filename(path);
                let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
                sqlx::query(statement)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
            Database::Postgres(url) => {
                let mut connection = PgConnection::connect(url).await.unwrap();
                sqlx::query(statement)
                    .execute(&mut connection)
                    .await
                    .unwrap();
            }
        }
    }
}

/// A config that may be stored.
fn validated(yaml: &str) -> Validated {
    let document = document::yaml(yaml.as_bytes()).unwrap();
    Draft::new(document::config(&document).unwrap().config)
        .validate(None, &[])
        .unwrap()
}

/// Stores a config as the revision after `base`.
async fn commit(store: &dyn Store, base: u64, yaml: &str) -> Result<Revision, StoreError> {
    let config = validated(yaml);
    store
        .commit(Commit {
            fleet: "default",
            base,
            by: ADA,
            message: "why",
            config: &config,
            release: false,
            not_before: None,
        })
        .await
}

#[tokio::test]
async fn the_contract_holds_on_sqlite() {
    for (name, rule) in rules() {
        println!("{name}");
        let folder = tempfile::tempdir().unwrap();
        // A path with letters that mean something in a URL.
        rule(Fresh::open(Database::Sqlite(folder.path().join("a b?#%.db"))).await).await;
    }
}

#[tokio::test]
async fn the_contract_holds_on_postgres() {
    let postgres = Postgres::start().await.unwrap();
    for (name, rule) in rules() {
        println!("{name}");
        rule(Fresh::open(Database::Postgres(postgres.database().unwrap())).await).await;
    }
}

#[tokio::test]
async fn a_second_process_is_kept_off_an_sqlite_file() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("new folder/signalbox.db"));
    let first = SqlStore::open(&database).await.unwrap();
    let error = SqlStore::open(&database).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("SQLite serves one control plane at a time"),
        "{error}"
    );
    first.close().await;
    drop(first);
    SqlStore::open(&database).await.unwrap();
}

#[tokio::test]
async fn replicas_that_start_at_once_share_one_postgres_and_hint_at_each_other_s_commits() {
    let postgres = Postgres::start().await.unwrap();
    let database = Database::Postgres(postgres.database().unwrap());
    let (one, other) = tokio::join!(SqlStore::open(&database), SqlStore::open(&database));
    let (one, other) = (one.unwrap(), other.unwrap());
    let mut hints = other.hints();
    commit(&one, 0, "clusters: [{name: a, discovery: api}]")
        .await
        .unwrap();
    let seen = async {
        while other.fleet("default").await.unwrap().head == 0 {
            hints.changed().await.unwrap();
        }
    };
    tokio::time::timeout(SOON, seen).await.unwrap();
    assert!(
        other
            .config_at("default", 1)
            .await
            .unwrap()
            .clusters
            .contains_key("a")
    );
}

#[tokio::test]
async fn a_postgres_that_is_away_is_told_within_two_seconds_and_is_used_again_once_it_is_back() {
    let mut postgres = Postgres::start().await.unwrap();
    let store = SqlStore::open(&Database::Postgres(postgres.database().unwrap()))
        .await
        .unwrap();
    commit(&store, 0, "clusters: [{name: a, discovery: api}]")
        .await
        .unwrap();
    postgres.kill().unwrap();
    // The first connections found dead are thrown away; how long that takes is part of the promise.
    let began = Instant::now();
    let error = commit(&store, 1, "clusters: [{name: b, discovery: api}]")
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );

    postgres.restart().await.unwrap();
    let revision = commit(&store, 1, "clusters: [{name: b, discovery: api}]")
        .await
        .unwrap();
    assert_eq!(revision.number, 2);
}
