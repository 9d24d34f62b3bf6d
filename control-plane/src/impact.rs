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
        let verdict = match (old, new) {
            (Some(old), Some(new)) => compare((&before, &old), (&after, &new), &mut known),
            _ => Verdict::NotKnown,
        };
        match verdict {
            Verdict::Same => {}
            Verdict::Changed(changed) => groups.add(changed, sample),
            Verdict::NotKnown => groups.add(Arc::default(), sample),
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

/// What becomes of one request.
enum Verdict {
    Same,
    Changed(Arc<Changed>),
    NotKnown,
}

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

    fn route(&self, name: &str) -> Option<&'c Route> {
        self.side.config.routes.get(name).map(|route| &**route)
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

fn compare(old: (&Served<'_>, &Way), new: (&Served<'_>, &Way), known: &mut Known) -> Verdict {
    let ((before, old), (after, new)) = (old, new);
    let ends = (old.end.clone(), new.end.clone());
    let changed = known.entry(ends).or_insert_with(|| {
        let route = |served: &Served<'_>, end: &End| match end {
            End::Route(name) => served.route(name).cloned(),
            _ => None,
        };
        let routes = (route(before, &old.end), route(after, &new.end));
        effect::compare((&old.end, routes.0.as_ref()), (&new.end, routes.1.as_ref())).map(Arc::new)
    });
    let is_certain = old.perhaps.is_empty() && new.perhaps.is_empty();
    if is_certain {
        return changed.clone().map_or(Verdict::Same, Verdict::Changed);
    }
    // It is not known which of some routes takes it. If they are the same ones on both sides, nothing changes all the same.
    let same = |(one, other): (&Box<str>, &Box<str>)| {
        before
            .route(one)
            .zip(after.route(other))
            .is_some_and(|(one, other)| one == other)
    };
    let all_same =
        old.perhaps.len() == new.perhaps.len() && old.perhaps.iter().zip(&new.perhaps).all(same);
    if all_same && changed.is_none() {
        Verdict::Same
    } else {
        Verdict::NotKnown
    }
}
