//! Regular expressions that tenants write: full match, linear time, bounded size. A [`RegexSet`] finds the first of
//! many that matches a path without asking them all.

mod perl;
mod required;
mod table;

use std::collections::HashMap;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use regex_automata::meta::{self, Regex};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input};
use regex_syntax::hir::{Hir, Look};
use smallvec::{SmallVec, smallvec};

use self::table::Table;

/// Largest compiled pattern, in bytes of its automaton; a bigger one is refused (Envoy bounds RE2 programs too).
const SIZE_LIMIT: usize = 256 * 1024;
/// Memory for the states that one thread has seen of one automaton, in bytes. When it is full it is emptied, so a
/// hostile path costs time, linear in its length, and no memory.
const STATES_LIMIT: usize = 256 * 1024;
/// Up to so many patterns are asked one by one: 10 to 20 ns each.
const FEW: usize = 8;
/// So many patterns share one automaton. One for 1,000 patterns has too many states to keep; without them a lookup
/// takes milliseconds and the scratch memory, which grows with the square of the patterns, gigabytes.
const CHUNK: usize = 32;

/// A pattern that must match the whole text, as RE2's `FullMatch`.
#[derive(Clone, Debug)]
pub struct FullMatch(Automaton);

#[derive(Clone, Debug)]
enum Automaton {
    /// Nearly always.
    Small(Table),
    /// For patterns whose table would be large.
    Large(Box<Regex>),
}

impl FullMatch {
    /// Whether the whole text matches, in time linear in its length.
    pub fn is_match(&self, text: impl AsRef<[u8]>) -> bool {
        let text = text.as_ref();
        match &self.0 {
            Automaton::Small(table) => table.is_match(text),
            Automaton::Large(regex) => regex.is_match(text),
        }
    }
}

/// Compiles a pattern that must match the whole text.
///
/// # Errors
/// Says what is wrong with the pattern: its syntax, or that it compiles to something too large.
pub fn full_match(pattern: &str) -> Result<FullMatch, String> {
    let pattern = anchored(parse(pattern)?);
    if let Some(table) = Table::new(&pattern) {
        return Ok(FullMatch(Automaton::Small(table)));
    }
    let regex = builder(SIZE_LIMIT)
        .build_from_hir(&pattern)
        .map_err(|error| describe(&error))?;
    Ok(FullMatch(Automaton::Large(Box::new(regex))))
}

/// Compiles a pattern that may match anywhere in the text, leftmost first, as RE2's `GlobalReplace` looks for it.
///
/// # Errors
/// As [`full_match`].
pub fn anywhere(pattern: &str) -> Result<Regex, String> {
    builder(SIZE_LIMIT)
        .build_from_hir(&parse(pattern)?)
        .map_err(|error| describe(&error))
}

/// Many patterns, each with the position of its route in the list.
///
/// A pattern is asked only if the path contains a text that every match of it contains; one automaton finds all such
/// texts in one pass. Patterns without such a text, or that share it with many others, stand in chunks.
#[derive(Debug)]
pub struct RegexSet {
    lowest: u32,
    /// Its pattern `i` opens `groups[i]`.
    texts: Option<AhoCorasick>,
    groups: Box<[Group]>,
    /// The patterns that no text announces.
    always: Group,
}

/// Patterns that are asked together, in chunks by ascending position.
#[derive(Debug, Default)]
struct Group(Box<[Chunk]>);

#[derive(Debug)]
struct Chunk {
    /// Ascending, not empty.
    positions: SmallVec<[u32; 4]>,
    /// All patterns at once; pattern `i` belongs to `positions[i]`.
    set: Option<Regex>,
}

impl RegexSet {
    /// Takes patterns that each compile alone. `positions[i]` belongs to `patterns[i]`; positions ascend.
    ///
    /// # Errors
    /// A pattern does not compile, or they are together too large.
    pub fn new(patterns: &[&str], positions: &[u32]) -> Result<Self, String> {
        let lowest = positions.first().copied().unwrap_or(u32::MAX);
        if patterns.len() <= FEW {
            return Ok(Self {
                lowest,
                texts: None,
                groups: Box::default(),
                always: Group::one_by_one(positions),
            });
        }
        let hirs = patterns.iter().map(|pattern| parse(pattern));
        let hirs: Vec<Hir> = hirs.collect::<Result<_, _>>()?;
        let group = |members: &[usize]| Group::new(members, &hirs, positions);
        let (texts, always) = by_text(&hirs);
        let automaton = AhoCorasick::builder()
            .kind(Some(AhoCorasickKind::ContiguousNFA))
            .build(texts.iter().map(|(text, _)| text))
            .map_err(|error| error.to_string())?;
        Ok(Self {
            lowest,
            texts: (!texts.is_empty()).then_some(automaton),
            groups: texts
                .iter()
                .map(|(_, members)| group(members))
                .collect::<Result<_, _>>()?,
            always: group(&always)?,
        })
    }

    /// The lowest position in the set: nothing here can win against a route before it.
    pub fn lowest(&self) -> u32 {
        self.lowest
    }

