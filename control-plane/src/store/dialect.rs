//! The six things in which the two databases differ; every other statement is one text for both.

/// A database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    /// How a transaction that writes begins. SQLite's would otherwise begin as one that reads and fail at once, without
    /// waiting, where it turns into one that writes.
    pub(super) const fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN IMMEDIATE",
            Self::Postgres => "BEGIN",
        }
    }

    /// How a transaction begins that sees one moment, however long it reads.
    pub(super) const fn begin_snapshot(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Reads a fleet's row and keeps others from changing it until the transaction ends.
    pub(super) const fn lock_fleet(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT head FROM fleet WHERE name = $1 AND deleted_at IS NULL",
            Self::Postgres => {
                "SELECT head FROM fleet WHERE name = $1 AND deleted_at IS NULL FOR UPDATE"
            }
        }
    }

    /// The database's clock, in microseconds since 1970.
    pub(super) const fn clock(self) -> &'static str {
        match self {
            Self::Sqlite => "SELECT CAST(unixepoch('now', 'subsec') * 1000000 AS INTEGER)",
            Self::Postgres => {
                "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
            }
        }
    }

    /// Tells other replicas, when the transaction ends well, that something changed in a fleet. Only ids travel: the
    /// payload is small and a message may be lost.
    pub(super) const fn notify(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            Self::Postgres => Some("SELECT pg_notify('signalbox', $1)"),
        }
    }

    /// What a fresh connection is told.
    pub(super) const fn session(self, reader: bool) -> &'static str {
        match (self, reader) {
            // WAL: readers and the writer do not wait for each other. FULL: a commit that was answered survives a power
            // cut. The file was opened read-write even for readers, since WAL needs its shared memory.
            (Self::Sqlite, false) => {
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000; PRAGMA foreign_keys = ON"
            }
            (Self::Sqlite, true) => "PRAGMA busy_timeout = 5000; PRAGMA query_only = ON",
            (Self::Postgres, _) => "SET statement_timeout = '8s'",
        }
    }
}
