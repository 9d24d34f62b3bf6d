//! Bodies: JSON or YAML in, by `Content-Type`; JSON or YAML out, by `Accept`.

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;

use crate::model::document::{self, Unread};

use super::ApiState;
use super::problem::{Kind, Problem, Result};
use super::query::header_text;

/// A body that was read, not yet understood.
#[derive(Clone, Debug)]
pub(super) struct Body(pub(super) Value);

/// The body of a request that brings a whole config, which may be larger than others.
#[derive(Clone, Debug)]
pub(super) struct WholeConfig(pub(super) Value);

/// A merge patch (RFC 7396) that was read.
#[derive(Clone, Debug)]
pub(super) struct MergePatch(pub(super) Value);

/// A way of writing documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Yaml,
}

impl Format {
    /// The format of a media type (RFC 9512 for YAML, and what was in use before it).
    fn of_media_type(media_type: &str) -> Option<Self> {
        match essence(media_type).as_str() {
            "application/json" => Some(Self::Json),
            "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => {
                Some(Self::Yaml)
            }
            _ => None,
        }
    }

    /// What a client would rather have (RFC 9110 section 12.5.1); JSON if it does not care.
    pub(super) fn wanted(headers: &HeaderMap) -> Self {
        let accept = header_text(headers, &header::ACCEPT).unwrap_or_default();
        let best = accept
            .split(',')
            .filter_map(|range| Some((Self::of_media_type(range)?, quality(range))));
        best.fold(
            (Self::Json, 0.0),
            |best, next| if next.1 > best.1 { next } else { best },
        )
        .0
    }

    /// Writes a document.
    pub(super) fn write<T: Serialize>(self, value: &T) -> Result {
        let broken = |error: &dyn std::error::Error| {
            tracing::error!(%error, "a document cannot be written");
            Problem::bare(Kind::Internal)
        };
        let (media_type, text) = match self {
            Self::Json => (
                "application/json",
                serde_json::to_string(value).map_err(|error| broken(&error))?,
            ),
            Self::Yaml => (
                "application/yaml",
                yaml_serde::to_string(value).map_err(|error| broken(&error))?,
            ),
        };
        let head = [
            (header::CONTENT_TYPE, HeaderValue::from_static(media_type)),
            (header::VARY, HeaderValue::from_static("accept")),
        ];
        Ok((head, text).into_response())
    }
}

/// A media type without its parameters.
fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

/// The quality value of a media range, 1 if it has none.
fn quality(range: &str) -> f32 {
    let parameter = range
        .split(';')
        .skip(1)
        .find_map(|parameter| parameter.trim().strip_prefix("q="));
    parameter
        .and_then(|value| value.trim().parse().ok())
        .unwrap_or(1.0)
}

impl<S: Send + Sync> FromRequest<S> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> std::result::Result<Self, Response> {
        let media_type = media_type(&request).unwrap_or("application/json");
        let Some(format) = Format::of_media_type(media_type) else {
            return Err(not_read(media_type, "application/json or application/yaml"));
        };
        read(request, state, format).await.map(Self)
    }
}

impl FromRequest<ApiState> for WholeConfig {
    type Rejection = Response;

    async fn from_request(
        mut request: Request,
        state: &ApiState,
    ) -> std::result::Result<Self, Response> {
        DefaultBodyLimit::max(state.max_config_bytes).apply(&mut request);
        let Body(value) = Body::from_request(request, state).await?;
        Ok(Self(value))
    }
}

impl<S: Send + Sync> FromRequest<S> for MergePatch {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> std::result::Result<Self, Response> {
        let media_type = media_type(&request).unwrap_or_default();
        if essence(media_type) != MERGE_PATCH {
            return Err(not_read(media_type, MERGE_PATCH));
        }
        read(request, state, Format::Json).await.map(Self)
    }
}

const MERGE_PATCH: &str = "application/merge-patch+json";

fn media_type(request: &Request) -> Option<&str> {
    header_text(request.headers(), &header::CONTENT_TYPE)
}

fn not_read(media_type: &str, instead: &str) -> Response {
    let detail = format!("{media_type:?} is not read here; send {instead}");
    Problem::new(Kind::UnsupportedMediaType, detail).into_response()
}

async fn read<S: Send + Sync>(
    request: Request,
    state: &S,
    format: Format,
) -> std::result::Result<Value, Response> {
    let bytes = Bytes::from_request(request, state)
        .await
        .map_err(IntoResponse::into_response)?;
    let read = match format {
        Format::Json => document::json(&bytes),
        Format::Yaml => document::yaml(&bytes),
    };
    read.map_err(|unread| {
        let kind = match unread {
            Unread::TooDeep => Kind::TooDeep,
            Unread::Malformed(_) => Kind::BadRequest,
        };
        Problem::new(kind, unread.to_string()).into_response()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_format_with_the_highest_quality_is_written() {
        let wanted = |accept: &str| {
            let headers =
                HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_str(accept).unwrap())]);
            Format::wanted(&headers)
        };
        assert_eq!(wanted("*/*"), Format::Json);
        assert_eq!(wanted("application/yaml"), Format::Yaml);
        assert_eq!(
            wanted("application/yaml;q=0.5, application/json"),
            Format::Json
        );
        assert_eq!(
            wanted("application/json;q=0.1, text/yaml; q=0.9"),
            Format::Yaml
        );
        assert_eq!(wanted("text/html"), Format::Json);
        assert_eq!(Format::wanted(&HeaderMap::new()), Format::Json);
    }
}
