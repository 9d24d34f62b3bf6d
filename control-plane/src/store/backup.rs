//! The whole of a database as lines of JSON, and back, into either kind: `signalbox backup`, `restore` and `migrate-store`.
//! In: a database and a stream of bytes. All of it is read in one transaction, so it is one moment; all of it is written in
//! one, so it is there whole or not at all. Left out is what running processes say of themselves and their nodes: they say
//! it again.
//!
//! The first line names the format and the version of the tables, each further one a row, the last one their number: a
//! backup that was cut off is known by its missing end. It holds the hashes of tokens, never a token.

use std::io::{self, BufRead, Write};

use base64::prelude::{BASE64_STANDARD, Engine as _};
use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AnyConnection, AnyPool, AssertSqlSafe, Row as _};

use super::database::{Database, connect, sqlite_url};
use super::dialect::Dialect;
use super::error::OpenError;
use super::sql::{SqlStore, newest_migration};

/// The version of the format.
const FORMAT: u32 = 1;

/// A table, and its columns with their types; the first `key` of them order its rows.
struct Table {
    name: &'static str,
    key: usize,
    columns: &'static [(&'static str, Type)],
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Number,
    Bytes,
}

use Type::{Bytes, Number, Text};

/// What is kept, in an order in which each row finds the rows that it refers to.
const TABLES: [Table; 7] = [
    Table {
        name: "fleet",
        key: 1,
        columns: &[
            ("name", Text),
            ("head", Number),
            ("change_seq", Number),
            ("created_at", Number),
            ("settings", Bytes),
            ("deleted_at", Number),
        ],
    },
    Table {
        name: "revision",
        key: 2,
        columns: &[
            ("fleet", Text),
            ("number", Number),
            ("hash", Bytes),
            ("author", Text),
            ("message", Text),
            ("created_at", Number),
        ],
    },
    Table {
        name: "resource",
        key: 4,
        columns: &[
            ("fleet", Text),
            ("kind", Text),
            ("name", Text),
            ("from_revision", Number),
            ("to_revision", Number),
            ("body", Bytes),
            ("hash", Bytes),
        ],
    },
    Table {
        name: "endpoints",
        key: 2,
        columns: &[
            ("fleet", Text),
            ("cluster", Text),
            ("body", Bytes),
            ("hash", Bytes),
            ("updated_at", Number),
        ],
    },
    Table {
        name: "token",
        key: 1,
        columns: &[
            ("id", Text),
            ("name", Text),
            ("kind", Text),
            ("role", Text),
            ("fleets", Bytes),
            ("hash", Bytes),
            ("created_at", Number),
            ("created_by", Text),
            ("expires_at", Number),
            ("revoked_at", Number),
        ],
    },
    Table {
        name: "audit",
        key: 1,
        columns: &[
            ("id", Text),
            ("at", Number),
            ("actor", Text),
            ("action", Text),
            ("fleet", Text),
            ("object", Text),
            ("revision", Number),
            ("request_id", Text),
            ("detail", Bytes),
        ],
    },
    Table {
        name: "counter",
        key: 1,
        columns: &[("name", Text), ("value", Number)],
    },
];

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The database cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// Its tables are of another version than this program's.
    #[error(
        "the tables are of version {found}, and this program's of {expected}: use the program that wrote them"
    )]
    Version {
        /// Theirs.
        found: i64,
        /// Ours.
        expected: i64,
    },
    /// The backup does not hold what it should.
    #[error("line {line} of the backup: {fault}")]
    Unreadable {
        /// Counted from 1.
        line: u64,
        /// What is wrong with it.
        fault: String,
    },
    /// Something is in the database already, which restoring would mix with.
    #[error("the database is not empty: it has rows in {0:?}")]
    NotEmpty(&'static str),
    /// The database refused or went away.
    #[error("the database does not take part")]
    Database(#[from] sqlx::Error),
    /// The file cannot be read or written.
    #[error("the backup cannot be read or written")]
    Io(#[from] io::Error),
}

/// A line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Head {
        signalbox_backup: u32,
        tables: i64,
    },
    Row {
        table: String,
        row: Map<String, Value>,
    },
    End {
        rows: u64,
    },
}

