//! One worker's way to its slots of a config: found by the address of the route or the name of the cluster, made with the
//! first request that comes their way. After that a count is a look into a table and a few stores.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use ahash::RandomState;
use xds::route::Route;

use super::slot::{Mark, Slot};
use super::{End, Entry, Outcomes, RouteName, Subject};

/// Routes that are found without a look into the table: most traffic takes a few.
const RECENT: usize = 32;

/// Hashes an address. Nobody from outside chooses it, so one multiplication will do.
#[derive(Debug, Default)]
struct AddressHasher(u64);

/// The place of a slot in its worker's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position(u32);

/// One worker's access to its slots of a config.
#[derive(Debug)]
pub(crate) struct Books {
    outcomes: Arc<Outcomes>,
    worker: usize,
    routes: RefCell<HashMap<*const Route, Position, BuildHasherDefault<AddressHasher>>>,
    /// Some of `routes`, each at the place that its address says.
    recent: [Cell<(*const Route, Position)>; RECENT],
    clusters: RefCell<HashMap<Arc<str>, Position, RandomState>>,
    unrouted: OnceCell<Position>,
    /// What stands in the list, at the same positions.
    entries: RefCell<Vec<Arc<Entry>>>,
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
                routes: RefCell::default(),
                recent: std::array::from_fn(|_| Cell::new((std::ptr::null(), Position(0)))),
                clusters: RefCell::default(),
                unrouted: OnceCell::new(),
                entries: RefCell::default(),
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
        // Routes are larger than a line of the cache, so the bits below it tell little.
        let recent = &self.recent[(address.addr() / 64) % RECENT];
        let (known, position) = recent.get();
        if known == address {
            return position;
        }
        let position = self.find_or_open(configuration, virtual_host, route);
        recent.set((address, position));
        position
    }

    fn find_or_open(
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
        let route = route.unwrap_or_else(unrouted);
        let (mark, entries) = (Mark::from(end), self.entries.borrow());
        // Positions are handed out with their entries.
        let slot = |position: Position| entries.get(position.0 as usize).map(|entry| &entry.slot);
        slot(route).inspect(|slot| slot.count(&mark));
        cluster.and_then(slot).inspect(|slot| slot.count(&mark));
    }

    fn open(&self, subject: Subject) -> Position {
        let slot = Slot::default();
        let entry = Arc::new(Entry { subject, slot });
        let mut entries = self.entries.borrow_mut();
        let position = entries.len() as u32;
        entries.push(entry.clone());
        let is_new = self.outcomes.0.of(self.worker).put(position, entry);
        debug_assert!(is_new, "a worker has one set of books over a config");
        Position(position)
    }
}

impl Hasher for AddressHasher {
    fn finish(&self) -> u64 {
        // The table looks at the lowest bits first, and those of the product are the addresses' own, mostly zero.
        self.0.rotate_left(26)
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_usize(usize::from(*byte));
        }
    }

    fn write_usize(&mut self, number: usize) {
        // 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4).
        self.0 = (self.0 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
