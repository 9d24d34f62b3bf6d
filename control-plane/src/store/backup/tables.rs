//! What a backup keeps: the tables with their columns, and a row as JSON.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::{Map, Value};
use sqlx::any::{AnyArguments, AnyRow};
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe, Row as _};

/// A table, and its columns with their types; the first `key` of them order its rows.
pub(super) struct Table {
    pub(super) name: &'static str,
    key: usize,
    columns: &'static [(&'static str, Type)],
}

#[derive(Clone, Copy)]
enum Type {
    Text,
    Number,
    Bytes,
}

use Type::{Bytes, Number, Text};

/// What is kept, in an order in which each row finds the rows that it refers to.
pub(super) const TABLES: [Table; 12] = [
    Table {
        name: "fleet",
        key: 1,
        columns: &[
            ("name", Text),
            ("head", Number),
            ("change_seq", Number),
            ("created_at", Number),
            ("settings", Bytes),
            ("deleted_at", Number),
            ("stable", Number),
            ("assignment", Number),
            ("held", Text),
        ],
    },
    Table {
        name: "revision",
        key: 2,
        columns: &[
            ("fleet", Text),
            ("number", Number),
            ("hash", Bytes),
            ("author", Text),
            ("message", Text),
            ("created_at", Number),
            ("not_before", Number),
        ],
    },
    Table {
        name: "resource",
        key: 4,
        columns: &[
            ("fleet", Text),
            ("kind", Text),
            ("name", Text),
            ("from_revision", Number),
            ("to_revision", Number),
            ("body", Bytes),
            ("hash", Bytes),
        ],
    },
    Table {
        name: "endpoints",
        key: 2,
        columns: &[
            ("fleet", Text),
            ("cluster", Text),
            ("body", Bytes),
            ("hash", Bytes),
            ("updated_at", Number),
        ],
    },
    Table {
        name: "rollout",
        key: 1,
        columns: &[
            ("id", Text),
            ("fleet", Text),
            ("from_revision", Number),
            ("to_revision", Number),
            ("strategy", Bytes),
            ("salt", Text),
            ("state", Text),
            ("paused", Bytes),
            ("wave", Number),
            ("selection", Bytes),
            ("wave_at", Number),
            ("deadline", Number),
            ("promoted", Number),
            ("verdicts", Bytes),
            ("refusals_judged", Number),
            ("reason", Text),
            ("created_by", Text),
            ("created_at", Number),
            ("approved_by", Text),
            ("ended_at", Number),
            ("outcome", Text),
            ("row_version", Number),
            ("activated", Bytes),
            ("confirmed", Bytes),
            ("not_before", Number),
            ("urgent", Number),
        ],
    },
    Table {
        name: "rollout_event",
        key: 2,
        columns: &[
            ("rollout", Text),
            ("seq", Number),
            ("at", Number),
            ("actor", Text),
            ("kind", Text),
            ("state", Text),
            ("wave", Number),
            ("detail", Text),
            ("data", Bytes),
        ],
    },
    Table {
        name: "rollout_refusal",
        key: 2,
        columns: &[
            ("rollout", Text),
            ("node", Text),
            ("row_version", Number),
            ("at", Number),
            ("type_url", Text),
            ("resources", Bytes),
            ("message", Text),
            ("reverted", Number),
        ],
    },
    Table {
        name: "token",
        key: 1,
        columns: &[
            ("id", Text),
            ("name", Text),
            ("kind", Text),
            ("role", Text),
            ("fleets", Bytes),
            ("hash", Bytes),
            ("created_at", Number),
            ("created_by", Text),
            ("expires_at", Number),
            ("revoked_at", Number),
        ],
    },
    Table {
        name: "audit",
        key: 1,
        columns: &[
            ("id", Text),
            ("at", Number),
            ("actor", Text),
            ("action", Text),
            ("fleet", Text),
            ("object", Text),
            ("revision", Number),
            ("request_id", Text),
            ("detail", Bytes),
        ],
    },
    Table {
        name: "node_served",
        key: 3,
        columns: &[
            ("fleet", Text),
            ("node", Text),
            ("at", Number),
            ("revision", Number),
        ],
    },
    Table {
        name: "request_sample",
        key: 2,
        columns: &[
            ("fleet", Text),
            ("fingerprint", Bytes),
            ("head", Bytes),
            ("weight", Number),
            ("day", Number),
            ("seen_at", Number),
        ],
    },
    Table {
        name: "counter",
        key: 1,
        columns: &[("name", Text), ("value", Number)],
    },
];

