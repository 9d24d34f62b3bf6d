//! What a route does with a request: forward it, redirect it, or answer it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::headers::check_values;
use super::matching::PathMatch;
use crate::model::endpoint::{is_one, one};
use crate::model::is_default;
use crate::model::problem::{Check, Code};
use crate::model::text;

/// Sends a request to a cluster. Exactly one of `cluster` and `clusters` is given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Forward {
    /// Always to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "catalog")]
    pub cluster: Option<String>,
    /// To one of these, by weight.
    #[serde(default, skip_serializing_if = "is_default")]
    pub clusters: Vec<WeightedCluster>,
}

/// A cluster with its share.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeightedCluster {
    /// The cluster.
    #[schema(example = "catalog")]
    pub name: String,
    /// Its share against the others; 0 gets nothing.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    #[schema(default = 1)]
    pub weight: u32,
}

/// Answers with another place to go to. What is not given stays as it was in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Redirect {
    /// The new scheme.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<Scheme>,
    /// The new host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "shop.example")]
    pub host: Option<String>,
    /// The new port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    pub port: Option<u16>,
    /// The new path; with a query of its own it replaces the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// What replaces the part of the path that the route matched. Not together with `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_prefix: Option<String>,
    /// Leave the query out.
    #[serde(default, skip_serializing_if = "is_default")]
    pub strip_query: bool,
    /// 301, 302, 303, 307 or 308.
    #[serde(default = "moved", skip_serializing_if = "is_moved")]
    #[schema(default = 301)]
    pub status: u16,
}

/// A scheme.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

/// Answers at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Respond {
    /// The status, 200 to 599.
    #[schema(minimum = 200, maximum = 599, example = 200)]
    pub status: u16,
    /// The body.
    #[serde(default, skip_serializing_if = "is_default")]
    pub body: String,
    /// Fields of the response.
    #[serde(default, skip_serializing_if = "is_default")]
    pub headers: BTreeMap<String, String>,
}

/// Changes the path of a forwarded request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rewrite {
    /// What replaces the part of the path that the route matched: the prefix, or the whole exact path.
    #[schema(example = "/v2/products")]
    pub path_prefix: String,
}

/// Longest body of a direct response: Envoy's default for `RouteConfiguration.max_direct_response_body_size_bytes`.
const BODY_MAX: usize = 4_096;

const MOVED_PERMANENTLY: u16 = 301;

impl Forward {
    /// The clusters with their weights, however they are written.
    pub fn targets(&self) -> impl Iterator<Item = (&str, u32)> {
        let one = self.cluster.as_deref().map(|name| (name, 1));
        one.into_iter().chain(
            self.clusters
                .iter()
                .map(|cluster| (cluster.name.as_str(), cluster.weight)),
        )
    }

    pub(super) fn check(&self, check: &mut Check) {
        match (&self.cluster, self.clusters.is_empty()) {
            (None, true) => check.problem(Code::Required, "`forward` has `cluster` or `clusters`"),
            (Some(_), false) => {
                check.problem_at(
                    "clusters",
                    Code::Invalid,
                    "`forward` has `cluster` or `clusters`, not both",
                );
            }
            (Some(_), true) => {}
            (None, false) => self.check_weights(check),
        }
    }

    fn check_weights(&self, check: &mut Check) {
        check.distinct(
            "clusters",
            self.clusters.iter().map(|cluster| &cluster.name),
            "cluster",
        );
        let total: u64 = self
            .clusters
            .iter()
            .map(|cluster| u64::from(cluster.weight))
            .sum();
        if !(1..=u64::from(u32::MAX)).contains(&total) {
            // Envoy's rule for the sum of `WeightedCluster.clusters[].weight`.
            check.problem_at(
                "clusters",
                Code::Invalid,
                "the weights sum up to 1 at least and 4294967295 at most",
            );
        }
    }
}

impl Redirect {
    pub(super) fn check(&self, check: &mut Check, matched: Option<&PathMatch>) {
        let elsewhere = self.scheme.is_some() || self.host.is_some() || self.port.is_some();
        if !elsewhere && self.path.is_none() && self.path_prefix.is_none() {
            let detail = "a redirect changes at least one of scheme, host, port and path, else it leads back to itself";
            check.problem(Code::Required, detail);
        }
        if let Some(host) = &self.host {
            check.rule("host", text::host(host));
        }
        if self.port == Some(0) {
            check.problem_at("port", Code::Invalid, "a port is 1 to 65535");
        }
        if let Some(path) = &self.path {
            check.rule(
                "path",
                text::path(path.split('?').next().unwrap_or_default()),
            );
            if path
                .bytes()
                .any(|byte| !byte.is_ascii_graphic() || byte == b'#')
            {
                check.problem_at(
                    "path",
                    Code::Invalid,
                    "a path and its query are visible ASCII without `#`",
                );
            }
        }
        if let Some(prefix) = &self.path_prefix {
            check_new_prefix(check, prefix, matched);
            if self.path.is_some() {
                check.problem_at(
                    "path_prefix",
                    Code::Invalid,
                    "a redirect has `path` or `path_prefix`, not both",
                );
            }
        }
        if ![301, 302, 303, 307, 308].contains(&self.status) {
            check.problem_at(
                "status",
                Code::Invalid,
                "a redirect's status is 301, 302, 303, 307 or 308",
            );
        }
    }
}

impl Respond {
    pub(super) fn check(&self, check: &mut Check) {
        if !(200..=599).contains(&self.status) {
            check.problem_at("status", Code::Invalid, "a status is 200 to 599");
        }
        if self.body.len() > BODY_MAX {
            check.problem_at("body", Code::Invalid, "a body is at most 4096 bytes long");
        }
        // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: these have no content.
        if [204, 205, 304].contains(&self.status) && !self.body.is_empty() {
            check.problem_at(
                "body",
                Code::Invalid,
                format!("a response with status {} has no body", self.status),
            );
        }
        check.at("headers", |check| {
            check_values(check, &self.headers);
            // Envoy takes the field out of an answer without a body.
            let of_body = |name: &&String| name.eq_ignore_ascii_case("content-type");
            for name in self
                .headers
                .keys()
                .filter(of_body)
                .filter(|_| self.body.is_empty())
            {
                check.problem_at(
                    name.as_str(),
                    Code::Invalid,
                    "an answer without a body has no type",
                );
            }
        });
    }
}

/// Checks the field `path_prefix`, which replaces what `matched` matched.
pub(super) fn check_new_prefix(check: &mut Check, prefix: &str, matched: Option<&PathMatch>) {
    let by_segment = matched.is_none_or(|path| matches!(path, PathMatch::Prefix(_)));
    let rule = if by_segment {
        text::segment_prefix
    } else {
        text::path
    };
    check.rule("path_prefix", rule(prefix));
    if matched.is_some_and(|path| !path.can_be_rewritten()) {
        let detail = "what a regular expression matched has no prefix that could be replaced";
        check.problem_at("path_prefix", Code::Unsupported, detail);
    }
}

const fn moved() -> u16 {
    MOVED_PERMANENTLY
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's skip_serializing_if passes a reference"
)]
const fn is_moved(status: &u16) -> bool {
    *status == MOVED_PERMANENTLY
}
