//! One route, validated: what it asks of a request and what it does with it. The values that the request path reads;
//! how they come out of Envoy's messages is in `resource/route.rs`.

use std::sync::Arc;
use std::time::Duration;

use regex_automata::meta::Regex;

use crate::matcher::{HeaderMatch, QueryMatch, RequestView};

/// A route of a virtual host. `envoy.config.route.v3.Route`.
#[derive(Debug)]
pub struct Route {
    /// Its name, for people and statistics; may be empty with a foreign control plane.
    pub name: Box<str>,
    /// What the path must look like; the index is built from it.
    pub path: PathMatch,
    /// What else must hold.
    pub headers: Box<[HeaderMatch]>,
    /// What the query must hold.
    pub query: Box<[QueryMatch]>,
    /// What is done with the request.
    pub action: Action,
    /// Edits of the request on its way upstream.
    pub request_headers: HeaderEdits,
    /// Edits of the response on its way downstream.
    pub response_headers: HeaderEdits,
}

impl Route {
    /// Whether the request satisfies everything but the path.
    pub fn conditions_hold<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        self.headers
            .iter()
            .all(|condition| condition.matches(request))
            && self
                .query
                .iter()
                .all(|condition| condition.matches(request.query()))
    }

    /// The clusters it may send requests to.
    pub fn clusters(&self) -> impl Iterator<Item = &Arc<str>> {
        let forward = match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::Respond(_) => None,
        };
        forward
            .into_iter()
            .flat_map(|forward| forward.cluster.names())
    }

    /// Whether the request satisfies the path and everything else: what the index must agree with.
    pub fn matches<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        self.path.matches(request.path()) && self.conditions_hold(request)
    }
}

/// A condition on the canonical path. `envoy.config.route.v3.RouteMatch.path_specifier`.
#[derive(Clone, Debug)]
pub enum PathMatch {
    /// The whole path.
    Exact(Box<str>),
    /// How it begins, in whole segments: `/a` matches `/a` and `/a/b`, not `/ab`. Has no slash at its end.
    SegmentPrefix(Box<str>),
    /// How it begins, as text: `/a` matches `/ab` too.
    Prefix(Box<str>),
    /// A regular expression on the whole path.
    Regex {
        /// The pattern as written.
        pattern: Box<str>,
        /// It, compiled for the whole text.
        regex: Box<Regex>,
    },
}

impl PathMatch {
    /// Whether `path` satisfies the condition, asked alone.
    pub fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exact(exact) => path == &**exact,
            Self::SegmentPrefix(prefix) => path
                .strip_prefix(&**prefix)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            Self::Prefix(prefix) => path.starts_with(&**prefix),
            Self::Regex { regex, .. } => regex.is_match(path),
        }
    }
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Sends the request to a cluster.
    Forward(Forward),
    /// Answers with another place to go to.
    Redirect(Redirect),
    /// Answers by itself.
    Respond(DirectResponse),
}

/// `envoy.config.route.v3.RouteAction`.
#[derive(Debug)]
pub struct Forward {
    /// Where to.
    pub cluster: ClusterChoice,
    /// Status if the cluster is not there: 503 unless the route says 404 or 500.
    pub cluster_not_found_status: u16,
    /// What replaces the part of the path that the route's prefix matched (or the whole exact path).
    pub prefix_rewrite: Option<Box<str>>,
    /// From the whole request's arrival to the response's end; `None` = without limit.
    pub timeout: Option<Duration>,
    /// Longest pause in either direction; `None` = the listener's.
    pub idle_timeout: Option<Option<Duration>>,
}

/// The cluster of a request.
#[derive(Debug)]
pub enum ClusterChoice {
    /// Always this one.
    One(Arc<str>),
    /// One of several, by weight.
    Weighted(WeightedClusters),
}

impl ClusterChoice {
    /// Every cluster that may be chosen.
    pub fn names(&self) -> impl Iterator<Item = &Arc<str>> {
        let (one, weighted) = match self {
            Self::One(name) => (Some(name), None),
            Self::Weighted(weighted) => (None, Some(weighted.entries.iter().map(|(name, _)| name))),
        };
        one.into_iter().chain(weighted.into_iter().flatten())
    }
}

