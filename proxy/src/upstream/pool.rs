//! Idle keep-alive connections of one worker, by address, the latest used first, and the worker's buffers.
//! A connection leaves the pool for one exchange (`Lease`) and comes back at its end if both sides agree.
//! Connections are not shared between workers and not tied to clusters: the address is all that matters to them.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::time::Duration;

use ahash::AHashMap;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::buffers::Buffers;
use crate::receiving::Receiving;

use super::connection::Connection;
use super::error::UpstreamError;

/// The pool looks for expired connections this often, and measures idle time in it: no exchange has to ask for the time.
const TICK: Duration = Duration::from_secs(1);
/// How long a connection may be idle: 3 to 4 s. Common servers close theirs after 5 s (Node.js, Apache, uvicorn), 20 s (Tomcat) or
/// 75 s (nginx); staying below the shortest means that the server never closes just as a request is on its way. A connection
/// that is used less than once in this time saves next to nothing.
const IDLE_TICKS: u32 = 4;
/// Most idle connections to one address. The idle timeout already holds their number at the concurrency of the last seconds;
/// this bounds what a burst can leave behind.
const MAX_IDLE: usize = 1024;

/// The pool of one worker. It lives inside the runtime of its worker, where the task that closes expired connections runs.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The buffers of the worker.
    pub(crate) buffers: Buffers,
    homes: RefCell<AHashMap<SocketAddr, Rc<Home>>>,
    /// The time, as far as idle connections go.
    ticks: Cell<u32>,
    /// A task moves the time on. Without idle connections there is none, and no time.
    is_ticking: Cell<bool>,
    me: Weak<Pool>,
}

/// The idle connections to one address.
#[derive(Debug, Default)]
struct Home {
    /// Oldest first.
    idle: RefCell<Vec<Idle>>,
    /// The address is gone from the config: what is in use must not come back.
    is_gone: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: u32,
}

/// A connection that is being opened. In a box, so that requests which need not connect, which is most of them, are not as
/// large as those that do.
pub(crate) type Connecting = Pin<Box<dyn Future<Output = Result<Lease, UpstreamError>>>>;

/// A connection in use. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) connection: Box<Connection>,
    pub(super) is_reused: bool,
    home: Rc<Home>,
}

impl Pool {
    /// An empty pool.
    pub(crate) fn new() -> Rc<Self> {
        Rc::new_cyclic(|me| Self {
            buffers: Buffers::default(),
            homes: RefCell::default(),
            ticks: Cell::new(0),
            is_ticking: Cell::new(false),
            me: me.clone(),
        })
    }

    /// Closes idle connections to addresses that are not to be kept, and sees to it that those in use are closed after
    /// their exchange: what an address meant before a change must not serve a request that was routed after it.
    pub(crate) fn retain(&self, keep: impl Fn(&SocketAddr) -> bool) {
        self.homes.borrow_mut().retain(|address, home| {
            let is_kept = keep(address);
            if !is_kept {
                home.is_gone.set(true);
                home.idle.borrow_mut().clear();
            }
            is_kept
        });
    }

    /// An idle connection to an address that is still good.
    pub(crate) fn take(&self, address: SocketAddr) -> Option<Lease> {
        self.home(address).take()
    }

    /// Opens a connection to an address within `timeout` and before `deadline`.
    pub(crate) fn connect(
        &self,
        address: SocketAddr,
        timeout: Duration,
        deadline: Option<Instant>,
    ) -> Connecting {
        let home = self.home(address);
        Box::pin(async move {
            let connection = Connection::open(address, timeout, deadline).await?;
            Ok(home.lease(connection))
        })
    }

    /// The idle connections of an address.
    fn home(&self, address: SocketAddr) -> Rc<Home> {
        self.homes.borrow_mut().entry(address).or_default().clone()
    }

    /// Takes back a connection whose exchange has ended in good order.
    pub(super) fn put(&self, lease: Lease) {
        let Lease {
            connection, home, ..
        } = lease;
        if home.is_gone.get() || home.idle.borrow().len() >= MAX_IDLE {
            return;
        }
        home.idle.borrow_mut().push(Idle {
            connection,
            since: self.ticks.get(),
        });
        if !self.is_ticking.replace(true) {
            tokio::task::spawn_local(tick(self.me.clone()));
        }
    }

    /// Moves the time on and closes what has been idle for too long; true if some connections are left.
    fn expire(&self) -> bool {
        let now = self.ticks.get().wrapping_add(1);
        self.ticks.set(now);
        let mut is_any_left = false;
        for home in self.homes.borrow().values() {
            let mut idle = home.idle.borrow_mut();
            let expired = idle.partition_point(|idle| now.wrapping_sub(idle.since) >= IDLE_TICKS);
            idle.drain(..expired);
            is_any_left |= !idle.is_empty();
        }
        is_any_left
    }

    #[cfg(test)]
    pub(super) fn idle_count(&self) -> usize {
        self.homes
            .borrow()
            .values()
            .map(|home| home.idle.borrow().len())
            .sum()
    }
}

impl Lease {
    /// The socket and what has come in: they do not come back.
    pub(super) fn into_parts(self) -> (TcpStream, Receiving) {
        let connection = *self.connection;
        (connection.stream, connection.receiving)
    }
}

impl Home {
    /// The latest used connection that is still good. Those that are not are closed on the way.
    fn take(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { connection, .. }) = idle.pop() {
            if connection.is_quiet() {
                return Some(Lease {
                    connection,
                    is_reused: true,
                    home: self.clone(),
                });
            }
        }
        None
    }

    /// A new connection as one in use.
    fn lease(self: &Rc<Self>, connection: Box<Connection>) -> Lease {
        Lease {
            connection,
            is_reused: false,
            home: self.clone(),
        }
    }
}

/// Moves the pool's time on until there is no idle connection, or no pool.
async fn tick(pool: Weak<Pool>) {
    loop {
        tokio::time::sleep(TICK).await;
        let Some(pool) = pool.upgrade() else { return };
        if !pool.expire() {
            pool.is_ticking.set(false);
            return;
        }
    }
}