/// Writes everything that a database holds. A control plane may run on it meanwhile. Returns the number of rows.
///
/// # Errors
/// The database is of another version or cannot be read, or the stream cannot be written.
pub async fn backup(
    database: &Database,
    out: &mut (impl Write + Send),
) -> Result<u64, BackupError> {
    let (dialect, pool) = open_to_read(database).await?;
    let mut tx = pool.begin_with(dialect.begin_snapshot()).await?;
    let tables = version(&mut tx).await?;
    write(
        out,
        &Line::Head {
            signalbox_backup: FORMAT,
            tables,
        },
    )?;
    let mut rows = 0;
    for table in &TABLES {
        let query = sqlx::query(AssertSqlSafe(table.select()));
        let mut found = query.fetch(&mut *tx);
        while let Some(row) = found.try_next().await? {
            let row = table.read(&row)?;
            write(
                out,
                &Line::Row {
                    table: table.name.to_owned(),
                    row,
                },
            )?;
            rows += 1;
        }
    }
    write(out, &Line::End { rows })?;
    out.flush()?;
    Ok(rows)
}

/// Puts a backup into a database that holds nothing yet; its tables are made. Returns the number of rows.
///
/// # Errors
/// The database holds something, or the backup is of another version, damaged or cut off. Then nothing is written.
pub async fn restore(
    database: &Database,
    from: &mut (impl BufRead + Send),
) -> Result<u64, BackupError> {
    let store = SqlStore::open(database).await?;
    let mut tx = store.writer.begin_with(store.dialect.begin()).await?;
    empty(&mut tx).await?;
    let (mut rows, mut line, mut text) = (0, 0, String::new());
    loop {
        text.clear();
        line += 1;
        let unreadable = |fault: String| BackupError::Unreadable { line, fault };
        if from.read_line(&mut text)? == 0 {
            return Err(unreadable("the end is missing".to_owned()));
        }
        let read = serde_json::from_str(&text);
        match read.map_err(|_| unreadable("this is no line of a backup".to_owned()))? {
            Line::Head {
                signalbox_backup: FORMAT,
                tables,
            } if line == 1 => {
                let expected = newest_migration();
                if tables != expected {
                    return Err(BackupError::Version {
                        found: tables,
                        expected,
                    });
                }
            }
            Line::Row { table, row } if line > 1 => {
                let known = TABLES.iter().find(|known| known.name == table);
                let known =
                    known.ok_or_else(|| unreadable(format!("there is no table {table:?}")))?;
                known
                    .insert(&row)
                    .map_err(unreadable)?
                    .execute(&mut *tx)
                    .await?;
                rows += 1;
            }
            Line::End { rows: told } if line > 1 && told == rows => break,
            Line::End { rows: told } => {
                return Err(unreadable(format!(
                    "{told} rows are told, and {rows} were read"
                )));
            }
            Line::Head { .. } | Line::Row { .. } => {
                return Err(unreadable("it stands in the wrong place".to_owned()));
            }
        }
    }
    tx.commit().await?;
    store.writer.close().await;
    Ok(rows)
}

/// What a fresh database has is taken away; anything else is an error.
async fn empty(tx: &mut AnyConnection) -> Result<(), BackupError> {
    for table in TABLES.iter().rev() {
        let used = match table.name {
            // The fleet and the counter that every database begins with.
            "fleet" => "SELECT count(*) FROM fleet WHERE head <> 0 OR name <> 'default'".to_owned(),
            "counter" => "SELECT count(*) FROM counter WHERE value <> 0".to_owned(),
            name => format!("SELECT count(*) FROM {name}"),
        };
        let used: i64 = sqlx::query_scalar(AssertSqlSafe(used))
            .fetch_one(&mut *tx)
            .await?;
        if used > 0 {
            return Err(BackupError::NotEmpty(table.name));
        }
        let delete = format!("DELETE FROM {}", table.name);
        sqlx::query(AssertSqlSafe(delete)).execute(&mut *tx).await?;
    }
    Ok(())
}

