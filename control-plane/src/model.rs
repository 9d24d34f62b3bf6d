//! What an operator manages, in the operator's words: the vocabulary of the admin API as types.
//! In: a JSON or YAML document (`document`). Out: a [`Config`] and what is wrong with it (`check`).
//! Each kind has its file: the struct, its rules, their tests. Not here: Envoy's messages (`translate` makes them).

pub mod canonical;
pub mod duration;
pub mod problem;
pub mod text;
pub mod timestamp;

pub mod cluster;
pub mod endpoint;
pub mod listener;
pub mod route;

pub mod delta;

pub mod check;
pub mod document;
pub mod merge_patch;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use self::cluster::Cluster;
pub use self::endpoint::{Endpoint, Endpoints};
pub use self::listener::Listener;
pub use self::problem::{Check, Problem};
pub use self::route::Route;

/// The kinds of the slow lane: versioned together, one revision a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An address that proxies listen on.
    Listener,
    /// A group of endpoints that requests are balanced over.
    Cluster,
    /// Which requests, and what happens to them.
    Route,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Listener, Self::Cluster, Self::Route];

    /// The name of one: `listener`.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Cluster => "cluster",
            Self::Route => "route",
        }
    }

    /// The name as it stands in URLs, documents and the database: `listeners`.
    pub const fn plural(self) -> &'static str {
        match self {
            Self::Listener => "listeners",
            Self::Cluster => "clusters",
            Self::Route => "routes",
        }
    }

    /// The kind of a plural name.
    pub fn of_plural(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.plural() == name)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.singular())
    }
}

/// One resource of a fleet: `routes/products`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId {
    /// Its kind.
    pub kind: Kind,
    /// Its name, unique within the kind.
    pub name: Arc<str>,
}

impl ResourceId {
    /// The id of a resource.
    pub fn new(kind: Kind, name: &str) -> Self {
        Self {
            kind,
            name: Arc::from(name),
        }
    }
}

impl fmt::Display for ResourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.kind.plural(), self.name)
    }
}

/// Resources of one kind by name.
pub type Set<T> = BTreeMap<Arc<str>, Arc<T>>;

/// The slow lane of a fleet at one revision. A clone shares every resource.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    /// The listeners.
    pub listeners: Set<Listener>,
    /// The clusters.
    pub clusters: Set<Cluster>,
    /// The routes.
    pub routes: Set<Route>,
}

/// A kind of the slow lane, for code that treats all kinds alike.
pub trait Resource:
    Serialize + DeserializeOwned + Clone + PartialEq + Send + Sync + 'static
{
    /// Which kind it is.
    const KIND: Kind;

    /// Its name.
    fn name(&self) -> &str;

    /// What is wrong with it in itself; what it refers to is asked by [`Config::check`].
    fn check(&self, check: &mut Check);

    /// All of its kind.
    fn set(config: &Config) -> &Set<Self>;

    /// All of its kind, to be changed.
    fn set_mut(config: &mut Config) -> &mut Set<Self>;
}

impl Config {
    /// Puts a resource in place of what had its name.
    pub fn put<T: Resource>(&mut self, resource: T) {
        T::set_mut(self).insert(Arc::from(resource.name()), Arc::new(resource));
    }

    /// One resource.
    pub fn get<T: Resource>(&self, name: &str) -> Option<&Arc<T>> {
        T::set(self).get(name)
    }

    /// Takes a resource out.
    pub fn remove<T: Resource>(&mut self, name: &str) -> Option<Arc<T>> {
        T::set_mut(self).remove(name)
    }
}

/// Implements [`Resource`] for a struct with a `name` and a `check` of its own.
macro_rules! slow_lane {
    ($type:ident, $kind:ident, $field:ident) => {
        impl crate::model::Resource for $type {
            const KIND: crate::model::Kind = crate::model::Kind::$kind;

            fn name(&self) -> &str {
                &self.name
            }

            fn check(&self, check: &mut crate::model::Check) {
                self.check(check);
            }

            fn set(config: &crate::model::Config) -> &crate::model::Set<Self> {
                &config.$field
            }

            fn set_mut(config: &mut crate::model::Config) -> &mut crate::model::Set<Self> {
                &mut config.$field
            }
        }
    };
}
pub(crate) use slow_lane;

/// For `skip_serializing_if`: a field that holds its default is left out, so equal content has equal bytes.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
