//! Rollouts, as they are read. How one begins, changes and ends is in the files below; each of those is one transaction that
//! locks the fleet's row first, so whoever changes what a fleet serves waits for whoever did before.

mod begin;
mod end;
mod events;
mod refusals;
mod row;
mod step;

pub(super) use self::begin::of_commit;
pub(super) use self::end::cancel_active;
pub(super) use self::row::active as active_rollout;
use super::error::{Result, StoreError};
use super::rollout::StoredEvent;
use super::sql::SqlStore;
use crate::rollout::Rollout;
use crate::rollout::observed::Refused;

const ACTIVE: &str = "SELECT * FROM rollout WHERE ended_at IS NULL ORDER BY fleet";
const ONE: &str = "SELECT * FROM rollout WHERE fleet = $1 AND id = $2";
const NEWEST: &str =
    "SELECT * FROM rollout WHERE fleet = $1 ORDER BY created_at DESC, id DESC LIMIT $2";
const BEFORE: &str = "SELECT * FROM rollout WHERE fleet = $1 AND (created_at < $3 OR (created_at = $3 AND id < $4)) \
     ORDER BY created_at DESC, id DESC LIMIT $2";

impl SqlStore {
    pub(super) async fn read_active_rollouts(&self) -> Result<Vec<Rollout>> {
        let rows = sqlx::query(ACTIVE).fetch_all(&self.reader).await?;
        rows.iter().map(row::read).collect()
    }

    pub(super) async fn read_rollout(&self, fleet: &str, id: &str) -> Result<Rollout> {
        let found = sqlx::query(ONE)
            .bind(fleet)
            .bind(id)
            .fetch_optional(&self.reader)
            .await?;
        match found {
            Some(found) => row::read(&found),
            None => {
                self.read_fleet(fleet).await?;
                Err(StoreError::NoSuchRollout(id.to_owned()))
            }
        }
    }

    pub(super) async fn read_rollouts(
        &self,
        fleet: &str,
        before: Option<&str>,
        limit: u32,
    ) -> Result<Vec<Rollout>> {
        let limit = i64::from(limit);
        let rows = match before {
            None => {
                let newest = sqlx::query(NEWEST).bind(fleet).bind(limit);
                newest.fetch_all(&self.reader).await?
            }
            Some(before) => {
                let before = self.read_rollout(fleet, before).await?;
                let page = sqlx::query(BEFORE)
                    .bind(fleet)
                    .bind(limit)
                    .bind(before.created_at.as_micros())
                    .bind(before.id);
                page.fetch_all(&self.reader).await?
            }
        };
        if rows.is_empty() {
            self.read_fleet(fleet).await?;
        }
        rows.iter().map(row::read).collect()
    }

    pub(super) async fn read_rollout_events(
        &self,
        id: &str,
        after: u64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>> {
        events::page(&self.reader, id, after, limit).await
    }

    pub(super) async fn read_refusals(&self, id: &str) -> Result<Vec<Refused>> {
        refusals::all(&self.reader, id).await
    }
}
