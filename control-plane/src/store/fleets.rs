//! Fleets: their rows, what operators say of them, and their end. A deleted fleet was empty and keeps its revisions, so
//! that one which is created again under its name goes on counting: a revision number means one config for ever, and
//! whoever remembers one remembers right.

use sqlx::AnyConnection;

use super::audit::{Entry, add};
use super::error::{Result, StoreError};
use super::rollouts::cancel_active;
use super::sql::{SqlStore, unsigned};
use super::{By, Fleet, FleetSettings};
use crate::model::canonical;
use crate::model::timestamp::Timestamp;

const ALL: &str = "SELECT name, head, stable, assignment, held, change_seq, created_at, settings FROM fleet \
     WHERE deleted_at IS NULL ORDER BY name";
const ONE: &str = "SELECT name, head, stable, assignment, held, change_seq, created_at, settings FROM fleet \
     WHERE name = $1 AND deleted_at IS NULL";
const CREATE: &str = "INSERT INTO fleet (name, head, change_seq, created_at, settings) VALUES ($1, 0, 0, $2, $3) \
     ON CONFLICT (name) DO UPDATE SET deleted_at = NULL, created_at = excluded.created_at, settings = excluded.settings, \
     change_seq = fleet.change_seq + 1 WHERE fleet.deleted_at IS NOT NULL";
const SETTINGS: &str = "SELECT settings FROM fleet WHERE name = $1";
const SET: &str = "UPDATE fleet SET settings = $2 WHERE name = $1";
const RESOURCES: &str = "SELECT kind, name FROM resource WHERE fleet = $1 AND to_revision IS NULL ORDER BY kind, name LIMIT 1";
const ENDPOINTS: &str = "SELECT cluster FROM endpoints WHERE fleet = $1 ORDER BY cluster LIMIT 1";
const CONNECTED: &str = "SELECT node.id FROM node JOIN replica ON replica.id = node.replica \
     WHERE node.fleet = $1 AND node.connected = 1 AND replica.seen_at >= $2 ORDER BY node.id LIMIT 1";
const FORGET_NODES: &str = "DELETE FROM node WHERE fleet = $1";
const FORGET_SERVED: &str = "DELETE FROM node_served WHERE fleet = $1";
const FORGET_SAMPLES: &str = "DELETE FROM request_sample WHERE fleet = $1";
const FORGET_TRAFFIC: &str = "DELETE FROM traffic WHERE fleet = $1";
const FORGET_REPORTS: &str = "DELETE FROM traffic_report WHERE fleet = $1";
/// It was empty: whoever creates it again begins with that, whatever it served before.
const DELETE: &str = "UPDATE fleet SET deleted_at = $2, change_seq = change_seq + 1, settings = NULL, \
     stable = head, assignment = assignment + 1, held = NULL WHERE name = $1";

/// Name, head, stable, assignment, held, `change_seq`, `created_at`, settings.
type Row = (
    String,
    i64,
    i64,
    i64,
    Option<String>,
    i64,
    i64,
    Option<Vec<u8>>,
);

impl SqlStore {
    pub(super) async fn read_fleets(&self) -> Result<Vec<Fleet>> {
        let rows: Vec<Row> = sqlx::query_as(ALL).fetch_all(&self.reader).await?;
        let fleets: Vec<Fleet> = rows.into_iter().map(fleet).collect::<Result<_>>()?;
        self.memory.keep_fleets(&fleets);
        Ok(fleets)
    }

    pub(super) async fn read_fleet(&self, name: &str) -> Result<Fleet> {
        let row: Option<Row> = sqlx::query_as(ONE)
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        let row = row.ok_or_else(|| StoreError::NoSuchFleet(name.to_owned()))?;
        let fleet = fleet(row)?;
        self.memory.keep_fleet(&fleet);
        Ok(fleet)
    }

    /// A fleet's row, which nobody else changes until the transaction ends.
    pub(super) async fn lock_fleet_row(&self, tx: &mut AnyConnection, name: &str) -> Result<Fleet> {
        self.lock_fleet(tx, name).await?;
        fleet(sqlx::query_as(ONE).bind(name).fetch_one(tx).await?)
    }

