//! What can go wrong with the store: a variant for each thing that a caller does differently.

use std::path::PathBuf;

use crate::rollout::State;

/// The result of a store's method.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// Why a method failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such fleet: the caller says so.
    #[error("there is no fleet {0:?}")]
    NoSuchFleet(String),
    /// There is no such revision (yet): the caller says so.
    #[error("fleet {fleet:?} has no revision {number}")]
    NoSuchRevision {
        /// The fleet.
        fleet: String,
        /// The revision.
        number: u64,
    },
    /// There is no such token: the caller says so.
    #[error("there is no token {0:?}")]
    NoSuchToken(String),
    /// There is no such rollout: the caller says so.
    #[error("there is no rollout {0:?}")]
    NoSuchRollout(String),
    /// A rollout is to begin where one is active: the caller says so.
    #[error("rollout {id} is {state}; one at a time")]
    RolloutActive {
        /// The active one.
        id: String,
        /// Where it stands.
        state: State,
    },
    /// A rollout is to take the place of one whose nodes would follow it before they may: the caller says so.
    #[error(
        "the nodes that rollout {id} has moved would get revision {to} at once, and {why}; only what is urgent moves them now"
    )]
    NotYet {
        /// The active one.
        id: String,
        /// The revision that they would get.
        to: u64,
        /// Why it may not be yet.
        why: String,
    },
    /// A rollout is to go where the fleet is: the caller says so.
    #[error("fleet {fleet:?} serves revision {revision} already; there is nothing to roll out")]
    NothingToRollOut {
        /// The fleet.
        fleet: String,
        /// The revision.
        revision: u64,
    },
    /// Endpoints that are to be deleted are used: the caller says so.
    #[error("cluster {cluster:?} takes its endpoints from here in revision(s) {revisions:?}")]
    EndpointsInUse {
        /// The cluster.
        cluster: String,
        /// Revisions that nodes are served, or are to be, from the lowest.
        revisions: Vec<u64>,
    },
    /// What is to be created is there: the caller says so.
    #[error("there is {0} already")]
    Exists(String),
    /// A fleet that is to be deleted still has something: the caller says so.
    #[error("fleet {fleet:?} still has {what}")]
    NotEmpty {
        /// The fleet.
        fleet: String,
        /// One of the things it has.
        what: String,
    },
    /// Somebody else was faster: the caller reads again and decides again.
    #[error("the fleet's state is no longer the one this write was made from")]
    Moved,
    /// The database does not answer in time or cannot be reached: the caller tries later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// A row does not hold what this version can read: somebody has to look.
    #[error("the database holds something that cannot be read: {what}")]
    Corrupt {
        /// What and where.
        what: String,
    },
    /// Anything else: a fault of this program.
    #[error("the database refused a statement")]
    Refused(#[source] sqlx::Error),
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process uses the file.
    #[error(
        "{path} is held by another process; SQLite serves one control plane at a time (PostgreSQL serves many)"
    )]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder or the lock file cannot be made.
    #[error("cannot use {path}")]
    Folder {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It cannot be connected to.
    #[error("cannot open the database")]
    Connect(#[source] sqlx::Error),
    /// Its tables cannot be brought up to date.
    #[error("cannot bring the database's tables up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error as E;
        match &error {
            E::Io(_)
            | E::PoolTimedOut
            | E::PoolClosed
            | E::WorkerCrashed
            | E::Protocol(_)
            | E::BeginFailed => Self::Unavailable(error),
            E::Database(database) if database.code().is_some_and(|code| is_passing(&code)) => {
                Self::Unavailable(error)
            }
            _ => Self::Refused(error),
        }
    }
}

/// Codes that say that the database could not, not that it would not.
/// PostgreSQL, Appendix A: class 08 connection, 53 resources, 57 operator intervention (statement timeout among them),
/// 40001 and 40P01 serialisation and deadlock. SQLite: 5 busy, 6 locked, 10 I/O, 13 full; extended codes have these in
/// their low byte.
fn is_passing(code: &str) -> bool {
    match code.parse::<u32>() {
        Ok(number) if code.len() < 5 => [5, 6, 10, 13].contains(&(number & 0xff)),
        _ => {
            ["08", "53", "57"]
                .iter()
                .any(|class| code.starts_with(class))
                || ["40001", "40P01"].contains(&code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_that_cannot_is_told_from_one_that_will_not() {
        for code in [
            "08006", "53300", "57P01", "57014", "40001", "40P01", "5", "6", "517", "778", "13",
        ] {
            assert!(is_passing(code), "{code}");
        }
        for code in ["23505", "42601", "19", "1555", "1", "2067"] {
            assert!(!is_passing(code), "{code}");
        }
    }
}
