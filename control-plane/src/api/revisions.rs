//! `/v1/fleets/{fleet}/revisions[/{number}]`: the history of a fleet's slow lane. Going back is a new revision; endpoints
//! stay as they are.

use axum::extract::{Query, State};
use axum::http::HeaderMap;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::canonical;
use crate::model::document::ConfigDocument;
use crate::model::timestamp::Timestamp;
use crate::revision::diff::{ResourceDiff, diff};
use crate::store;

use super::ApiState;
use super::config::{self, Applied};
use super::dry_run::OrPlanned;
use super::precondition::Precondition;
use super::problem::{ProblemDocument, Result};
use super::query::{Nothing, Page, Paging, PathOf, Saying, bad_token, json_at};
use super::source::Source;
use super::write::{self, Base};

/// A state of the slow lane. It never changes.
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

/// What turns one revision into another.
#[derive(Debug, Serialize, ToSchema)]
struct RevisionDiff {
    /// The revision that is looked at first.
    from: u64,
    /// The revision that it is compared with.
    to: u64,
    /// What happens to each resource on the way.
    changes: Vec<ResourceDiff>,
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
    let mut source = Source::of(&state);
    let head = source.fleet(&fleet).await?.head;
    let revisions = source.revisions(&fleet, before, limit + 1).await?;
    let items = revisions.into_iter().map(Revision::from).collect();
    Ok(json_at(
        source.at(head),
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
    let mut source = Source::of(&state);
    let head = source.fleet(&fleet).await?.head;
    let revision = source.revision(&fleet, number).await?;
    Ok(json_at(source.at(head), Revision::from(revision)))
}

/// Read the whole config at a revision
#[utoipa::path(get, path = "/v1/fleets/{fleet}/revisions/{number}/config", operation_id = "get_revision_config", tag = "revisions",
    params(("fleet" = String, Path, description = "The fleet"), ("number" = u64, Path, description = "The revision; 0 is empty")),
    responses(
    (status = 200, description = "The config; its ETag is its revision", content(
        (ConfigDocument = "application/json"), (ConfigDocument = "application/yaml"))),
    (status = 304, description = "It is what If-None-Match names"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get_config(
    State(state): State<ApiState>,
    PathOf((fleet, number)): PathOf<(String, u64)>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
    headers: HeaderMap,
) -> Result {
    let base = Source::of(&state).base(&fleet, Some(number)).await?;
    config::document(&base, &precondition, &headers)
}

/// Compare two revisions
#[utoipa::path(get, path = "/v1/fleets/{fleet}/revisions/{number}/diff/{to}", operation_id = "diff_revisions", tag = "revisions",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("number" = u64, Path, description = "The revision that is looked at first; 0 is empty"),
        ("to" = u64, Path, description = "The revision that it is compared with")
    ),
    responses(
    (status = 200, description = "What turns the first into the second", body = RevisionDiff),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get_diff(
    State(state): State<ApiState>,
    PathOf((fleet, from, to)): PathOf<(String, u64, u64)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let mut source = Source::of(&state);
    let before = source.base(&fleet, Some(from)).await?;
    let after = source.base(&fleet, Some(to)).await?;
    let changes = diff(&before.config, &after.config);
    Ok(json_at(&after, RevisionDiff { from, to, changes }))
}

/// Go back to a revision
///
/// Makes a new revision whose content is that of the old one, or none if nothing would change. It is validated as any
/// other write; endpoints stay as they are. A fleet that was held after a rollback no longer is.
#[utoipa::path(post, path = "/v1/fleets/{fleet}/revisions/{number}/~revert", operation_id = "revert", tag = "revisions",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("number" = u64, Path, description = "The revision to go back to; 0 is empty"),
        ("If-Match" = Option<String>, Header, description = "The revision that is changed, in quotes, or `*`; needed unless the fleet is at revision 0"),
        Saying
    ),
    responses(
    (status = 200, description = "It is stored, or was so already; with `dry_run`, the plan", body = OrPlanned<Applied>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn revert(
    State(state): State<ApiState>,
    PathOf((fleet, number)): PathOf<(String, u64)>,
    Query(mut saying): Query<Saying>,
    precondition: Precondition,
) -> Result {
    let old = write::base_at(&state, &fleet, number).await?.config;
    let message = || Some(format!("revert to revision {number}"));
    saying.message = saying.message.or_else(message);
    let decide = |_: &Base| Ok((*old).clone());
    config::replace(
        &state,
        &fleet,
        &saying,
        &precondition,
        true,
        decide,
        &|_| None,
    )
    .await
}
