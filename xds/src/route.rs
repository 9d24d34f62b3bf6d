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
    ClusterChoice, Forward, HostRewrite, PathRewrite, Rewrite, WeightedCluster, WeightedClusters,
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

/// `envoy.config.route.v3.DirectResponseAction`.
#[derive(Debug)]
pub struct DirectResponse {
    /// The status.
    pub status: u16,
    /// The body; may be empty.
    pub body: bytes::Bytes,
}
