//! The index over a virtual host's ordered list of routes. The list order decides, first match wins, as Envoy says;
//! the index only finds the candidates without walking the list: a hash for exact paths, a prefix tree, one set of
//! regular expressions. The lowest list position whose conditions hold is the winner.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use ahash::AHasher;
use smallvec::SmallVec;

use crate::matcher::RequestView;
use crate::prefix_tree::PrefixTree;
use crate::regex_set::RegexSet;
use crate::route::{PathMatch, Route};

/// Positions in the list, ascending.
type Positions = SmallVec<[u32; 2]>;

/// An ordered list of routes with its index.
#[derive(Debug)]
pub struct RouteIndex {
    routes: Box<[Arc<Route>]>,
    exact: HashMap<Box<str>, Positions, BuildHasherDefault<AHasher>>,
    prefixes: PrefixTree<PrefixPositions>,
    regexes: Option<RegexSet>,
}

/// The routes that share one prefix text.
#[derive(Debug, Default)]
struct PrefixPositions {
    anywhere: Positions,
    at_segment_border: Positions,
}

impl RouteIndex {
    /// Indexes the list.
    ///
    /// # Errors
    /// The regular expressions are together too large.
    pub fn new(routes: Vec<Arc<Route>>) -> Result<Self, String> {
        let mut exact: HashMap<Box<str>, Positions, _> = HashMap::default();
        let mut prefixes: BTreeMap<Box<[u8]>, PrefixPositions> = BTreeMap::new();
        let (mut patterns, mut pattern_positions): (Vec<&str>, Vec<u32>) = Default::default();
        for (position, route) in (0u32..).zip(&routes) {
            match &route.path {
                PathMatch::Exact(path) => exact.entry(path.clone()).or_default().push(position),
                PathMatch::Prefix(prefix) => {
                    prefixes
                        .entry(prefix.as_bytes().into())
                        .or_default()
                        .anywhere
                        .push(position);
                }
                PathMatch::SegmentPrefix(prefix) => {
                    prefixes
                        .entry(prefix.as_bytes().into())
                        .or_default()
                        .at_segment_border
                        .push(position);
                }
                PathMatch::Regex { pattern, .. } => {
                    patterns.push(pattern);
                    pattern_positions.push(position);
                }
            }
        }
        exact.shrink_to_fit();
        let regexes = if patterns.is_empty() {
            None
        } else {
            Some(RegexSet::new(&patterns, pattern_positions.into())?)
        };
        let prefixes = PrefixTree::from_sorted(prefixes.into_iter().collect());
        Ok(Self {
            exact,
            prefixes,
            regexes,
            routes: routes.into(),
        })
    }

    /// The routes in list order.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// The first route in list order that the request satisfies.
    pub fn find<R: RequestView + ?Sized>(&self, request: &R) -> Option<&Arc<Route>> {
        let path = request.path();
        let mut best = u32::MAX;
        if let Some(positions) = self.exact.get(path) {
            best = self.first(positions, best, request);
        }
        self.prefixes.walk(path.as_bytes(), |len, positions| {
            best = self.first(&positions.anywhere, best, request);
            if matches!(path.as_bytes().get(len), None | Some(b'/')) {
                best = self.first(&positions.at_segment_border, best, request);
            }
        });
        if let Some(regexes) = self
            .regexes
            .as_ref()
            .filter(|regexes| regexes.lowest() < best)
        {
            let winner = regexes
                .matching(path)
                .take_while(|position| *position < best)
                .find(|position| self.holds(*position, request));
            best = winner.unwrap_or(best);
        }
        self.routes.get(best as usize)
    }

    /// The lowest of `positions` below `limit` whose conditions hold, else `limit`.
    fn first<R: RequestView + ?Sized>(&self, positions: &[u32], limit: u32, request: &R) -> u32 {
        let below = positions
            .iter()
            .copied()
            .take_while(|position| *position < limit);
        below
            .into_iter()
            .find(|position| self.holds(*position, request))
            .unwrap_or(limit)
    }

    fn holds<R: RequestView + ?Sized>(&self, position: u32, request: &R) -> bool {
        self.routes[position as usize].conditions_hold(request)
    }
}

#[cfg(test)]
mod tests;
