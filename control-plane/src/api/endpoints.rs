//! `/v1/fleets/{fleet}/endpoints[/{cluster}]`: the fast lane. Endpoints are validated and sent at once; they are not part
//! of a revision. They may be put before their cluster exists, so that it has them from its first moment.

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::problem::Code;
use crate::model::{
    Cluster, Endpoint, Endpoints, Kind as ResourceKind, ResourceId, canonical, document, text,
};
use crate::store::{Expected, StoreError};

use super::ApiState;
use super::document::Body;
use super::etag::Etag;
use super::precondition::Precondition;
use super::problem::{FieldError, Kind, Problem, ProblemDocument, Result, code};
use super::query::{Nothing, Page, Paging, PathOf, at_revision, json_at};
use super::write;

/// How often a write is tried while others write the same.
const TRIES: u32 = 16;

/// The endpoints of one cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterEndpoints {
    /// The cluster.
    cluster: String,
    /// Its endpoints.
    endpoints: Vec<Endpoint>,
}

/// List the endpoints of all clusters
#[utoipa::path(get, path = "/v1/fleets/{fleet}/endpoints", operation_id = "list_endpoints", tag = "endpoints",
    params(("fleet" = String, Path, description = "The fleet"), Paging), responses(
    (status = 200, description = "By cluster", body = Page<ClusterEndpoints>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(paging): Query<Paging>,
) -> Result {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let revision = state.store.fleet(&fleet).await?.head;
    let all = state.store.endpoints(&fleet).await?;
    let rest = all
        .iter()
        .filter(|(cluster, _)| &***cluster > after)
        .take(limit as usize + 1);
    let items = rest.map(|(cluster, given)| ClusterEndpoints {
        cluster: cluster.to_string(),
        endpoints: given.endpoints.clone(),
    });
    let page = Page::new(items.collect(), limit, |item| item.cluster.clone());
    Ok(json_at(revision, page))
}

/// Read the endpoints of a cluster
#[utoipa::path(get, path = "/v1/fleets/{fleet}/endpoints/{cluster}", operation_id = "get_endpoints", tag = "endpoints",
    params(("fleet" = String, Path, description = "The fleet"), ("cluster" = String, Path, description = "The cluster")),
    responses(
    (status = 200, description = "The endpoints, with their ETag", body = Endpoints),
    (status = 304, description = "They are what If-None-Match names"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf((fleet, cluster)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
) -> Result {
    let revision = state.store.fleet(&fleet).await?.head;
    let stored = stored(&state, &fleet, &cluster)
        .await?
        .ok_or_else(|| missing(&cluster))?;
    let etag = Etag::of(&stored);
    if precondition.has(&etag) {
        return Ok(at_revision(
            revision,
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.header())]),
        ));
    }
    Ok(at_revision(revision, tagged(&stored)))
}

