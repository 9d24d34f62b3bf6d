//! A proxy without a control plane: the test says what is live.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ::proxy::live::Writer;
use ::proxy::outcomes::Ledger;
use ::proxy::traffic::{Drained, Traffic};
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use xds::config::Config;
use xds::problem::Problem;

use super::client::Client;
use super::config::{config, listener};

/// A running proxy with two workers.
pub(crate) struct Proxy {
    traffic: Traffic,
    writer: Writer,
    /// The number of what is made live next.
    pub(crate) revision: u64,
    /// The place of the one listener that most tests need.
    place: SocketAddr,
}

impl Proxy {
    /// A proxy that serves nothing yet.
    pub(crate) fn start() -> Self {
        let (traffic, writer) = Traffic::start(2, None).expect("threads");
        Self {
            traffic,
            writer,
            revision: 0,
            place: free_place(1),
        }
    }

    /// A proxy with one listener for these routes, and these clusters.
    pub(crate) fn serving(routes: Vec<Value>, clusters: Vec<Value>) -> Self {
        let mut proxy = Self::start();
        proxy.serve(routes, clusters);
        proxy
    }

    /// Makes one listener with these routes live, and these clusters. The listener is always the same.
    pub(crate) fn serve(&mut self, routes: Vec<Value>, clusters: Vec<Value>) {
        let mut resources = clusters;
        resources.push(listener("web", self.place, routes));
        assert_eq!(self.apply(&resources), []);
    }

    /// Makes resources live.
    pub(crate) fn apply(&mut self, resources: &[Value]) -> Vec<Problem> {
        self.apply_config(&config(resources))
    }

    /// Makes a config live.
    pub(crate) fn apply_config(&mut self, config: &Config) -> Vec<Problem> {
        self.writer.apply(config, self.revision)
    }

    /// Where a listener is reached.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        self.writer.listening()[listener]
    }

    /// Where the listener of [`Proxy::serve`] is reached.
    pub(crate) fn address(&self) -> SocketAddr {
        self.place
    }

    /// A connection to that listener.
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.place)
    }

    /// What became of requests, if that is asked for before a config goes live.
    pub(crate) fn ledger(&self) -> &Arc<Ledger> {
        self.traffic.ledger()
    }

    /// Failed requests by cause.
    pub(crate) fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.traffic.failures()
    }

    /// Waits until so many requests have failed for a cause.
    pub(crate) fn wait_for_failures(&self, cause: &str, count: u64) {
        let start = std::time::Instant::now();
        while self.failures().get(cause).copied().unwrap_or(0) < count {
            assert!(
                start.elapsed() < super::PATIENCE,
                "{cause} in {:?}",
                self.failures()
            );
            std::thread::yield_now();
        }
    }

    /// Drains it.
    pub(crate) fn drain(self, timeout: Duration) -> Drained {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(self.traffic.drain(timeout))
    }
}

/// A place for a listener: a port of 127.0.0.x that nobody else is given while the test runs. A socket that is bound and
/// does not listen keeps it; those of the proxy may stand beside it.
pub(crate) fn free_place(x: u8) -> SocketAddr {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, x], 0)).into())
        .unwrap();
    let place = socket.local_addr().unwrap().as_socket().unwrap();
    std::mem::forget(socket);
    place
}