    pub(super) async fn add_fleet(
        &self,
        name: &str,
        settings: &FleetSettings,
        by: By<'_>,
    ) -> Result<Fleet> {
        let mut tx = self.begin().await?;
        let now = self.now(&mut tx).await?;
        let created = sqlx::query(CREATE)
            .bind(name)
            .bind(now.as_micros())
            .bind(canonical::to_bytes(settings))
            .execute(&mut *tx)
            .await?;
        if created.rows_affected() == 0 {
            return Err(StoreError::Exists(format!("a fleet {name:?}")));
        }
        let entry = Entry {
            detail: Some(detail(settings)),
            ..Entry::new("create-fleet", Some(name), object(name))
        };
        add(&mut tx, by, now, entry).await?;
        self.publish(tx, name).await?;
        self.read_fleet(name).await
    }

    pub(super) async fn write_fleet_settings(
        &self,
        name: &str,
        settings: &FleetSettings,
        expected: &FleetSettings,
        by: By<'_>,
    ) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_fleet(&mut tx, name).await?;
        let stored: Option<Vec<u8>> = sqlx::query_scalar(SETTINGS)
            .bind(name)
            .fetch_one(&mut *tx)
            .await?;
        if read_settings(name, stored.as_deref())? != *expected {
            return Err(StoreError::Moved);
        }
        let set = sqlx::query(SET)
            .bind(name)
            .bind(canonical::to_bytes(settings));
        set.execute(&mut *tx).await?;
        let now = self.now(&mut tx).await?;
        let entry = Entry {
            detail: Some(detail(settings)),
            ..Entry::new("change-fleet", Some(name), object(name))
        };
        add(&mut tx, by, now, entry).await?;
        self.publish(tx, name).await
    }

    pub(super) async fn remove_fleet(&self, name: &str, by: By<'_>) -> Result<()> {
        let mut tx = self.begin().await?;
        self.lock_fleet(&mut tx, name).await?;
        let now = self.now(&mut tx).await?;
        self.check_empty(&mut tx, name).await?;
        let canceled = cancel_active(&mut tx, name, by.actor, now).await?;
        for forget in [
            FORGET_NODES,
            FORGET_SERVED,
            FORGET_SAMPLES,
            FORGET_TRAFFIC,
            FORGET_REPORTS,
        ] {
            sqlx::query(forget).bind(name).execute(&mut *tx).await?;
        }
        let delete = sqlx::query(DELETE).bind(name).bind(now.as_micros());
        delete.execute(&mut *tx).await?;
        let entry = Entry {
            detail: canceled.map(|id| serde_json::json!({ "canceled": id })),
            ..Entry::new("delete-fleet", Some(name), object(name))
        };
        add(&mut tx, by, now, entry).await?;
        self.publish(tx, name).await
    }

    /// Fails with what the fleet still has.
    async fn check_empty(&self, tx: &mut AnyConnection, name: &str) -> Result<()> {
        let resource: Option<(String, String)> = sqlx::query_as(RESOURCES)
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?;
        let endpoints: Option<String> = sqlx::query_scalar(ENDPOINTS)
            .bind(name)
            .fetch_optional(&mut *tx)
            .await?;
        let alive = self.alive_since(&mut *tx).await?;
        let node: Option<String> = sqlx::query_scalar(CONNECTED)
            .bind(name)
            .bind(alive.as_micros())
            .fetch_optional(&mut *tx)
            .await?;
        let what = resource
            .map(|(kind, name)| format!("{kind}/{name}"))
            .or_else(|| endpoints.map(|cluster| format!("endpoints/{cluster}")))
            .or_else(|| node.map(|id| format!("the connected node {id:?}")));
        match what {
            Some(what) => Err(StoreError::NotEmpty {
                fleet: name.to_owned(),
                what,
            }),
            None => Ok(()),
        }
    }
}

fn object(name: &str) -> String {
    format!("fleets/{name}")
}

fn detail(settings: &FleetSettings) -> serde_json::Value {
    serde_json::json!({ "settings": settings })
}

fn fleet(row: Row) -> Result<Fleet> {
    let (name, head, stable, assignment, held, change_seq, created_at, settings) = row;
    Ok(Fleet {
        settings: read_settings(&name, settings.as_deref())?,
        name,
        head: unsigned(head),
        stable: unsigned(stable),
        assignment: unsigned(assignment),
        held,
        change_seq: unsigned(change_seq),
        created_at: Timestamp::from_micros(created_at),
    })
}

fn read_settings(fleet: &str, bytes: Option<&[u8]>) -> Result<FleetSettings> {
    let Some(bytes) = bytes else {
        return Ok(FleetSettings::default());
    };
    serde_json::from_slice(bytes).map_err(|error| StoreError::Corrupt {
        what: format!("settings of fleet {fleet:?}: {error}"),
    })
}