impl Table {
    fn names(&self) -> Vec<&'static str> {
        self.columns.iter().map(|(name, _)| *name).collect()
    }

    pub(super) fn select(&self) -> String {
        let names = self.names();
        let (all, key) = (names.join(", "), names[..self.key].join(", "));
        format!("SELECT {all} FROM {} ORDER BY {key}", self.name)
    }

    pub(super) fn read(&self, row: &AnyRow) -> Result<Map<String, Value>, sqlx::Error> {
        let mut read = Map::new();
        for (index, (name, ty)) in self.columns.iter().enumerate() {
            let value = match ty {
                Text => row.try_get::<Option<String>, _>(index)?.map(Value::from),
                Number => row.try_get::<Option<i64>, _>(index)?.map(Value::from),
                Bytes => {
                    let bytes = row.try_get::<Option<Vec<u8>>, _>(index)?;
                    bytes.map(|bytes| BASE64_STANDARD.encode(bytes).into())
                }
            };
            if let Some(value) = value {
                read.insert((*name).to_owned(), value);
            }
        }
        Ok(read)
    }

    pub(super) fn insert(
        &self,
        row: &Map<String, Value>,
    ) -> Result<Query<'static, Any, AnyArguments>, String> {
        let names = self.names();
        if let Some(unknown) = row.keys().find(|name| !names.contains(&name.as_str())) {
            return Err(format!("{} has no column {unknown:?}", self.name));
        }
        let values: Vec<_> = (1..=names.len()).map(|place| format!("${place}")).collect();
        let statement = format!(
            "INSERT INTO {} ({}) VALUES ({})",
            self.name,
            names.join(", "),
            values.join(", ")
        );
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for (name, ty) in self.columns {
            let value = row.get(*name);
            let wrong = || format!("{}.{name} is of the wrong type", self.name);
            query = match ty {
                Text => query.bind(
                    value
                        .map(|value| value.as_str().ok_or_else(wrong))
                        .transpose()?
                        .map(str::to_owned),
                ),
                Number => query.bind(
                    value
                        .map(|value| value.as_i64().ok_or_else(wrong))
                        .transpose()?,
                ),
                Bytes => {
                    let text = value
                        .map(|value| value.as_str().ok_or_else(wrong))
                        .transpose()?;
                    let bytes = text.map(|text| BASE64_STANDARD.decode(text)).transpose();
                    query.bind(bytes.map_err(|_| wrong())?)
                }
            };
        }
        Ok(query)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sql::{Database, SqlStore};

    /// What running processes say of themselves and their nodes.
    const NOT_KEPT: [&str; 5] = ["lease", "node", "replica", "traffic", "traffic_report"];

    #[tokio::test]
    async fn every_table_is_kept_with_every_column() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("signalbox.db"));
        let store = SqlStore::open(&database).await.unwrap();
        let tables: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '_sqlx%'",
        )
        .fetch_all(&store.writer)
        .await
        .unwrap();
        for table in tables {
            let kept = TABLES.iter().find(|kept| kept.name == table);
            let columns: Vec<String> =
                sqlx::query_scalar("SELECT name FROM pragma_table_info($1) ORDER BY cid")
                    .bind(&table)
                    .fetch_all(&store.writer)
                    .await
                    .unwrap();
            match kept {
                Some(kept) => assert_eq!(kept.names(), columns, "{table}"),
                None => assert!(NOT_KEPT.contains(&table.as_str()), "{table}"),
            }
        }
    }
}
