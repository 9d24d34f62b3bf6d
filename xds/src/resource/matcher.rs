//! Conditions from their messages: `StringMatcher`, `RegexMatcher`, `HeaderMatcher`, `QueryParameterMatcher`.

use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::query_parameter_matcher::QueryParameterMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::{HeaderMatcher, QueryParameterMatcher};
use envoy_types::pb::envoy::r#type::matcher::v3::string_matcher::MatchPattern;
use envoy_types::pb::envoy::r#type::matcher::v3::{RegexMatcher, StringMatcher};

use crate::matcher::{
    HeaderCondition, HeaderKey, HeaderMatch, QueryMatch, StringMatch, StringMatchKind,
};
use crate::problem::{Check, Code};
use crate::regex_set::{self, FullMatch};

use super::value;

pub(super) fn header(check: &mut Check, message: HeaderMatcher) -> Option<HeaderMatch> {
    let HeaderMatcher {
        name,
        invert_match,
        treat_missing_header_as_empty,
        header_match_specifier,
    } = message;
    let key = header_key(check, &name);
    let condition = header_condition(check, header_match_specifier);
    Some(HeaderMatch {
        key: key?,
        condition: condition?,
        invert: invert_match,
        missing_as_empty: treat_missing_header_as_empty,
    })
}

fn header_key(check: &mut Check, name: &str) -> Option<HeaderKey> {
    match name {
        ":method" => return Some(HeaderKey::Method),
        _ if name.starts_with(':') || name.eq_ignore_ascii_case("host") => {
            check.problem_at(
                "name",
                Code::Unsupported,
                format!(
                    "{name:?} cannot be matched as a header; use the domains, the path or `:method`"
                ),
            );
            return None;
        }
        _ => {}
    }
    value::header_name(check, "name", name).map(HeaderKey::Field)
}

#[expect(
    deprecated,
    reason = "the older forms are still sent by control planes and mean the same"
)]
fn header_condition(
    check: &mut Check,
    specifier: Option<HeaderMatchSpecifier>,
) -> Option<HeaderCondition> {
    let text = |kind| {
        Some(HeaderCondition::Text(StringMatch {
            kind,
            ignore_case: false,
        }))
    };
    match specifier {
        // Envoy: without a specifier the presence of the header is what is asked for.
        None => Some(HeaderCondition::Present(true)),
        Some(HeaderMatchSpecifier::PresentMatch(present)) => {
            Some(HeaderCondition::Present(present))
        }
        Some(HeaderMatchSpecifier::StringMatch(message)) => check
            .at("string_match", |check| string(check, message))
            .map(HeaderCondition::Text),
        Some(HeaderMatchSpecifier::RangeMatch(range)) => {
            Some(HeaderCondition::Range(range.start..range.end))
        }
        Some(HeaderMatchSpecifier::ExactMatch(exact)) => {
            text(StringMatchKind::Exact(exact.into_bytes().into()))
        }
        Some(HeaderMatchSpecifier::PrefixMatch(prefix)) => {
            text(StringMatchKind::Prefix(prefix.into_bytes().into()))
        }
        Some(HeaderMatchSpecifier::SuffixMatch(suffix)) => {
            text(StringMatchKind::Suffix(suffix.into_bytes().into()))
        }
        Some(HeaderMatchSpecifier::ContainsMatch(part)) => {
            text(StringMatchKind::Contains(part.into_bytes().into()))
        }
        Some(HeaderMatchSpecifier::SafeRegexMatch(message)) => {
            let (_, regex) = check.at("safe_regex_match", |check| regex(check, message))?;
            text(StringMatchKind::Regex(Box::new(regex)))
        }
    }
}

pub(super) fn query(check: &mut Check, message: QueryParameterMatcher) -> Option<QueryMatch> {
    let QueryParameterMatcher {
        name,
        query_parameter_match_specifier,
    } = message;
    if name.is_empty() {
        check.problem_at("name", Code::Required, "a query parameter needs a name");
    }
    let value = match query_parameter_match_specifier {
        None | Some(QueryParameterMatchSpecifier::PresentMatch(true)) => None,
        Some(QueryParameterMatchSpecifier::PresentMatch(false)) => {
            check.problem_at(
                "present_match",
                Code::Unsupported,
                "only `true` is supported",
            );
            return None;
        }
        Some(QueryParameterMatchSpecifier::StringMatch(message)) => {
            Some(check.at("string_match", |check| string(check, message))?)
        }
    };
    (!name.is_empty()).then(|| QueryMatch {
        name: name.into(),
        value,
    })
}

fn string(check: &mut Check, message: StringMatcher) -> Option<StringMatch> {
    let StringMatcher {
        ignore_case,
        match_pattern,
    } = message;
    let bytes = |pattern: String| -> Box<[u8]> {
        if ignore_case {
            pattern.to_ascii_lowercase().into_bytes().into()
        } else {
            pattern.into_bytes().into()
        }
    };
    let kind = match match_pattern {
        None => {
            check.problem(
                Code::Required,
                "a condition on a text must say what to compare with",
            );
            return None;
        }
        Some(MatchPattern::Exact(exact)) => StringMatchKind::Exact(bytes(exact)),
        Some(MatchPattern::Prefix(prefix)) => StringMatchKind::Prefix(bytes(prefix)),
        Some(MatchPattern::Suffix(suffix)) => StringMatchKind::Suffix(bytes(suffix)),
        Some(MatchPattern::Contains(part)) => StringMatchKind::Contains(bytes(part)),
        Some(MatchPattern::SafeRegex(message)) => {
            let (_, regex) = check.at("safe_regex", |check| regex(check, message))?;
            // `StringMatcher.ignore_case` has no effect on a regular expression.
            return Some(StringMatch {
                kind: StringMatchKind::Regex(Box::new(regex)),
                ignore_case: false,
            });
        }
        Some(MatchPattern::Custom(_)) => {
            check.problem_at(
                "custom",
                Code::Unsupported,
                "custom string matchers are not supported",
            );
            return None;
        }
    };
    Some(StringMatch { kind, ignore_case })
}

/// The pattern as written, and compiled for the whole text.
pub(super) fn regex(check: &mut Check, message: RegexMatcher) -> Option<(Box<str>, FullMatch)> {
    // RE2 is the only engine that Envoy ever had, and linear time is what it promises; ours promises the same.
    let RegexMatcher {
        regex,
        engine_type: _,
    } = message;
    if regex.is_empty() {
        check.problem_at(
            "regex",
            Code::Required,
            "a regular expression must not be empty",
        );
        return None;
    }
    match regex_set::full_match(&regex) {
        Ok(compiled) => Some((regex.into(), compiled)),
        Err(sentence) => {
            check.problem_at("regex", Code::Invalid, sentence);
            None
        }
    }
}
