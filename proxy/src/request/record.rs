//! What will be reported of a request: it follows the request from its head to its answer's end, and counts it once, when
//! it is dropped. It holds its place in the books of the config that the request began with, and not the config.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xds::resource::route_configuration::RouteConfiguration;
use xds::resource::virtual_host::VirtualHost;
use xds::route::Route;

use crate::cause::Cause;
use crate::outcomes::{Books, End, Position};
use crate::worker::Target;

/// The record of one request.
pub(super) struct Record {
    /// `None` if nobody counts.
    books: Option<Rc<Books>>,
    started: Instant,
    route: Cell<Option<Position>>,
    cluster: Cell<Option<Position>>,
    /// The class of the answer's status.
    class: Cell<Option<u8>>,
    cause: Cell<Option<Cause>>,
    took: Option<Duration>,
}

impl Record {
    /// A request that began at this time. Without books nobody counts it.
    pub(super) fn new(started: Instant) -> Self {
        Self {
            books: None,
            started,
            route: Cell::new(None),
            cluster: Cell::new(None),
            class: Cell::new(None),
            cause: Cell::new(None),
            took: None,
        }
    }

    /// When the request began.
    pub(super) fn started(&self) -> Instant {
        self.started
    }

    /// It is counted in these books.
    pub(super) fn opens(&mut self, books: Option<&Rc<Books>>) {
        self.books = books.cloned();
    }

    /// It takes this route.
    pub(super) fn takes(
        &self,
        configuration: Option<&RouteConfiguration>,
        virtual_host: &VirtualHost,
        route: &Arc<Route>,
    ) {
        let configuration = configuration.map(|configuration| &configuration.name);
        let books = self.books.as_ref();
        let position = books.map(|books| books.route(configuration, &virtual_host.name, route));
        self.route.set(position);
    }

    /// It is meant for this cluster.
    pub(super) fn goes_to(&self, target: &Target) {
        self.cluster.set(target.position());
    }

    /// It failed, and will be answered by us.
    pub(super) fn fails(&self, cause: Cause) {
        self.cause.set(Some(cause));
    }

    /// Its answer has a status of this class.
    pub(super) fn is_answered(&self, class: usize) {
        self.class.set(Some(class as u8));
    }

    /// The answer of an endpoint has come to its end, after this time or for this cause.
    pub(super) fn ends(&mut self, end: Result<Option<Duration>, Cause>) {
        match end {
            Ok(took) => self.took = took,
            Err(cause) => self.fails(cause),
        }
    }

    /// An answer of our own has come to its end. A switch to another protocol (the one answer of its class) has not, and how
    /// long one lasts is no measure.
    pub(super) fn ends_here(&mut self) {
        let is_counted = self.books.is_some() && self.class.get() != Some(0);
        self.took = is_counted.then(|| self.started.elapsed());
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let Some(books) = &self.books else {
            return;
        };
        let class = self.class.get();
        let is_gone = class.is_none().then_some(Cause::DownstreamClosed);
        // In 64 bits: nobody waits for 500,000 years.
        let us = |took: Duration| took.as_secs() * 1_000_000 + u64::from(took.subsec_micros());
        let end = End {
            class,
            cause: self.cause.get().or(is_gone),
            took_us: self.took.map(us),
        };
        books.count(self.route.get(), self.cluster.get(), end);
    }
}
