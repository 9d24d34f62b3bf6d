//! The whole of a database as lines of JSON, and back, into either kind: `signalbox backup`, `restore` and `migrate-store`.
//! In: a database and a stream of bytes. All of it is read in one transaction, so it is one moment; all of it is written in
//! one, so it is there whole or not at all. Left out is what running processes say of themselves and their nodes: they say
//! it again.
//!
//! The first line names the format and the version of the tables, each further one a row, the last one their number: a
//! backup that was cut off is known by its missing end. It holds the hashes of tokens, never a token.

mod tables;

use std::io::{self, BufRead, Write};

use futures_util::TryStreamExt as _;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sqlx::{AnyConnection, AnyPool, AssertSqlSafe};

use super::database::{Database, connect, sqlite_url};
use super::dialect::Dialect;
use super::error::OpenError;
use super::sql::{SqlStore, newest_migration};

use self::tables::TABLES;

/// The version of the format.
const FORMAT: u32 = 1;

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
