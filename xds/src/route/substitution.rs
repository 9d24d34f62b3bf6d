//! Replacing by regular expression: `envoy.type.matcher.v3.RegexMatchAndSubstitute`. Every match in a text is replaced, as
//! RE2's `GlobalReplace` does; `\1` to `\9` stand for what a group matched, `\0` for the whole match, `\\` for a backslash.

use std::ops::Range;

use regex_automata::meta::Regex;
use regex_automata::util::captures::Captures;

use crate::regex_set;

/// A pattern with what takes the place of its matches.
#[derive(Clone, Debug)]
pub struct Substitution {
    regex: Box<Regex>,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    Group(usize),
}

/// What is wrong with a substitution, and in which of its two texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubstitutionError {
    /// The pattern does not compile.
    Pattern(String),
    /// The replacement refers to what is not there.
    Replacement(String),
}

impl Substitution {
    /// Compiles a pattern and its replacement.
    ///
    /// # Errors
    /// The pattern does not compile, or the replacement has a stray backslash or names a group that the pattern does
    /// not have.
    pub fn new(pattern: &str, replacement: &str) -> Result<Self, SubstitutionError> {
        let regex = regex_set::anywhere(pattern).map_err(SubstitutionError::Pattern)?;
        let parts = parse(replacement).map_err(SubstitutionError::Replacement)?;
        let groups = regex.captures_len();
        for part in &parts {
            if let Part::Group(group) = part
                && *group >= groups
            {
                let sentence = format!("the pattern has no group {group}");
                return Err(SubstitutionError::Replacement(sentence));
            }
        }
        Ok(Self {
            regex: Box::new(regex),
            parts: parts.into(),
        })
    }

    /// The fixed texts of the replacement.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(text) => Some(&**text),
            Part::Group(_) => None,
        })
    }

    /// `text` with every match replaced.
    pub fn apply(&self, text: &str) -> String {
        let mut new = String::with_capacity(text.len());
        let mut copied = 0;
        for captures in self.regex.captures_iter(text) {
            let Some(matched) = captures.get_match() else {
                continue;
            };
            new.push_str(piece(text, copied..matched.start()));
            self.push_replacement(&mut new, text, &captures);
            copied = matched.end();
        }
        new.push_str(piece(text, copied..text.len()));
        new
    }

    fn push_replacement(&self, new: &mut String, text: &str, captures: &Captures) {
        for part in &self.parts {
            match part {
                Part::Literal(literal) => new.push_str(literal),
                Part::Group(group) => {
                    if let Some(span) = captures.get_group(*group) {
                        new.push_str(piece(text, span.range()));
                    }
                }
            }
        }
    }
}

/// A piece of the text; nothing if a pattern on bytes has split a character.
fn piece(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap_or_default()
}

fn parse(replacement: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = replacement.chars();
    while let Some(char) = rest.next() {
        if char != '\\' {
            literal.push(char);
            continue;
        }
        match rest.next() {
            Some('\\') => literal.push('\\'),
            Some(digit @ '0'..='9') => {
                if !literal.is_empty() {
                    parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                }
                parts.push(Part::Group(digit as usize - '0' as usize));
            }
            _ => return Err(r"after a backslash a digit or a backslash is needed".into()),
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(literal.into()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn replaced(pattern: &str, replacement: &str, text: &str) -> String {
        Substitution::new(pattern, replacement).unwrap().apply(text)
    }

    /// The examples of `route_components.proto`, `RouteAction.regex_rewrite`.
    #[test]
    fn the_documented_examples_hold() {
        let cases = [
            (
                "^/service/([^/]+)(/.*)$",
                r"\2/instance/\1",
                "/service/foo/v1/api",
                "/v1/api/instance/foo",
            ),
            ("one", "two", "/xxx/one/yyy/one/zzz", "/xxx/two/yyy/two/zzz"),
            (
                "^(.*?)one(.*)$",
                r"\1two\2",
                "/xxx/one/yyy/one/zzz",
                "/xxx/two/yyy/one/zzz",
            ),
            ("(?i)/xxx/", "/yyy/", "/aaa/XxX/bbb", "/aaa/yyy/bbb"),
        ];
        for (pattern, replacement, text, wanted) in cases {
            assert_eq!(replaced(pattern, replacement, text), wanted, "{pattern}");
        }
    }

    #[test]
    fn groups_backslashes_and_empty_matches_are_kept_apart() {
        assert_eq!(replaced("b", r"[\0\\]", "abc"), r"a[b\]c");
        assert_eq!(replaced("(x)?b", r"<\1>", "abxb"), "a<><x>");
        assert_eq!(replaced("b*", "-", "abc"), "-a-c-");
        assert_eq!(replaced("nothing", "-", "/a"), "/a");
    }

    #[test]
    fn a_group_that_is_not_there_and_a_stray_backslash_are_refused() {
        let replacement = |text| match Substitution::new("(a)", text) {
            Err(SubstitutionError::Replacement(sentence)) => sentence,
            other => panic!("{other:?}"),
        };
        assert_eq!(replacement(r"\2"), "the pattern has no group 2");
        assert!(replacement(r"\x").contains("backslash"));
        assert!(replacement("\\").contains("backslash"));
        assert!(matches!(
            Substitution::new("(", ""),
            Err(SubstitutionError::Pattern(_))
        ));
    }

    proptest! {
        #[test]
        fn a_match_that_is_replaced_by_itself_changes_nothing(
            pattern in proptest::sample::select(&["a", "a*", "", "(a|b)+", ".", "^/[^/]+", "b*$", "é"][..]),
            text in "[ab/é]{0,12}",
        ) {
            prop_assert_eq!(replaced(pattern, r"\0", &text), text);
        }
    }
}
