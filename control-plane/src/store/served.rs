//! What each node has served, and since when: a row for each change, written with the node's status by the database's clock.
//! Bounded by age; what was served at the beginning of that time is kept.

use std::collections::HashMap;
use std::time::Duration;

use sqlx::{AnyConnection, AssertSqlSafe};

use super::error::Result;
use super::node_status::NodeStatus;
use super::sql::{SqlStore, placeholders, unsigned};
use crate::model::timestamp::Timestamp;

/// What a node served at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    /// The revision.
    pub revision: u64,
    /// Since when.
    pub since: Timestamp,
    /// Until when, if it has served another one since.
    pub until: Option<Timestamp>,
}

/// For so long it is known what a node has served.
const KEPT: Duration = Duration::from_hours(90 * 24);

const LATEST: &str = "SELECT fleet, node, revision FROM node_served AS one \
     WHERE at = (SELECT MAX(at) FROM node_served WHERE fleet = one.fleet AND node = one.node) AND (fleet, node) IN (VALUES ";
const ADD: &str = "INSERT INTO node_served (fleet, node, at, revision) VALUES ";
/// Two changes at one tick of the database's clock are one.
const ADD_OVER: &str = " ON CONFLICT (fleet, node, at) DO UPDATE SET revision = excluded.revision";
const FORGET: &str = "DELETE FROM node_served WHERE at < (SELECT MAX(at) FROM node_served AS other \
     WHERE other.fleet = node_served.fleet AND other.node = node_served.node AND other.at <= $1) AND (fleet, node) IN (VALUES ";
const AT: &str = "SELECT at, revision FROM node_served WHERE fleet = $1 AND node = $2 AND at <= $3 ORDER BY at DESC LIMIT 1";
const AFTER: &str = "SELECT MIN(at) FROM node_served WHERE fleet = $1 AND node = $2 AND at > $3";

/// A node by the names that are stored, and what it serves.
pub(super) struct Serves<'a> {
    pub(super) fleet: &'a str,
    pub(super) node: &'a str,
    pub(super) revision: u64,
}

/// What a connected node serves; nothing if it serves nothing or does not say so. One that has gone is told of by whoever
/// it has gone to.
pub(super) fn revision_of(status: &NodeStatus) -> Option<u64> {
    let serves = match status.class.as_str() {
        "signalbox" => status.live_revision,
        _ => status.acked_revision,
    };
    serves.filter(|_| status.connected)
}

/// Notes what these nodes serve from now on, those that have served something else until now.
pub(super) async fn note(
    connection: &mut AnyConnection,
    nodes: &[Serves<'_>],
    now: Timestamp,
) -> Result<()> {
    if nodes.is_empty() {
        return Ok(());
    }
    let statement = format!("{LATEST}{})", placeholders(nodes.len(), 2, 1));
    let mut query = sqlx::query_as(AssertSqlSafe(statement)).persistent(false);
    for node in nodes {
        query = query.bind(node.fleet).bind(node.node);
    }
    let rows: Vec<(String, String, i64)> = query.fetch_all(&mut *connection).await?;
    let known: HashMap<(&str, &str), u64> = rows
        .iter()
        .map(|(fleet, node, revision)| ((&**fleet, &**node), unsigned(*revision)))
        .collect();
    let is_news = |node: &&Serves<'_>| known.get(&(node.fleet, node.node)) != Some(&node.revision);
    let news: Vec<_> = nodes.iter().filter(is_news).collect();
    if news.is_empty() {
        return Ok(());
    }
    let statement = format!("{ADD}{}{ADD_OVER}", placeholders(news.len(), 4, 1));
    let mut query = sqlx::query(AssertSqlSafe(statement)).persistent(false);
    for node in &news {
        query = query
            .bind(node.fleet)
            .bind(node.node)
            .bind(now.as_micros())
            .bind(node.revision as i64);
    }
    query.execute(&mut *connection).await?;
    let statement = format!("{FORGET}{})", placeholders(news.len(), 2, 2));
    let mut query = sqlx::query(AssertSqlSafe(statement))
        .persistent(false)
        .bind(now.as_micros() - KEPT.as_micros() as i64);
    for node in &news {
        query = query.bind(node.fleet).bind(node.node);
    }
    query.execute(connection).await?;
    Ok(())
}

impl SqlStore {
    pub(super) async fn read_served(
        &self,
        fleet: &str,
        node: &str,
        at: Timestamp,
    ) -> Result<Option<Served>> {
        let mut connection = self.reader.acquire().await?;
        let found: Option<(i64, i64)> = sqlx::query_as(AT)
            .bind(fleet)
            .bind(node)
            .bind(at.as_micros())
            .fetch_optional(&mut *connection)
            .await?;
        let Some((since, revision)) = found else {
            drop(connection);
            self.read_fleet(fleet).await?;
            return Ok(None);
        };
        let until: Option<i64> = sqlx::query_scalar(AFTER)
            .bind(fleet)
            .bind(node)
            .bind(at.as_micros())
            .fetch_one(&mut *connection)
            .await?;
        Ok(Some(Served {
            revision: unsigned(revision),
            since: Timestamp::from_micros(since),
            until: until.map(Timestamp::from_micros),
        }))
    }
}
