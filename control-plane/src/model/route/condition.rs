//! Conditions on headers and query parameters: each asks one thing of one value.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::is_default;
use crate::model::problem::{Check, Code};
use crate::model::text::{self, TEXT_MAX};

/// A condition on a header: exactly one of `exact`, `prefix`, `suffix`, `contains`, `regex` and `present`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderMatch {
    /// The name, in any case.
    #[schema(example = "x-beta")]
    pub name: String,
    /// The whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// How the value begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How the value ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// What the value contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A regular expression on the whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// Whether the header is there at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
    /// Compare without case.
    #[serde(default, skip_serializing_if = "is_default")]
    pub ignore_case: bool,
    /// The condition must not hold. A header that is missing still does not satisfy a condition on its value.
    #[serde(default, skip_serializing_if = "is_default")]
    pub invert: bool,
}

/// A condition on a query parameter: exactly one of `exact`, `prefix`, `suffix`, `contains`, `regex` and `present`.
/// Names and values are compared as they are sent, without decoding; the first value of a name counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryMatch {
    /// The name.
    #[schema(example = "lang")]
    pub name: String,
    /// The whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exact: Option<String>,
    /// How the value begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// How the value ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suffix: Option<String>,
    /// What the value contains.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contains: Option<String>,
    /// A regular expression on the whole value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub regex: Option<String>,
    /// `true`: it is enough that the parameter is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub present: Option<bool>,
}

/// The one thing that a [`HeaderMatch`] or a [`QueryMatch`] asks of its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition<'a> {
    /// The whole value.
    Exact(&'a str),
    /// How it begins.
    Prefix(&'a str),
    /// How it ends.
    Suffix(&'a str),
    /// What it contains.
    Contains(&'a str),
    /// A regular expression on the whole value.
    Regex(&'a str),
    /// Whether it is there.
    Present(bool),
}

impl Condition<'_> {
    /// The field that states it.
    pub const fn field(self) -> &'static str {
        match self {
            Self::Exact(_) => "exact",
            Self::Prefix(_) => "prefix",
            Self::Suffix(_) => "suffix",
            Self::Contains(_) => "contains",
            Self::Regex(_) => "regex",
            Self::Present(_) => "present",
        }
    }
}

/// The conditions that a header or query match states: one, if it is valid.
macro_rules! conditions {
    ($match:expr) => {
        [
            $match.exact.as_deref().map(Condition::Exact),
            $match.prefix.as_deref().map(Condition::Prefix),
            $match.suffix.as_deref().map(Condition::Suffix),
            $match.contains.as_deref().map(Condition::Contains),
            $match.regex.as_deref().map(Condition::Regex),
            $match.present.map(Condition::Present),
        ]
        .into_iter()
        .flatten()
    };
}

impl HeaderMatch {
    /// What it asks of the value; the first, should it ask more than one thing.
    pub fn condition(&self) -> Option<Condition<'_>> {
        self.conditions().next()
    }

    fn conditions(&self) -> impl Iterator<Item = Condition<'_>> {
        conditions!(self)
    }

    pub(super) fn check(&self, check: &mut Check) {
        check.rule("name", text::matchable_header_name(&self.name));
        check_conditions(check, self.conditions());
        if self.ignore_case && (self.regex.is_some() || self.present.is_some()) {
            let detail =
                "this has no effect with `regex` and `present`; a regex can begin with (?i)";
            check.problem_at("ignore_case", Code::Invalid, detail);
        }
    }
}

impl QueryMatch {
    /// What it asks of the value; the first, should it ask more than one thing.
    pub fn condition(&self) -> Option<Condition<'_>> {
        self.conditions().next()
    }

    fn conditions(&self) -> impl Iterator<Item = Condition<'_>> {
        conditions!(self)
    }

    pub(super) fn check(&self, check: &mut Check) {
        check.rule("name", text::query_name(&self.name));
        check_conditions(check, self.conditions());
        if self.present == Some(false) {
            check.problem_at(
                "present",
                Code::Unsupported,
                "that a parameter is absent cannot be asked",
            );
        }
    }
}

fn check_conditions<'a>(check: &mut Check, conditions: impl Iterator<Item = Condition<'a>>) {
    let mut first = None;
    for condition in conditions {
        let field = condition.field();
        if let Some(first) = first {
            check.problem_at(
                field,
                Code::Invalid,
                format!("a condition asks one thing, and this one has `{first}`"),
            );
            continue;
        }
        first = Some(field);
        match condition {
            Condition::Prefix(text) | Condition::Suffix(text) | Condition::Contains(text)
                if text.is_empty() =>
            {
                check.problem_at(
                    field,
                    Code::Invalid,
                    "an empty text holds for every value; use `present: true`",
                );
            }
            Condition::Exact(text)
            | Condition::Prefix(text)
            | Condition::Suffix(text)
            | Condition::Contains(text)
                if text.len() > TEXT_MAX =>
            {
                check.problem_at(field, Code::Invalid, "a text is at most 16384 bytes long");
            }
            Condition::Regex(pattern) => check_pattern(check, field, pattern),
            _ => {}
        }
    }
    if first.is_none() {
        let detail =
            "a condition has one of `exact`, `prefix`, `suffix`, `contains`, `regex` and `present`";
        check.problem(Code::Required, detail);
    }
}

/// Whether a pattern compiles is asked of the proxy's own compiler; here only what it would take for granted.
pub(super) fn check_pattern(check: &mut Check, field: &str, pattern: &str) {
    if pattern.is_empty() {
        check.problem_at(
            field,
            Code::Invalid,
            "an empty pattern matches nothing but the empty text",
        );
    } else if pattern.len() > TEXT_MAX {
        check.problem_at(
            field,
            Code::Invalid,
            "a pattern is at most 16384 bytes long",
        );
    }
}
