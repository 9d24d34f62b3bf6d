//! `/v1/fleets`: which fleets there are, and how far each is.

use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::timestamp::Timestamp;
use crate::store;

use super::ApiState;
use super::filter::ByName;
use super::problem::{ProblemDocument, Result};
use super::query::{Nothing, Page, PathOf, json_at};

/// A set of proxies that serve the same config.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fleet {
    /// Its name; proxies say it when they connect.
    #[schema(example = "default")]
    name: String,
    /// Its newest revision; 0 before the first.
    revision: u64,
    /// When it was created.
    created_at: Timestamp,
}

impl From<store::Fleet> for Fleet {
    fn from(fleet: store::Fleet) -> Self {
        Self {
            name: fleet.name,
            revision: fleet.head,
            created_at: fleet.created_at,
        }
    }
}

/// List the fleets
#[utoipa::path(get, path = "/v1/fleets", operation_id = "list_fleets", tag = "fleets", params(ByName), responses(
    (status = 200, description = "Fleets by name", body = Page<Fleet>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(filter): Query<ByName>,
) -> Result<axum::Json<Page<Fleet>>> {
    let fleets = state.store.fleets().await?.into_iter();
    let wanted = fleets.filter(|fleet| filter.takes_name(&fleet.name));
    Page::of(&filter.paging(), wanted, |fleet| &fleet.name, Fleet::from).map(axum::Json)
}

/// Read a fleet
#[utoipa::path(get, path = "/v1/fleets/{fleet}", operation_id = "get_fleet", tag = "fleets",
    params(("fleet" = String, Path, description = "The fleet")), responses(
    (status = 200, description = "The fleet", body = Fleet),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf(name): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let fleet = state.store.fleet(&name).await?;
    Ok(json_at(fleet.head, Fleet::from(fleet)))
}
