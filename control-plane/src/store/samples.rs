//! What proxies have seen of requests. Bounded for each fleet: what was not seen for some minutes goes first, and of that what
//! stands for the fewest requests. Replicas add up: each adds what its own proxies have told.

use std::collections::BTreeSet;
use std::time::Duration;

use sqlx::{AssertSqlSafe, Row as _};

use super::error::{Result, StoreError};
use super::sql::{BATCH, SqlStore, placeholders, unsigned};
use crate::model::canonical::Hash;
use crate::sample::{Head, Sample};

/// Kinds of requests with a count, to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SampleRow {
    /// The fleet.
    pub fleet: String,
    /// The hash of `head`.
    pub fingerprint: Hash,
    /// The head, as canonical bytes.
    pub head: Vec<u8>,
    /// How many requests it stands for.
    pub requests: u64,
}

/// So many kinds of requests are kept of one fleet.
pub const KINDS_MAX: usize = 10_000;
/// What was seen within this time stays before what was not, however little it stands for: else nothing new would ever get in.
const NEW: Duration = Duration::from_mins(10);
/// What was not seen for so long goes: it counts 16,384 times less than on its last day.
const KEPT: Duration = Duration::from_hours(14 * 24);

const DAY_US: i64 = 86_400_000_000;
/// A request's weight in the table: after eight days it is still there.
const ONE: i64 = 256;
/// Most requests that one write adds to a kind; a sum of them fits 63 bits for centuries.
const REQUESTS_MAX: u64 = 1 << 32;

const COLUMNS: usize = 6;
const ADD: &str =
    "INSERT INTO request_sample (fleet, fingerprint, head, weight, day, seen_at) VALUES ";
const COUNT: &str = "SELECT COUNT(*) FROM request_sample WHERE fleet = $1";
const FORGET: &str = "DELETE FROM request_sample WHERE fleet = $1 AND seen_at < $2";
const ALL: &str =
    "SELECT head, weight, day FROM request_sample WHERE fleet = $1 ORDER BY fingerprint";

/// The weight of a row on a day: half of it for each day that has passed.
fn weight_on(day: &str) -> String {
    format!(
        "CASE WHEN {day} <= request_sample.day THEN request_sample.weight \
         WHEN {day} - request_sample.day > 40 THEN 0 \
         ELSE request_sample.weight >> CAST({day} - request_sample.day AS INTEGER) END"
    )
}

impl SqlStore {
    pub(super) async fn add_samples(&self, rows: &[SampleRow]) -> Result<()> {
        let mut order: Vec<&SampleRow> = rows.iter().collect();
        // All in one order, so that no two replicas wait for each other.
        order.sort_by_key(|row| (&row.fleet, row.fingerprint));
        let weight = weight_on("excluded.day");
        let over = format!(
            " ON CONFLICT (fleet, fingerprint) DO UPDATE SET weight = excluded.weight + {weight}, \
             day = CASE WHEN excluded.day > request_sample.day THEN excluded.day ELSE request_sample.day END, \
             seen_at = excluded.seen_at"
        );
        let mut tx = self.begin().await?;
        let now = self.now(&mut tx).await?.as_micros();
        for batch in order.chunks(BATCH) {
            let statement = format!("{ADD}{}{over}", placeholders(batch.len(), COLUMNS, 1));
            let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
            for row in batch {
                query = query
                    .bind(row.fleet.as_str())
                    .bind(&row.fingerprint[..])
                    .bind(row.head.as_slice())
                    .bind(row.requests.min(REQUESTS_MAX) as i64 * ONE)
                    .bind(now.div_euclid(DAY_US))
                    .bind(now);
            }
            query.execute(&mut *tx).await?;
        }
        tx.commit().await?;
        let fleets: BTreeSet<&str> = rows.iter().map(|row| row.fleet.as_str()).collect();
        for fleet in fleets {
            self.bound_samples(fleet, now).await?;
        }
        Ok(())
    }

    /// Takes out what is old, and what is too much.
    async fn bound_samples(&self, fleet: &str, now: i64) -> Result<()> {
        let forget = sqlx::query(FORGET).bind(fleet);
        let forget = forget.bind(now - KEPT.as_micros() as i64);
        forget.execute(&self.writer).await?;
        let count: i64 = sqlx::query_scalar(COUNT)
            .bind(fleet)
            .fetch_one(&self.writer)
            .await?;
        let surplus = count - KINDS_MAX as i64;
        if surplus <= 0 {
            return Ok(());
        }
        let weight = weight_on("$2");
        let statement = format!(
            "DELETE FROM request_sample WHERE fleet = $1 AND fingerprint IN \
             (SELECT fingerprint FROM request_sample WHERE fleet = $1 \
             ORDER BY CASE WHEN seen_at < $3 THEN 0 ELSE 1 END, {weight}, seen_at, fingerprint LIMIT $4)"
        );
        sqlx::query(AssertSqlSafe(statement))
            .bind(fleet)
            .bind(now.div_euclid(DAY_US))
            .bind(now - NEW.as_micros() as i64)
            .bind(surplus)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    pub(super) async fn read_samples(&self, fleet: &str) -> Result<Vec<Sample>> {
        self.read_fleet(fleet).await?;
        let mut connection = self.reader.acquire().await?;
        let today = self
            .now(&mut connection)
            .await?
            .as_micros()
            .div_euclid(DAY_US);
        let rows = sqlx::query(ALL)
            .bind(fleet)
            .fetch_all(&mut *connection)
            .await?;
        drop(connection);
        let sample = |row: &sqlx::any::AnyRow| -> Result<Sample> {
            let head: Vec<u8> = row.try_get("head")?;
            let head: Head =
                serde_json::from_slice(&head).map_err(|error| StoreError::Corrupt {
                    what: format!("a sample: {error}"),
                })?;
            let (weight, day): (i64, i64) = (row.try_get("weight")?, row.try_get("day")?);
            let days = (today - day).clamp(0, 62);
            // Of what stands for less than one, one is told: it was seen.
            let requests = unsigned((weight >> days) / ONE).max(1);
            Ok(Sample { head, requests })
        };
        let mut samples = rows.iter().map(sample).collect::<Result<Vec<_>>>()?;
        samples.sort_by(|a, b| b.requests.cmp(&a.requests).then(a.head.cmp(&b.head)));
        Ok(samples)
    }
}
