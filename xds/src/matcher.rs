//! Conditions on a request, and what a request must show to be judged by them. Pure predicates; the order in
//! which they are asked is in `route_index`. Semantics follow Envoy's `route_components.proto` and `string.proto`.

use std::borrow::Cow;

use crate::regex_set::FullMatch;

/// What routing looks at. The proxy's compact head implements it, and so does the control plane's explain.
pub trait RequestView {
    /// The canonical routing host: lower case, without port.
    fn host(&self) -> &str;
    /// The method token, as sent.
    fn method(&self) -> &str;
    /// The canonical path, without query.
    fn path(&self) -> &str;
    /// What follows the first `?`, not decoded.
    fn query(&self) -> Option<&str>;
    /// The value of a field by its lower-case name; repeated fields are joined with a comma, as Envoy does.
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>>;
}

/// A condition on one text. `envoy.type.matcher.v3.StringMatcher`.
#[derive(Clone, Debug)]
pub struct StringMatch {
    /// How the text is compared.
    pub kind: StringMatchKind,
    /// Compare ASCII letters without case. Patterns are stored in lower case then; regular expressions ignore it.
    pub ignore_case: bool,
}

/// The kinds of text comparison.
#[derive(Clone, Debug)]
pub enum StringMatchKind {
    /// The whole text.
    Exact(Box<[u8]>),
    /// How it begins.
    Prefix(Box<[u8]>),
    /// How it ends.
    Suffix(Box<[u8]>),
    /// What it contains.
    Contains(Box<[u8]>),
    /// A regular expression on the whole text, in linear time.
    Regex(Box<FullMatch>),
}

impl StringMatch {
    /// Whether `text` satisfies the condition.
    pub fn matches(&self, text: &[u8]) -> bool {
        let text = if self.ignore_case {
            Cow::Owned(text.to_ascii_lowercase())
        } else {
            Cow::Borrowed(text)
        };
        match &self.kind {
            StringMatchKind::Exact(pattern) => *text == **pattern,
            StringMatchKind::Prefix(pattern) => text.starts_with(pattern),
            StringMatchKind::Suffix(pattern) => text.ends_with(pattern),
            StringMatchKind::Contains(pattern) => contains(&text, pattern),
            StringMatchKind::Regex(regex) => regex.is_match(&text),
        }
    }
}

fn contains(text: &[u8], pattern: &[u8]) -> bool {
    pattern.is_empty() || text.windows(pattern.len()).any(|window| window == pattern)
}

/// Which part of the head a header condition reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeaderKey {
    /// The pseudo header `:method`.
    Method,
    /// A field by its lower-case name.
    Field(Box<str>),
}

/// A condition on a header. `envoy.config.route.v3.HeaderMatcher`.
#[derive(Clone, Debug)]
pub struct HeaderMatch {
    /// What is read.
    pub key: HeaderKey,
    /// What must hold.
    pub condition: HeaderCondition,
    /// The answer is turned round.
    pub invert: bool,
    /// A missing header counts as an empty value.
    pub missing_as_empty: bool,
}

/// The condition on a header's value.
#[derive(Clone, Debug)]
pub enum HeaderCondition {
    /// The header is there (`true`) or not there (`false`).
    Present(bool),
    /// The value as text.
    Text(StringMatch),
    /// The value is a whole number in `start..end`.
    Range(std::ops::Range<i64>),
}

impl HeaderMatch {
    /// Whether the request satisfies the condition. A missing header never satisfies a condition on a value, not
    /// even an inverted one, unless it counts as empty (`HeaderMatcher.invert_match`).
    pub fn matches<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        let value = match &self.key {
            HeaderKey::Method => Some(Cow::Borrowed(request.method().as_bytes())),
            HeaderKey::Field(name) => request.header(name),
        };
        let value = value.or(self.missing_as_empty.then_some(Cow::Borrowed(&b""[..])));
        match (&self.condition, value) {
            (HeaderCondition::Present(wanted), value) => {
                (value.is_some() == *wanted) != self.invert
            }
            (_, None) => false,
            (HeaderCondition::Text(text), Some(value)) => text.matches(&value) != self.invert,
            (HeaderCondition::Range(range), Some(value)) => {
                whole_number(&value).is_some_and(|number| range.contains(&number)) != self.invert
            }
        }
    }
}

fn whole_number(value: &[u8]) -> Option<i64> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

/// A condition on a query parameter. `envoy.config.route.v3.QueryParameterMatcher`.
#[derive(Clone, Debug)]
pub struct QueryMatch {
    /// The parameter's name, not decoded.
    pub name: Box<str>,
    /// The condition on the first value of that name; `None` = it is enough that the parameter is there.
    pub value: Option<StringMatch>,
}

impl QueryMatch {
    /// Whether the query satisfies the condition. Names and values are compared as sent, without decoding, and only
    /// the first value of a repeated name counts, as in Envoy.
    pub fn matches(&self, query: Option<&str>) -> bool {
        let Some(value) = query.and_then(|query| first_value(query, &self.name)) else {
            return false;
        };
        self.value
            .as_ref()
            .is_none_or(|condition| condition.matches(value.as_bytes()))
    }
}

fn first_value<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests;
