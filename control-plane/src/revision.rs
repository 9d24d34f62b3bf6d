//! From what somebody asks for to what may be stored. A [`Draft`] may be nonsense; only [`Draft::validate`] makes a
//! [`Validated`], and only a `Validated` can be committed. Validation is the proxy's own: the config is translated for
//! every class of client, decoded and compiled, and every problem is told in the operator's words.

pub mod diff;

use std::sync::Arc;

use serde::Serialize;
use utoipa::ToSchema;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;

use crate::model::canonical::{self, Hash};
use crate::model::{Cluster, Config, Listener, Problem, Resource, ResourceId, Route};
use crate::translate::{self, FastLane};

/// A config that somebody asks for.
#[derive(Clone, Debug)]
pub struct Draft {
    config: Config,
}

/// A config that every class of client accepts.
#[derive(Clone, Debug)]
pub struct Validated {
    config: Arc<Config>,
    hash: Hash,
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

    /// Checks everything. Resources that `earlier` snapshots have with the same bytes were decoded once already and are
    /// not decoded again: with them, one changed route costs one virtual host.
    ///
    /// # Errors
    /// Every problem there is: those of the model, then those that `xds` finds beyond them.
    pub fn validate(self, earlier: &[Snapshot]) -> Result<Validated, Vec<Problem>> {
        let mut problems = self.config.check();
        let mut snapshots = earlier.to_vec();
        for class in ClientClass::ALL {
            let (snapshot, found) = compile(&self.config, class, &snapshots);
            snapshots.push(snapshot);
            for problem in found {
                if !problems.iter().any(|known| covers(known, &problem)) {
                    problems.push(problem);
                }
            }
        }
        if problems.is_empty() {
            Ok(Validated::new(self.config))
        } else {
            Err(problems)
        }
    }
}

impl Validated {
    fn new(config: Config) -> Self {
        let hash = hash(&config);
        Self {
            config: Arc::new(config),
            hash,
        }
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

/// Translates, decodes and compiles for one class; what is wrong is told in the operator's words.
fn compile(config: &Config, class: ClientClass, earlier: &[Snapshot]) -> (Snapshot, Vec<Problem>) {
    let served = with_a_listener(config);
    let translated = translate::everything(&served, &FastLane::new(), class);
    let earlier: Vec<&Snapshot> = earlier.iter().collect();
    let (snapshot, refused) = translated.decode_what_can_be(&earlier);
    // A resource that was refused is missing from the snapshot, and compiling would complain of that as well.
    let misfits = if refused.is_empty() {
        xds::compile::compile(&snapshot).1
    } else {
        Vec::new()
    };
    let found = refused.iter().chain(&misfits).take(XDS_PROBLEMS_MAX);
    (snapshot, translated.explain(found))
}

/// Routes that no listener serves are checked all the same: adding the first listener must not bring their faults up.
fn with_a_listener(config: &Config) -> std::borrow::Cow<'_, Config> {
    if !config.listeners.is_empty() {
        return std::borrow::Cow::Borrowed(config);
    }
    let mut config = config.clone();
    config.put(Listener {
        name: "unserved".to_owned(),
        address: std::net::Ipv4Addr::UNSPECIFIED.into(),
        port: 1,
        trusted_hops: 0,
    });
    std::borrow::Cow::Owned(config)
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

fn changes_of<T: Resource>(base: &Config, next: &Config) -> Vec<Change> {
    let (base, next) = (T::set(base), T::set(next));
    let written = next.iter().filter_map(|(name, resource)| {
        let verb = match base.get(name) {
            None => Verb::Create,
            Some(before) if Arc::ptr_eq(before, resource) || before == resource => return None,
            Some(_) => Verb::Update,
        };
        let id = ResourceId {
            kind: T::KIND,
            name: name.clone(),
        };
        Some(Change {
            id,
            verb,
            body: Some(canonical::to_bytes(&**resource)),
        })
    });
    let deleted = base
        .keys()
        .filter(|name| !next.contains_key(*name))
        .map(|name| {
            let id = ResourceId {
                kind: T::KIND,
                name: name.clone(),
            };
            Change {
                id,
                verb: Verb::Delete,
                body: None,
            }
        });
    written.chain(deleted).collect()
}

fn hash(config: &Config) -> Hash {
    fn add<T: Resource>(config: &Config, hasher: &mut blake3::Hasher) {
        for (name, resource) in T::set(config) {
            // Names and kinds hold no NUL, and hashes have one length, so no two contents run together.
            for part in [T::KIND.plural(), name] {
                hasher.update(part.as_bytes()).update(b"\0");
            }
            hasher.update(&canonical::hash(&canonical::to_bytes(&**resource)));
        }
    }
    let mut hasher = blake3::Hasher::new();
    add::<Listener>(config, &mut hasher);
    add::<Cluster>(config, &mut hasher);
    add::<Route>(config, &mut hasher);
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests;
