//! Entity tags and the conditions that requests put on them (RFC 9110 section 13): nobody overwrites what they have
//! not seen.

use std::convert::Infallible;

use super::etag::Etag;
use super::problem::{Kind, Problem};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, header};

/// What a request demands of the state it meets.
#[derive(Clone, Debug, Default)]
pub(super) struct Precondition {
    if_match: Option<Tags>,
    if_none_match: Option<Tags>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Tags {
    Any,
    These(Vec<String>),
}

impl Precondition {
    /// Whether a write may go on, given the tag of what is there now. What exists is changed only by those who say
    /// which state they mean: 428 without a condition, 412 with one that does not hold.
    pub(super) fn check_write(&self, current: Option<&Etag>) -> Result<(), Problem> {
        let required =
            current.is_some() && self.if_match.is_none() && self.if_none_match != Some(Tags::Any);
        if required {
            let detail = "this exists; send If-Match with the ETag that you have read, or `If-Match: *` to overwrite whatever is there";
            return Err(Problem::new(Kind::PreconditionRequired, detail).with_etag(current));
        }
        let matches = self.if_match.as_ref().is_none_or(|tags| tags.hold(current));
        let absent = self
            .if_none_match
            .as_ref()
            .is_none_or(|tags| !tags.hold(current));
        if matches && absent {
            return Ok(());
        }
        let detail = match current {
            Some(etag) => format!("the condition does not hold: the current ETag is {etag}"),
            None => "the condition does not hold: it does not exist".to_owned(),
        };
        Err(Problem::new(Kind::RevisionConflict, detail).with_etag(current))
    }

    /// Whether a reader has this state already.
    pub(super) fn has(&self, current: &Etag) -> bool {
        self.if_none_match
            .as_ref()
            .is_some_and(|tags| tags.hold(Some(current)))
    }
}

impl Tags {
    /// A weak tag never equals a strong one where a write is concerned; a reader's weak tag (a proxy on the way may
    /// have weakened it) names the same state all the same, and reading is all that it can be used for.
    fn hold(&self, current: Option<&Etag>) -> bool {
        match (self, current) {
            (_, None) => false,
            (Self::Any, Some(_)) => true,
            (Self::These(tags), Some(current)) => tags.iter().any(|tag| current.is(tag)),
        }
    }

    fn parse(headers: &HeaderMap, name: &HeaderName, weak_too: bool) -> Option<Self> {
        let mut values = headers.get_all(name).iter().peekable();
        values.peek()?;
        let mut tags = Vec::new();
        for value in values.filter_map(|value| value.to_str().ok()) {
            for tag in value.split(',').map(str::trim) {
                match tag.strip_prefix("W/") {
                    _ if tag == "*" => return Some(Self::Any),
                    Some(tag) if weak_too => tags.push(tag.to_owned()),
                    Some(_) => {}
                    None => tags.push(tag.to_owned()),
                }
            }
        }
        Some(Self::These(tags))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Precondition {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(Self {
            if_match: Tags::parse(&parts.headers, &header::IF_MATCH, false),
            if_none_match: Tags::parse(&parts.headers, &header::IF_NONE_MATCH, true),
        })
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn verdict(if_match: Option<&str>, if_none_match: Option<&str>, current: Option<u64>) -> u16 {
        let mut headers = HeaderMap::new();
        let mut insert = |name: HeaderName, value: Option<&str>| {
            if let Some(value) = value {
                headers.insert(name, HeaderValue::from_str(value).unwrap());
            }
        };
        insert(header::IF_MATCH, if_match);
        insert(header::IF_NONE_MATCH, if_none_match);
        let precondition = Precondition {
            if_match: Tags::parse(&headers, &header::IF_MATCH, false),
            if_none_match: Tags::parse(&headers, &header::IF_NONE_MATCH, true),
        };
        let current = current.map(Etag::of_revision);
        precondition
            .check_write(current.as_ref())
            .map_or_else(|problem| problem.kind.status().as_u16(), |()| 200)
    }

    #[test]
    fn a_write_says_which_state_it_changes() {
        for (if_match, if_none_match, current, status) in [
            (None, None, None, 200),
            (None, None, Some(7), 428),
            (Some("*"), None, Some(7), 200),
            (Some("\"7\""), None, Some(7), 200),
            (Some("\"6\", \"7\""), None, Some(7), 200),
            (Some("\"6\""), None, Some(7), 412),
            (Some("W/\"7\""), None, Some(7), 412),
            (Some("7"), None, Some(7), 412),
            (Some("*"), None, None, 412),
            (Some("\"7\""), None, None, 412),
            (None, Some("*"), None, 200),
            (None, Some("*"), Some(7), 412),
            (None, Some("\"6\""), Some(7), 428),
            (Some("\"7\""), Some("*"), Some(7), 412),
        ] {
            assert_eq!(
                verdict(if_match, if_none_match, current),
                status,
                "{if_match:?} {if_none_match:?} {current:?}"
            );
        }
    }
}
