//! What a route asks of a request: `envoy.config.route.v3.RouteMatch`.

use envoy_types::pb::envoy::config::route::v3::RouteMatch;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::{Conditions, PathMatch, PathText};

use super::matcher;

pub(super) fn convert(
    check: &mut Check,
    message: RouteMatch,
) -> Option<(PathMatch, Option<Box<Conditions>>)> {
    let RouteMatch {
        case_sensitive,
        runtime_fraction,
        headers,
        query_parameters,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state,
        path_specifier,
    } = message;
    refuse_if_set!(
        check,
        runtime_fraction,
        cookies,
        grpc,
        tls_context,
        dynamic_metadata,
        filter_state
    );
    let ignore_case = case_sensitive.is_some_and(|case_sensitive| !case_sensitive.value);
    let headers: Vec<_> = check.at("headers", |check| {
        headers
            .into_iter()
            .enumerate()
            .filter_map(|(index, header)| check.at(index, |check| matcher::header(check, header)))
            .collect()
    });
    let query: Vec<_> = check.at("query_parameters", |check| {
        query_parameters
            .into_iter()
            .enumerate()
            .filter_map(|(index, query)| check.at(index, |check| matcher::query(check, query)))
            .collect()
    });
    let path = convert_path(check, path_specifier, ignore_case)?;
    let is_more = !headers.is_empty() || !query.is_empty();
    let conditions = is_more.then(|| {
        Box::new(Conditions {
            headers: headers.into(),
            query: query.into(),
        })
    });
    Some((path, conditions))
}

fn convert_path(
    check: &mut Check,
    specifier: Option<PathSpecifier>,
    ignore_case: bool,
) -> Option<PathMatch> {
    let text = |text: String| -> PathText {
        if ignore_case {
            PathText::ignoring_case(&text)
        } else {
            text.into()
        }
    };
    match specifier {
        None => {
            check.problem_at(
                "prefix",
                Code::Required,
                "a route must say which paths it is for",
            );
            None
        }
        Some(PathSpecifier::Prefix(prefix)) => Some(PathMatch::Prefix(text(prefix))),
        Some(PathSpecifier::Path(path)) if path.is_empty() => {
            check.problem_at("path", Code::Required, "an exact path must not be empty");
            None
        }
        Some(PathSpecifier::Path(path)) => Some(PathMatch::Exact(text(path))),
        Some(PathSpecifier::PathSeparatedPrefix(prefix)) => {
            // The rule of the message: at least two characters, no `?` and `#`, no slash at the end.
            if prefix.len() < 2 || prefix.contains(['?', '#']) || prefix.ends_with('/') {
                check.problem_at("path_separated_prefix", Code::Invalid, format!("{prefix:?} is not a prefix of whole segments: it must not hold `?` or `#`, nor end with a slash"));
                return None;
            }
            Some(PathMatch::SegmentPrefix(text(prefix)))
        }
        Some(PathSpecifier::SafeRegex(message)) => {
            let (pattern, regex) =
                check.at("safe_regex", |check| matcher::regex(check, message))?;
            Some(PathMatch::Regex {
                pattern,
                regex: Box::new(regex),
            })
        }
        Some(PathSpecifier::ConnectMatcher(_)) => {
            check.problem_at(
                "connect_matcher",
                Code::Unsupported,
                "CONNECT is not supported",
            );
            None
        }
        Some(PathSpecifier::PathMatchPolicy(_)) => {
            check.problem_at(
                "path_match_policy",
                Code::Unsupported,
                "path templates are not supported",
            );
            None
        }
    }
}
