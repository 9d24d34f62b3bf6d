//! What a change would do to the requests that the fleet's proxies have seen. Pure: two configs, compiled, and samples come in;
//! an [`Impact`] goes out. The way of a request is found by the proxy's own tables (`lookup`), what becomes of it is compared by
//! what the operator's routes say (`effect`), and what is alike is told once (`groups`).
//! What is not asked: where a cluster's endpoints are. A sample has no values of fields and parameters: where one would decide,
//! the answer is not known, and it is counted as that.
//!
//! - `loosened`: what would be less strict, whatever traffic there is.

mod effect;
mod groups;
mod lookup;
pub mod loosened;

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use xds::config::{Config as Compiled, ServedListener};

use crate::model::{Config, Route};
use crate::sample::{Head, Sample};

use self::effect::Changed;
pub use self::effect::Kind;
use self::groups::Groups;
pub use self::groups::{Example, Group};
use self::lookup::{Budget, End, Way};

/// What a change would do to requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct Impact {
    /// The kinds of requests that were asked about; 0 if no proxy has told of any.
    pub samples: usize,
    /// How many requests they stand for.
    pub requests: u64,
    /// So many of those would get something else.
    pub changed: u64,
    /// Their share; `null` if there are no requests.
    pub changed_share: Option<f64>,
    /// Of so many it is not known: a value decides which was not told.
    pub not_known: u64,
    /// What would change, alike with alike: the worst first, and of each kind what most requests are in. The first 100.
    pub groups: Vec<Group>,
    /// How many more groups there are.
    pub more_groups: usize,
}

/// A config as it is written and as it is used.
#[derive(Clone, Copy, Debug)]
pub struct Side<'c> {
    /// As operators write it.
    pub config: &'c Config,
    /// As our proxies use it.
    pub compiled: &'c Compiled,
}

/// What turning `before` into `after` would do to these requests, those that stand for most first.
pub fn assess(before: Side<'_>, after: Side<'_>, samples: &[Sample]) -> Impact {
    let (before, after) = (Served::new(before), Served::new(after));
    let mut groups = Groups::default();
    let mut budget = Budget::default();
    let mut known = HashMap::new();
    let mut requests = 0u64;
    for sample in samples {
        requests = requests.saturating_add(sample.requests);
        let (old, new) = (before.listener(&sample.head), after.listener(&sample.head));
        if is_shared(old, new, &sample.head) {
            continue;
        }
        let (old, new) = (
            lookup::find(old, &sample.head, &mut budget),
            lookup::find(new, &sample.head, &mut budget),
        );
        let changed = match (old, new) {
            (Some(old), Some(new)) => compare((&before, &old), (&after, &new), &mut known),
            _ => Some(Arc::new(Changed::not_known(None))),
        };
        if let Some(changed) = changed {
            groups.add(changed, sample);
        }
    }
    let (groups, sums) = groups.finish(requests);
    Impact {
        samples: samples.len(),
        requests,
        changed: sums.changed,
        changed_share: groups::share(sums.changed, requests),
        not_known: sums.not_known,
        more_groups: groups.len().saturating_sub(groups::TOLD_MAX),
        groups: groups.into_iter().take(groups::TOLD_MAX).collect(),
    }
}

/// So many pairs of routes are compared for one request that perhaps takes one of them.
const PAIRS_MAX: usize = 64;

/// A side with its listeners by name.
struct Served<'c> {
    side: Side<'c>,
    listeners: HashMap<&'c str, &'c ServedListener>,
}

impl<'c> Served<'c> {
    fn new(side: Side<'c>) -> Self {
        let listeners = side.compiled.listeners.iter();
        let listeners = listeners.map(|served| (&*served.listener.name, &**served));
        Self {
            side,
            listeners: listeners.collect(),
        }
    }

    fn listener(&self, head: &Head) -> Option<&'c ServedListener> {
        self.listeners.get(&*head.listener).copied()
    }

    fn taker(&self, end: &End) -> Option<&'c Route> {
        match end {
            End::Route(name) => self.side.config.routes.get(&**name).map(|route| &**route),
            End::NoListener | End::NoRoute => None,
        }
    }
}

/// Whether one and the same virtual host answers on both sides: what did not change is shared between snapshots.
fn is_shared(old: Option<&ServedListener>, new: Option<&ServedListener>, head: &Head) -> bool {
    let (Some(old), Some(new)) = (old, new) else {
        return old.is_none() && new.is_none();
    };
    let host = |served: &ServedListener| served.routes.virtual_host(&head.host).cloned();
    match (host(old), host(new)) {
        (Some(old), Some(new)) => Arc::ptr_eq(&old, &new),
        (old, new) => old.is_none() && new.is_none(),
    }
}

/// What was compared already: most requests of one route go to one route.
type Known = HashMap<(End, End), Option<Arc<Changed>>>;

/// What becomes of a request, with its way on both sides; `None` if nothing changes. That it is not known is a kind of change.
fn compare(
    old: (&Served<'_>, &Way),
    new: (&Served<'_>, &Way),
    known: &mut Known,
) -> Option<Arc<Changed>> {
    let ((before, old), (after, new)) = (old, new);
    let mut changed = |one: &End, other: &End| {
        let ends = (one.clone(), other.clone());
        let changed = known.entry(ends).or_insert_with(|| {
            let routes = (before.taker(one), after.taker(other));
            effect::compare((one, routes.0), (other, routes.1)).map(Arc::new)
        });
        changed.clone()
    };
    if old.perhaps.is_empty() && new.perhaps.is_empty() {
        return changed(&old.end, &new.end);
    }
    // It is not known which of some routes takes it. Where the same ones are asked on both sides, it is one pair of them.
    let asked_alike = |(one, other): (&End, &End)| {
        let (one, other) = (before.taker(one), after.taker(other));
        one.zip(other)
            .is_some_and(|(one, other)| one.matching == other.matching)
    };
    let is_alike = old.perhaps.len() == new.perhaps.len()
        && old.perhaps.iter().zip(&new.perhaps).all(asked_alike);
    let pairs: Vec<(&End, &End)> = if is_alike {
        old.takers().zip(new.takers()).collect()
    } else {
        // Else it may be any pair.
        let pairs = old
            .takers()
            .flat_map(|one| new.takers().map(move |other| (one, other)));
        pairs.take(PAIRS_MAX + 1).collect()
    };
    let found: Vec<_> = pairs
        .iter()
        .map(|(one, other)| changed(one, other))
        .collect();
    let counts =
        |changed: &Option<Arc<Changed>>| changed.as_ref().is_some_and(|it| it.kind.counts());
    if pairs.len() <= PAIRS_MAX && !found.iter().any(counts) {
        return None;
    }
    let worst = found.iter().flatten().min_by_key(|changed| changed.kind);
    match worst {
        Some(worst) if pairs.len() <= PAIRS_MAX && found.iter().all(counts) => Some(worst.clone()),
        _ => Some(Arc::new(Changed::not_known(old.takers().next()))),
    }
}
