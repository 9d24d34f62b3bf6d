//! A config that can be switched to: compiled once, and kept up to date with endpoints and addresses without compiling.

use std::sync::Arc;

use xds::compile::{Before, compile_after};
use xds::config::Config;
use xds::fast_lane::{with_answers, with_endpoints};
use xds::problem::Problem;
use xds::resource::cluster::Discovery;
use xds::snapshot::Snapshot;
use xds::sum::RevisionSums;
use xds::type_url::ResourceType;

use crate::dns::Answers;

/// A config that can be switched to.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Its revision; 0 with a foreign control plane.
    pub(crate) revision: u64,
    /// By what it is known.
    pub(crate) sums: RevisionSums,
    /// What it was compiled from, with the endpoints of that moment.
    pub(crate) wire_set: Snapshot,
    /// It, compiled.
    pub(crate) config: Arc<Config>,
    /// Its parts fitted together, so that what differs from it can be compiled alone.
    pub(super) fits: bool,
}

impl Held {
    /// Compiles a wire set; says what does not fit together in it.
    pub(crate) fn new(revision: u64, wire_set: Snapshot) -> (Self, Vec<Problem>) {
        Self::after(None, revision, wire_set)
    }

    /// As [`Self::new`]; of what is held already, only what differs is compiled.
    pub(super) fn after(
        before: Option<&Self>,
        revision: u64,
        wire_set: Snapshot,
    ) -> (Self, Vec<Problem>) {
        let before = before.filter(|before| before.fits).map(|before| Before {
            snapshot: &before.wire_set,
            config: &before.config,
        });
        let (config, problems) = compile_after(&wire_set, before);
        let (sums, config) = (wire_set.revision_sums(), Arc::new(config));
        let held = Self {
            revision,
            sums,
            wire_set,
            config,
            fits: problems.is_empty(),
        };
        (held, problems)
    }

    /// Whether some of its endpoints are found by name.
    pub(crate) fn waits_for_names(&self) -> bool {
        self.config.queries().next().is_some()
    }

    /// The names of its clusters' endpoints, as they are asked for.
    pub(super) fn endpoint_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let clusters = self.config.clusters.values();
        clusters.filter_map(|served| match &served.cluster.discovery {
            Discovery::Eds(name) => Some(name),
            Discovery::Static(_) | Discovery::Dns(_) => None,
        })
    }

    /// Takes the addresses that its names stand for; `false` if they are no others.
    pub(super) fn readdress(&mut self, answers: &Answers) -> bool {
        let config = with_answers(&self.config, |query| answers.addresses(query));
        match config {
            Some(config) => {
                self.config = Arc::new(config);
                true
            }
            None => false,
        }
    }

    /// Takes newer endpoints; `false` if there are none.
    pub(super) fn refresh(&mut self, wire_set: &Snapshot) -> bool {
        let Some(config) = with_endpoints(&self.config, wire_set) else {
            return false;
        };
        self.config = Arc::new(config);
        let endpoints = ResourceType::ClusterLoadAssignment;
        self.wire_set
            .replace(endpoints, wire_set.set(endpoints).clone());
        true
    }
}
