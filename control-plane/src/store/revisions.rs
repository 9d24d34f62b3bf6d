//! Revisions and the resources in them. A resource is stored once for all the revisions that have it, as an interval.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::audit::{Entry, add};
use super::error::{Result, StoreError};
use super::rollouts::of_commit;
use super::sql::{BATCH, SqlStore, hash, placeholders, unsigned};
use super::{Commit, Revision};
use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::model::{Cluster, Config, Kind, Listener, Resource, Route};
use crate::revision::{Change, Verb};
use crate::rollout::Rollout;

const CONFIG: &str = "SELECT kind, name, body FROM resource \
     WHERE fleet = $1 AND from_revision <= $2 AND (to_revision IS NULL OR to_revision > $2)";
/// What began after one revision and up to another, and what ended.
const BETWEEN: &str = "SELECT kind, name, body, to_revision FROM resource \
     WHERE fleet = $1 AND from_revision > $2 AND from_revision <= $3 \
     UNION ALL SELECT kind, name, body, to_revision FROM resource \
     WHERE fleet = $1 AND to_revision > $2 AND to_revision <= $3 AND from_revision <= $2";
const ONE: &str = "SELECT number, hash, author, message, created_at FROM revision WHERE fleet = $1 AND number = $2";
const PAGE: &str = "SELECT number, hash, author, message, created_at FROM revision \
     WHERE fleet = $1 AND number < $2 ORDER BY number DESC LIMIT $3";
const END_RESOURCES: &str = "UPDATE resource SET to_revision = $1 WHERE fleet = $2 AND to_revision IS NULL AND (kind, name) IN (VALUES ";
const ADD_RESOURCES: &str =
    "INSERT INTO resource (fleet, kind, name, from_revision, body, hash) VALUES ";
const ADD_REVISION: &str = "INSERT INTO revision (fleet, number, hash, author, message, created_at, not_before) VALUES ($1, $2, $3, $4, $5, $6, $7)";
const MOVE_HEAD: &str = "UPDATE fleet SET head = $2, held = $3, assignment = $4, change_seq = change_seq + 1 WHERE name = $1";

/// So many resources of a kind of change are named in an audit row.
const TOLD_MAX: usize = 20;

type Row = (i64, Vec<u8>, String, String, i64);

impl SqlStore {
    pub(super) async fn read_config(&self, fleet: &str, revision: u64) -> Result<Arc<Config>> {
        if let Some(config) = self.memory.known_config(fleet, revision) {
            return Ok(config);
        }
        let head = self.read_fleet(fleet).await?.head;
        if revision > head {
            return Err(StoreError::NoSuchRevision {
                fleet: fleet.to_owned(),
                number: revision,
            });
        }
        let config = match self.memory.config_before(fleet, revision) {
            Some((known, config)) => {
                self.read_changes(fleet, (known, revision), (*config).clone())
                    .await?
            }
            None => self.read_whole(fleet, revision).await?,
        };
        let config = Arc::new(config);
        self.memory.keep_config(fleet, revision, &config);
        Ok(config)
    }

    async fn read_whole(&self, fleet: &str, revision: u64) -> Result<Config> {
        let rows: Vec<(String, String, Vec<u8>)> = sqlx::query_as(CONFIG)
            .bind(fleet)
            .bind(revision as i64)
            .fetch_all(&self.reader)
            .await?;
        let mut config = Config::default();
        for (kind, name, body) in &rows {
            put(&mut config, kind, name, body)?;
        }
        Ok(config)
    }

    /// Reads what a later revision has differently, so that what somebody else has committed costs what it changes.
    async fn read_changes(
        &self,
        fleet: &str,
        (known, revision): (u64, u64),
        mut config: Config,
    ) -> Result<Config> {
        let rows: Vec<(String, String, Vec<u8>, Option<i64>)> = sqlx::query_as(BETWEEN)
            .bind(fleet)
            .bind(known as i64)
            .bind(revision as i64)
            .fetch_all(&self.reader)
            .await?;
        let has_ended = |to: &Option<i64>| to.is_some_and(|to| unsigned(to) <= revision);
        // What takes the place of something began when that ended.
        for (kind, name, _, _) in rows.iter().filter(|(.., to)| has_ended(to)) {
            remove(&mut config, kind, name);
        }
        for (kind, name, body, _) in rows.iter().filter(|(.., to)| !has_ended(to)) {
            put(&mut config, kind, name, body)?;
        }
        Ok(config)
    }

