//! What the API answers when it cannot do what was asked: `application/problem+json` (RFC 9457), with stable types.
//! A [`Problem`] is what handlers return; `finish` completes it with the request's id and writes it.

mod kind;

use std::borrow::Cow;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::problem::Code;
use crate::model::{self, ResourceId};
use crate::store::StoreError;

pub(super) use self::kind::Kind;
use super::etag::Etag;

/// The result of a handler.
pub(super) type Result<T = Response> = std::result::Result<T, Problem>;

/// A failure, as a handler knows it.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    pub(super) kind: Kind,
    pub(super) detail: Option<Cow<'static, str>>,
    pub(super) errors: Vec<FieldError>,
    /// The tag of what is there, told with the answer.
    pub(super) etag: Option<Etag>,
    /// Whether the same request may succeed in a moment.
    pub(super) passing: bool,
    /// What the store failed with, for the counter.
    pub(super) store_failure: Option<&'static str>,
}

/// A failure, as it is sent.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct ProblemDocument {
    /// The kind of failure, for programs.
    #[schema(example = "urn:signalbox:problem:validation")]
    pub(super) r#type: String,
    /// The kind of failure, for people.
    pub(super) title: &'static str,
    /// The status of the response.
    pub(super) status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) detail: Option<Cow<'static, str>>,
    /// The path of the request.
    pub(super) instance: String,
    /// The id of the request, which the log has too.
    pub(super) request_id: String,
    /// Everything that is wrong, each with its place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) errors: Vec<FieldError>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct FieldError {
    /// JSON pointer into the document that was sent; absent if the place is not in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "/routes/0/forward/cluster")]
    pub(super) pointer: Option<String>,
    /// The resource that is concerned, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "routes/products")]
    pub(super) resource: Option<String>,
    /// The kind of fault, for programs.
    #[schema(example = "missing-reference")]
    pub(super) code: &'static str,
    /// A sentence for people.
    pub(super) detail: String,
}

/// So many faults are listed; who has more does not fix them by hand.
const ERRORS_MAX: usize = 1_000;

impl Problem {
    pub(super) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::bare(kind)
        }
    }

    /// A failure of which nothing more is told than its kind.
    pub(super) fn bare(kind: Kind) -> Self {
        Self {
            kind,
            detail: None,
            errors: Vec::new(),
            etag: None,
            passing: false,
            store_failure: None,
        }
    }

    pub(super) fn no_fleet(name: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no fleet {name:?}"))
    }

    pub(super) fn no_resource(id: &ResourceId) -> Self {
        Self::new(
            Kind::NotFound,
            format!("there is no {} {:?}", id.kind, id.name),
        )
    }

    pub(super) fn store_away() -> Self {
        let detail =
            "this cannot be read or stored at the moment; proxies go on with what they have";
        Self::new(Kind::StoreUnavailable, detail)
            .retry_later()
            .of_store("unavailable")
    }

    pub(super) fn invalid(mut errors: Vec<FieldError>) -> Self {
        let detail = match errors.len() {
            1 => "one thing is wrong; nothing was stored".to_owned(),
            count @ 0..=ERRORS_MAX => format!("{count} things are wrong; nothing was stored"),
            count => format!(
                "{count} things are wrong, of which the first {ERRORS_MAX} are listed; nothing was stored"
            ),
        };
        errors.truncate(ERRORS_MAX);
        Self {
            errors,
            ..Self::new(Kind::Validation, detail)
        }
    }

    /// A question that has no answer; nothing was to be stored.
    pub(super) fn unanswerable(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(Kind::Validation, "the question cannot be answered as it is")
        }
    }

    /// What is to be deleted is used.
    pub(super) fn in_use(what: &str, users: &[ResourceId]) -> Self {
        let error = |user: &ResourceId| FieldError {
            pointer: None,
            resource: Some(user.to_string()),
            code: "in-use",
            detail: format!("{user} refers to {what}"),
        };
        let detail = format!("{what} is used by {} other resource(s)", users.len());
        Self {
            errors: users.iter().map(error).collect(),
            ..Self::new(Kind::InUse, detail)
        }
    }

    /// Endpoints that are to be deleted are used by a cluster of these revisions.
    fn endpoints_in_use(cluster: &str, revisions: &[u64]) -> Self {
        let error = |revision: &u64| FieldError {
            pointer: None,
            resource: Some(format!("clusters/{cluster}")),
            code: "in-use",
            detail: format!(
                "clusters/{cluster} of revision {revision}, which is served, refers to endpoints/{cluster}"
            ),
        };
        let detail = format!(
            "endpoints/{cluster} is used in {} revision(s)",
            revisions.len()
        );
        Self {
            errors: revisions.iter().map(error).collect(),
            ..Self::new(Kind::InUse, detail)
        }
    }

    pub(super) fn with_etag(mut self, etag: Option<&Etag>) -> Self {
        self.etag = etag.cloned();
        self
    }

    /// Completes the document that is sent.
    pub(super) fn document(self, instance: String, request_id: String) -> ProblemDocument {
        ProblemDocument {
            r#type: format!("urn:signalbox:problem:{}", self.kind.name()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.detail,
            instance,
            request_id,
            errors: self.errors,
        }
    }

    pub(super) fn retry_later(mut self) -> Self {
        self.passing = true;
        self
    }

    fn of_store(self, failure: &'static str) -> Self {
        Self {
            store_failure: Some(failure),
            ..self
        }
    }
}

impl FieldError {
    /// A problem of a document that has no resources in it, or whose pointer is from the whole document.
    pub(super) fn of_document(problem: model::Problem) -> Self {
        Self {
            pointer: Some(problem.pointer),
            resource: problem.resource.map(|id| id.to_string()),
            code: code(problem.code),
            detail: problem.detail,
        }
    }
}

/// The text of a code in the API.
pub(super) fn code(code: Code) -> &'static str {
    code.as_str()
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::NoSuchFleet(name) => return Self::no_fleet(name),
            StoreError::Exists(_) => return Self::new(Kind::Exists, error.to_string()),
            StoreError::NotEmpty { .. } => return Self::new(Kind::InUse, error.to_string()),
            StoreError::NoSuchRevision { .. }
            | StoreError::NoSuchRollout(_)
            | StoreError::NoSuchToken(_) => {
                return Self::new(Kind::NotFound, error.to_string());
            }
            StoreError::RolloutActive { .. } => {
                return Self::new(Kind::RolloutActive, error.to_string());
            }
            StoreError::NotYet { .. } => return Self::new(Kind::NotYet, error.to_string()),
            StoreError::NothingToRollOut { .. } => {
                return Self::new(Kind::NothingToRollOut, error.to_string());
            }
            StoreError::EndpointsInUse { cluster, revisions } => {
                return Self::endpoints_in_use(cluster, revisions);
            }
            StoreError::Moved => {
                let detail = "others wrote to this fleet again and again; try once more";
                return Self::new(Kind::Conflict, detail).retry_later();
            }
            _ => {}
        }
        // The public text says nothing of the database; the log says everything.
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        match error {
            StoreError::Unavailable(_) => Self::store_away(),
            StoreError::Corrupt { .. } => Self::bare(Kind::Internal).of_store("corrupt"),
            _ => Self::bare(Kind::Internal).of_store("refused"),
        }
    }
}

impl IntoResponse for Problem {
    /// Leaves the problem for `finish`, which knows the request.
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        if let Some(etag) = &self.etag {
            response.headers_mut().insert(header::ETAG, etag.header());
        }
        if self.passing {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
