//! `/openapi.json`: the API as an OpenAPI 3.1 document, made from the handlers.

use axum::Extension;
use axum::body::Bytes;
use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi;

/// What the document says of the whole.
#[derive(OpenApi)]
#[openapi(info(
    title = "Signalbox admin API",
    description = "Fleets of proxies and what they serve. Failures are application/problem+json (RFC 9457) with stable types.",
    license(name = "Apache-2.0", identifier = "Apache-2.0")
))]
pub(super) struct ApiDoc;

/// The document as it is sent.
#[derive(Clone, Debug)]
pub(super) struct Document(Bytes);

impl Document {
    pub(super) fn new(document: &utoipa::openapi::OpenApi) -> Self {
        let text = document
            .to_json()
            .expect("an OpenAPI document holds text, numbers and lists only");
        Self(text.into())
    }
}

/// Read this document
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi", tag = "process", responses(
    (status = 200, description = "The OpenAPI document", body = Object)
))]
pub(super) async fn get(Extension(Document(text)): Extension<Document>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], text)
}
