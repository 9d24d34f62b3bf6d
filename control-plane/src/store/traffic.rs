//! What nodes report of requests, as their replicas write it down. Kept for an hour: gates look at minutes. A report with a
//! number is counted once, whichever replicas it comes to: its number is noted in the transaction that counts it.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe, Row as _};

use super::error::Result;
use super::rollout::{ReportNumber, RowsOf, TrafficRow};
use super::sql::{BATCH, SqlStore, placeholders, unsigned};
use crate::model::timestamp::Timestamp;

const KEPT: Duration = Duration::from_hours(1);
/// A proxy that was away for longer, and did not hear that its last report was taken, has it counted again.
const REPORTS_KEPT: Duration = Duration::from_hours(24);

const COLUMNS: usize = 5;
const ADD: &str = "INSERT INTO traffic (fleet, at, replica, revision, body) VALUES ";
const REPORT_COLUMNS: usize = 4;
const NOTE: &str = "INSERT INTO traffic_report (fleet, reporter, sequence, at) VALUES ";
const NOTE_OVER: &str = " ON CONFLICT (fleet, reporter) DO UPDATE SET sequence = excluded.sequence, at = excluded.at \
     WHERE traffic_report.sequence < excluded.sequence RETURNING fleet, reporter";
const FORGET_REPORTS: &str = "DELETE FROM traffic_report WHERE at < $1";
const FORGET: &str = "DELETE FROM traffic WHERE fleet = $1 AND at < $2";
const SINCE: &str = "SELECT fleet, revision, at, body FROM traffic WHERE fleet = $1 AND at >= $2 ORDER BY at, replica, revision";

impl SqlStore {
    pub(super) async fn add_reports(
        &self,
        replica: &str,
        reports: &[ReportNumber],
        rows: RowsOf<'_>,
    ) -> Result<Vec<bool>> {
        let mut tx = self.begin().await?;
        let now = self.now(&mut tx).await?.as_micros();
        let new = note(&mut tx, reports, now).await?;
        let rows = rows(&new);
        add(&mut tx, replica, &rows, now).await?;
        let fleets: BTreeSet<&str> = rows.iter().map(|row| row.fleet.as_str()).collect();
        for fleet in fleets {
            let forget = sqlx::query(FORGET)
                .bind(fleet)
                .bind(now - KEPT.as_micros() as i64);
            forget.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        Ok(new)
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

/// Notes which reports are counted now; which of them were not before. Whoever else notes one of them at this moment waits for
/// the end of the transaction, and sees what became of it.
async fn note(tx: &mut AnyConnection, reports: &[ReportNumber], now: i64) -> Result<Vec<bool>> {
    let mut order: Vec<&ReportNumber> = reports.iter().collect();
    // All in one order, so that no two wait for each other.
    order.sort();
    let mut new = BTreeSet::new();
    for batch in order.chunks(BATCH) {
        let values = placeholders(batch.len(), REPORT_COLUMNS, 1);
        let statement = format!("{NOTE}{values}{NOTE_OVER}");
        let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
        for report in batch {
            query = query
                .bind(report.fleet.as_str())
                // As bits: any number may come.
                .bind(report.reporter.cast_signed())
                .bind(report.sequence as i64)
                .bind(now);
        }
        for row in query.fetch_all(&mut *tx).await? {
            let (fleet, reporter): (String, i64) = (row.try_get(0)?, row.try_get(1)?);
            new.insert((fleet, reporter));
        }
    }
    if !reports.is_empty() {
        let forget = sqlx::query(FORGET_REPORTS).bind(now - REPORTS_KEPT.as_micros() as i64);
        forget.execute(&mut *tx).await?;
    }
    let is_new = |report: &ReportNumber| {
        new.contains(&(report.fleet.clone(), report.reporter.cast_signed()))
    };
    Ok(reports.iter().map(is_new).collect())
}

async fn add(tx: &mut AnyConnection, replica: &str, rows: &[TrafficRow], now: i64) -> Result<()> {
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
    Ok(())
}