    pub(super) async fn write_revision(&self, commit: Commit<'_>) -> Result<Revision> {
        let base = self.read_config(commit.fleet, commit.base).await?;
        let changes = commit.config.changes(&base);
        let mut tx = self.begin().await?;
        let mut fleet = self.lock_fleet_row(&mut tx, commit.fleet).await?;
        if fleet.head != commit.base {
            return Err(StoreError::Moved);
        }
        let revision = Revision {
            number: commit.base + 1,
            hash: *commit.config.hash(),
            author: commit.by.actor.to_owned(),
            message: commit.message.to_owned(),
            created_at: self.now(&mut tx).await?,
        };
        for batch in changes.chunks(BATCH) {
            end_resources(&mut tx, commit.fleet, revision.number, batch).await?;
            add_resources(&mut tx, commit.fleet, revision.number, batch).await?;
        }
        add_revision(&mut tx, &commit, &revision).await?;
        fleet.head = revision.number;
        fleet.held = fleet.held.filter(|_| !commit.release);
        let begun = of_commit(&mut tx, &fleet, &revision, commit.by).await?;
        // Validators have it from the beginning.
        if begun.as_ref().is_some_and(Rollout::gives_any) {
            fleet.assignment += 1;
        }
        sqlx::query(MOVE_HEAD)
            .bind(commit.fleet)
            .bind(revision.number as i64)
            .bind(fleet.held.as_deref())
            .bind(fleet.assignment as i64)
            .execute(&mut *tx)
            .await?;
        let mut detail = told(&changes, commit.message);
        detail["rollout"] = begun.map(|begun| begun.id).into();
        if let Some(at) = commit.not_before {
            detail["not_before"] = at.to_string().into();
        }
        let entry = Entry {
            revision: Some(revision.number),
            detail: Some(detail),
            ..Entry::new("commit", Some(commit.fleet), "config".to_owned())
        };
        add(&mut tx, commit.by, revision.created_at, entry).await?;
        self.publish(tx, commit.fleet).await?;
        let config = commit.config.config();
        self.memory
            .keep_config(commit.fleet, revision.number, config);
        self.memory
            .keep_revisions(commit.fleet, std::slice::from_ref(&revision));
        Ok(revision)
    }

    pub(super) async fn read_revision(&self, fleet: &str, number: u64) -> Result<Revision> {
        let missing = || StoreError::NoSuchRevision {
            fleet: fleet.to_owned(),
            number,
        };
        let signed = i64::try_from(number).map_err(|_| missing())?;
        let row: Option<Row> = sqlx::query_as(ONE)
            .bind(fleet)
            .bind(signed)
            .fetch_optional(&self.reader)
            .await?;
        match row {
            Some(row) => revision(row),
            None => {
                self.read_fleet(fleet).await?;
                Err(missing())
            }
        }
    }

