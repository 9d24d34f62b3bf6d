//! The outermost layer: gives each request an id, turns every failure into a problem document, counts and logs.

use std::time::Instant;

use axum::Json;
use axum::body::Body;
use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use crate::metrics::{ApiRequest, StoreFailure};

use super::ApiState;
use super::by::RequestId;
use super::problem::{Kind, Problem};
use super::verbs;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// The framework's own sentences are short; what is longer is not one of them.
const SENTENCE_MAX: usize = 4_096;

pub(super) async fn finish(
    State(state): State<ApiState>,
    route: Option<MatchedPath>,
    OriginalUri(uri): OriginalUri,
    mut request: Request,
    next: Next,
) -> Response {
    let began = Instant::now();
    let request_id = Uuid::now_v7().to_string();
    let (method, path) = (request.method().clone(), uri.path().to_owned());
    request
        .extensions_mut()
        .insert(RequestId(request_id.clone()));
    let mut response = next.run(request).await;
    if response.status().is_client_error() || response.status().is_server_error() {
        response = fail(&state, response, path.clone(), request_id.clone()).await;
    }
    if let Ok(value) = HeaderValue::from_str(&request_id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    count(&state, route.as_ref(), &method, response.status());
    let (status, ms) = (
        response.status().as_u16(),
        began.elapsed().as_millis() as u64,
    );
    if method == Method::GET && status < 500 {
        tracing::debug!(%method, path, status, ms, request_id, "request");
    } else {
        tracing::info!(%method, path, status, ms, request_id, "request");
    }
    response
}

/// Rewrites a failure as a problem document. Fields of the head, such as `Allow` and `ETag`, stay.
async fn fail(state: &ApiState, response: Response, path: String, request_id: String) -> Response {
    let (mut parts, body) = response.into_parts();
    let problem = match parts.extensions.remove::<Problem>() {
        Some(problem) => problem,
        None => of_framework(parts.status, body).await,
    };
    if let Some(kind) = problem.store_failure {
        state
            .metrics
            .store_errors
            .get_or_create(&StoreFailure { kind })
            .inc();
    }
    let status = problem.kind.status();
    let mut response = (status, Json(problem.document(path, request_id))).into_response();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.remove(header::CONTENT_TYPE);
    response.headers_mut().extend(parts.headers);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, PROBLEM_JSON);
    response
}

/// A failure that no handler returned: the framework's sentence is told if it is the client's fault.
async fn of_framework(status: StatusCode, body: Body) -> Problem {
    let kind = Kind::of_status(status);
    let sentence = axum::body::to_bytes(body, SENTENCE_MAX)
        .await
        .unwrap_or_default();
    match (kind, std::str::from_utf8(&sentence)) {
        (Kind::Internal, _) => Problem::bare(kind),
        (Kind::Timeout, _) => Problem::new(
            kind,
            "a write may have been stored all the same; read before you repeat it",
        ),
        (Kind::NotFound, _) => Problem::new(
            kind,
            "there is nothing at this path; /openapi.json lists what there is",
        ),
        (_, Ok(sentence)) if !sentence.is_empty() => Problem::new(kind, sentence.to_owned()),
        _ => Problem::bare(kind),
    }
}

fn count(state: &ApiState, route: Option<&MatchedPath>, method: &Method, status: StatusCode) {
    let known = [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::POST,
        Method::PATCH,
        Method::DELETE,
        Method::OPTIONS,
    ];
    let method = if known.contains(method) {
        method.as_str()
    } else {
        "OTHER"
    };
    let series = ApiRequest {
        route: route
            .map(|route| verbs::public(route.as_str()))
            .unwrap_or_default(),
        method: method.to_owned(),
        status: format!("{}xx", status.as_u16() / 100),
    };
    state.metrics.api_requests.get_or_create(&series).inc();
}
