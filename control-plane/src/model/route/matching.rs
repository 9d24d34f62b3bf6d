//! What a request must look like for a route: its path and methods; headers and query are in `condition`.

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::condition::{HeaderMatch, QueryMatch, check_pattern};
use crate::model::is_default;
use crate::model::problem::{Check, Code};
use crate::model::text;

/// Conditions on a request. All of them must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Match {
    /// What the path must look like; every path matches if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathMatch>,
    /// The methods; all if not given.
    #[serde(default, skip_serializing_if = "is_default")]
    pub methods: Vec<String>,
    /// Conditions on headers.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: Vec<HeaderMatch>,
    /// Conditions on query parameters.
    #[serde(default, skip_serializing_if = "is_default")]
    pub query: Vec<QueryMatch>,
}

/// A condition on the canonical path.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// How it begins, in whole segments: `/a` matches `/a` and `/a/b`, not `/ab`.
    Prefix(String),
    /// How it begins, as text: `/a` matches `/ab` too.
    StringPrefix(String),
    /// A regular expression on the whole path.
    Regex(String),
}

impl Match {
    pub(super) fn check(&self, check: &mut Check) {
        if let Some(path) = &self.path {
            check.at("path", |check| path.check(check));
        }
        check.each("methods", &self.methods, |check, method| {
            if let Err(detail) = text::method(method) {
                check.problem(Code::Invalid, detail);
            }
        });
        check.distinct("methods", &self.methods, "method");
        check.each("headers", &self.headers, |check, header| {
            header.check(check);
        });
        check.each("query", &self.query, |check, query| query.check(check));
    }
}

impl Serialize for PathMatch {
    /// As a map with one key: in YAML a derived enum would be a tag instead.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([(self.field(), self.text())])
    }
}

impl PathMatch {
    /// Its text.
    pub fn text(&self) -> &str {
        match self {
            Self::Exact(text)
            | Self::Prefix(text)
            | Self::StringPrefix(text)
            | Self::Regex(text) => text,
        }
    }

    /// The field that holds it.
    pub const fn field(&self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Prefix(_) => "prefix",
            Self::StringPrefix(_) => "string_prefix",
            Self::Regex(_) => "regex",
        }
    }

    /// Whether the part that it matches can be replaced by another prefix.
    pub fn can_be_rewritten(&self) -> bool {
        !matches!(self, Self::Regex(_))
    }

    fn check(&self, check: &mut Check) {
        match self {
            Self::Exact(path) => check.rule("exact", text::path(path)),
            Self::Prefix(path) => check.rule("prefix", text::segment_prefix(path)),
            Self::StringPrefix(path) => check.rule("string_prefix", text::path(path)),
            Self::Regex(pattern) => check_pattern(check, "regex", pattern),
        }
    }
}
