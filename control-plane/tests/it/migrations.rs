//! The two folders of migrations say the same.

use std::collections::BTreeMap;
use std::path::Path;

use control_plane::store::Store as _;
use control_plane::store::sql::{Database, SqlStore};
use e2e::postgres::Postgres;
use sqlx::AnyPool;
use sqlx::migrate::Migrator;

/// Table → column → its type in words that both databases share.
type Tables = BTreeMap<String, BTreeMap<String, &'static str>>;

fn names(folder: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../migrations")
        .join(folder);
    let files = std::fs::read_dir(folder)
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = files.collect();
    names.sort();
    names
}

/// Reads `CREATE TABLE` and `CREATE INDEX` as they are written in this project: one column a line.
fn read(folder: &str) -> (Tables, Vec<String>) {
    let (mut tables, mut indexes) = (Tables::new(), Vec::new());
    for name in names(folder) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../migrations")
            .join(folder)
            .join(name);
        let text = std::fs::read_to_string(path).unwrap();
        let mut table = None;
        for line in text.lines().map(str::trim) {
            if let Some(name) = line
                .strip_prefix("CREATE TABLE ")
                .and_then(|line| line.strip_suffix(" ("))
            {
                table = Some(name.to_owned());
            } else if line.starts_with(')') {
                table = None;
            } else if line.contains(" INDEX ") {
                indexes.push(line.to_owned());
            } else if let Some(table) = &table {
                let columns = tables.entry(table.clone()).or_default();
                let (name, rest) = line.split_once(char::is_whitespace).unwrap();
                columns.insert(format!("{name} {}", constraints(rest)), kind(rest));
            }
        }
    }
    (tables, indexes)
}

fn kind(rest: &str) -> &'static str {
    match rest
        .trim()
        .split(|letter: char| !letter.is_ascii_alphabetic())
        .next()
        .unwrap()
    {
        "TEXT" => "text",
        "BIGINT" | "INTEGER" => "number",
        "BYTEA" | "BLOB" => "bytes",
        "KEY" => "key",
        other => panic!("{other} is not a type that both databases have"),
    }
}

/// What is said of a column beyond its type; the collation is PostgreSQL's alone.
fn constraints(rest: &str) -> String {
    let words = rest
        .trim()
        .trim_end_matches(',')
        .replace("COLLATE \"C\" ", "")
        .replace("COLLATE \"C\"", "");
    words
        .split_once(' ')
        .map(|(_, constraints)| constraints.to_owned())
        .unwrap_or_default()
}

#[test]
fn both_databases_have_the_same_migrations_tables_columns_and_indexes() {
    assert_eq!(names("sqlite"), names("postgres"));
    let (sqlite, postgres) = (read("sqlite"), read("postgres"));
    assert_eq!(sqlite, postgres);
    assert!(sqlite.0.len() >= 6, "the files were read");
}

/// A database as the program made it that had only the migrations before this one.
async fn before(kind: &str, url: &str, last: &str) -> AnyPool {
    let (folder, old) = (
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../migrations")
            .join(kind),
        tempfile::tempdir().unwrap(),
    );
    for name in names(kind) {
        if name.as_str() < last {
            std::fs::copy(folder.join(&name), old.path().join(&name)).unwrap();
        }
    }
    sqlx::any::install_default_drivers();
    let pool = AnyPool::connect(url).await.unwrap();
    let migrator = Migrator::new(old.path()).await.unwrap();
    migrator.run(&pool).await.unwrap();
    pool
}

#[tokio::test]
async fn fleets_from_before_rollouts_serve_what_they_served() {
    let (folder, postgres) = (
        tempfile::tempdir().unwrap(),
        Postgres::start().await.unwrap(),
    );
    let path = folder.path().join("signalbox.db");
    let url = postgres.database().unwrap();
    let databases = [
        (
            "sqlite",
            format!("sqlite://{}?mode=rwc", path.display()),
            Database::Sqlite(path),
        ),
        ("postgres", url.clone(), Database::Postgres(url)),
    ];
    for (kind, url, database) in databases {
        let pool = before(kind, &url, "0005").await;
        let moved = sqlx::query("UPDATE fleet SET head = 7").execute(&pool);
        moved.await.unwrap();
        pool.close().await;
        let store = SqlStore::open(&database).await.unwrap();
        let fleet = store.fleet("default").await.unwrap();
        assert_eq!((fleet.stable, fleet.assignment, fleet.held), (7, 7, None));
        assert!(store.active_rollouts().await.unwrap().is_empty());
    }
}
