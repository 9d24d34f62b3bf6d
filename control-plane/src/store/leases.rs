//! Leases: which replica does what only one has to do. A lease keeps replicas from doing the same work at once; it is no
//! fence, so the work must be harmless when two do it.

use std::time::Duration;

use super::error::Result;
use super::sql::SqlStore;

/// One statement, so two that ask at once cannot both get it: the row's lock makes the second see the first.
const TAKE: &str = "INSERT INTO lease (name, holder, until, row_version) VALUES ($1, $2, $3, 1) \
     ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until, row_version = lease.row_version + 1 \
     WHERE lease.holder = excluded.holder OR lease.until <= $4";
const RELEASE: &str = "DELETE FROM lease WHERE name = $1 AND holder = $2";

impl SqlStore {
    pub(super) async fn acquire_lease(
        &self,
        name: &str,
        holder: &str,
        lasts: Duration,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let now = self.now(&mut tx).await?.as_micros();
        let until = now.saturating_add(lasts.as_micros() as i64);
        let taken = sqlx::query(TAKE)
            .bind(name)
            .bind(holder)
            .bind(until)
            .bind(now)
            .execute(&mut *tx)
            .await?
            .rows_affected();
        tx.commit().await?;
        Ok(taken > 0)
    }

    pub(super) async fn drop_lease(&self, name: &str, holder: &str) -> Result<()> {
        let release = sqlx::query(RELEASE).bind(name).bind(holder);
        release.execute(&self.writer).await?;
        Ok(())
    }
}
