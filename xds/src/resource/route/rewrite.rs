//! What changes on the way upstream: path and host rewrites of `envoy.config.route.v3.RouteAction`, and the replacement by
//! regular expression that redirects use too.

use envoy_types::pb::envoy::config::route::v3::route_action::HostRewriteSpecifier;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatchAndSubstitute, RegexMatcher};

use crate::problem::{Check, Code};
use crate::route::{HostRewrite, PathRewrite, Substitution, SubstitutionError};

use super::value;

/// At most one of the two forms may be set.
pub(super) fn path(
    check: &mut Check,
    prefix: String,
    regex: Option<RegexMatchAndSubstitute>,
) -> Option<PathRewrite> {
    if !prefix.is_empty() && regex.is_some() {
        check.problem_at(
            "regex_rewrite",
            Code::Invalid,
            "a path is rewritten by prefix or by regular expression, not by both",
        );
    }
    let is_whole_path = prefix.starts_with('/') && prefix.bytes().all(is_path);
    if !prefix.is_empty() && !is_whole_path {
        check.problem_at("prefix_rewrite", Code::Invalid, format!("{prefix:?} is not a path: it must begin with a slash and hold no control bytes, `?` or `#`"));
    }
    if let Some(message) = regex {
        return check
            .at("regex_rewrite", |check| {
                substitution(check, message, is_path)
            })
            .map(PathRewrite::Regex);
    }
    (!prefix.is_empty()).then(|| PathRewrite::Prefix(prefix.into()))
}

/// The new `Host` of a route.
pub(super) fn host(
    check: &mut Check,
    specifier: Option<HostRewriteSpecifier>,
) -> Option<HostRewrite> {
    match specifier? {
        HostRewriteSpecifier::HostRewriteLiteral(host) => host_literal(check, host),
        HostRewriteSpecifier::AutoHostRewrite(auto) => auto.value.then_some(HostRewrite::Endpoint),
        HostRewriteSpecifier::HostRewriteHeader(name) => {
            value::header_name(check, "host_rewrite_header", &name).map(HostRewrite::Header)
        }
        HostRewriteSpecifier::HostRewritePathRegex(message) => check
            .at("host_rewrite_path_regex", |check| {
                substitution(check, message, value::is_authority)
            })
            .map(HostRewrite::Path),
        HostRewriteSpecifier::HostRewrite(_) => {
            check.problem_at(
                "host_rewrite",
                Code::Unsupported,
                "a host by format is not supported; use `host_rewrite_literal`",
            );
            None
        }
    }
}

/// A fixed host; none if it is empty, as in Envoy.
pub(super) fn host_literal(check: &mut Check, host: String) -> Option<HostRewrite> {
    if !host.bytes().all(value::is_authority) {
        check.problem_at(
            "host_rewrite_literal",
            Code::Invalid,
            format!("{host:?} is not a host, with or without a port"),
        );
        return None;
    }
    (!host.is_empty()).then(|| HostRewrite::Literal(host.into()))
}

/// A replacement whose fixed texts hold nothing but what `is_legal` allows.
pub(super) fn substitution(
    check: &mut Check,
    message: RegexMatchAndSubstitute,
    is_legal: fn(u8) -> bool,
) -> Option<Substitution> {
    let RegexMatchAndSubstitute {
        pattern,
        substitution,
    } = message;
    // The engine does not matter: see `matcher::regex`.
    let RegexMatcher {
        regex,
        engine_type: _,
    } = pattern.unwrap_or_default();
    if regex.is_empty() {
        check.problem_at(
            "pattern",
            Code::Required,
            "a regular expression is needed and must not be empty",
        );
        return None;
    }
    match Substitution::new(&regex, &substitution) {
        Ok(compiled) if compiled.literals().all(|text| text.bytes().all(is_legal)) => {
            Some(compiled)
        }
        Ok(_) => {
            check.problem_at(
                "substitution",
                Code::Invalid,
                format!("{substitution:?} holds what cannot stand there"),
            );
            None
        }
        Err(SubstitutionError::Pattern(sentence)) => {
            check.at("pattern", |check| {
                check.problem_at("regex", Code::Invalid, sentence);
            });
            None
        }
        Err(SubstitutionError::Replacement(sentence)) => {
            check.problem_at("substitution", Code::Invalid, sentence);
            None
        }
    }
}

/// What may stand in a path on the wire; `?` and `#` would end it.
const fn is_path(byte: u8) -> bool {
    byte > b' ' && byte < 0x7f && byte != b'?' && byte != b'#'
}
