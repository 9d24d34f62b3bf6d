//! VirtualHost: some hosts and the ordered list of their routes. `envoy.config.route.v3.VirtualHost`.

use std::fmt;
use std::sync::Arc;

use envoy_types::pb::envoy::config::route::v3::virtual_host::TlsRequirementType;
use envoy_types::pb::envoy::config::route::v3::{
    Route as RouteMessage, VirtualHost as VirtualHostMessage,
};

use prost::Message as _;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use smallvec::SmallVec;

use crate::names::Names;
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
    /// The hosts it answers for; at least one, and most have no other.
    pub domains: SmallVec<[Domain; 1]>,
    /// Its routes.
    pub routes: RouteIndex,
    /// Edits of heads, for all its routes; few hosts have any.
    pub edits: Option<Box<LevelEdits>>,
    /// What it was read from.
    pub(super) content: Content,
}

/// The tag of `VirtualHost.routes`.
const ROUTES_TAG: u32 = 3;

/// What a virtual host was read from, as a hash: the same content gives the same virtual host. As long as that of a
/// [`Version`](crate::version::Version), by which two contents are told apart everywhere else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Content([u8; 16]);

impl Content {
    pub(super) fn of(bytes: &[u8]) -> Self {
        let hash = blake3::hash(bytes);
        let (beginning, _) = hash.as_bytes().as_chunks();
        Self(beginning[0])
    }
}

/// A virtual host that is to be read: the message apart from its routes, and the bytes of those. They are read one after the
/// other, since a message takes several times the memory of what it becomes.
#[derive(Debug)]
pub(super) struct Parts<'b> {
    frame: VirtualHostMessage,
    routes: Vec<&'b [u8]>,
}

impl<'b> Parts<'b> {
    /// Takes a message apart. `None` if it is none: whoever reads it as one says why.
    pub(super) fn of(bytes: &'b [u8]) -> Option<Self> {
        let (mut rest, mut frame, mut routes) = (bytes, Vec::new(), Vec::new());
        while !rest.is_empty() {
            let field = rest;
            let (tag, wire_type) = decode_key(&mut rest).ok()?;
            if (tag, wire_type) == (ROUTES_TAG, WireType::LengthDelimited) {
                let length = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
                let (route, after) = rest.split_at_checked(length)?;
                routes.push(route);
                rest = after;
            } else {
                skip_field(wire_type, tag, &mut rest, DecodeContext::default()).ok()?;
                frame.extend_from_slice(&field[..field.len() - rest.len()]);
            }
        }
        let frame = VirtualHostMessage::decode(&*frame).ok()?;
        Some(Self { frame, routes })
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
    parts: Parts<'_>,
    content: Content,
    names: &mut Names,
) -> Result<VirtualHost, Vec<Problem>> {
    let mut check = Check::new(ResourceType::VirtualHost, &parts.frame.name).sharing(names);
    let host = convert_in(&mut check, parts, content);
    check.give_back(names);
    check.finish(host)
}

/// Reads a virtual host where it stands; what is wrong is noted in `check`.
#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert_in(
    check: &mut Check,
    parts: Parts<'_>,
    content: Content,
) -> Option<VirtualHost> {
    let VirtualHostMessage {
        name,
        domains,
        // Apart from the rest.
        routes: _,
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
    } = parts.frame;
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
    let routes = convert_routes(check, &parts.routes);
    match RouteIndex::new(routes) {
        Ok(routes) => Some(VirtualHost {
            name: name.into(),
            domains,
            routes,
            edits: (!edits.is_empty()).then(|| Box::new(edits)),
            content,
        }),
        Err(sentence) => {
            check.problem_at("routes", Code::Invalid, sentence);
            None
        }
    }
}

fn convert_domains(check: &mut Check, domains: &[String]) -> SmallVec<[Domain; 1]> {
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
        let mut read: SmallVec<_> = read.collect();
        read.shrink_to_fit();
        read
    })
}

fn convert_routes(check: &mut Check, routes: &[&[u8]]) -> Vec<Arc<Route>> {
    check.at("routes", |check| {
        let read = routes.iter().enumerate().filter_map(|(index, bytes)| {
            check.at(index, |check| match RouteMessage::decode(*bytes) {
                Ok(message) => route::convert(check, message).map(Arc::new),
                Err(error) => {
                    check.problem(Code::Undecodable, format!("not a route: {error}"));
                    None
                }
            })
        });
        read.collect()
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
