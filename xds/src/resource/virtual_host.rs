//! VirtualHost: some hosts and the ordered list of their routes. `envoy.config.route.v3.VirtualHost`.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::VirtualHost as VirtualHostMessage;
use envoy_types::pb::envoy::config::route::v3::virtual_host::TlsRequirementType;

use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::route::{LevelEdits, Route};
use crate::route_index::RouteIndex;
use crate::type_url::ResourceType;

use super::{header_edits, route};

/// A validated virtual host, with the index over its routes: while the resource does not change, neither does this.
#[derive(Debug)]
pub struct VirtualHost {
    /// Its name.
    pub name: Arc<str>,
    /// The hosts it answers for; at least one.
    pub domains: Box<[Domain]>,
    /// Its routes.
    pub routes: RouteIndex,
    /// The clusters its routes may choose, sorted.
    pub clusters: Box<[Arc<str>]>,
    /// Length of the longest body that one of its routes answers with, in bytes.
    pub longest_body: usize,
    /// Edits of heads, for all its routes; few hosts have any.
    pub edits: Option<Box<LevelEdits>>,
    /// What it was read from.
    pub(super) content: Content,
}

/// What a virtual host was read from, as a hash: the same content gives the same virtual host.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Content([u8; 32]);

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).into())
    }
}

/// Says nothing: it is not a fact beside the virtual host's own.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Content")
    }
}

/// A host pattern, in lower case and without port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Domain {
    /// `shop.example`
    Exact(Box<str>),
    /// `*.shop.example`: holds `.shop.example`.
    Suffix(Box<str>),
    /// `shop.*`: holds `shop.`.
    Prefix(Box<str>),
    /// `*`
    Any,
}

impl fmt::Display for Domain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => write!(f, "{host}"),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Any => f.write_str("*"),
        }
    }
}

impl Domain {
    /// Reads a pattern; `None` if it is none: empty, with a port, or with a star in its middle.
    pub fn parse(pattern: &str) -> Option<Self> {
        let pattern = pattern.to_ascii_lowercase();
        if pattern == "*" {
            return Some(Self::Any);
        }
        if !pattern.is_ascii()
            || pattern
                .bytes()
                .any(|byte| byte <= b' ' || b"/@,?#\x7f".contains(&byte))
            || has_port(&pattern)
        {
            return None;
        }
        let without_star =
            |text: &str| (!text.is_empty() && !text.contains('*')).then(|| text.into());
        if let Some(suffix) = pattern.strip_prefix('*') {
            return without_star(suffix).map(Self::Suffix);
        }
        if let Some(prefix) = pattern.strip_suffix('*') {
            return without_star(prefix).map(Self::Prefix);
        }
        without_star(&pattern).map(Self::Exact)
    }
}

/// Hosts are matched without their port, so a pattern with one would never match. `[::1]` has none.
fn has_port(pattern: &str) -> bool {
    pattern
        .rsplit_once(':')
        .is_some_and(|(host, _)| !host.contains(':') || host.ends_with(']'))
}

/// Reads a virtual host that came as a resource of its own.
pub(super) fn convert(
    message: VirtualHostMessage,
    content: Content,
) -> Result<VirtualHost, Vec<Problem>> {
    let mut check = Check::new(ResourceType::VirtualHost, &message.name);
    let host = convert_in(&mut check, message, content);
    check.finish(host)
}

/// Reads a virtual host where it stands; what is wrong is noted in `check`.
#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert_in(
    check: &mut Check,
    message: VirtualHostMessage,
    content: Content,
) -> Option<VirtualHost> {
    let VirtualHostMessage {
        name,
        domains,
        routes,
        matcher,
        require_tls,
        virtual_clusters,
        rate_limits,
        request_headers_to_add,
        request_headers_to_remove,
        response_headers_to_add,
        response_headers_to_remove,
        cors,
        typed_per_filter_config,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        request_mirror_policies,
        // Opaque to a proxy whose filters do not read it.
        metadata: _,
        route_specifiers,
    } = message;
    refuse_if_set!(
        check,
        matcher,
        virtual_clusters,
        rate_limits,
        cors,
        typed_per_filter_config
    );
    refuse_if_set!(
        check,
        include_request_attempt_count,
        include_attempt_count_in_response,
        retry_policy
    );
    refuse_if_set!(
        check,
        retry_policy_typed_config,
        hedge_policy,
        include_is_timeout_retry_header
    );
    refuse_if_set!(
        check,
        per_request_buffer_limit_bytes,
        request_body_buffer_limit,
        request_mirror_policies
    );
    refuse_if_set!(check, route_specifiers);
    if require_tls != TlsRequirementType::None as i32 {
        check.problem_at(
            "require_tls",
            Code::Unsupported,
            "forcing TLS is not supported",
        );
    }
    if name.is_empty() {
        check.problem_at("name", Code::Required, "a virtual host needs a name");
    }
    let edits = header_edits::convert(
        check,
        header_edits::Fields {
            request_headers_to_add,
            request_headers_to_remove,
            response_headers_to_add,
            response_headers_to_remove,
        },
    );
    let domains = convert_domains(check, &domains);
    let routes = convert_routes(check, routes);
    let clusters: BTreeSet<_> = routes.iter().flat_map(|route| route.clusters()).collect();
    let clusters = clusters.into_iter().cloned().collect();
    let longest_body = routes.iter().map(|route| route.body_len()).max();
    match RouteIndex::new(routes) {
        Ok(routes) => Some(VirtualHost {
            name: name.into(),
            domains,
            routes,
            clusters,
            longest_body: longest_body.unwrap_or(0),
            edits: (!edits.is_empty()).then(|| Box::new(edits)),
            content,
        }),
        Err(sentence) => {
            check.problem_at("routes", Code::Invalid, sentence);
            None
        }
    }
}

fn convert_domains(check: &mut Check, domains: &[String]) -> Box<[Domain]> {
    if domains.is_empty() {
        check.problem_at(
            "domains",
            Code::Required,
            "a virtual host needs at least one domain",
        );
    }
    check.at("domains", |check| {
        let read = domains.iter().enumerate().filter_map(|(index, pattern)| {
            let domain = Domain::parse(pattern);
            if domain.is_none() {
                check.problem_at(
                    index,
                    Code::Invalid,
                    format!(
                        "{pattern:?} is not a host, `*.suffix`, `prefix.*` or `*` (without port)"
                    ),
                );
            }
            domain
        });
        read.collect()
    })
}

fn convert_routes(
    check: &mut Check,
    routes: Vec<envoy_types::pb::envoy::config::route::v3::Route>,
) -> Vec<Arc<Route>> {
    check.at("routes", |check| {
        let read = routes.into_iter().enumerate();
        read.filter_map(|(index, message)| {
            check
                .at(index, |check| route::convert(check, message))
                .map(Arc::new)
        })
        .collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_read_by_the_place_of_their_star() {
        let cases = [
            ("Shop.Example", Some(Domain::Exact("shop.example".into()))),
            (
                "*.shop.example",
                Some(Domain::Suffix(".shop.example".into())),
            ),
            ("*-api.example", Some(Domain::Suffix("-api.example".into()))),
            ("shop.*", Some(Domain::Prefix("shop.".into()))),
            ("*", Some(Domain::Any)),
            ("[::1]", Some(Domain::Exact("[::1]".into()))),
            ("a.*.b", None),
            ("", None),
            ("shop.example:80", None),
            ("[::1]:80", None),
            ("a b", None),
        ];
        for (pattern, wanted) in cases {
            assert_eq!(Domain::parse(pattern), wanted, "{pattern}");
        }
    }
}
