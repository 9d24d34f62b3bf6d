//! One worker's way to its slots of a config: found by the address of the route or the name of the cluster, made with the
//! first request that comes their way. After that a count is a look into a table and a few stores.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::rc::Rc;
use std::sync::Arc;

use ahash::AHasher;
use xds::route::Route;

use super::slot::Slot;
use super::{End, Entry, Outcomes, RouteName, Subject};

type Table<K> = RefCell<HashMap<K, Position, BuildHasherDefault<AHasher>>>;

/// The place of a slot in its worker's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(u32);

/// One worker's access to its slots of a config.
#[derive(Debug)]
pub(crate) struct Books {
    outcomes: Arc<Outcomes>,
    worker: usize,
    routes: Table<*const Route>,
    clusters: Table<Arc<str>>,
    unrouted: OnceCell<Position>,
    next: Cell<u32>,
}

impl Books {
    /// The books of a worker over a config's numbers: those it had before if the numbers are the same, for a slot must
    /// not be made twice.
    pub(crate) fn following(
        before: Option<&Rc<Self>>,
        outcomes: &Arc<Outcomes>,
        worker: usize,
    ) -> Rc<Self> {
        match before.filter(|before| Arc::ptr_eq(&before.outcomes, outcomes)) {
            Some(before) => before.clone(),
            None => Rc::new(Self {
                outcomes: outcomes.clone(),
                worker,
                routes: Table::default(),
                clusters: Table::default(),
                unrouted: OnceCell::new(),
                next: Cell::new(0),
            }),
        }
    }

    /// Where a route is counted. `configuration` and `virtual_host` are the names on the way to it.
    pub(crate) fn route(
        &self,
        configuration: Option<&Arc<str>>,
        virtual_host: &Arc<str>,
        route: &Arc<Route>,
    ) -> Position {
        let address = Arc::as_ptr(route);
        if let Some(position) = self.routes.borrow().get(&address) {
            return *position;
        }
        let name = RouteName {
            configuration: configuration.cloned().unwrap_or_default(),
            virtual_host: virtual_host.clone(),
            route: route.clone(),
        };
        let position = self.open(Subject::Route(name));
        self.routes.borrow_mut().insert(address, position);
        position
    }

    /// Where a cluster is counted.
    pub(crate) fn cluster(&self, name: &Arc<str>) -> Position {
        let mut clusters = self.clusters.borrow_mut();
        let position = clusters.entry(name.clone());
        *position.or_insert_with(|| self.open(Subject::Cluster(name.clone())))
    }

    /// Counts the end of a request, for its route and its cluster if it has them.
    pub(crate) fn count(&self, route: Option<Position>, cluster: Option<Position>, end: End) {
        let unrouted = || *self.unrouted.get_or_init(|| self.open(Subject::Unrouted));
        let routes = self.slot(route.unwrap_or_else(unrouted));
        let clusters = cluster.and_then(|cluster| self.slot(cluster));
        for slot in [routes, clusters].into_iter().flatten() {
            slot.count(end);
        }
    }

    fn open(&self, subject: Subject) -> Position {
        let position = self.next.replace(self.next.get() + 1);
        let slot = Slot::default();
        let entry = Entry { subject, slot };
        let is_new = self.outcomes.0.of(self.worker).put(position, entry);
        debug_assert!(is_new, "a worker has one set of books over a config");
        Position(position)
    }

    /// The slot at a position; positions are handed out with their slots.
    fn slot(&self, position: Position) -> Option<&Slot> {
        let entry = self.outcomes.0.of(self.worker).get(position.0);
        entry.map(|entry| &entry.slot)
    }
}
