//! The fast lane: endpoints of clusters, without revisions.

use std::sync::Arc;

use super::audit::{Entry, add};
use super::error::{Result, StoreError};
use super::sql::{SqlStore, hash};
use super::{By, Expected};
use crate::model::{Endpoints, canonical};
use crate::translate::FastLane;

const ALL: &str = "SELECT cluster, body FROM endpoints WHERE fleet = $1";
const ONE: &str = "SELECT body FROM endpoints WHERE fleet = $1 AND cluster = $2";
const HASH: &str = "SELECT hash FROM endpoints WHERE fleet = $1 AND cluster = $2";
const PUT: &str = "INSERT INTO endpoints (fleet, cluster, body, hash, updated_at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (fleet, cluster) DO UPDATE SET body = excluded.body, hash = excluded.hash, updated_at = excluded.updated_at";
const DELETE: &str = "DELETE FROM endpoints WHERE fleet = $1 AND cluster = $2";
const CHANGED: &str = "UPDATE fleet SET change_seq = change_seq + 1 WHERE name = $1";

impl SqlStore {
    pub(super) async fn read_endpoints(&self, fleet: &str) -> Result<FastLane> {
        let rows: Vec<(String, Vec<u8>)> = sqlx::query_as(ALL)
            .bind(fleet)
            .fetch_all(&self.reader)
            .await?;
        if rows.is_empty() {
            self.read_fleet(fleet).await?;
        }
        let read = |(cluster, body): (String, Vec<u8>)| {
            let endpoints = decode(&cluster, &body)?;
            Ok((Arc::from(cluster), Arc::new(endpoints)))
        };
        let endpoints: FastLane = rows.into_iter().map(read).collect::<Result<_>>()?;
        self.memory.keep_endpoints(fleet, &endpoints);
        Ok(endpoints)
    }

    pub(super) async fn read_endpoints_of(
        &self,
        fleet: &str,
        cluster: &str,
    ) -> Result<Option<Endpoints>> {
        let one = sqlx::query_scalar(ONE).bind(fleet).bind(cluster);
        let body: Option<Vec<u8>> = one.fetch_optional(&self.reader).await?;
        body.map(|body| decode(cluster, &body)).transpose()
    }

    /// Writes the endpoints of a cluster, or deletes them, if everything is as the caller expects.
    pub(super) async fn write_endpoints(
        &self,
        fleet: &str,
        cluster: &str,
        endpoints: Option<&Endpoints>,
        expected: Expected,
        by: By<'_>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let head = self.lock_fleet(&mut tx, fleet).await?;
        let stored: Option<Vec<u8>> = sqlx::query_scalar(HASH)
            .bind(fleet)
            .bind(cluster)
            .fetch_optional(&mut *tx)
            .await?;
        let stored = stored.map(|bytes| hash(&bytes)).transpose()?;
        if expected.head.is_some_and(|expected| expected != head) || stored != expected.hash {
            return Err(StoreError::Moved);
        }
        let now = self.now(&mut tx).await?;
        match endpoints {
            Some(endpoints) => {
                let body = canonical::to_bytes(endpoints);
                let hash = canonical::hash(&body).to_vec();
                let put = sqlx::query(PUT)
                    .bind(fleet)
                    .bind(cluster)
                    .bind(body)
                    .bind(hash)
                    .bind(now.as_micros());
                put.execute(&mut *tx).await?;
            }
            None => {
                sqlx::query(DELETE)
                    .bind(fleet)
                    .bind(cluster)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        let (action, count) = match endpoints {
            Some(endpoints) => ("put-endpoints", endpoints.endpoints.len()),
            None => ("delete-endpoints", 0),
        };
        let entry = Entry {
            detail: Some(serde_json::json!({ "endpoints": count })),
            ..Entry::new(action, Some(fleet), format!("endpoints/{cluster}"))
        };
        add(&mut tx, by, now, entry).await?;
        sqlx::query(CHANGED).bind(fleet).execute(&mut *tx).await?;
        self.publish(tx, fleet).await
    }
}

fn decode(cluster: &str, body: &[u8]) -> Result<Endpoints> {
    serde_json::from_slice(body).map_err(|error| StoreError::Corrupt {
        what: format!("endpoints/{cluster}: {error}"),
    })
}
