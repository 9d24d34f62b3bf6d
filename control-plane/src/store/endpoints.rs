//! The fast lane: endpoints of clusters, without revisions.

use std::collections::BTreeSet;
use std::sync::Arc;

use sqlx::AnyConnection;

use super::audit::{Entry, add};
use super::error::{Result, StoreError};
use super::rollouts::active_rollout;
use super::sql::{SqlStore, hash, unsigned};
use super::{By, Expected, Fleet};
use crate::model::{Cluster, Endpoints, Kind, canonical};
use crate::translate::FastLane;

const ALL: &str = "SELECT cluster, body FROM endpoints WHERE fleet = $1";
const ONE: &str = "SELECT body FROM endpoints WHERE fleet = $1 AND cluster = $2";
const HASH: &str = "SELECT hash FROM endpoints WHERE fleet = $1 AND cluster = $2";
const PUT: &str = "INSERT INTO endpoints (fleet, cluster, body, hash, updated_at) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (fleet, cluster) DO UPDATE SET body = excluded.body, hash = excluded.hash, updated_at = excluded.updated_at";
const DELETE: &str = "DELETE FROM endpoints WHERE fleet = $1 AND cluster = $2";
/// A cluster, as it stands in the revisions that somebody is served or is to be.
const CLUSTER: &str = "SELECT from_revision, to_revision, body FROM resource WHERE fleet = $1 AND kind = $2 AND name = $3 \
     AND ((from_revision <= $4 AND (to_revision IS NULL OR to_revision > $4)) \
       OR (from_revision <= $5 AND (to_revision IS NULL OR to_revision > $5)) \
       OR (from_revision <= $6 AND (to_revision IS NULL OR to_revision > $6)))";
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

    /// Writes the endpoints of a cluster, or deletes them if nobody who is served takes them, if everything is as the caller
    /// expects.
    pub(super) async fn write_endpoints(
        &self,
        fleet: &str,
        cluster: &str,
        endpoints: Option<&Endpoints>,
        expected: Expected,
        by: By<'_>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        let row = self.lock_fleet_row(&mut tx, fleet).await?;
        let stored: Option<Vec<u8>> = sqlx::query_scalar(HASH)
            .bind(fleet)
            .bind(cluster)
            .fetch_optional(&mut *tx)
            .await?;
        let stored = stored.map(|bytes| hash(&bytes)).transpose()?;
        if expected.head.is_some_and(|expected| expected != row.head) || stored != expected.hash {
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
                check_unused(&mut tx, &row, cluster).await?;
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

/// Fails where a revision that somebody is served, or is to be, has a cluster that takes these endpoints.
async fn check_unused(tx: &mut AnyConnection, fleet: &Fleet, cluster: &str) -> Result<()> {
    let target = active_rollout(tx, &fleet.name).await?;
    let target = target.map_or(fleet.stable, |rollout| rollout.to);
    let served = BTreeSet::from([fleet.stable, target, fleet.head]);
    let rows: Vec<(i64, Option<i64>, Vec<u8>)> = sqlx::query_as(CLUSTER)
        .bind(fleet.name.as_str())
        .bind(Kind::Cluster.plural())
        .bind(cluster)
        .bind(fleet.stable as i64)
        .bind(target as i64)
        .bind(fleet.head as i64)
        .fetch_all(tx)
        .await?;
    let mut revisions = BTreeSet::new();
    for (from, to, body) in rows {
        let found: Cluster =
            serde_json::from_slice(&body).map_err(|error| StoreError::Corrupt {
                what: format!("clusters/{cluster}: {error}"),
            })?;
        if found.takes_endpoints() {
            let (from, to) = (unsigned(from), to.map_or(u64::MAX, unsigned));
            revisions.extend(served.range(from..to));
        }
    }
    if revisions.is_empty() {
        return Ok(());
    }
    Err(StoreError::EndpointsInUse {
        cluster: cluster.to_owned(),
        revisions: revisions.into_iter().collect(),
    })
}

fn decode(cluster: &str, body: &[u8]) -> Result<Endpoints> {
    serde_json::from_slice(body).map_err(|error| StoreError::Corrupt {
        what: format!("endpoints/{cluster}: {error}"),
    })
}
