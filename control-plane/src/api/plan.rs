//! `POST /v1/fleets/{fleet}:plan`: what a change would do, without an intention to make it: a config document against what
//! is there, or one revision against another.

use axum::body::Bytes;
use axum::extract::{FromRequest as _, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::model::ResourceId;
use crate::model::document::{self, ConfigDocument};
use crate::translate::Translation;

use super::ApiState;
use super::config;
use super::document::WholeConfig;
use super::dry_run::{self, Planned};
use super::limits;
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::PathOf;
use super::write;

/// What is compared.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Comparing {
    /// The revision that would be served, instead of a document.
    #[param(minimum = 0)]
    revision: Option<u64>,
    /// The revision that it is compared with. If it is not said: the newest one for a document, the stable one for a revision.
    #[param(minimum = 0)]
    against: Option<u64>,
    /// As if what the document does not name were deleted.
    #[serde(default)]
    prune: bool,
}

/// Say what a change would do
///
/// To resources, to each class of client, and to the requests that the fleet's proxies have seen. The body is a config document
/// as it would be applied, or nothing if `revision` is given. Nothing is stored.
#[utoipa::path(post, path = "/v1/fleets/{fleet}/~plan", operation_id = "plan", tag = "config",
    params(("fleet" = String, Path, description = "The fleet"), Comparing),
    request_body(content((Option<ConfigDocument> = "application/json"), (Option<ConfigDocument> = "application/yaml"))),
    responses(
    (status = 200, description = "The plan", body = Planned),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn post(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(comparing): Query<Comparing>,
    request: Request,
) -> Response {
    let planned = match comparing.revision {
        Some(revision) => match Bytes::from_request(request, &state).await {
            Ok(body) if body.is_empty() => of_revision(&state, &fleet, revision, &comparing).await,
            Ok(_) => Err(Problem::new(
                Kind::BadRequest,
                "with `revision` there is no document",
            )),
            Err(rejection) => return rejection.into_response(),
        },
        None => match WholeConfig::from_request(request, &state).await {
            Ok(body) => of_document(&state, &fleet, body, &comparing).await,
            Err(rejection) => return rejection,
        },
    };
    planned.into_response()
}

async fn of_revision(
    state: &ApiState,
    fleet: &str,
    revision: u64,
    comparing: &Comparing,
) -> Result {
    if comparing.prune {
        let detail = "`prune` is for a document";
        return Err(Problem::new(Kind::BadRequest, detail));
    }
    let against = match comparing.against {
        Some(against) => against,
        None => state.store.fleet(fleet).await?.stable,
    };
    let base = write::base_at(state, fleet, against).await?;
    let next = write::base_at(state, fleet, revision).await?;
    let known = state.workbench.translation(fleet);
    let known = known.unwrap_or_else(|| Translation::default().into());
    dry_run::compare(state, fleet, base, next.config, known).await
}

async fn of_document(
    state: &ApiState,
    fleet: &str,
    WholeConfig(body): WholeConfig,
    comparing: &Comparing,
) -> Result {
    let prune = comparing.prune;
    let submitted = match document::config(&body) {
        Ok(submitted) => submitted,
        Err(unreadable) => {
            return Err(config::every_problem(state, fleet, prune, *unreadable).await);
        }
    };
    let head = write::base(state, fleet).await?;
    let mut next = config::next(&head.config, &submitted.config, prune);
    limits::check_growth(&head.config, &next)?;
    next.share_with(&head.config);
    let place = |id: &ResourceId| config::position(&submitted, id);
    let validated = write::validate(state, fleet, next, &place).await?;
    let base = match comparing.against {
        Some(against) => write::base_at(state, fleet, against).await?,
        None => head,
    };
    let (next, known) = (validated.config().clone(), validated.translation().clone());
    dry_run::compare(state, fleet, base, next, known).await
}