/// Without the lock of a control plane: whoever only reads is in nobody's way.
async fn open_to_read(database: &Database) -> Result<(Dialect, AnyPool), BackupError> {
    sqlx::any::install_default_drivers();
    let (dialect, url) = match database {
        Database::Sqlite(path) => {
            let path = std::path::absolute(path)?;
            // A database that is not there must not be made by looking for it.
            std::fs::metadata(&path)?;
            (Dialect::Sqlite, sqlite_url(&path))
        }
        Database::Postgres(url) => (Dialect::Postgres, url.clone()),
    };
    Ok((dialect, connect(dialect, &url, 1, true).await?))
}

/// The version of the tables, which has to be this program's.
async fn version(connection: &mut AnyConnection) -> Result<i64, BackupError> {
    let found: Option<i64> = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(connection)
        .await?;
    let (found, expected) = (found.unwrap_or(0), newest_migration());
    if found == expected {
        Ok(found)
    } else {
        Err(BackupError::Version { found, expected })
    }
}

fn write(out: &mut impl Write, line: &Line) -> Result<(), BackupError> {
    serde_json::to_writer(&mut *out, line).map_err(io::Error::from)?;
    Ok(out.write_all(b"\n")?)
}

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    fn select(&self) -> String {
        let names = self.names();
        let (all, key) = (names.join(", "), names[..self.key].join(", "));
        format!("SELECT {all} FROM {} ORDER BY {key}", self.name)
    }

    fn read(&self, row: &AnyRow) -> Result<Map<String, Value>, sqlx::Error> {
        let mut read = Map::new();
        for (index, (name, ty)) in self.columns.iter().enumerate() {
            let value = match ty {
                Text => row.try_get::<Option<String>, _>(index)?.map(Value::from),
                Number => row.try_get::<Option<i64>, _>(index)?.map(Value::from),
                Bytes => {
                    let bytes = row.try_get::<Option<Vec<u8>>, _>(index)?;
                    bytes.map(|bytes| BASE64_STANDARD.encode(bytes).into())
                }
            };
            if let Some(value) = value {
                read.insert((*name).to_owned(), value);
            }
        }
        Ok(read)
    }

    fn insert(
        &self,
        row: &Map<String, Value>,
    ) -> Result<Query<'static, Any, AnyArguments>, String> {
        let names = self.names();
        if let Some(unknown) = row.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("{} has no column {unknown:?}", self.name));
        }
        let values: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let statement = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            values.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for (name, ty) in self.columns {
            let value = row.get(*name);
            let wrong = || format!("{}.{name} is of the wrong type", self.name);
            query = match ty {
                Text => query.bind(
                    value
                        .map(|value| value.as_str().ok_or_else(wrong))
                        .transpose()?
                        .map(str::to_owned),
                ),
                Number => query.bind(
                    value
                        .map(|value| value.as_i64().ok_or_else(wrong))
                        .transpose()?,
                ),
                Bytes => {
                    let text = value
                        .map(|value| value.as_str().ok_or_else(wrong))
                        .transpose()?;
                    let bytes = text.map(|text| BASE64_STANDARD.decode(text)).transpose();
                    query.bind(bytes.map_err(|_| wrong())?)
                }
            };
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What running processes say of themselves and their nodes.
    const NOT_KEPT: [&str; 3] = ["lease", "node", "replica"];

    #[tokio::test]
    async fn every_table_is_kept_with_every_column() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("signalbox.db"));
        let store = SqlStore::open(&database).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '_sqlx%'",
        )
        .fetch_all(&store.writer)
        .await
        .unwrap();
        for table in tables {
            let kept = TABLES.iter().find(|kept| kept.name == table);
            let columns: Vec<String> =
                sqlx::query_scalar("SELECT name FROM pragma_table_info($1) ORDER BY cid")
                    .bind(&table)
                    .fetch_all(&store.writer)
                    .await
                    .unwrap();
            match kept {
                Some(kept) => assert_eq!(kept.names(), columns, "{table}"),
                None => assert!(NOT_KEPT.contains(&table.as_str()), "{table}"),
            }
        }
    }
}
