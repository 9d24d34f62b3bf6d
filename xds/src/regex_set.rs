//! Regular expressions that tenants write: full match, linear time, bounded size. One set answers for all
//! patterns of a virtual host in one pass over the path.

use regex_automata::meta::{self, Regex};
use regex_automata::util::syntax;
use regex_automata::{Input, MatchKind, PatternSet};

/// Largest compiled pattern, in bytes of its automaton; a bigger one is refused (Envoy bounds RE2 programs too).
const SIZE_LIMIT: usize = 256 * 1024;
/// Largest compiled set, in bytes; the sum over all patterns of one virtual host.
const SET_SIZE_LIMIT: usize = 64 * 1024 * 1024;

/// Compiles a pattern that must match the whole text, as RE2's `FullMatch`.
///
/// # Errors
/// Says what is wrong with the pattern: its syntax, or that it compiles to something too large.
pub fn full_match(pattern: &str) -> Result<Regex, String> {
    builder(SIZE_LIMIT)
        .build(&anchored(pattern))
        .map_err(|error| describe(&error))
}

/// Many patterns, each with the position of its route in the list.
#[derive(Debug)]
pub struct RegexSet {
    set: Regex,
    positions: Box<[u32]>,
}

impl RegexSet {
    /// Compiles patterns that each compile alone. `positions[i]` belongs to `patterns[i]`; both ascend.
    ///
    /// # Errors
    /// The patterns together are too large.
    pub fn new(patterns: &[&str], positions: Box<[u32]>) -> Result<Self, String> {
        let anchored: Vec<String> = patterns.iter().map(|pattern| anchored(pattern)).collect();
        let set = builder(SET_SIZE_LIMIT)
            .build_many(&anchored)
            .map_err(|error| describe(&error))?;
        Ok(Self { set, positions })
    }

    /// The lowest position in the set: nothing here can win against a route before it.
    pub fn lowest(&self) -> u32 {
        self.positions.first().copied().unwrap_or(u32::MAX)
    }

    /// The positions whose pattern matches `path`, ascending.
    pub fn matching(&self, path: &str) -> impl Iterator<Item = u32> {
        let mut found = PatternSet::new(self.positions.len());
        self.set
            .which_overlapping_matches(&Input::new(path), &mut found);
        let positions = &self.positions;
        let ids: Vec<usize> = found.iter().map(|id| id.as_usize()).collect();
        ids.into_iter().map(move |id| positions[id])
    }
}

fn anchored(pattern: &str) -> String {
    format!(r"\A(?:{pattern})\z")
}

fn builder(limit: usize) -> meta::Builder {
    // All matches count, not only the leftmost-first one: each pattern of a set answers for itself.
    let config = meta::Config::new()
        .match_kind(MatchKind::All)
        .nfa_size_limit(Some(limit));
    let mut builder = Regex::builder();
    builder
        .configure(config)
        .syntax(syntax::Config::new().unicode(true).utf8(false));
    builder
}

fn describe(error: &meta::BuildError) -> String {
    if let Some(limit) = error.size_limit() {
        return format!("the regular expression compiles to more than {limit} bytes");
    }
    match error.syntax_error() {
        Some(syntax) => format!(
            "not a regular expression: {}",
            last_line(&syntax.to_string())
        ),
        None => error.to_string(),
    }
}

/// The parser draws the pattern with markers and ends with the sentence; the sentence is enough for one line.
fn last_line(text: &str) -> String {
    text.lines()
        .last()
        .unwrap_or_default()
        .trim_start_matches("error: ")
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_must_match_the_whole_text_also_with_alternatives() {
        let regex = full_match("/a|/b").unwrap();
        assert!(regex.is_match("/a") && regex.is_match("/b"));
        assert!(!regex.is_match("/ab") && !regex.is_match("x/a"));
    }

    #[test]
    fn a_bad_or_huge_pattern_is_refused_with_a_sentence() {
        assert!(full_match("(").unwrap_err().contains("unclosed group"));
        assert!(
            full_match("a{1000}{1000}")
                .unwrap_err()
                .contains("more than")
        );
    }

    #[test]
    fn a_set_gives_every_matching_position_in_order() {
        let set = RegexSet::new(&["/a.*", "/b", "/ab?"], Box::new([3, 5, 9])).unwrap();
        assert_eq!(set.matching("/ab").collect::<Vec<_>>(), [3, 9]);
        assert_eq!(set.matching("/b").collect::<Vec<_>>(), [5]);
        assert_eq!(set.lowest(), 3);
    }
}
