//! What becomes of one route for a gRPC client. Pure: a route goes in; out come its fate, the conditions that gRPC can be
//! told, and what is lost, each with a pointer.
//!
//! A gRPC call is a POST to `/SERVICE/METHOD` without a query (gRPC over HTTP/2, "Requests"), and what is known of it when
//! its route is chosen are its path and the metadata that the program gave it (gRFC A28).

use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;

use crate::model::Route;
use crate::model::route::{Condition, HeaderEdits, Match, QueryMatch};

use super::super::matching;
use super::is_exact;

/// What becomes of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is said whole.
    Served,
    /// No call matches it: without it nothing changes.
    Untaken,
    /// Calls match it, and what it asks for cannot be said: they fail.
    Failed,
}

/// What was found of one route.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) fate: Fate,
    /// The conditions, without those that hold for every call.
    pub(super) conditions: Match,
    /// The path conditions that a call can meet. gRPC knows no prefix of whole segments.
    pub(super) paths: Vec<PathSpecifier>,
    losses: Vec<Loss>,
}

/// One thing that is lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Loss {
    pub(super) pointer: String,
    pub(super) detail: &'static str,
}

impl<P: Into<String>> From<(P, &'static str)> for Loss {
    fn from((pointer, detail): (P, &'static str)) -> Self {
        Self {
            pointer: pointer.into(),
            detail,
        }
    }
}

/// Fields that the transport writes or that hold bytes: gRPC does not show them to routes (gRFC A28).
const UNSEEN: [&str; 6] = [
    "content-length",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "user-agent",
];

/// Everything that gRPC clients lose of a route.
pub(super) fn losses(route: &Route) -> Vec<Loss> {
    if !route.listeners.is_empty() {
        let detail =
            "a gRPC client has no listener, so it has only routes that are served on all of them";
        return vec![("/listeners", detail).into()];
    }
    if !route.hosts.iter().any(|host| is_exact(host)) {
        let detail = "a gRPC client asks for a host by its exact name; this route names none";
        return vec![("/hosts", detail).into()];
    }
    let patterns = route.hosts.iter().enumerate();
    let patterns = patterns
        .filter(|(_, host)| !is_exact(host))
        .map(|(index, _)| {
            let detail = "a gRPC client asks for a host by its exact name and finds no pattern";
            (format!("/hosts/{index}"), detail).into()
        });
    patterns.chain(Verdict::of(route).losses).collect()
}

impl Verdict {
    pub(super) fn of(route: &Route) -> Self {
        let paths = paths(&route.matching);
        let mut conditions = Match {
            headers: route.matching.headers.clone(),
            ..Match::default()
        };
        let untaken = untaken(&route.matching, &paths);
        if !untaken.is_empty() {
            return Self {
                fate: Fate::Untaken,
                conditions,
                paths,
                losses: untaken,
            };
        }
        let unseen = unseen_headers(&route.matching);
        conditions.headers.retain(|header| is_seen(&header.name));
        let mut losses: Vec<_> = unseen.into_iter().chain(unsaid(route)).collect();
        let fate = if losses.is_empty() {
            Fate::Served
        } else {
            Fate::Failed
        };
        losses.extend(limits(route));
        Self {
            fate,
            conditions,
            paths,
            losses,
        }
    }
}

/// A prefix of whole segments is written as the path itself and the prefix with a slash, which gRPC knows; of these, those
/// that `/SERVICE/METHOD` can meet.
fn paths(conditions: &Match) -> Vec<PathSpecifier> {
    let rules = matching::path_rules(conditions.path.as_ref(), Some("/"));
    let paths = rules.into_iter().map(|(path, _)| path);
    let can_be_met = |path: &PathSpecifier| match path {
        PathSpecifier::Path(path) => path.matches('/').count() == 2 && !path.ends_with('/'),
        PathSpecifier::Prefix(prefix) => prefix.matches('/').count() <= 2,
        _ => true,
    };
    paths.filter(can_be_met).collect()
}

/// Why no call ever matches.
fn untaken(conditions: &Match, paths: &[PathSpecifier]) -> Vec<Loss> {
    let mut losses = Vec::new();
    if paths.is_empty() {
        losses.push(
            (
                "/match/path",
                "no gRPC call has such a path: it is `/SERVICE/METHOD`",
            )
                .into(),
        );
    }
    let methods = &conditions.methods;
    if !methods.is_empty() && !methods.iter().any(|method| method == "POST") {
        losses.push(
            (
                "/match/methods",
                "no gRPC call has such a method: it is POST",
            )
                .into(),
        );
    }
    let asks = |query: &QueryMatch| query.condition() != Some(Condition::Present(false));
    if let Some(index) = conditions.query.iter().position(asks) {
        let detail = "no gRPC call has a query";
        losses.push((format!("/match/query/{index}"), detail).into());
    }
    losses
}

fn is_seen(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    !name.ends_with("-bin") && !name.starts_with("grpc-") && !UNSEEN.contains(&name.as_str())
}

fn unseen_headers(conditions: &Match) -> Vec<Loss> {
    let headers = conditions.headers.iter().enumerate();
    let unseen = headers.filter(|(_, header)| !is_seen(&header.name));
    unseen
        .map(|(index, _)| {
            let detail = "gRPC does not show this field to routes; calls that match the rest of the route fail";
            (format!("/match/headers/{index}"), detail).into()
        })
        .collect()
}

/// What decides where a request goes, or what arrives, and has no word in gRPC.
fn unsaid(route: &Route) -> Vec<Loss> {
    let edits = |edits: &HeaderEdits| *edits != HeaderEdits::default();
    let found = [
        (
            route.redirect.is_some(),
            "/redirect",
            "gRPC follows no redirects; calls that match fail",
        ),
        (
            route.respond.is_some(),
            "/respond",
            "gRPC makes no answers by itself; calls that match fail",
        ),
        (
            route.rewrite.is_some(),
            "/rewrite",
            "gRPC does not change paths; calls that match fail",
        ),
        (
            edits(&route.request_headers),
            "/request_headers",
            "gRPC does not edit metadata; calls that match fail",
        ),
        (
            edits(&route.response_headers),
            "/response_headers",
            "gRPC does not edit metadata; calls that match fail",
        ),
    ];
    let found = found.into_iter().filter(|(is, ..)| *is);
    found
        .map(|(_, pointer, detail)| (pointer, detail).into())
        .collect()
}

/// Limits of time are the caller's own business: every call has a deadline.
fn limits(route: &Route) -> Vec<Loss> {
    let found = [
        (route.timeout.is_some(), "/timeout"),
        (route.idle_timeout.is_some(), "/idle_timeout"),
    ];
    let found = found.into_iter().filter(|(is, _)| *is);
    found
        .map(|(_, pointer)| {
            (
                pointer,
                "a gRPC call has the deadline that its caller gave it",
            )
                .into()
        })
        .collect()
}
