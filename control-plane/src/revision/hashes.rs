//! The hash of every resource of a config. What did not change keeps its own, so that the hash of the whole costs no more
//! than what did.

use std::sync::Arc;

use crate::model::canonical::{self, Hash};
use crate::model::{Cluster, Config, Listener, Resource, Route};

/// Hashes of canonical bytes, those of each kind in the order of the names.
#[derive(Debug, Default)]
pub(super) struct Hashes {
    listeners: Vec<Hash>,
    clusters: Vec<Hash>,
    routes: Vec<Hash>,
}

impl Hashes {
    /// The hashes of a config; `known` are those of `base`.
    pub(super) fn of(config: &Config, base: &Config, known: &Self) -> Self {
        Self {
            listeners: of_kind::<Listener>(config, base, &known.listeners),
            clusters: of_kind::<Cluster>(config, base, &known.clusters),
            routes: of_kind::<Route>(config, base, &known.routes),
        }
    }

    /// The hash of the whole config: kinds, names and bodies.
    pub(super) fn whole(&self, config: &Config) -> Hash {
        fn add<T: Resource>(config: &Config, hashes: &[Hash], hasher: &mut blake3::Hasher) {
            for (name, hash) in T::set(config).keys().zip(hashes) {
                // Names and kinds hold no NUL, and hashes have one length, so no two contents run together.
                for part in [T::KIND.plural(), name] {
                    hasher.update(part.as_bytes()).update(b"\0");
                }
                hasher.update(hash);
            }
        }
        let mut hasher = blake3::Hasher::new();
        add::<Listener>(config, &self.listeners, &mut hasher);
        add::<Cluster>(config, &self.clusters, &mut hasher);
        add::<Route>(config, &self.routes, &mut hasher);
        *hasher.finalize().as_bytes()
    }
}

fn of_kind<T: Resource>(config: &Config, base: &Config, known: &[Hash]) -> Vec<Hash> {
    let mut known = T::set(base).iter().zip(known).peekable();
    let hash = |(name, resource): (&Arc<str>, &Arc<T>)| {
        while known.next_if(|((before, _), _)| *before < name).is_some() {}
        let before = known.next_if(|((before, _), _)| *before == name);
        match before {
            Some(((_, before), hash)) if Arc::ptr_eq(before, resource) || before == resource => {
                *hash
            }
            _ => canonical::hash(&canonical::to_bytes(&**resource)),
        }
    };
    T::set(config).iter().map(hash).collect()
}
