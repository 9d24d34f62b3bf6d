//! Changes of single requests, alike with alike.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;

use super::effect::{Changed, Kind};
use crate::sample::Sample;

/// So many groups are told.
pub(super) const TOLD_MAX: usize = 100;
/// So many requests are named of each: those that stand for most.
const EXAMPLES: usize = 3;

/// Requests to which the same would happen.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
pub struct Group {
    /// What kind of change it is.
    pub kind: Kind,
    /// The listener that they come to.
    pub listener: String,
    /// The route that takes them today.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The route that would take them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// A sentence for people.
    #[schema(example = "to cluster catalog-next, was: to cluster catalog")]
    pub detail: String,
    /// How many requests.
    pub requests: u64,
    /// Their share of all.
    pub share: f64,
    /// Some of them.
    pub examples: Vec<Example>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Example {
    /// Its method.
    pub method: String,
    /// Its host.
    pub host: String,
    /// Its path.
    pub path: String,
}

/// What was found so far.
#[derive(Default)]
pub(super) struct Groups(HashMap<(Arc<Changed>, String), (u64, Vec<Example>)>);

/// How many requests are in all groups.
pub(super) struct Sums {
    pub(super) changed: u64,
    pub(super) not_known: u64,
}

impl Groups {
    pub(super) fn add(&mut self, changed: Arc<Changed>, sample: &Sample) {
        let key = (changed, sample.head.listener.clone());
        let (requests, examples) = self.0.entry(key).or_default();
        *requests = requests.saturating_add(sample.requests);
        let example = Example {
            method: sample.head.method.clone(),
            host: sample.head.host.clone(),
            path: sample.head.path.clone(),
        };
        // One path with other names of fields is no other example.
        if examples.len() < EXAMPLES && !examples.contains(&example) {
            examples.push(example);
        }
    }

    /// The groups in the order in which they are told, and how many requests are in them.
    pub(super) fn finish(self, all: u64) -> (Vec<Group>, Sums) {
        let group = |((changed, listener), (requests, examples)): ((Arc<Changed>, _), _)| Group {
            kind: changed.kind,
            listener,
            before: changed.before.clone(),
            after: changed.after.clone(),
            detail: changed.detail.clone(),
            requests,
            share: share(requests, all).unwrap_or_default(),
            examples,
        };
        let mut groups: Vec<Group> = self.0.into_iter().map(group).collect();
        groups.sort_by(|a, b| {
            let by_names =
                || (&a.listener, &a.before, &a.after).cmp(&(&b.listener, &b.before, &b.after));
            a.kind
                .cmp(&b.kind)
                .then(b.requests.cmp(&a.requests))
                .then_with(by_names)
        });
        let sum = |counts: fn(Kind) -> bool| {
            let counted = groups.iter().filter(|group| counts(group.kind));
            counted.fold(0u64, |sum, group| sum.saturating_add(group.requests))
        };
        let sums = Sums {
            changed: sum(Kind::counts),
            not_known: sum(|kind| kind == Kind::NotKnown),
        };
        (groups, sums)
    }
}

/// A part of all requests; `None` if there are none.
pub(super) fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}
