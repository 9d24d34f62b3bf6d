//! `POST /v1/fleets/{fleet}:explain`: which route a request gets, and why no other.

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::explain::{self, ExplainError, Explanation, Question};
use crate::model::problem::Code;
use crate::model::timestamp::Timestamp;
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
    /// The node that was asked, if one was.
    served: Option<ServedBy>,
    #[serde(flatten)]
    explanation: Explanation,
}

/// What a node served.
#[derive(Debug, Serialize, ToSchema)]
struct ServedBy {
    /// The node.
    node: String,
    /// Since when it has served the revision.
    since: Timestamp,
    /// Until when, if it has served another one since.
    until: Option<Timestamp>,
}

/// Explain what happens to a request
///
/// The request is read as the proxy reads it, and goes through the proxy's own route tables: of the newest revision, of any other,
/// or of the one that a node serves or served at some time of the last 90 days.
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
    let served = served(&state, &fleet, &question).await?;
    let revision = served.as_ref().map(|(revision, _)| *revision);
    let mut source = Source::of(&state);
    let base = source.base(&fleet, revision.or(question.revision)).await?;
    let endpoints = source.endpoints(&fleet).await?;
    let revision = base.revision;
    let explanation = explain(&state, &fleet, (base.config, endpoints), question).await?;
    Ok(json_at(
        source.at(revision),
        Explained {
            revision,
            served: served.map(|(_, by)| by),
            explanation,
        },
    ))
}

/// The revision of the node that is asked, if one is.
async fn served(
    state: &ApiState,
    fleet: &str,
    question: &Question,
) -> Result<Option<(u64, ServedBy)>> {
    let Some(node) = &question.node else {
        return match question.at {
            Some(_) => Err(wrong("/at", "a time is asked of a node: `node` says which")),
            None => Ok(None),
        };
    };
    if question.revision.is_some() {
        let detail = "a node serves a revision of its own: ask for one or the other";
        return Err(wrong("/revision", detail));
    }
    let at = match question.at {
        Some(at) => at,
        None => state.store.clock().await?,
    };
    let served = state.store.served(fleet, node, at).await?;
    let served = served.ok_or_else(|| {
        let pointer = if question.at.is_some() {
            "/at"
        } else {
            "/node"
        };
        wrong(
            pointer,
            &format!("it is not known what node {node:?} served at {at}"),
        )
    })?;
    let by = ServedBy {
        node: node.clone(),
        since: served.since,
        until: served.until,
    };
    Ok(Some((served.revision, by)))
}

fn wrong(pointer: &str, detail: &str) -> Problem {
    Problem::unanswerable(vec![FieldError {
        pointer: Some(pointer.to_owned()),
        resource: None,
        code: code(Code::MissingReference),
        detail: detail.to_owned(),
    }])
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
        Ok(Err(error)) => Err(wrong("/listener", &error.to_string())),
        Err(error) => {
            tracing::error!(fleet, %error, "explaining ended early");
            Err(Problem::bare(Kind::Internal))
        }
    }
}
