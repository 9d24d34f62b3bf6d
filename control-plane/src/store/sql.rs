//! The store on SQL: connections, transactions, and what the other files of `store` need of both. One code for two
//! databases by sqlx's `Any` driver, which knows exactly the types that the tables use: text, 64-bit integers, bytes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::Migrator;
use sqlx::{Any, AnyConnection, AnyPool, Transaction};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::audit::{AuditQuery, AuditRow};
pub use super::database::Database;
use super::database::{CONNECTIONS, connect, sqlite_url};
use super::dialect::Dialect;
use super::error::{OpenError, Result, StoreError};
use super::lock::FileLock;
use super::memory::Memory;
use super::node_status::{Claims, NodeStatus};
use super::rollout::{NewRollout, ReportNumber, RowsOf, Step, StoredEvent, TrafficRow};
use super::samples::SampleRow;
use super::served::Served;
use super::token::{NewToken, Token};
use super::{By, Commit, Expected, Fleet, FleetSettings, Revision, Store, listen};
use crate::model::timestamp::Timestamp;
use crate::model::{Config, Endpoints};
use crate::plan::NodeCount;
use crate::rollout::Rollout;
use crate::rollout::observed::Refused;
use crate::sample::Sample;
use crate::translate::FastLane;

static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");
static POSTGRES: Migrator = sqlx::migrate!("../migrations/postgres");

/// Rows that one statement writes; both databases take some 30,000 values in one.
pub(super) const BATCH: usize = 200;

/// The version of the tables that this program works with.
pub(super) fn newest_migration() -> i64 {
    let versions = SQLITE.iter().map(|migration| migration.version);
    versions.max().unwrap_or(0)
}

/// The store.
#[derive(Debug)]
pub struct SqlStore {
    pub(super) dialect: Dialect,
    pub(super) writer: AnyPool,
    pub(super) reader: AnyPool,
    hints: watch::Sender<u64>,
    pub(super) memory: Memory,
    _listener: Option<AbortOnDropHandle<()>>,
    _lock: Option<FileLock>,
}

impl SqlStore {
    /// Opens a database and brings its tables up to date.
    ///
    /// # Errors
    /// It is held by another process, cannot be reached, or has tables of another making.
    pub async fn open(database: &Database) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        match database {
            Database::Sqlite(path) => Self::open_sqlite(path).await,
            Database::Postgres(url) => Self::open_postgres(url).await,
        }
    }

    async fn open_sqlite(path: &Path) -> std::result::Result<Self, OpenError> {
        let absolute = std::path::absolute(path);
        let path = absolute.map_err(|source| OpenError::Folder {
            path: path.to_owned(),
            source,
        })?;
        let lock = FileLock::take(&path)?;
        let url = sqlite_url(&path);
        let pool = |connections, reader| connect(Dialect::Sqlite, &url, connections, reader);
        let writer = pool(1, false).await?;
        SQLITE.run(&writer).await.map_err(OpenError::Migrate)?;
        let reader = pool(CONNECTIONS, true).await?;
        Ok(Self::new(Dialect::Sqlite, writer, reader, None, Some(lock)))
    }

    async fn open_postgres(url: &str) -> std::result::Result<Self, OpenError> {
        let pool = connect(Dialect::Postgres, url, CONNECTIONS, false).await?;
        POSTGRES.run(&pool).await.map_err(OpenError::Migrate)?;
        Ok(Self::new(
            Dialect::Postgres,
            pool.clone(),
            pool,
            Some(url.to_owned()),
            None,
        ))
    }

    fn new(
        dialect: Dialect,
        writer: AnyPool,
        reader: AnyPool,
        listen: Option<String>,
        lock: Option<FileLock>,
    ) -> Self {
        let hints = watch::Sender::new(0);
        let listener =
            listen.map(|url| AbortOnDropHandle::new(tokio::spawn(listen::run(url, hints.clone()))));
        Self {
            dialect,
            writer,
            reader,
            hints,
            memory: Memory::default(),
            _listener: listener,
            _lock: lock,
        }
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>> {
        Ok(self.writer.begin_with(self.dialect.begin()).await?)
    }

    /// Keeps others from changing a fleet until the transaction ends; the fleet's head.
    pub(super) async fn lock_fleet(&self, tx: &mut AnyConnection, fleet: &str) -> Result<u64> {
        let head: Option<i64> = sqlx::query_scalar(self.dialect.lock_fleet())
            .bind(fleet)
            .fetch_optional(tx)
            .await?;
        head.map(unsigned)
            .ok_or_else(|| StoreError::NoSuchFleet(fleet.to_owned()))
    }

    /// Ends a transaction that changed what clients of a fleet see, and tells everybody.
    pub(super) async fn publish(
        &self,
        mut tx: Transaction<'static, Any>,
        fleet: &str,
    ) -> Result<()> {
        if let Some(notify) = self.dialect.notify() {
            sqlx::query(notify).bind(fleet).execute(&mut *tx).await?;
        }
        tx.commit().await?;
        self.hint();
        Ok(())
    }

    /// Tells this process that something changed; others find out by polling.
    pub(super) fn hint(&self) {
        listen::bump(&self.hints);
    }

    /// The database's clock.
    pub(super) async fn now(&self, connection: &mut AnyConnection) -> Result<Timestamp> {
        let micros: i64 = sqlx::query_scalar(self.dialect.clock())
            .fetch_one(connection)
            .await?;
        Ok(Timestamp::from_micros(micros))
    }
}

