//! Which database, by its URL, and how connections to it are made.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyPool, Executor as _};

use super::dialect::Dialect;
use super::error::OpenError;

/// How many connections read, and on PostgreSQL write. A write holds one for a few milliseconds.
pub(super) const CONNECTIONS: u32 = 8;
/// How long a caller waits for a connection. A database that is away must be told within 2 s.
const ACQUIRE_POSTGRES: Duration = Duration::from_millis(1_500);
/// SQLite is never away, but many writers may queue for the one connection that writes.
const ACQUIRE_SQLITE: Duration = Duration::from_secs(8);

/// Which database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file, made if it is not there. One control plane at a time.
    Sqlite(PathBuf),
    /// The URL of a PostgreSQL database. Any number of control planes.
    Postgres(String),
}

/// Why a text names no database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a database is sqlite:PATH or postgres://USER@HOST/NAME")]
pub struct DatabaseError;

impl FromStr for Database {
    type Err = DatabaseError;

    fn from_str(text: &str) -> std::result::Result<Self, DatabaseError> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.to_owned()));
        }
        let path = text
            .strip_prefix("sqlite:")
            .map(|path| path.strip_prefix("//").unwrap_or(path));
        match path {
            Some(path) if !path.is_empty() && !path.starts_with(':') => {
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            _ => Err(DatabaseError),
        }
    }
}

/// Connects, and tells every connection what it must know before it is used.
pub(super) async fn connect(
    dialect: Dialect,
    url: &str,
    connections: u32,
    reader: bool,
) -> std::result::Result<AnyPool, OpenError> {
    let options = AnyConnectOptions::from_str(url).map_err(OpenError::Connect)?;
    let session = dialect.session(reader);
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(match dialect {
            Dialect::Sqlite => ACQUIRE_SQLITE,
            Dialect::Postgres => ACQUIRE_POSTGRES,
        })
        .after_connect(move |connection, _| {
            Box::pin(async move { connection.execute(sqlx::raw_sql(session)).await.map(|_| ()) })
        });
    pool.connect_with(options).await.map_err(OpenError::Connect)
}

/// The URL of an SQLite file; the file is made if it is not there.
pub(super) fn sqlite_url(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::ffi::OsStrExt as _;
    let mut url = "sqlite://".to_owned();
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            url.push(char::from(byte));
        } else {
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url + "?mode=rwc"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_is_named_by_its_url() {
        let sqlite = |path: &str| Ok(Database::Sqlite(PathBuf::from(path)));
        assert_eq!("sqlite:a.db".parse(), sqlite("a.db"));
        assert_eq!("sqlite:///var/a.db".parse(), sqlite("/var/a.db"));
        assert_eq!(
            "postgres://u@h/d".parse(),
            Ok(Database::Postgres("postgres://u@h/d".to_owned()))
        );
        for text in ["", "a.db", "sqlite:", "sqlite::memory:", "mysql://h/d"] {
            assert_eq!(text.parse::<Database>(), Err(DatabaseError), "{text}");
        }
    }

    #[test]
    fn a_path_may_hold_what_means_something_in_a_url() {
        assert_eq!(
            sqlite_url(Path::new("/a b?#%.db")),
            "sqlite:///a%20b%3F%23%25.db?mode=rwc"
        );
    }
}
