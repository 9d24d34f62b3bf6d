//! One worker: a thread that carries traffic, and what it owns. Nothing here is shared between threads, so nothing is
//! locked: `Rc` and `Cell` all the way. It reads the live config when a request starts; it never writes it.
//! What the thread does (accept, serve, drain) is in `listener` and `connection`.

mod connections;
mod date;
mod downstream;
mod heads;
mod view;
mod wheel;

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::cause::Cause;
use crate::live::Shared;
use crate::metrics::{Metrics, ProcessSlot};
use crate::samples::Sampler;
use crate::upstream::Pool;

pub(crate) use downstream::{Downstream, Expiry, Phase};
pub(crate) use heads::{Heads, Pair};
pub(crate) use view::{Place, Target, View};

use connections::Connections;
use date::Date;
use wheel::Wheel;

/// How long idle connections may stay after their listener has begun to drain. They are closed spread over this time:
/// a client that uses its connection meanwhile is told `Connection: close` instead of finding it closed.
const DRAIN_SPREAD: Duration = Duration::from_secs(1);

/// What one worker owns.
pub(crate) struct Worker {
    /// Its number.
    pub(crate) index: usize,
    /// Idle connections to endpoints.
    pub(crate) pool: Rc<Pool>,
    /// Which requests are samples.
    pub(crate) sampler: Sampler,
    /// Heads that are not in use.
    heads: heads::FreeList,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    view: RefCell<Rc<View>>,
    places: RefCell<Vec<Rc<Place>>>,
    connections: Connections,
    wheel: RefCell<Wheel>,
    date: RefCell<Date>,
    started: Instant,
    /// Ticks since `started`, as of the last look at the clock.
    now: Cell<u32>,
    /// Told when the first connection opens and when the last one closes.
    changed: Notify,
}

impl Worker {
    /// The worker with this number.
    pub(crate) fn new(
        index: usize,
        shared: Arc<Shared>,
        metrics: Arc<Metrics>,
        sampler: Sampler,
    ) -> Rc<Self> {
        let view = RefCell::new(View::following(None, shared.current(), index));
        Rc::new(Self {
            index,
            pool: Pool::new(),
            sampler,
            heads: heads::FreeList::default(),
            shared,
            metrics,
            view,
            places: RefCell::default(),
            connections: Connections::default(),
            wheel: RefCell::default(),
            date: RefCell::default(),
            started: Instant::now(),
            now: Cell::new(0),
            changed: Notify::new(),
        })
    }

    // === config ===

    /// The live config, looked up anew if it has changed: one atomic load if it has not.
    pub(crate) fn view(&self) -> Rc<View> {
        if self.shared.generation() != self.view.borrow().live.generation {
            self.refresh();
        }
        self.view.borrow().clone()
    }

    /// Lets go of a config that is no longer live, and of connections to endpoints that are gone.
    pub(crate) fn refresh(&self) {
        let live = self.shared.current();
        if live.generation == self.view.borrow().live.generation {
            return;
        }
        let view = View::following(Some(&**self.view.borrow()), live, self.index);
        let before = self.view.replace(view.clone());
        self.forget_places();
        for place in &*self.places.borrow() {
            place.move_on(&before, &view);
        }
        self.pool.retain(|address| view.live.has_endpoint(address));
    }

    /// The place where connections to an address belong.
    pub(crate) fn open_place(&self, address: SocketAddr) -> Rc<Place> {
        let place = Rc::new(Place::new(address, &self.view()));
        self.places.borrow_mut().push(place.clone());
        place
    }

    /// Forgets places that are closed and have no connection left, and with them the configs that they held.
    fn forget_places(&self) {
        let mut places = self.places.borrow_mut();
        places.retain(|place| Rc::strong_count(place) > 1);
    }

    // === connections ===

    /// Takes a connection into the books.
    pub(crate) fn admit(self: &Rc<Self>, place: Rc<Place>, peer: SocketAddr) -> Rc<Downstream> {
        if self.connections.is_empty() {
            self.advance();
            self.changed.notify_waiters();
        }
        self.connections
            .insert(|id| Downstream::new(id, self.clone(), place, peer))
    }

    /// Ends when there is no connection.
    pub(crate) async fn idle(&self) {
        while !self.connections.is_empty() {
            self.changed.notified().await;
        }
    }

    /// Closes the connections of an address when their requests are answered, and the idle ones soon.
    pub(crate) fn drain(&self, address: &SocketAddr) {
        let spread = wheel::ticks(DRAIN_SPREAD).max(1);
        for downstream in self.connections.all() {
            if downstream.came_in_at(address) {
                downstream.drain(self.now.get() + 1 + fastrand::u32(..spread));
            }
        }
    }

    // === time ===

    /// Watches the timeouts of all connections. Never ends.
    pub(crate) async fn keep_time(&self) {
        loop {
            if self.connections.is_empty() {
                self.changed.notified().await;
            } else {
                tokio::time::sleep(wheel::TICK).await;
            }
            self.advance();
        }
    }

    /// Looks at the clock and tells the connections whose time is up.
    fn advance(&self) {
        let now = (self.started.elapsed().as_millis() / wheel::TICK.as_millis()) as u32;
        self.now.set(now);
        self.sampler.time_passes(Instant::now());
        self.forget_places();
        let due = self.wheel.borrow_mut().advance(now);
        for entry in due {
            let downstream = self.connections.get(entry.id);
            // An entry that a nearer one has replaced finds nothing to do.
            let Some(downstream) = downstream.filter(|found| found.is_armed_at(entry.tick)) else {
                continue;
            };
            match downstream.deadline() {
                Some(deadline) if deadline <= now => downstream.expire(),
                Some(deadline) => downstream.arm(deadline),
                None => downstream.disarm(),
            }
        }
    }

    /// The date as responses state it.
    pub(crate) fn with_date(&self, write: impl FnOnce(&[u8])) {
        write(self.date.borrow_mut().at(self.now.get()));
    }

    // === counters ===

    /// Counts a failed request.
    pub(crate) fn count_failure(&self, cause: Cause) {
        self.process_slot().failures[cause.index()].inc();
    }

    /// The numbers that belong to no listener or cluster.
    pub(crate) fn process_slot(&self) -> &ProcessSlot {
        self.metrics.process.of(self.index)
    }

    /// An empty pair of heads; it comes back when it is dropped.
    pub(crate) fn heads(&self) -> Heads {
        self.heads.take()
    }
}
