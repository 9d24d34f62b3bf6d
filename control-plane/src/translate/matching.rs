//! Conditions → `RouteMatch`: path, methods, headers, query.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher, RouteMatch};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use crate::model::route::{Condition, HeaderMatch, Match, PathMatch, QueryMatch};

/// A path condition, and what replaces the part of the path that it matches.
pub(super) type PathRule = (PathSpecifier, Option<String>);

/// The path conditions that a route needs: two if its prefix is replaced by `/`, one otherwise.
///
/// Envoy replaces text, not segments: `/api` → `/` would turn `/api/x` into `//x`. Written as the path `/api` and the
/// prefix `/api/`, which together match what the segment prefix matches, the replaced text ends with a slash as `/`
/// does. For the prefix `/` it is the other way round: its slash is replaced, so the new prefix needs one.
pub(super) fn path_rules(path: Option<&PathMatch>, new_prefix: Option<&str>) -> Vec<PathRule> {
    let new = new_prefix.map(str::to_owned);
    match path {
        None => vec![any_path(new)],
        Some(PathMatch::Prefix(prefix)) if prefix == "/" => vec![any_path(new)],
        Some(PathMatch::Prefix(prefix)) if new.as_deref() == Some("/") => vec![
            (PathSpecifier::Path(prefix.clone()), new.clone()),
            (PathSpecifier::Prefix(format!("{prefix}/")), new),
        ],
        Some(PathMatch::Prefix(prefix)) => {
            vec![(PathSpecifier::PathSeparatedPrefix(prefix.clone()), new)]
        }
        Some(PathMatch::Exact(path)) => vec![(PathSpecifier::Path(path.clone()), new)],
        Some(PathMatch::StringPrefix(prefix)) => vec![(PathSpecifier::Prefix(prefix.clone()), new)],
        Some(PathMatch::Regex(pattern)) => vec![(PathSpecifier::SafeRegex(regex(pattern)), new)],
    }
}

fn any_path(new: Option<String>) -> PathRule {
    let new = new.map(|new| if new.ends_with('/') { new } else { new + "/" });
    (PathSpecifier::Prefix("/".to_owned()), new)
}

pub(super) fn translate(conditions: &Match, path: PathSpecifier) -> RouteMatch {
    RouteMatch {
        path_specifier: Some(path),
        headers: methods(&conditions.methods)
            .into_iter()
            .chain(conditions.headers.iter().map(header))
            .collect(),
        query_parameters: conditions.query.iter().map(query).collect(),
        ..Default::default()
    }
}

/// Methods are a pseudo header in Envoy. They stand before the other headers; `origin` counts on that. They hold
/// letters, digits, `-` and `_` only, so the pattern needs no escapes.
fn methods(methods: &[String]) -> Option<HeaderMatcher> {
    let pattern = match methods {
        [] => return None,
        [one] => MatchPattern::Exact(one.clone()),
        several => MatchPattern::SafeRegex(regex(&several.join("|"))),
    };
    Some(HeaderMatcher {
        name: ":method".to_owned(),
        header_match_specifier: Some(HeaderMatchSpecifier::StringMatch(text(pattern, false))),
        ..Default::default()
    })
}

fn header(header: &HeaderMatch) -> HeaderMatcher {
    let specifier = match header.condition() {
        None => HeaderMatchSpecifier::PresentMatch(true),
        Some(Condition::Present(present)) => HeaderMatchSpecifier::PresentMatch(present),
        Some(condition) => {
            HeaderMatchSpecifier::StringMatch(text(pattern(condition), header.ignore_case))
        }
    };
    HeaderMatcher {
        name: header.name.to_ascii_lowercase(),
        invert_match: header.invert,
        header_match_specifier: Some(specifier),
        ..Default::default()
    }
}

fn query(query: &QueryMatch) -> QueryParameterMatcher {
    let specifier = match query.condition() {
        None => QueryParameterMatchSpecifier::PresentMatch(true),
        Some(Condition::Present(present)) => QueryParameterMatchSpecifier::PresentMatch(present),
        Some(condition) => {
            QueryParameterMatchSpecifier::StringMatch(text(pattern(condition), false))
        }
    };
    QueryParameterMatcher {
        name: query.name.clone(),
        query_parameter_match_specifier: Some(specifier),
    }
}

fn pattern(condition: Condition<'_>) -> MatchPattern {
    match condition {
        Condition::Exact(text) => MatchPattern::Exact(text.to_owned()),
        Condition::Prefix(text) => MatchPattern::Prefix(text.to_owned()),
        Condition::Suffix(text) => MatchPattern::Suffix(text.to_owned()),
        Condition::Contains(text) => MatchPattern::Contains(text.to_owned()),
        Condition::Regex(pattern) => MatchPattern::SafeRegex(regex(pattern)),
        Condition::Present(_) => unreachable!("presence is not a condition on a text"),
    }
}

fn text(pattern: MatchPattern, ignore_case: bool) -> StringMatcher {
    StringMatcher {
        match_pattern: Some(pattern),
        ignore_case,
    }
}

/// Envoy matches the whole text, so a pattern needs no anchors.
fn regex(pattern: &str) -> RegexMatcher {
    RegexMatcher {
        regex: pattern.to_owned(),
        ..Default::default()
    }
}