#[async_trait]
impl Store for SqlStore {
    async fn fleets(&self) -> Result<Vec<Fleet>> {
        self.read_fleets().await
    }

    async fn fleet(&self, name: &str) -> Result<Fleet> {
        self.read_fleet(name).await
    }

    async fn create_fleet(
        &self,
        name: &str,
        settings: &FleetSettings,
        by: By<'_>,
    ) -> Result<Fleet> {
        self.add_fleet(name, settings, by).await
    }

    async fn change_fleet(
        &self,
        name: &str,
        settings: &FleetSettings,
        expected: &FleetSettings,
        by: By<'_>,
    ) -> Result<()> {
        self.write_fleet_settings(name, settings, expected, by)
            .await
    }

    async fn delete_fleet(&self, name: &str, by: By<'_>) -> Result<()> {
        self.remove_fleet(name, by).await
    }

    async fn config_at(&self, fleet: &str, revision: u64) -> Result<Arc<Config>> {
        self.read_config(fleet, revision).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Revision> {
        self.write_revision(commit).await
    }

    async fn revision(&self, fleet: &str, number: u64) -> Result<Revision> {
        self.read_revision(fleet, number).await
    }

    async fn revisions(
        &self,
        fleet: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<Revision>> {
        self.read_revisions(fleet, before, limit).await
    }

    async fn endpoints(&self, fleet: &str) -> Result<FastLane> {
        self.read_endpoints(fleet).await
    }

    async fn endpoints_of(&self, fleet: &str, cluster: &str) -> Result<Option<Endpoints>> {
        self.read_endpoints_of(fleet, cluster).await
    }

    async fn put_endpoints(
        &self,
        fleet: &str,
        cluster: &str,
        endpoints: &Endpoints,
        expected: Expected,
        by: By<'_>,
    ) -> Result<()> {
        self.write_endpoints(fleet, cluster, Some(endpoints), expected, by)
            .await
    }

    async fn delete_endpoints(
        &self,
        fleet: &str,
        cluster: &str,
        expected: Expected,
        by: By<'_>,
    ) -> Result<()> {
        self.write_endpoints(fleet, cluster, None, expected, by)
            .await
    }

    async fn write_nodes(&self, replica: &str, nodes: &[NodeStatus]) -> Result<()> {
        self.upsert_nodes(replica, nodes).await
    }

    async fn claim_nodes(&self, replica: &str, fleet: &str, claims: &Claims) -> Result<()> {
        self.write_claims(replica, fleet, claims).await
    }

    async fn nodes(&self, fleet: &str, after: &str, limit: u32) -> Result<Vec<NodeStatus>> {
        self.read_nodes(fleet, after, limit).await
    }

    async fn nodes_of_all(&self, after: (&str, &str), limit: u32) -> Result<Vec<NodeStatus>> {
        self.read_nodes_of_all(after, limit).await
    }

    async fn node(&self, fleet: &str, id: &str) -> Result<Option<NodeStatus>> {
        self.read_node(fleet, id).await
    }

    async fn served(&self, fleet: &str, node: &str, at: Timestamp) -> Result<Option<Served>> {
        self.read_served(fleet, node, at).await
    }

    async fn count_nodes(&self, fleet: &str) -> Result<HashMap<String, NodeCount>> {
        self.read_node_counts(fleet).await
    }

    async fn heartbeat(&self, replica: &str) -> Result<()> {
        self.upsert_replica(replica).await
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    async fn tokens(&self) -> Result<Vec<Token>> {
        self.read_tokens().await
    }

    async fn token_seq(&self) -> Result<u64> {
        self.read_token_seq().await
    }

    async fn create_token(&self, token: &NewToken, by: By<'_>) -> Result<Token> {
        self.add_token(token, by).await
    }

    async fn revoke_token(&self, id: &str, by: By<'_>) -> Result<Token> {
        self.end_token(id, by).await
    }

    async fn audit(&self, asked: &AuditQuery) -> Result<Vec<AuditRow>> {
        self.read_audit(asked).await
    }

    async fn take_lease(&self, name: &str, holder: &str, lasts: Duration) -> Result<bool> {
        self.acquire_lease(name, holder, lasts).await
    }

    async fn release_lease(&self, name: &str, holder: &str) -> Result<()> {
        self.drop_lease(name, holder).await
    }

    async fn active_rollouts(&self) -> Result<Vec<Rollout>> {
        self.read_active_rollouts().await
    }

    async fn rollout(&self, fleet: &str, id: &str) -> Result<Rollout> {
        self.read_rollout(fleet, id).await
    }

    async fn rollouts(
        &self,
        fleet: &str,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Rollout>> {
        self.read_rollouts(fleet, before, limit).await
    }

    async fn rollout_events(&self, id: &str, after: u64, limit: u32) -> Result<Vec<StoredEvent>> {
        self.read_rollout_events(id, after, limit).await
    }

    async fn start_rollout(&self, new: NewRollout<'_>) -> Result<Rollout> {
        self.begin_rollout(new).await
    }

    async fn step_rollout(&self, step: Step<'_>) -> Result<Rollout> {
        self.change_rollout(step).await
    }

    async fn refuse_rollout(
        &self,
        fleet: &str,
        revision: u64,
        refused: &Refused,
    ) -> Result<Option<(String, u64)>> {
        self.note_refusal(fleet, revision, refused).await
    }

    async fn rollout_refusals(&self, id: &str) -> Result<Vec<Refused>> {
        self.read_refusals(id).await
    }

    async fn write_reports(
        &self,
        replica: &str,
        reports: &[ReportNumber],
        rows: RowsOf<'_>,
    ) -> Result<Vec<bool>> {
        self.add_reports(replica, reports, rows).await
    }

    async fn traffic(&self, fleet: &str, since: Timestamp) -> Result<Vec<TrafficRow>> {
        self.read_traffic(fleet, since).await
    }

    async fn write_samples(&self, rows: &[SampleRow]) -> Result<()> {
        self.add_samples(rows).await
    }

    async fn samples(&self, fleet: &str) -> Result<Vec<Sample>> {
        self.read_samples(fleet).await
    }

    async fn clock(&self) -> Result<Timestamp> {
        let mut connection = self.reader.acquire().await?;
        self.now(&mut connection).await
    }

    fn hints(&self) -> watch::Receiver<u64> {
        self.hints.subscribe()
    }

    async fn close(&self) {
        self.reader.close().await;
        self.writer.close().await;
    }
}

/// `($1, $2), ($3, $4)`: the values of a statement that writes several rows; the first number is `first`.
pub(super) fn placeholders(rows: usize, columns: usize, first: usize) -> String {
    let row = |row: usize| {
        let row = (0..columns)
            .map(|column| format!("${}", first + row * columns + column))
            .collect::<Vec<_>>();
        format!("({})", row.join(", "))
    };
    (0..rows).map(row).collect::<Vec<_>>().join(", ")
}

/// Numbers are stored signed; what we store is never negative.
pub(super) fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// The bytes of a column that holds a hash.
pub(super) fn hash(bytes: &[u8]) -> Result<crate::model::canonical::Hash> {
    bytes.try_into().map_err(|_| StoreError::Corrupt {
        what: format!("a hash of {} bytes", bytes.len()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_numbered_row_by_row() {
        assert_eq!(placeholders(2, 2, 3), "($3, $4), ($5, $6)");
    }
}
