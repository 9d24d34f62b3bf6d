//! One client connection: what its future, its socket and its requests tell each other. Timeouts are kept here as ticks
//! of the worker's wheel; the wheel asks for the deadline, so a request only stores numbers.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use http_wire::head::{FieldId, Line};
use xds::resource::http_connection_manager::HttpConnectionManager;

use crate::metrics::{ListenerSlot, PerWorker};

use super::Worker;
use super::view::{Place, View};
use super::wheel::{Id, ticks};

/// What a connection is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Nothing: it waits for a request.
    Idle,
    /// A head has begun to arrive.
    Head,
    /// A request is being answered.
    Request,
    /// Its response has begun, or what follows one that switches to another protocol.
    Response,
}

/// Which time is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expiry {
    /// It stood idle too long, or it drains: close it.
    Idle,
    /// The head took too long.
    Head,
    /// Nothing moved in the middle of a request.
    Stream,
}

/// One client connection.
pub(crate) struct Downstream {
    id: Id,
    worker: Rc<Worker>,
    /// Where it came in; a tunnel has let go of it.
    place: RefCell<Option<Rc<Place>>>,
    peer: SocketAddr,
    /// The IP address of `peer`, as all requests tell it.
    forwarded_for: Line,
    /// Counts it; `None` if its listener is gone already.
    metrics: Option<Arc<PerWorker<ListenerSlot>>>,
    phase: Cell<Phase>,
    /// A write waits for the client.
    blocked: Cell<bool>,
    draining: Cell<bool>,
    /// It has switched to another protocol.
    is_tunnel: Cell<bool>,
    expired: Cell<Option<Expiry>>,
    limits: Cell<Limits>,
    /// When bytes last moved, or the phase last changed.
    touched: Cell<u32>,
    /// When the head began.
    head_since: Cell<u32>,
    /// While draining: when an idle connection is closed.
    close_at: Cell<u32>,
    /// The tick of this connection's entry in the wheel.
    armed: Cell<u32>,
    waker: RefCell<Option<Waker>>,
}

/// Timeouts in ticks.
#[derive(Clone, Copy, Debug, Default)]
struct Limits {
    idle: Option<u32>,
    head: Option<u32>,
    stream: Option<u32>,
}

const NEVER: u32 = u32::MAX;
/// How long a head may take on a connection that drains, if nothing else limits it.
const DRAIN_HEAD: Duration = Duration::from_secs(1);

impl Downstream {
    pub(super) fn new(id: Id, worker: Rc<Worker>, place: Rc<Place>, peer: SocketAddr) -> Self {
        let (limits, metrics) = match place.read(worker.view()) {
            Some((view, position)) => {
                let listener = view.listener(position);
                (
                    Limits::of(&listener.served.listener.http),
                    Some(listener.metrics.clone()),
                )
            }
            None => (Limits::default(), None),
        };
        if let Some(metrics) = &metrics {
            metrics.of(worker.index).connections.inc();
            metrics.of(worker.index).open.inc();
        }
        let now = worker.now.get();
        let downstream = Self {
            id,
            place: RefCell::new(Some(place)),
            peer,
            forwarded_for: forwarded_for(peer),
            metrics,
            phase: Cell::new(Phase::Idle),
            blocked: Cell::new(false),
            draining: Cell::new(false),
            is_tunnel: Cell::new(false),
            expired: Cell::new(None),
            limits: Cell::new(limits),
            touched: Cell::new(now),
            head_since: Cell::new(now),
            close_at: Cell::new(NEVER),
            armed: Cell::new(NEVER),
            waker: RefCell::new(None),
            worker,
        };
        downstream.rearm();
        downstream
    }

    /// The worker that carries it.
    pub(crate) fn worker(&self) -> &Rc<Worker> {
        &self.worker
    }

    /// Whether it came in at an address. A tunnel has no more requests to give up and belongs nowhere.
    pub(super) fn came_in_at(&self, address: &SocketAddr) -> bool {
        let place = self.place.borrow();
        place
            .as_ref()
            .is_some_and(|place| place.address == *address)
    }

    /// The client's address.
    pub(crate) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// What a request says of the client's IP address, where it says nothing yet.
    pub(crate) fn forwarded_for(&self) -> &Line {
        &self.forwarded_for
    }

    /// What it is busy with.
    pub(crate) fn phase(&self) -> Phase {
        self.phase.get()
    }

