//! Parameters of URLs. An unknown one is refused: ignoring `dry_run` where it is not supported would do what was not
//! wanted.

use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequestParts, Path as AxumPath};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::text;
use crate::model::timestamp::Timestamp;

use super::problem::{Kind, Problem, Result};

/// The revision that an answer was made from.
pub(super) const CONFIG_REVISION: HeaderName = HeaderName::from_static("config-revision");

/// For how long the database could not be asked whether there is something newer.
const CONFIG_STALE_SECONDS: HeaderName = HeaderName::from_static("config-stale-seconds");

const LIMIT_DEFAULT: u32 = 100;
const LIMIT_MAX: u32 = 1_000;

/// Longest message of a revision.
const MESSAGE_MAX: usize = 1_000;

/// Which part of a list is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Paging {
    /// How many items at most.
    #[param(minimum = 1, maximum = 1000)]
    pub(super) limit: Option<u32>,
    /// Where to go on: `next_page_token` of the page before.
    pub(super) page_token: Option<String>,
}

/// What is said of a write.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Saying {
    /// What the author says of the new revision.
    #[param(max_length = 1000)]
    pub(super) message: Option<String>,
    /// The rollout that takes it to the nodes begins no wave before this.
    #[param(value_type = Option<String>, example = "2026-01-31T09:30:00Z")]
    pub(super) not_before: Option<Timestamp>,
    /// Store nothing and answer with the plan: what the write would do.
    #[serde(default)]
    pub(super) dry_run: bool,
}

/// For URLs without parameters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nothing {}

/// A part of a list.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct Page<T> {
    /// The items, in a stable order.
    pub(super) items: Vec<T>,
    /// Where to go on; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) next_page_token: Option<String>,
}

impl Paging {
    pub(super) fn limit(&self) -> Result<u32> {
        match self.limit.unwrap_or(LIMIT_DEFAULT) {
            limit @ 1..=LIMIT_MAX => Ok(limit),
            _ => Err(Problem::new(
                Kind::BadRequest,
                format!("`limit` is 1 to {LIMIT_MAX}"),
            )),
        }
    }

    /// The name after which the page begins; empty for the first. Tokens are names: they stay good when what they name
    /// is deleted.
    pub(super) fn after(&self) -> Result<&str> {
        let token = self.page_token.as_deref().unwrap_or_default();
        if token.contains('\0') {
            Err(bad_token())
        } else {
            Ok(token)
        }
    }
}

pub(super) fn bad_token() -> Problem {
    Problem::new(
        Kind::BadRequest,
        "`page_token` is not one that a page has told",
    )
}

impl<T> Page<T> {
    /// The page that is asked for, of items that are sorted by a key.
    pub(super) fn of<I>(
        paging: &Paging,
        sorted: impl Iterator<Item = I>,
        key: impl Fn(&I) -> &str,
        write: impl Fn(I) -> T,
    ) -> Result<Self> {
        let (limit, after) = (paging.limit()? as usize, paging.after()?);
        let mut rest = sorted.filter(|item| key(item) > after);
        let (mut items, mut last) = (Vec::new(), String::new());
        for item in rest.by_ref().take(limit) {
            key(&item).clone_into(&mut last);
            items.push(write(item));
        }
        Ok(Self {
            items,
            next_page_token: rest.next().map(|_| last),
        })
    }

    /// Makes a page of one item more than asked for, which tells whether there is another page.
    pub(super) fn new(mut items: Vec<T>, limit: u32, token: impl Fn(&T) -> String) -> Self {
        let more = items.len() > limit as usize;
        items.truncate(limit as usize);
        let next_page_token = items.last().filter(|_| more).map(token);
        Self {
            items,
            next_page_token,
        }
    }
}

impl Saying {
    pub(super) fn message(&self) -> Result<&str> {
        let message = self.message.as_deref().unwrap_or_default();
        if message.len() > MESSAGE_MAX || message.chars().any(char::is_control) {
            return Err(Problem::new(
                Kind::BadRequest,
                "`message` is at most 1000 bytes without control characters",
            ));
        }
        Ok(message)
    }
}

/// The variables of a path. The first is the fleet; a text that cannot be a fleet's name is a fleet that is not there.
#[derive(Clone, Debug)]
pub(super) struct PathOf<T>(pub(super) T);

/// Types that a path's variables are read as.
pub(super) trait Names {
    fn fleet(&self) -> &str;
}

impl Names for String {
    fn fleet(&self) -> &str {
        self
    }
}

impl<T> Names for (String, T) {
    fn fleet(&self) -> &str {
        &self.0
    }
}

impl<T, U> Names for (String, T, U) {
    fn fleet(&self) -> &str {
        &self.0
    }
}

impl<S: Send + Sync, T: Names + DeserializeOwned + Send> FromRequestParts<S> for PathOf<T> {
    type Rejection = Response;

    async fn from_request_parts(
        parts: &mut Parts,
        state: &S,
    ) -> std::result::Result<Self, Response> {
        let AxumPath(names) = AxumPath::<T>::from_request_parts(parts, state)
            .await
            .map_err(IntoResponse::into_response)?;
        match text::name(names.fleet()) {
            Ok(()) => Ok(Self(names)),
            Err(_) => Err(Problem::no_fleet(names.fleet()).into_response()),
        }
    }
}

/// The state that an answer is made from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Point {
    /// The revision.
    pub(super) revision: u64,
    /// How long ago it was known to be the newest, if the database cannot be asked.
    pub(super) age: Option<Duration>,
}

impl From<u64> for Point {
    fn from(revision: u64) -> Self {
        Self {
            revision,
            age: None,
        }
    }
}

/// An answer made from a revision.
pub(super) fn at_revision(point: impl Into<Point>, answer: impl IntoResponse) -> Response {
    let Point { revision, age } = point.into();
    let mut response = aged(age, answer);
    let headers = response.headers_mut();
    headers.insert(CONFIG_REVISION, HeaderValue::from(revision));
    response
}

/// JSON that no single revision is the base of.
pub(super) fn json_aged<T: Serialize>(age: Option<Duration>, value: T) -> Response {
    aged(age, Json(value))
}

fn aged(age: Option<Duration>, answer: impl IntoResponse) -> Response {
    let mut response = answer.into_response();
    if let Some(age) = age {
        let headers = response.headers_mut();
        headers.insert(CONFIG_STALE_SECONDS, HeaderValue::from(age.as_secs()));
    }
    response
}

/// JSON made from a revision.
pub(super) fn json_at<T: Serialize>(point: impl Into<Point>, value: T) -> Response {
    at_revision(point, Json(value))
}

/// The value of a header as text.
pub(super) fn header_text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
