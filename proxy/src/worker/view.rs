//! The live config as one worker sees it: cheap to hold on to, since counting references to an `Rc` is no business of
//! the other cores. A request keeps the view to its end; a body that streams keeps its cluster alone.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use crate::live::{Live, LiveCluster, LiveListener};
use crate::metrics::{ClusterSlot, Counter};
use crate::outcomes::{Books, Position};

/// One worker's hold on a config.
#[derive(Debug)]
pub(crate) struct View {
    /// The config.
    pub(crate) live: Arc<Live>,
    worker: usize,
    /// Filled where traffic goes, at the same positions as in `live`.
    targets: Box<[OnceCell<Rc<Target>>]>,
    /// Where its requests are counted, if they are.
    books: Option<Rc<Books>>,
}

/// A cluster as one worker uses it.
#[derive(Debug)]
pub(crate) struct Target {
    cluster: Arc<LiveCluster>,
    worker: usize,
    /// Its place in the books.
    position: Option<Position>,
}

impl View {
    /// The view that follows `before`.
    pub(super) fn following(before: Option<&Self>, live: Arc<Live>, worker: usize) -> Rc<Self> {
        let books = live.outcomes.as_ref().map(|outcomes| {
            let before = before.and_then(|before| before.books.as_ref());
            Books::following(before, outcomes, worker)
        });
        let targets = live.clusters().iter().map(|_| OnceCell::new()).collect();
        Rc::new(Self {
            live,
            worker,
            targets,
            books,
        })
    }

    /// The listener at a position.
    pub(crate) fn listener(&self, position: usize) -> &LiveListener {
        &self.live.listeners[position]
    }

    /// Where its requests are counted, if they are. A request that goes on holds these and not the config.
    pub(crate) fn books(&self) -> Option<&Rc<Books>> {
        self.books.as_ref()
    }

    /// A cluster by its name.
    pub(crate) fn target(&self, cluster: &str) -> Option<&Rc<Target>> {
        let position = self.live.cluster_position(cluster)?;
        let target = || {
            let cluster = self.live.clusters()[position].clone();
            let books = self.books.as_ref();
            Target {
                position: books.map(|books| books.cluster(cluster.name())),
                cluster,
                worker: self.worker,
            }
        };
        Some(self.targets[position].get_or_init(|| Rc::new(target())))
    }
}

impl Target {
    /// The cluster.
    pub(crate) fn cluster(&self) -> &LiveCluster {
        &self.cluster
    }

    /// Its place in the books of the config.
    pub(crate) fn position(&self) -> Option<Position> {
        self.position
    }

    /// Chooses an endpoint; gives its position.
    pub(crate) fn pick(&self) -> Option<usize> {
        self.cluster.pick(self.worker)
    }

    /// Where an endpoint is reached.
    pub(crate) fn address(&self, endpoint: usize) -> SocketAddr {
        self.cluster.endpoint(endpoint).address
    }

    /// The name of an endpoint, if it has one.
    pub(crate) fn hostname(&self, endpoint: usize) -> Option<&str> {
        self.cluster.hostname(endpoint)
    }

    /// This worker's requests in flight to an endpoint.
    pub(crate) fn active(&self, endpoint: usize) -> &Counter {
        self.cluster.endpoint(endpoint).active.of(self.worker)
    }

    /// This worker's counters of the cluster.
    pub(crate) fn slot(&self) -> &ClusterSlot {
        self.cluster.metrics.of(self.worker)
    }
}

/// Where connections come in: an address and the listener that stands there, config after config.
#[derive(Debug)]
pub(crate) struct Place {
    /// The address that the config says.
    pub(crate) address: SocketAddr,
    /// The position of the listener in the config.
    position: Cell<Option<usize>>,
    /// The last config that had the listener, once it is gone: what still arrives on its connections is answered by it.
    last: RefCell<Option<Rc<View>>>,
}

impl Place {
    pub(super) fn new(address: SocketAddr, view: &View) -> Self {
        Self {
            address,
            position: Cell::new(view.live.listener_at(&address)),
            last: RefCell::default(),
        }
    }

    /// The config and the position of this place's listener in it; `None` if it never had one.
    pub(crate) fn read(&self, current: Rc<View>) -> Option<(Rc<View>, usize)> {
        let view = self.last.borrow().clone().unwrap_or(current);
        self.position.get().map(|position| (view, position))
    }

    /// Finds the listener in the next config: at its address, or else by its name.
    pub(super) fn move_on(&self, before: &Rc<View>, next: &Rc<View>) {
        let name = |position: usize| &before.live.listeners[position].served.listener.name;
        let at_address = next.live.listener_at(&self.address);
        let by_name = || next.live.listener_named(name(self.position.get()?));
        if self.last.borrow().is_some() {
            return;
        }
        match at_address.or_else(by_name) {
            Some(position) => self.position.set(Some(position)),
            None => *self.last.borrow_mut() = self.position.get().map(|_| before.clone()),
        }
    }
}