    /// The lowest position below `limit` that `matches`, else `limit`. `matches` is the truth about one route, its
    /// pattern included; it is asked only where the pattern may match.
    pub fn first(&self, path: &str, limit: u32, matches: impl Fn(u32) -> bool) -> u32 {
        let mut best = self.always.first(path, limit, &matches);
        let Some(texts) = &self.texts else {
            return best;
        };
        // Each group at most once, however often its text occurs, and in list order.
        let mut open: SmallVec<[u64; 16]> = smallvec![0; self.groups.len().div_ceil(64)];
        for found in texts.find_overlapping_iter(path) {
            let group = found.pattern().as_usize();
            open[group / 64] |= 1 << (group % 64);
        }
        for (word, bits) in open.iter().enumerate() {
            let mut bits = *bits;
            while bits != 0 {
                let group = word * 64 + bits.trailing_zeros() as usize;
                best = self.groups[group].first(path, best, &matches);
                bits &= bits - 1;
            }
        }
        best
    }
}

impl Group {
    fn one_by_one(positions: &[u32]) -> Self {
        let chunks = positions.chunks(CHUNK).map(|positions| Chunk {
            positions: positions.into(),
            set: None,
        });
        Self(chunks.collect())
    }

    /// Groups the patterns at the indexes `members`, which ascend.
    fn new(members: &[usize], hirs: &[Hir], positions: &[u32]) -> Result<Self, String> {
        let chunk = |members: &[usize]| -> Result<Chunk, String> {
            let set = (members.len() > FEW).then(|| {
                let anchored = members.iter().map(|member| anchored(hirs[*member].clone()));
                builder(SIZE_LIMIT * CHUNK)
                    .build_many_from_hir(&anchored.collect::<Vec<_>>())
                    .map_err(|error| describe(&error))
            });
            Ok(Chunk {
                positions: members.iter().map(|member| positions[*member]).collect(),
                set: set.transpose()?,
            })
        };
        Ok(Self(
            members.chunks(CHUNK).map(chunk).collect::<Result<_, _>>()?,
        ))
    }

    fn first(&self, path: &str, limit: u32, matches: &impl Fn(u32) -> bool) -> u32 {
        for chunk in &self.0 {
            if chunk.positions[0] >= limit {
                break;
            }
            let mut below = chunk.may_match(path).iter().copied();
            let found = below.find(|position| *position >= limit || matches(*position));
            if let Some(position) = found {
                return position.min(limit);
            }
        }
        limit
    }
}

impl Chunk {
    /// The positions from the first one whose pattern matches.
    fn may_match(&self, path: &str) -> &[u32] {
        let Some(set) = &self.set else {
            return &self.positions;
        };
        // All patterns begin at the start, and of matches that begin together the search prefers the lower pattern.
        match set.search_half(&Input::new(path).anchored(Anchored::Yes)) {
            Some(half) => &self.positions[half.pattern().as_usize()..],
            None => &[],
        }
    }
}

/// Indexes of the patterns that share a text.
type ByText = Vec<(Box<[u8]>, Vec<usize>)>;

/// Gives each pattern the rarest of the texts it requires (the longest of equally rare ones): the fewer share a text,
/// the fewer are asked. The texts come in the order of their first pattern; the patterns without any come apart.
fn by_text(hirs: &[Hir]) -> (ByText, Vec<usize>) {
    let required: Vec<Vec<Box<[u8]>>> = hirs.iter().map(required::texts).collect();
    let mut owners: HashMap<&[u8], usize> = HashMap::new();
    for text in required.iter().flatten() {
        *owners.entry(text).or_default() += 1;
    }
    let (mut texts, mut always): (ByText, _) = (Vec::new(), Vec::new());
    let mut known: HashMap<&[u8], usize> = HashMap::new();
    for (index, candidates) in required.iter().enumerate() {
        let rarest = candidates
            .iter()
            .min_by_key(|text| (owners[&***text], std::cmp::Reverse(text.len())));
        let Some(text) = rarest else {
            always.push(index);
            continue;
        };
        let group = *known.entry(text).or_insert_with(|| {
            texts.push((text.clone(), Vec::new()));
            texts.len() - 1
        });
        texts[group].1.push(index);
    }
    (texts, always)
}

/// The pattern between both ends of the text. It is parsed alone first: as text, `a)|(?:b` would break out.
fn anchored(pattern: Hir) -> Hir {
    Hir::concat(vec![Hir::look(Look::Start), pattern, Hir::look(Look::End)])
}

fn parse(pattern: &str) -> Result<Hir, String> {
    let pattern = perl::written_out(pattern)?;
    let config = syntax::Config::new().unicode(true).utf8(false);
    syntax::parse_with(&pattern, &config).map_err(|error| syntax_error(&error))
}

fn builder(limit: usize) -> meta::Builder {
    let config = meta::Config::new()
        .nfa_size_limit(Some(limit))
        // Whole automata are built ahead in `table` alone, where they are bounded.
        .dfa(false)
        .hybrid_cache_capacity(STATES_LIMIT);
    let mut builder = Regex::builder();
    builder.configure(config);
    builder
}

fn describe(error: &meta::BuildError) -> String {
    match error.size_limit() {
        Some(limit) => format!("the regular expression compiles to more than {limit} bytes"),
        None => error.to_string(),
    }
}

/// The parser draws the pattern with markers and ends with the sentence; the sentence is enough for one line.
fn syntax_error(error: &impl std::fmt::Display) -> String {
    let drawn = error.to_string();
    let sentence = drawn.lines().last().unwrap_or_default();
    format!(
        "not a regular expression: {}",
        sentence.trim_start_matches("error: ")
    )
}

#[cfg(test)]
mod tests;
