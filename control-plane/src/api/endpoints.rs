//! `/v1/fleets/{fleet}/endpoints[/{cluster}]`: the fast lane. Endpoints are validated and sent at once; they are not part
//! of a revision. They may be put before their cluster exists, so that it has them from its first moment.

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::problem::Code;
use crate::model::{Cluster, Config, Endpoint, Endpoints, canonical, document, merge_patch, text};
use crate::store::{Expected, StoreError};

use super::ApiState;
use super::by;
use super::document::{Body, MergePatch};
use super::etag::Etag;
use super::filter::ByName;
use super::limits;
use super::precondition::Precondition;
use super::problem::{FieldError, Kind, Problem, ProblemDocument, Result, code};
use super::query::{Nothing, Page, PathOf, at_revision, json_at};
use super::source::Source;
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
    params(("fleet" = String, Path, description = "The fleet"), ByName), responses(
    (status = 200, description = "By cluster", body = Page<ClusterEndpoints>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(filter): Query<ByName>,
) -> Result {
    let mut source = Source::of(&state);
    let revision = source.fleet(&fleet).await?.head;
    let all = source.endpoints(&fleet).await?;
    let wanted = all.iter().filter(|(cluster, _)| filter.takes_name(cluster));
    let page = Page::of(
        &filter.paging(),
        wanted,
        |(cluster, _)| cluster,
        |(cluster, given)| ClusterEndpoints {
            cluster: cluster.to_string(),
            endpoints: given.endpoints.clone(),
        },
    )?;
    Ok(json_at(source.at(revision), page))
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
    let mut source = Source::of(&state);
    let revision = source.fleet(&fleet).await?.head;
    // A text that cannot be a cluster's name has no endpoints.
    let stored = match text::name(&cluster) {
        Ok(()) => source.endpoints_of(&fleet, &cluster).await?,
        Err(_) => None,
    };
    let stored = stored.ok_or_else(|| missing(&cluster))?;
    let (etag, point) = (Etag::of(&stored), source.at(revision));
    if precondition.has(&etag) {
        return Ok(at_revision(
            point,
            (StatusCode::NOT_MODIFIED, [(header::ETAG, etag.header())]),
        ));
    }
    Ok(at_revision(point, tagged(&stored)))
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
    write(&state, (&fleet, &cluster), |stored| {
        precondition.check_write(stored.map(Etag::of).as_ref())?;
        Ok(endpoints.clone())
    })
    .await
}

/// Change the endpoints of a cluster
///
/// By a merge patch (RFC 7396): a list replaces the list whole.
#[utoipa::path(patch, path = "/v1/fleets/{fleet}/endpoints/{cluster}", operation_id = "patch_endpoints", tag = "endpoints",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("cluster" = String, Path, description = "The cluster"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is changed, or `*`")
    ),
    request_body(content((Object = "application/merge-patch+json"))),
    responses(
    (status = 200, description = "They are changed, or were so already", body = Endpoints),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn patch(
    State(state): State<ApiState>,
    PathOf((fleet, cluster)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
    MergePatch(patch): MergePatch,
) -> Result {
    write(&state, (&fleet, &cluster), |stored| {
        let stored = stored.ok_or_else(|| missing(&cluster))?;
        precondition.check_write(Some(&Etag::of(stored)))?;
        let mut document =
            serde_json::to_value(stored).expect("endpoints are text, numbers and lists");
        merge_patch::apply(&mut document, &patch);
        read(&document)
    })
    .await
}

/// Stores what `decide` makes of what is stored, again whenever somebody else was faster.
async fn write(
    state: &ApiState,
    (fleet, cluster): (&str, &str),
    decide: impl Fn(Option<&Endpoints>) -> Result<Endpoints>,
) -> Result {
    let asked = by::current();
    for _ in 0..TRIES {
        let base = write::base(state, fleet).await?;
        if takes(&base.config, cluster) == Some(false) && !is_taken(state, fleet, cluster).await? {
            return Err(not_taken(cluster));
        }
        let stored = stored(state, fleet, cluster).await?;
        let next = decide(stored.as_ref())?;
        limits::check_endpoints(next.endpoints.len())?;
        if stored.as_ref() == Some(&next) {
            return Ok(at_revision(base.revision, tagged(&next)));
        }
        let expected = Expected {
            head: Some(base.revision),
            hash: stored.as_ref().map(hash),
        };
        let written = state
            .store
            .put_endpoints(fleet, cluster, &next, expected, asked.by());
        match written.await {
            Ok(()) if stored.is_some() => return Ok(at_revision(base.revision, tagged(&next))),
            Ok(()) => return Ok(at_revision(base.revision, created(fleet, cluster, &next))),
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
    let asked = by::current();
    for _ in 0..TRIES {
        let base = write::base(&state, &fleet).await?;
        let stored = stored(&state, &fleet, &cluster)
            .await?
            .ok_or_else(|| missing(&cluster))?;
        precondition.check_write(Some(&Etag::of(&stored)))?;
        let expected = Expected {
            head: Some(base.revision),
            hash: Some(hash(&stored)),
        };
        match state
            .store
            .delete_endpoints(&fleet, &cluster, expected, asked.by())
            .await
        {
            Ok(()) => return Ok(at_revision(base.revision, StatusCode::NO_CONTENT)),
            Err(StoreError::Moved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved.into())
}

/// Whether a cluster takes endpoints, if there is one.
fn takes(config: &Config, cluster: &str) -> Option<bool> {
    let cluster = config.get::<Cluster>(cluster)?;
    Some(cluster.takes_endpoints())
}

/// Whether a cluster takes endpoints in the stable revision or in the one that a rollout goes to: nodes need them until they
/// have the newest one.
async fn is_taken(state: &ApiState, fleet: &str, cluster: &str) -> Result<bool> {
    let active = state.store.active_rollouts().await?;
    let active = active.into_iter().find(|rollout| rollout.fleet == fleet);
    let stable = state.store.fleet(fleet).await?.stable;
    for revision in active.map(|rollout| rollout.to).into_iter().chain([stable]) {
        let config = state.store.config_at(fleet, revision).await?;
        if takes(&config, cluster) == Some(true) {
            return Ok(true);
        }
    }
    Ok(false)
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