/// Clusters with weights; the sum is at least 1 and fits 32 bits.
#[derive(Debug)]
pub struct WeightedClusters {
    /// Name, and the sum of the weights up to and with this one.
    entries: Box<[(Arc<str>, u32)]>,
}

impl WeightedClusters {
    /// `None` if the weights sum up to zero or to more than 32 bits.
    pub fn new(weights: Vec<(Arc<str>, u32)>) -> Option<Self> {
        let mut total = 0u32;
        let mut entries = Vec::with_capacity(weights.len());
        for (name, weight) in weights {
            total = total.checked_add(weight)?;
            entries.push((name, total));
        }
        (total > 0).then(|| Self {
            entries: entries.into(),
        })
    }

    /// The sum of all weights.
    pub fn total(&self) -> u32 {
        self.entries.last().map_or(0, |(_, total)| *total)
    }

    /// The cluster for one draw from `0..total()`.
    pub fn pick(&self, draw: u32) -> &Arc<str> {
        let index = self.entries.partition_point(|(_, upto)| *upto <= draw);
        &self.entries[index.min(self.entries.len() - 1)].0
    }
}

/// `envoy.config.route.v3.RedirectAction`.
#[derive(Debug)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// The new scheme; `None` = the request's.
    pub scheme: Option<Box<str>>,
    /// The new host; `None` = the request's.
    pub host: Option<Box<str>>,
    /// The new port; `None` = the request's, or none if the host or the scheme changes it.
    pub port: Option<u16>,
    /// What happens to the path.
    pub path: RedirectPath,
    /// Leave the query out.
    pub strip_query: bool,
}

/// The path of a redirect.
#[derive(Debug)]
pub enum RedirectPath {
    /// The request's.
    Keep,
    /// This one; with a query of its own it replaces the request's.
    Replace(Box<str>),
    /// The part that the route's prefix matched is replaced.
    Prefix(Box<str>),
}

/// `envoy.config.route.v3.DirectResponseAction`.
#[derive(Debug)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body; may be empty.
    pub body: bytes::Bytes,
}

/// Edits of a head: removals first, then the rest in order (Envoy evaluates removals first as well).
#[derive(Debug, Default)]
pub struct HeaderEdits {
    /// Lower-case names of the fields to remove.
    pub remove: Box<[Box<str>]>,
    /// Fields to set, in order.
    pub set: Box<[HeaderEdit]>,
}

impl HeaderEdits {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.set.is_empty()
    }
}

/// `envoy.config.core.v3.HeaderValueOption`.
#[derive(Debug)]
pub struct HeaderEdit {
    /// Lower-case name.
    pub name: Box<str>,
    /// The value, literally.
    pub value: Box<[u8]>,
    /// What to do if the field is there already, or is not.
    pub action: EditAction,
}

/// `HeaderValueOption.HeaderAppendAction`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EditAction {
    /// Add another value.
    Append,
    /// Add only if the field is not there.
    AddIfAbsent,
    /// Replace all values, or add.
    Overwrite,
    /// Replace all values, if there are any.
    OverwriteIfPresent,
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
    fn every_draw_goes_to_the_cluster_that_owns_it() {
        let weighted =
            WeightedClusters::new(vec![("a".into(), 2), ("zero".into(), 0), ("b".into(), 1)])
                .unwrap();
        let picked: Vec<&str> = (0..weighted.total())
            .map(|draw| &**weighted.pick(draw))
            .collect();
        assert_eq!(picked, ["a", "a", "b"]);
    }

    #[test]
    fn weights_that_sum_up_to_nothing_or_too_much_are_refused() {
        assert!(WeightedClusters::new(vec![("a".into(), 0)]).is_none());
        assert!(WeightedClusters::new(vec![("a".into(), u32::MAX), ("b".into(), 1)]).is_none());
    }
}
