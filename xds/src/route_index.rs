//! The index over a virtual host's ordered list of routes. The list order decides, first match wins, as Envoy says;
//! the index only finds the candidates without walking the list: a hash for exact paths, a prefix tree, a set of
//! regular expressions. The lowest list position whose conditions hold is the winner. A short list has no index.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use ahash::AHasher;
use smallvec::SmallVec;

use crate::matcher::RequestView;
use crate::prefix_tree::PrefixTree;
use crate::regex_set::RegexSet;
use crate::route::{PathMatch, PathText, Route};

/// A list of up to so many routes is walked, since an index over them weighs more than they do. `cargo bench -p xds`, with
/// the winner anywhere in the list: 43 ns for 16 exact paths, where 17 with their index take 31.
const SHORT: usize = 16;
/// Unless it has more regular expressions than this, each of which would read the whole path: 4 in turn take 36 ns, 5 as a
/// set 56.
const SHORT_REGEXES: usize = 4;

/// Positions in the list, ascending.
type Positions = SmallVec<[u32; 2]>;

/// An ordered list of routes with its index.
#[derive(Debug)]
pub struct RouteIndex {
    /// Many hosts have one.
    routes: SmallVec<[Arc<Route>; 1]>,
    /// `None` if the list is short.
    index: Option<Box<Index>>,
}

#[derive(Debug)]
struct Index {
    texts: Texts,
    /// Routes that ignore the case of the path, by their texts in lower case; few hosts have any.
    texts_ignoring_case: Option<Box<Texts>>,
    regexes: Option<RegexSet>,
}

/// Exact paths and prefixes.
#[derive(Debug)]
struct Texts {
    exact: ExactPaths,
    prefixes: PrefixTree<PrefixPositions>,
}

type ExactPaths = HashMap<Box<[u8]>, Positions, BuildHasherDefault<AHasher>>;

/// The routes that share one prefix text.
#[derive(Debug, Default)]
struct PrefixPositions {
    anywhere: Positions,
    at_segment_border: Positions,
}

/// Exact paths and prefixes while they are collected.
#[derive(Default)]
struct TextsBuilder {
    exact: ExactPaths,
    prefixes: BTreeMap<Box<[u8]>, PrefixPositions>,
}

impl RouteIndex {
    /// Indexes the list.
    ///
    /// # Errors
    /// The regular expressions are together too large.
    pub fn new(routes: Vec<Arc<Route>>) -> Result<Self, String> {
        let has_regex = |route: &&Arc<Route>| matches!(route.path, PathMatch::Regex { .. });
        let is_short =
            routes.len() <= SHORT && routes.iter().filter(has_regex).count() <= SHORT_REGEXES;
        let index = if is_short {
            None
        } else {
            Some(Box::new(Index::new(&routes)?))
        };
        let mut routes = SmallVec::from_vec(routes);
        routes.shrink_to_fit();
        Ok(Self { routes, index })
    }

    /// The routes in list order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The first route in list order that the request satisfies.
    pub fn find<R: RequestView + ?Sized>(&self, request: &R) -> Option<&Arc<Route>> {
        match &self.index {
            None => self.routes.iter().find(|route| route.matches(request)),
            Some(index) => {
                let candidates = Candidates {
                    routes: &self.routes,
                    request,
                };
                self.routes.get(index.first(&candidates) as usize)
            }
        }
    }
}

impl Index {
    fn new(routes: &[Arc<Route>]) -> Result<Self, String> {
        let (mut texts, mut ignoring_case) = (TextsBuilder::default(), TextsBuilder::default());
        let (mut patterns, mut pattern_positions): (Vec<&str>, Vec<u32>) = Default::default();
        for (position, route) in (0u32..).zip(routes) {
            match &route.path {
                PathMatch::Exact(text)
                | PathMatch::Prefix(text)
                | PathMatch::SegmentPrefix(text) => {
                    let builder = if text.ignores_case() {
                        &mut ignoring_case
                    } else {
                        &mut texts
                    };
                    builder.add(&route.path, text, position);
                }
                PathMatch::Regex { pattern, .. } => {
                    patterns.push(pattern);
                    pattern_positions.push(position);
                }
            }
        }
        let regexes = if patterns.is_empty() {
            None
        } else {
            Some(RegexSet::new(&patterns, &pattern_positions)?)
        };
        Ok(Self {
            texts: texts.build(),
            texts_ignoring_case: (!ignoring_case.is_empty())
                .then(|| Box::new(ignoring_case.build())),
            regexes,
        })
    }

    /// The position of the winner, or one behind the end of the list.
    fn first<R: RequestView + ?Sized>(&self, candidates: &Candidates<'_, R>) -> u32 {
        let path = candidates.request.path();
        let mut best = self.texts.first(path.as_bytes(), u32::MAX, candidates);
        if let Some(texts) = &self.texts_ignoring_case {
            let mut lower: SmallVec<[u8; 256]> = SmallVec::from_slice(path.as_bytes());
            lower.make_ascii_lowercase();
            best = texts.first(&lower, best, candidates);
        }
        if let Some(regexes) = self
            .regexes
            .as_ref()
            .filter(|regexes| regexes.lowest() < best)
        {
            best = regexes.first(path, best, |position| {
                candidates.routes[position as usize].matches(candidates.request)
            });
        }
        best
    }
}

impl Texts {
    /// The lowest position below `limit` among exact paths and prefixes, else `limit`.
    fn first<R: RequestView + ?Sized>(
        &self,
        path: &[u8],
        limit: u32,
        candidates: &Candidates<'_, R>,
    ) -> u32 {
        let mut best = limit;
        if let Some(positions) = self.exact.get(path) {
            best = candidates.first(positions, best);
        }
        self.prefixes.walk(path, |len, positions| {
            best = candidates.first(&positions.anywhere, best);
            if matches!(path.get(len), None | Some(b'/')) {
                best = candidates.first(&positions.at_segment_border, best);
            }
        });
        best
    }
}

/// A request, and the routes that it may be for.
struct Candidates<'r, R: ?Sized> {
    routes: &'r [Arc<Route>],
    request: &'r R,
}

impl<R: RequestView + ?Sized> Candidates<'_, R> {
    /// The lowest of `positions` below `limit` whose conditions hold, else `limit`.
    fn first(&self, positions: &[u32], limit: u32) -> u32 {
        let below = positions
            .iter()
            .copied()
            .take_while(|position| *position < limit);
        below
            .into_iter()
            .find(|position| self.routes[*position as usize].conditions_hold(self.request))
            .unwrap_or(limit)
    }
}

impl TextsBuilder {
    fn add(&mut self, matched: &PathMatch, text: &PathText, position: u32) {
        let key: Box<[u8]> = text.as_str().as_bytes().into();
        let positions = match matched {
            PathMatch::Exact(_) => self.exact.entry(key).or_default(),
            PathMatch::SegmentPrefix(_) => {
                &mut self.prefixes.entry(key).or_default().at_segment_border
            }
            PathMatch::Prefix(_) | PathMatch::Regex { .. } => {
                &mut self.prefixes.entry(key).or_default().anywhere
            }
        };
        positions.push(position);
    }

    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.prefixes.is_empty()
    }

    fn build(mut self) -> Texts {
        self.exact.shrink_to_fit();
        Texts {
            exact: self.exact,
            prefixes: PrefixTree::from_sorted(self.prefixes.into_iter().collect()),
        }
    }
}

#[cfg(test)]
mod tests;
