//! One route, validated: what it asks of a request and what it does with it. The values that the request path reads;
//! how they come out of Envoy's messages is in `resource/route.rs`.

mod forward;
mod header_edits;
mod path;
mod redirect;
mod substitution;
mod upgrades;

use std::sync::Arc;

use crate::matcher::{HeaderMatch, QueryMatch, RequestView};

pub use self::forward::{
    ClusterChoice, ClusterNotFound, Forward, HostRewrite, PathRewrite, Rewrite, Timeouts,
    WeightedCluster, WeightedClusters,
};
pub use self::header_edits::{EditAction, EditLevels, HeaderEdit, HeaderEdits, LevelEdits};
pub use self::path::{PathMatch, PathText};
pub use self::redirect::{Redirect, RedirectPath};
pub use self::substitution::{Substitution, SubstitutionError};
pub use self::upgrades::Upgrades;

/// A route of a virtual host. `envoy.config.route.v3.Route`.
#[derive(Debug)]
pub struct Route {
    /// Its name, for people and statistics; may be empty with a foreign control plane.
    pub name: Box<str>,
    /// What the path must look like; the index is built from it.
    pub path: PathMatch,
    /// What else must hold; apart from the rest, since most routes ask for nothing else and routes are many.
    pub conditions: Option<Box<Conditions>>,
    /// What is done with the request.
    pub action: Action,
    /// Edits of heads; apart from the rest, for the same reason.
    pub edits: Option<Box<LevelEdits>>,
}

impl Route {
    /// Whether the request satisfies everything but the path.
    pub fn conditions_hold<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        let conditions = self.conditions.as_ref();
        conditions.is_none_or(|conditions| conditions.hold(request))
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

    /// Length of the body that it answers with by itself, in bytes.
    pub fn body_len(&self) -> usize {
        match &self.action {
            Action::Respond(direct) => direct.body.len(),
            Action::Forward(_) | Action::Redirect(_) => 0,
        }
    }

    /// Whether the request satisfies the path and everything else: what the index must agree with.
    pub fn matches<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        self.path.matches(request.path()) && self.conditions_hold(request)
    }
}

/// What a route asks of a request beside its path.
#[derive(Debug)]
pub struct Conditions {
    /// Of its fields and its method.
    pub headers: Box<[HeaderMatch]>,
    /// Of its query.
    pub query: Box<[QueryMatch]>,
}

impl Conditions {
    fn hold<R: RequestView + ?Sized>(&self, request: &R) -> bool {
        let (mut headers, mut query) = (self.headers.iter(), self.query.iter());
        headers.all(|condition| condition.matches(request))
            && query.all(|condition| condition.matches(request.query()))
    }
}

/// What a route does.
#[derive(Debug)]
pub enum Action {
    /// Sends the request to a cluster.
    Forward(Forward),
    /// Answers with another place to go to.
    Redirect(Box<Redirect>),
    /// Answers by itself.
    Respond(Box<DirectResponse>),
}

/// `envoy.config.route.v3.DirectResponseAction`.
#[derive(Debug)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body; may be empty.
    pub body: bytes::Bytes,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_stays_small() {
        // With the two counters of its `Arc` it fills a block of 128 bytes, a size class of most allocators.
        assert!(size_of::<Route>() <= 112, "{} bytes", size_of::<Route>());
    }
}
