//! From what somebody asks for to what may be stored. A [`Draft`] may be nonsense; only [`Draft::validate`] makes a
//! [`Validated`], and only a `Validated` can be committed. Validation is the proxy's own: the config is translated for
//! every class of client, decoded and compiled, and every problem is told in the operator's words.

pub mod diff;

mod hashes;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;

use self::hashes::Hashes;
use crate::model::canonical::{self, Hash};
use crate::model::delta::{Changed, between};
use crate::model::{Cluster, Config, Listener, Problem, Resource, ResourceId, Route};
use crate::translate::{Attempt, Translation, Work};

/// A config that somebody asks for.
#[derive(Clone, Debug)]
pub struct Draft {
    config: Config,
}

/// A config that every class of client accepts, with what came out on the way: what is validated after it costs what is
/// different. A clone shares everything.
#[derive(Clone, Debug)]
pub struct Validated {
    config: Arc<Config>,
    hashes: Arc<Hashes>,
    hash: Hash,
    translation: Arc<Translation>,
    work: Work,
}

/// What happens to one resource between two configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The resource.
    pub id: ResourceId,
    /// What kind of change it is.
    pub verb: Verb,
    /// Its canonical bytes afterwards; `None` if it is deleted.
    pub body: Option<Vec<u8>>,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Change)]
pub enum Verb {
    /// It was not there.
    #[serde(rename = "created")]
    Create,
    /// It was there, and differs.
    #[serde(rename = "updated")]
    Update,
    /// It is no longer there.
    #[serde(rename = "deleted")]
    Delete,
}

/// What is told of problems that `xds` finds; more have one cause.
const XDS_PROBLEMS_MAX: usize = 100;

impl Draft {
    /// Takes what is asked for.
    pub fn new(config: Config) -> Self {
        Self { config }
    }

    /// Checks everything. What did not change since `base` was validated is known to be good. Resources that `earlier`
    /// snapshots have with the same bytes were decoded once already and are not decoded again.
    ///
    /// # Errors
    /// Every problem there is: those of the model, then those that `xds` finds beyond them. They are the same whatever is
    /// known already.
    pub fn validate(
        self,
        base: Option<&Validated>,
        earlier: &[Snapshot],
    ) -> Result<Validated, Vec<Problem>> {
        let nothing = Validated::nothing();
        let base = base.unwrap_or(&nothing);
        let config = Arc::new(self.config);
        let mut problems = config.check_after(&base.config);
        let attempt = base
            .translation
            .next(with_a_listener(&config), Arc::default(), earlier);
        for class in ClientClass::ALL {
            for problem in found(&attempt, class, &base.translation) {
                if !problems.iter().any(|known| covers(known, &problem)) {
                    problems.push(problem);
                }
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let hashes = Hashes::of(&config, &base.config, &base.hashes);
        Ok(Validated {
            hash: hashes.whole(&config),
            hashes: Arc::new(hashes),
            work: attempt.work(),
            translation: Arc::new(attempt.translation().clone()),
            config,
        })
    }
}

impl Validated {
    /// The empty config, which needs no check.
    fn nothing() -> Self {
        let (config, hashes) = (Arc::new(Config::default()), Hashes::default());
        Self {
            hash: hashes.whole(&config),
            hashes: Arc::new(hashes),
            config,
            translation: Arc::default(),
            work: Work::default(),
        }
    }

    /// What it cost to find out.
    pub fn work(&self) -> Work {
        self.work
    }

    /// What clients are served of it, without endpoints of the fast lane.
    pub fn translation(&self) -> &Arc<Translation> {
        &self.translation
    }

    /// The config.
    pub fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The hash of its whole content: kinds, names and bodies.
    pub fn hash(&self) -> &Hash {
        &self.hash
    }

    /// What turns `base` into this, in a stable order.
    pub fn changes(&self, base: &Config) -> Vec<Change> {
        let mut changes = changes_of::<Listener>(base, &self.config);
        changes.extend(changes_of::<Cluster>(base, &self.config));
        changes.extend(changes_of::<Route>(base, &self.config));
        changes
    }
}

/// What is wrong for one class, in the operator's words. What is served as before fits together as before.
fn found(attempt: &Attempt, class: ClientClass, before: &Translation) -> Vec<Problem> {
    let refused = attempt.refused(class);
    let snapshot = attempt.translation().snapshot(class);
    // A resource that was refused is missing from the snapshot, and compiling would complain of that as well.
    let misfits = match snapshot.filter(|_| refused.is_empty()) {
        Some(snapshot)
            if !before
                .snapshot(class)
                .is_some_and(|it| it.shares_all(snapshot)) =>
        {
            xds::compile::compile(snapshot).1
        }
        _ => Vec::new(),
    };
    let found = refused.iter().chain(&misfits).take(XDS_PROBLEMS_MAX);
    attempt.explain(class, found)
}

/// Routes that no listener serves are checked all the same: adding the first listener must not bring their faults up.
fn with_a_listener(config: &Arc<Config>) -> Arc<Config> {
    if !config.listeners.is_empty() {
        return config.clone();
    }
    let mut config = (**config).clone();
    config.put(Listener {
        name: "unserved".to_owned(),
        address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        port: 1,
        trusted_hops: 0,
    });
    Arc::new(config)
}

/// Whether a known problem says what another would: the same resource, and one field inside the other. A problem of a
/// whole resource covers another of the whole only: it says nothing of the fields.
fn covers(known: &Problem, other: &Problem) -> bool {
    let inside = |outer: &str, inner: &str| {
        !outer.is_empty()
            && inner
                .strip_prefix(outer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let (a, b) = (&known.pointer, &other.pointer);
    known.resource == other.resource && (a == b || inside(a, b) || inside(b, a))
}

/// What is written first, then what is deleted.
fn changes_of<T: Resource>(base: &Config, next: &Config) -> Vec<Change> {
    let change = |changed: Changed<'_, T>| {
        let verb = match (changed.before, changed.after) {
            (None, _) => Verb::Create,
            (Some(_), Some(_)) => Verb::Update,
            (Some(_), None) => Verb::Delete,
        };
        Change {
            id: ResourceId {
                kind: T::KIND,
                name: changed.name.clone(),
            },
            verb,
            body: changed
                .after
                .map(|resource| canonical::to_bytes(&**resource)),
        }
    };
    let changes = between(T::set(base), T::set(next)).map(change);
    let (mut written, deleted): (Vec<_>, Vec<_>) =
        changes.partition(|change| change.verb != Verb::Delete);
    written.extend(deleted);
    written
}

#[cfg(test)]
mod tests;
