//! `POST /v1/fleets/{fleet}:explain`: which route a request gets, and why no other.

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::explain::{self, ExplainError, Explanation, Question};
use crate::model::problem::Code;
use crate::model::{Config, document};
use crate::translate::FastLane;

use super::ApiState;
use super::document::Body;
use super::problem::{FieldError, Kind, Problem, ProblemDocument, Result, code};
use super::query::{Nothing, PathOf, json_at};
use super::source::Source;
use super::write;

/// The way of a request through a revision.
#[derive(Debug, Serialize, ToSchema)]
struct Explained {
    /// The revision that was asked.
    revision: u64,
    #[serde(flatten)]
    explanation: Explanation,
}

/// Explain what happens to a request
///
/// The request is read as the proxy reads it, and goes through the proxy's own route tables.
#[utoipa::path(post, path = "/v1/fleets/{fleet}/~explain", operation_id = "explain", tag = "routes",
    params(("fleet" = String, Path, description = "The fleet")),
    request_body(content((Question = "application/json"), (Question = "application/yaml"))),
    responses(
    (status = 200, description = "Its way", body = Explained),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn post(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body,
) -> Result {
    let question: Question = document::decode(&body, "").map_err(|problems| {
        Problem::unanswerable(problems.into_iter().map(FieldError::of_document).collect())
    })?;
    let mut source = Source::of(&state);
    let base = source.base(&fleet, question.revision).await?;
    let endpoints = source.endpoints(&fleet).await?;
    let revision = base.revision;
    let explanation = explain(&state, &fleet, (base.config, endpoints), question).await?;
    Ok(json_at(
        source.at(revision),
        Explained {
            revision,
            explanation,
        },
    ))
}

/// Compiling a large config takes long enough to hold other requests up, so it runs beside them.
async fn explain(
    state: &ApiState,
    fleet: &str,
    (config, endpoints): (Arc<Config>, FastLane),
    question: Question,
) -> Result<Explanation> {
    let served = write::served(state, fleet);
    let explained = tokio::task::spawn_blocking(move || {
        explain::explain(&config, &endpoints, &served, &question)
    });
    match explained.await {
        Ok(Ok(explanation)) => Ok(explanation),
        Ok(Err(error @ ExplainError::Unservable)) => {
            tracing::error!(fleet, %error, "a request cannot be explained");
            Err(Problem::bare(Kind::Internal))
        }
        Ok(Err(error)) => Err(Problem::unanswerable(vec![FieldError {
            pointer: Some("/listener".to_owned()),
            resource: None,
            code: code(Code::MissingReference),
            detail: error.to_string(),
        }])),
        Err(error) => {
            tracing::error!(fleet, %error, "explaining ended early");
            Err(Problem::bare(Kind::Internal))
        }
    }
}
