//! What a route asks of the path, and the text it compares with.

use crate::regex_set::FullMatch;

/// A condition on the canonical path. `envoy.config.route.v3.RouteMatch.path_specifier`.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(PathText),
    /// How it begins, in whole segments: `/a` matches `/a` and `/a/b`, not `/ab`. Has no slash at its end.
    SegmentPrefix(PathText),
    /// How it begins, as text: `/a` matches `/ab` too.
    Prefix(PathText),
    /// A regular expression on the whole path; its case is its own matter (`RouteMatch.case_sensitive`).
    Regex {
        /// The pattern as written.
        pattern: Box<str>,
        /// It, compiled for the whole text.
        regex: Box<FullMatch>,
    },
}

impl PathMatch {
    /// Whether `path` satisfies the condition, asked alone.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => exact.begins(path) && path.len() == exact.len(),
            Self::SegmentPrefix(prefix) => {
                prefix.begins(path)
                    && matches!(path.as_bytes().get(prefix.len()), None | Some(b'/'))
            }
            Self::Prefix(prefix) => prefix.begins(path),
            Self::Regex { regex, .. } => regex.is_match(path),
        }
    }
}

/// A text that paths are compared with, with or without regard to the case of ASCII letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathText {
    /// In lower case if the case is ignored.
    text: Box<str>,
    ignore_case: bool,
}

impl PathText {
    /// A text that is compared without case (`RouteMatch.case_sensitive: false`).
    pub fn ignoring_case(text: &str) -> Self {
        Self {
            text: text.to_ascii_lowercase().into(),
            ignore_case: true,
        }
    }

    /// The text, in lower case if the case is ignored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether paths are compared without case.
    pub fn ignores_case(&self) -> bool {
        self.ignore_case
    }

    /// Its length in bytes, which is that of the part of a path that it matches.
    pub fn len(&self) -> usize {
        self.text.len()
    }

    /// Whether it is the empty text, with which every path begins.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    fn begins(&self, path: &str) -> bool {
        let Some(start) = path.as_bytes().get(..self.len()) else {
            return false;
        };
        if self.ignore_case {
            start.eq_ignore_ascii_case(self.text.as_bytes())
        } else {
            start == self.text.as_bytes()
        }
    }
}

/// A text that is compared with case.
impl<T: Into<Box<str>>> From<T> for PathText {
    fn from(text: T) -> Self {
        Self {
            text: text.into(),
            ignore_case: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_prefix_ends_at_a_segment_border_and_a_prefix_anywhere() {
        let segment = PathMatch::SegmentPrefix("/api".into());
        let string = PathMatch::Prefix("/api".into());
        for (path, by_segment, by_string) in [
            ("/api", true, true),
            ("/api/x", true, true),
            ("/apiary", false, true),
            ("/ap", false, false),
        ] {
            assert_eq!(
                (segment.matches(path), string.matches(path)),
                (by_segment, by_string),
                "{path}"
            );
        }
    }

    #[test]
    fn the_case_counts_unless_it_is_ignored() {
        let with_case = PathMatch::Exact("/Api".into());
        let without = PathMatch::Exact(PathText::ignoring_case("/Api"));
        for (path, by_case, by_letters) in [
            ("/Api", true, true),
            ("/aPI", false, true),
            ("/api/", false, false),
        ] {
            assert_eq!(
                (with_case.matches(path), without.matches(path)),
                (by_case, by_letters),
                "{path}"
            );
        }
    }
}
