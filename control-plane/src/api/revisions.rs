//! `/v1/fleets/{fleet}/revisions[/{number}]`: the history of a fleet's slow lane.

use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::store;

use super::ApiState;
use super::problem::{ProblemDocument, Result};
use super::query::{Nothing, Page, Paging, PathOf, bad_token, json_at};

/// A state of the slow lane. It never changes; `/config?revision=` reads its content.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Revision {
    /// Its number.
    number: u64,
    /// The hash of its whole content, in hexadecimal digits: equal content has equal hashes.
    hash: String,
    /// Who committed it.
    author: String,
    /// What the author says of it.
    message: String,
    /// When it was committed.
    created_at: Timestamp,
}

impl From<store::Revision> for Revision {
    fn from(revision: store::Revision) -> Self {
        Self {
            number: revision.number,
            hash: canonical::hex(&revision.hash),
            author: revision.author,
            message: revision.message,
            created_at: revision.created_at,
        }
    }
}

/// List the revisions
#[utoipa::path(get, path = "/v1/fleets/{fleet}/revisions", operation_id = "list_revisions", tag = "revisions",
    params(("fleet" = String, Path, description = "The fleet"), Paging), responses(
    (status = 200, description = "The newest first", body = Page<Revision>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(paging): Query<Paging>,
) -> Result {
    let limit = paging.limit()?;
    let before = paging
        .page_token
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|_| bad_token())?;
    let head = state.store.fleet(&fleet).await?.head;
    let revisions = state.store.revisions(&fleet, before, limit + 1).await?;
    let items = revisions.into_iter().map(Revision::from).collect();
    Ok(json_at(
        head,
        Page::new(items, limit, |revision: &Revision| {
            revision.number.to_string()
        }),
    ))
}

/// Read a revision
#[utoipa::path(get, path = "/v1/fleets/{fleet}/revisions/{number}", operation_id = "get_revision", tag = "revisions",
    params(("fleet" = String, Path, description = "The fleet"), ("number" = u64, Path, description = "Its number")),
    responses(
    (status = 200, description = "The revision", body = Revision),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf((fleet, number)): PathOf<(String, u64)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let head = state.store.fleet(&fleet).await?.head;
    let revision = state.store.revision(&fleet, number).await?;
    Ok(json_at(head, Revision::from(revision)))
}
