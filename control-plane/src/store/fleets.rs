//! Fleets.

use super::Fleet;
use super::error::{Result, StoreError};
use super::sql::{SqlStore, unsigned};
use crate::model::timestamp::Timestamp;

const ALL: &str = "SELECT name, head, change_seq, created_at FROM fleet ORDER BY name";
const ONE: &str = "SELECT name, head, change_seq, created_at FROM fleet WHERE name = $1";

type Row = (String, i64, i64, i64);

impl SqlStore {
    pub(super) async fn read_fleets(&self) -> Result<Vec<Fleet>> {
        let rows: Vec<Row> = sqlx::query_as(ALL).fetch_all(&self.reader).await?;
        let fleets: Vec<Fleet> = rows.into_iter().map(fleet).collect();
        for fleet in &fleets {
            self.note_read(&fleet.name);
        }
        Ok(fleets)
    }

    pub(super) async fn read_fleet(&self, name: &str) -> Result<Fleet> {
        let row: Option<Row> = sqlx::query_as(ONE)
            .bind(name)
            .fetch_optional(&self.reader)
            .await?;
        let row = row.ok_or_else(|| StoreError::NoSuchFleet(name.to_owned()))?;
        self.note_read(name);
        Ok(fleet(row))
    }
}

fn fleet((name, head, change_seq, created_at): Row) -> Fleet {
    Fleet {
        name,
        head: unsigned(head),
        change_seq: unsigned(change_seq),
        created_at: Timestamp::from_micros(created_at),
    }
}
