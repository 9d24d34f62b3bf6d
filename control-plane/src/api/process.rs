//! `/healthz`, `/readyz`, `/metrics`: this process, not what it manages.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;

use crate::metrics::CONTENT_TYPE;

use super::ApiState;
use super::problem::{Kind, Problem, ProblemDocument, Result};

/// A database that does not answer within this is not ready.
const READY_WITHIN: Duration = Duration::from_secs(1);

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", operation_id = "get_health", tag = "process", responses(
    (status = 200, description = "It does", body = String, content_type = "text/plain")
))]
pub(super) async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the process can do its work: the database answers, and it is not about to end
#[utoipa::path(get, path = "/readyz", operation_id = "get_readiness", tag = "process", responses(
    (status = 200, description = "It can", body = String, content_type = "text/plain"),
    (status = "default", description = "It cannot", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn readyz(State(state): State<ApiState>) -> Result<&'static str> {
    if state.shutdown.is_cancelled() {
        return Err(Problem::new(
            Kind::StoreUnavailable,
            "this process is about to end",
        ));
    }
    match tokio::time::timeout(READY_WITHIN, state.store.fleets()).await {
        Ok(fleets) => fleets.map(|_| "ready\n").map_err(Problem::from),
        Err(_) => Err(Problem::new(
            Kind::StoreUnavailable,
            "the database does not answer",
        )),
    }
}

/// The counters of the process, as OpenMetrics text
#[utoipa::path(get, path = "/metrics", operation_id = "get_metrics", tag = "process", responses(
    (status = 200, description = "The counters", body = String, content_type = "application/openmetrics-text"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn metrics(State(state): State<ApiState>) -> Result<impl IntoResponse + use<>> {
    let text = state
        .metrics
        .render()
        .map_err(|_| Problem::bare(Kind::Internal))?;
    Ok(([(header::CONTENT_TYPE, CONTENT_TYPE)], text))
}
