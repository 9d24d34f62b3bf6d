//! What nodes report of requests, as their replicas write it down. Kept for an hour: gates look at minutes.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _};

use super::error::Result;
use super::rollout::TrafficRow;
use super::sql::{BATCH, SqlStore, placeholders, unsigned};
use crate::model::timestamp::Timestamp;

const KEPT: Duration = Duration::from_hours(1);

const COLUMNS: usize = 5;
const ADD: &str = "INSERT INTO traffic (fleet, at, replica, revision, body) VALUES ";
const FORGET: &str = "DELETE FROM traffic WHERE fleet = $1 AND at < $2";
const SINCE: &str = "SELECT fleet, revision, at, body FROM traffic WHERE fleet = $1 AND at >= $2 ORDER BY at, replica, revision";

impl SqlStore {
    pub(super) async fn add_traffic(&self, replica: &str, rows: &[TrafficRow]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        let now = self.now(&mut tx).await?.as_micros();
        for batch in rows.chunks(BATCH) {
            let statement = format!("{ADD}{}", placeholders(batch.len(), COLUMNS, 1));
            let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
            for row in batch {
                query = query
                    .bind(row.fleet.as_str())
                    .bind(now)
                    .bind(replica)
                    .bind(row.revision as i64)
                    .bind(row.body.as_slice());
            }
            query.execute(&mut *tx).await?;
        }
        let fleets: BTreeSet<&str> = rows.iter().map(|row| row.fleet.as_str()).collect();
        for fleet in fleets {
            let forget = sqlx::query(FORGET)
                .bind(fleet)
                .bind(now - KEPT.as_micros() as i64);
            forget.execute(&mut *tx).await?;
        }
        Ok(tx.commit().await?)
    }

    pub(super) async fn read_traffic(
        &self,
        fleet: &str,
        since: Timestamp,
    ) -> Result<Vec<TrafficRow>> {
        let rows = sqlx::query(SINCE)
            .bind(fleet)
            .bind(since.as_micros())
            .fetch_all(&self.reader)
            .await?;
        let row = |row: &sqlx::any::AnyRow| {
            Ok(TrafficRow {
                fleet: row.try_get("fleet")?,
                revision: unsigned(row.try_get("revision")?),
                at: Timestamp::from_micros(row.try_get("at")?),
                body: row.try_get("body")?,
            })
        };
        rows.iter().map(row).collect()
    }
}
