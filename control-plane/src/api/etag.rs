//! Entity tags: what an answer says of the state it shows (RFC 9110, section 8.8.3). All of ours are strong.

use std::fmt;

use axum::http::HeaderValue;
use serde::Serialize;

use crate::model::canonical;

/// A strong entity tag, with its quotes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Etag(String);

impl Etag {
    /// The tag of a resource: a hash of its content.
    pub(super) fn of<T: Serialize>(resource: &T) -> Self {
        Self::of_hash(&canonical::hash(&canonical::to_bytes(resource)))
    }

    pub(super) fn of_hash(hash: &canonical::Hash) -> Self {
        Self(format!("\"{}\"", &canonical::hex(hash)[..32]))
    }

    /// The tag of a whole config: its revision. It names the state; JSON and YAML are two writings of it.
    pub(super) fn of_revision(revision: u64) -> Self {
        Self(format!("\"{revision}\""))
    }

    /// Whether it is this tag, written with its quotes.
    pub(super) fn is(&self, tag: &str) -> bool {
        self.0 == tag
    }

    pub(super) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a tag holds digits and quotes only")
    }
}

impl fmt::Display for Etag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