    /// Whether the next response should be the last one.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.get()
    }

    /// Which time is up.
    pub(crate) fn expired(&self) -> Option<Expiry> {
        self.expired.get()
    }

    /// Whether this time is up; whoever asks deals with it.
    pub(crate) fn take_expiry(&self, expiry: Expiry) -> bool {
        let is_up = self.expired.get() == Some(expiry);
        if is_up {
            self.expired.set(None);
            self.rearm();
        }
        is_up
    }

    // === what its future and its socket say ===

    /// Remembers whom to wake.
    pub(crate) fn park(&self, waker: &Waker) {
        let mut parked = self.waker.borrow_mut();
        match &mut *parked {
            Some(known) => known.clone_from(waker),
            None => *parked = Some(waker.clone()),
        }
    }

    /// Bytes have come from the client.
    pub(crate) fn note_read(&self) {
        self.touched.set(self.worker.now.get());
        if self.phase.get() == Phase::Idle {
            self.head_since.set(self.worker.now.get());
            self.enter(Phase::Head);
        }
    }

    /// Bytes have gone to the client, or could not (`blocked`).
    pub(crate) fn note_write(&self, blocked: bool) {
        if blocked {
            self.blocked.set(true);
            self.rearm();
        } else {
            self.blocked.set(false);
            self.touched.set(self.worker.now.get());
        }
    }

    // === what its requests say ===

    /// A request starts. Gives the config that it keeps to its end; `None` if there is none.
    pub(crate) fn begin_request(&self) -> Option<(Rc<View>, usize)> {
        let place = self.place.borrow();
        let read = place.as_ref()?.read(self.worker.view());
        if let Some((view, position)) = &read {
            self.limits
                .set(Limits::of(&view.listener(*position).served.listener.http));
        }
        self.enter(Phase::Request);
        read
    }

    /// The route of the request has a pause limit of its own.
    pub(crate) fn limit_pauses(&self, longest: Option<Duration>) {
        let stream = longest.map(ticks);
        self.limits.set(Limits {
            stream,
            ..self.limits.get()
        });
        self.rearm();
    }

    /// The response begins.
    pub(crate) fn begin_response(&self) {
        self.enter(Phase::Response);
    }

    /// The response has ended.
    pub(crate) fn end_request(&self) {
        self.enter(Phase::Idle);
    }

    /// It has left HTTP. The limit on pauses stays; the config that its requests are answered by is let go of.
    pub(crate) fn begin_tunnel(&self) {
        self.place.replace(None);
        self.is_tunnel.set(true);
        if let Some(metrics) = &self.metrics {
            metrics.of(self.worker.index).upgrades.inc();
            metrics.of(self.worker.index).upgraded.inc();
        }
        self.enter(Phase::Response);
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.touched.set(self.worker.now.get());
        self.rearm();
    }

    // === what the worker says ===

    /// The next response is the last one; without a request it is closed at a tick.
    pub(super) fn drain(&self, close_at: u32) {
        self.draining.set(true);
        self.close_at.set(close_at);
        self.rearm();
    }

    /// The tick at which its time is up, as things stand.
    pub(super) fn deadline(&self) -> Option<u32> {
        let limits = self.limits.get();
        // One more, since the clock is read at ticks: what begins at `since` may have begun almost a tick later.
        let after = |since: u32, limit: Option<u32>| limit.map_or(NEVER, |limit| since + 1 + limit);
        let deadline = match self.phase.get() {
            Phase::Idle if self.blocked.get() => after(self.touched.get(), limits.stream),
            Phase::Idle => after(self.touched.get(), limits.idle).min(self.close_at.get()),
            Phase::Head => {
                after(self.head_since.get(), limits.head.or(limits.idle)).min(self.last_head())
            }
            Phase::Request | Phase::Response => after(self.touched.get(), limits.stream),
        };
        (deadline != NEVER).then_some(deadline)
    }

    /// While draining: when a head that has begun must be here.
    fn last_head(&self) -> u32 {
        match self.close_at.get() {
            NEVER => NEVER,
            close_at => close_at.max(self.head_since.get() + ticks(DRAIN_HEAD)),
        }
    }

    /// Its time is up.
    pub(super) fn expire(&self) {
        self.armed.set(NEVER);
        self.expired.set(Some(match self.phase.get() {
            Phase::Idle if self.blocked.get() => Expiry::Stream,
            Phase::Idle => Expiry::Idle,
            Phase::Head => Expiry::Head,
            Phase::Request | Phase::Response => Expiry::Stream,
        }));
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }

    /// Whether its entry in the wheel is the one at this tick.
    pub(super) fn is_armed_at(&self, tick: u32) -> bool {
        self.armed.get() == tick
    }

    /// Enters the wheel.
    pub(super) fn arm(&self, deadline: u32) {
        let tick = self.worker.wheel.borrow_mut().insert(deadline, self.id);
        self.armed.set(tick);
    }

    /// It has no deadline and no entry.
    pub(super) fn disarm(&self) {
        self.armed.set(NEVER);
    }

    /// Enters the wheel if no entry comes up in time. In the steady state one does.
    fn rearm(&self) {
        if let Some(deadline) = self.deadline()
            && deadline < self.armed.get()
        {
            self.arm(deadline);
        }
    }
}

fn forwarded_for(peer: SocketAddr) -> Line {
    let address = peer.ip().to_canonical().to_string();
    Line::new(FieldId::XForwardedFor, address.as_bytes())
        .expect("the text of an address is a legal value")
}

impl Drop for Downstream {
    fn drop(&mut self) {
        if let Some(metrics) = &self.metrics {
            metrics.of(self.worker.index).open.dec();
            if self.is_tunnel.get() {
                metrics.of(self.worker.index).upgraded.dec();
            }
        }
        // The books hold no reference of their own, so this is the moment when the connection is gone.
        self.worker.connections.remove(self.id);
        if self.worker.connections.is_empty() {
            self.worker.changed.notify_waiters();
        }
    }
}

impl Limits {
    fn of(http: &HttpConnectionManager) -> Self {
        Self {
            idle: http.idle_timeout.map(ticks),
            head: http.request_headers_timeout.map(ticks),
            stream: http.stream_idle_timeout.map(ticks),
        }
    }
}