    pub(super) async fn read_revisions(
        &self,
        fleet: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>> {
        let before = before
            .and_then(|before| i64::try_from(before).ok())
            .unwrap_or(i64::MAX);
        let page = sqlx::query_as(PAGE)
            .bind(fleet)
            .bind(before)
            .bind(i64::from(limit));
        let rows: Vec<Row> = page.fetch_all(&self.reader).await?;
        if rows.is_empty() {
            self.read_fleet(fleet).await?;
        }
        let revisions: Vec<_> = rows.into_iter().map(revision).collect::<Result<_>>()?;
        self.memory.keep_revisions(fleet, &revisions);
        Ok(revisions)
    }
}

/// What the audit row of a commit says beyond its revision, which has the whole.
fn told(changes: &[Change], message: &str) -> serde_json::Value {
    let names = |verb| {
        let of_verb = changes.iter().filter(move |change| change.verb == verb);
        let told = of_verb.clone().take(TOLD_MAX);
        let told: Vec<_> = told.map(|change| change.id.to_string()).collect();
        serde_json::json!({ "count": of_verb.count(), "names": told })
    };
    serde_json::json!({
        "message": message,
        "created": names(Verb::Create),
        "updated": names(Verb::Update),
        "deleted": names(Verb::Delete),
    })
}

fn revision((number, bytes, author, message, created_at): Row) -> Result<Revision> {
    Ok(Revision {
        number: unsigned(number),
        hash: hash(&bytes)?,
        author,
        message,
        created_at: Timestamp::from_micros(created_at),
    })
}

/// Reads a stored resource with the same eyes as an operator's.
fn put(config: &mut Config, kind: &str, name: &str, body: &[u8]) -> Result<()> {
    fn read<T: Resource + DeserializeOwned>(
        config: &mut Config,
        name: &str,
        body: &[u8],
    ) -> Result<(), String> {
        let resource: T = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        if resource.name() != name {
            return Err("its name is another".to_owned());
        }
        config.put(resource);
        Ok(())
    }
    let read = match Kind::of_plural(kind) {
        Some(Kind::Listener) => read::<Listener>(config, name, body),
        Some(Kind::Cluster) => read::<Cluster>(config, name, body),
        Some(Kind::Route) => read::<Route>(config, name, body),
        None => Err("its kind is not known".to_owned()),
    };
    read.map_err(|why| StoreError::Corrupt {
        what: format!("{kind}/{name}: {why}"),
    })
}

fn remove(config: &mut Config, kind: &str, name: &str) {
    match Kind::of_plural(kind) {
        Some(Kind::Listener) => drop(config.remove::<Listener>(name)),
        Some(Kind::Cluster) => drop(config.remove::<Cluster>(name)),
        Some(Kind::Route) => drop(config.remove::<Route>(name)),
        None => {}
    }
}

/// Ends the interval of what is replaced or deleted. What is new has none to end.
async fn end_resources(
    tx: &mut AnyConnection,
    fleet: &str,
    number: u64,
    changes: &[Change],
) -> Result<()> {
    let statement = format!("{END_RESOURCES}{})", placeholders(changes.len(), 2, 3));
    let mut query = sqlx::query(AssertSqlSafe(statement))
        .persistent(false)
        .bind(number as i64)
        .bind(fleet);
    for change in changes {
        query = query.bind(change.id.kind.plural()).bind(&*change.id.name);
    }
    query.execute(tx).await?;
    Ok(())
}

async fn add_resources(
    tx: &mut AnyConnection,
    fleet: &str,
    number: u64,
    changes: &[Change],
) -> Result<()> {
    let written: Vec<_> = changes
        .iter()
        .filter_map(|change| Some((&change.id, change.body.as_deref()?)))
        .collect();
    if written.is_empty() {
        return Ok(());
    }
    let statement = format!("{ADD_RESOURCES}{}", placeholders(written.len(), 6, 1));
    let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    for (id, body) in written {
        query = query
            .bind(fleet)
            .bind(id.kind.plural())
            .bind(&*id.name)
            .bind(number as i64);
        query = query.bind(body).bind(canonical::hash(body).to_vec());
    }
    query.execute(tx).await?;
    Ok(())
}

async fn add_revision(
    tx: &mut AnyConnection,
    commit: &Commit<'_>,
    revision: &Revision,
) -> Result<()> {
    let query = sqlx::query(ADD_REVISION)
        .bind(commit.fleet)
        .bind(revision.number as i64)
        .bind(revision.hash.to_vec());
    let query = query
        .bind(revision.author.as_str())
        .bind(revision.message.as_str());
    query
        .bind(revision.created_at.as_micros())
        .bind(commit.not_before.map(Timestamp::as_micros))
        .execute(tx)
        .await?;
    Ok(())
}