/// Set the endpoints of a cluster
#[utoipa::path(put, path = "/v1/fleets/{fleet}/endpoints/{cluster}", operation_id = "put_endpoints", tag = "endpoints",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("cluster" = String, Path, description = "The cluster; it has `discovery: api`, or does not exist yet"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is replaced, or `*`; needed if there are endpoints"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: create only")
    ),
    request_body(content((Endpoints = "application/json"), (Endpoints = "application/yaml"))),
    responses(
    (status = 200, description = "They are replaced, or were there already", body = Endpoints),
    (status = 201, description = "They are created", body = Endpoints),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn put(
    State(state): State<ApiState>,
    PathOf((fleet, cluster)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
    Body(body): Body,
) -> Result {
    text::name(&cluster)
        .map_err(|detail| Problem::new(Kind::BadRequest, format!("{cluster:?}: {detail}")))?;
    let endpoints = read(&body)?;
    for _ in 0..TRIES {
        let base = write::base(&state, &fleet).await?;
        if base
            .config
            .get::<Cluster>(&cluster)
            .is_some_and(|cluster| !cluster.takes_endpoints())
        {
            return Err(not_taken(&cluster));
        }
        let stored = stored(&state, &fleet, &cluster).await?;
        precondition.check_write(stored.as_ref().map(Etag::of).as_ref())?;
        if stored.as_ref() == Some(&endpoints) {
            return Ok(at_revision(base.revision, tagged(&endpoints)));
        }
        let expected = Expected {
            head: Some(base.revision),
            hash: stored.as_ref().map(hash),
        };
        match state
            .store
            .put_endpoints(&fleet, &cluster, &endpoints, expected)
            .await
        {
            Ok(()) if stored.is_some() => {
                return Ok(at_revision(base.revision, tagged(&endpoints)));
            }
            Ok(()) => {
                return Ok(at_revision(
                    base.revision,
                    created(&fleet, &cluster, &endpoints),
                ));
            }
            Err(StoreError::Moved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved.into())
}

/// Delete the endpoints of a cluster that no longer takes any
#[utoipa::path(delete, path = "/v1/fleets/{fleet}/endpoints/{cluster}", operation_id = "delete_endpoints", tag = "endpoints",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("cluster" = String, Path, description = "The cluster"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is deleted, or `*`")
    ),
    responses(
    (status = 204, description = "They are gone"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    PathOf((fleet, cluster)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
) -> Result {
    for _ in 0..TRIES {
        let base = write::base(&state, &fleet).await?;
        let stored = stored(&state, &fleet, &cluster)
            .await?
            .ok_or_else(|| missing(&cluster))?;
        precondition.check_write(Some(&Etag::of(&stored)))?;
        if base
            .config
            .get::<Cluster>(&cluster)
            .is_some_and(|cluster| cluster.takes_endpoints())
        {
            let user = ResourceId::new(ResourceKind::Cluster, &cluster);
            return Err(Problem::in_use(&format!("endpoints/{cluster}"), &[user]));
        }
        let expected = Expected {
            head: Some(base.revision),
            hash: Some(hash(&stored)),
        };
        match state
            .store
            .delete_endpoints(&fleet, &cluster, expected)
            .await
        {
            Ok(()) => return Ok(at_revision(base.revision, StatusCode::NO_CONTENT)),
            Err(StoreError::Moved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved.into())
}

fn read(body: &serde_json::Value) -> Result<Endpoints> {
    let invalid = |problems: Vec<_>| {
        Problem::invalid(problems.into_iter().map(FieldError::of_document).collect())
    };
    let endpoints: Endpoints = document::decode(body, "").map_err(invalid)?;
    match endpoints.problems() {
        problems if problems.is_empty() => Ok(endpoints),
        problems => Err(invalid(problems)),
    }
}

/// A text that cannot be a cluster's name has no endpoints.
async fn stored(state: &ApiState, fleet: &str, cluster: &str) -> Result<Option<Endpoints>> {
    if text::name(cluster).is_err() {
        return Ok(None);
    }
    Ok(state.store.endpoints_of(fleet, cluster).await?)
}

fn hash(endpoints: &Endpoints) -> canonical::Hash {
    canonical::hash(&canonical::to_bytes(endpoints))
}

/// Endpoints that would be stored and never used.
fn not_taken(cluster: &str) -> Problem {
    Problem::invalid(vec![FieldError {
        pointer: None,
        resource: Some(format!("clusters/{cluster}")),
        code: code(Code::Invalid),
        detail: format!(
            "the endpoints of cluster {cluster:?} come from elsewhere; give it `discovery: api` first"
        ),
    }])
}

fn missing(cluster: &str) -> Problem {
    Problem::new(
        Kind::NotFound,
        format!("no endpoints were put for cluster {cluster:?}"),
    )
}

fn tagged(endpoints: &Endpoints) -> Response {
    (
        [(header::ETAG, Etag::of(endpoints).header())],
        axum::Json(endpoints),
    )
        .into_response()
}

fn created(fleet: &str, cluster: &str, endpoints: &Endpoints) -> Response {
    let mut response = (StatusCode::CREATED, tagged(endpoints)).into_response();
    if let Ok(location) = HeaderValue::from_str(&format!("/v1/fleets/{fleet}/endpoints/{cluster}"))
    {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
