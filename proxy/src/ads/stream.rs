//! The I/O of the client: connects to the control plane, keeps one stream open, comes back after a pause when it ends,
//! and hands over the wire set whenever it may go live. While the control plane is away, what is live stays live.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures_util::FutureExt;
use http::Uri;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::transport::Endpoint;

use crate::bootstrap::XdsMode;
use crate::delivery::{Delivery, Switch};
use crate::dns::Names;

use super::credentials::{Authorized, Credentials};
use super::reports::Reports;
use super::session::{Event, Link};
use super::state::ClientState;
use super::wire::{Incoming, Wire};
use super::{Client, Standing, Status};

/// First and longest pause between attempts, as Envoy's: full jitter below a bound that doubles (gRFC A57).
const PAUSE_BASE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the connection is probed, and how long an answer may take: a black hole is seen within ten seconds.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));

/// Follows the control plane for ever.
pub(super) async fn follow<S: Switch>(
    mut client: Client,
    switch: S,
    names: Names,
    reports: Reports,
    status: watch::Sender<Arc<Status>>,
) {
    let mut recalled = client.recalled.take();
    let wire_set = recalled.as_ref().map(|held| held.wire_set.clone());
    let cold = recalled.take_if(|held| held.waits_for_names());
    let patience = client.initial_fetch_timeout;
    let mut delivery = Delivery::new(switch, patience, recalled, client.left);
    if let Some(held) = cold {
        delivery.recall(held, Instant::now());
    }
    let mut follower = Follower {
        names,
        reports,
        client,
        attempts: 0,
        state: ClientState::holding(wire_set.unwrap_or_default()),
        to_ask: Vec::new(),
        delivery,
        dirty: false,
        status,
    };
    let mut failures = 0;
    follower.want_names();
    loop {
        let ended = follower.stream().await;
        follower.delivery.disconnected();
        tracing::warn!(server = %follower.server(), reason = %ended, "no xDS stream");
        let was_connected = follower.status.borrow().connected;
        follower.tell(|status| {
            status.connected = false;
            status.last_error = Some(ended);
        });
        follower.attempts += 1;
        failures = if was_connected { 0 } else { failures + 1 };
        // All servers are tried once before the pauses grow.
        let rounds = failures / follower.client.servers.len().max(1);
        follower.pause(pause(rounds as u32)).await;
    }
}

/// A pause drawn evenly from zero to a bound that doubles with every failure in a row.
fn pause(failures: u32) -> Duration {
    let bound = PAUSE_BASE
        .saturating_mul(1 << failures.min(10))
        .min(PAUSE_MAX);
    bound.mul_f64(fastrand::f64())
}

struct Follower<S> {
    names: Names,
    reports: Reports,
    client: Client,
    /// How many streams have ended; it chooses the server.
    attempts: usize,
    state: ClientState,
    /// What is to be asked for beside what answers a response.
    to_ask: Vec<DeltaDiscoveryRequest>,
    delivery: Delivery<S>,
    /// The wire set changed since delivery saw it.
    dirty: bool,
    status: watch::Sender<Arc<Status>>,
}

/// One connection: the xDS stream, and the session beside it once the server has answered.
struct Connection {
    channel: Authorized,
    wire: Wire,
    session: Option<Link>,
}

impl<S: Switch> Follower<S> {
    /// Whose turn it is.
    fn server(&self) -> &Uri {
        let servers = &self.client.servers;
        &servers[self.attempts % servers.len()]
    }

    /// One connection, until it ends; returns why.
    async fn stream(&mut self) -> String {
        let mut connection = match self.open().await {
            Ok(connection) => connection,
            Err(reason) => return reason,
        };
        self.delivery.connected(Instant::now());
        loop {
            // Delivery looks when nothing more is at hand, so that a burst of responses compiles once.
            let message = match connection.wire.message().now_or_never() {
                Some(message) => message,
                None => {
                    self.deliver();
                    for request in self.to_ask.drain(..) {
                        connection.wire.ask(request);
                    }
                    if let Some(session) = &mut connection.session {
                        session.report(&self.delivery.report());
                    }
                    tokio::select! {
                        message = connection.wire.message() => message,
                        event = next_event(&mut connection.session) => {
                            let may_report = matches!(event, Event::Taken(_));
                            if let Some(lost) = self.event(event) {
                                return lost;
                            }
                            if may_report {
                                self.report_traffic(&connection);
                            }
                            continue;
                        }
                        answers = self.names.changed() => {
                            self.delivery.answered(answers, Instant::now());
                            self.tell_delivery();
                            continue;
                        }
                        () = sleep_until(self.delivery.due()) => {
                            self.time_has_come();
                            continue;
                        }
                        () = self.reports.due() => {
                            self.report_traffic(&connection);
                            continue;
                        }
                    }
                }
            };
            match message {
                Ok(Some(response)) => self.response(response, &mut connection),
                Ok(None) => return "the control plane ended the stream".into(),
                Err(error) => return format!("{}: {}", error.code(), error.message()),
            }
        }
    }

    async fn open(&mut self) -> Result<Connection, String> {
        let (server, client, state) = (self.server().clone(), &self.client, &mut self.state);
        let opening = async {
            let channel = connect(server, &client.credentials).await?;
            let wire = Wire::open(channel.clone(), client.mode, state, &client.node).await;
            let wire = wire.map_err(|error| format!("{}: {}", error.code(), error.message()))?;
            Ok(Connection {
                channel,
                wire,
                session: None,
            })
        };
        // The first requests of a stream say all that is asked for.
        self.to_ask.clear();
        let opened = meanwhile(&mut self.names, &mut self.delivery, opening).await;
        self.tell_delivery();
        opened
    }

    fn response(&mut self, response: Incoming, connection: &mut Connection) {
        if !self.status.borrow().connected {
            tracing::info!(server = %self.server(), "xDS stream open");
            let control_plane = response.control_plane().unwrap_or_default().to_owned();
            self.tell(|status| {
                status.connected = true;
                status.last_error = None;
                status.control_plane = control_plane;
            });
            self.introduce(connection);
        }
        let taken = connection.wire.answer(&mut self.state, response);
        if let Some(refusal) = taken.refusal {
            tracing::warn!(problems = %refusal.message, "config refused");
        }
        self.dirty |= taken.changed;
    }

    /// Finds out who is at the other end, once there is an answer: a control plane that is ours knows the node by its xDS
    /// stream. Ours speaks in deltas.
    fn introduce(&mut self, connection: &mut Connection) {
        match self.client.mode {
            XdsMode::Delta => {
                let channel = connection.channel.clone();
                let report = self.delivery.report();
                let link = Link::open(channel, &self.client.node, &report, &self.reports);
                connection.session = Some(link);
            }
            XdsMode::Sotw => {
                self.event(Event::Foreign);
            }
        }
    }

    /// Takes in what happened on the session; returns why the connection is of no more use, if so.
    fn event(&mut self, event: Event) -> Option<String> {
        match event {
            Event::Ours => self.delivery.is_ours(),
            Event::Foreign => self.delivery.is_foreign(
                self.state.wire_set(),
                self.state.is_answered(),
                Instant::now(),
            ),
            Event::Target(target) => {
                tracing::debug!(assignment = target.assignment, revision = target.revision, phase = ?target.phase, lease = ?target.lease, "target");
                self.delivery
                    .target(target, self.state.wire_set(), Instant::now());
            }
            Event::Taken(sequence) => self.reports.is_taken(sequence),
            Event::Lost(reason) => return Some(reason),
        }
        self.tell_delivery();
        None
    }

    /// Tells a control plane of ours what became of requests. A foreign one will not hear of it.
    fn report_traffic(&self, connection: &Connection) {
        if self.delivery.follows_foreign() {
            self.reports.forget();
        } else if let Some(session) = &connection.session {
            session.report_traffic(&self.delivery.report(), &self.reports);
        }
    }

    /// Shows delivery the wire set, if it changed.
    fn deliver(&mut self) {
        if std::mem::take(&mut self.dirty) {
            self.delivery.wire_set_changed(
                self.state.wire_set(),
                self.state.is_answered(),
                Instant::now(),
            );
            self.tell_delivery();
        }
    }

    fn time_has_come(&mut self) {
        self.delivery.time_has_come(
            self.state.wire_set(),
            self.state.is_answered(),
            Instant::now(),
        );
        self.tell_delivery();
    }

    fn tell_delivery(&mut self) {
        self.want_names();
        self.need_endpoints();
        let report = self.delivery.report();
        let refused = self
            .state
            .refused()
            .chain(&report.problems)
            .cloned()
            .collect();
        let (wire_set, unfit) = (
            self.state.wire_set().clone(),
            self.delivery.unfit().to_vec(),
        );
        let virtual_hosts = self.state.tally();
        let standing = Standing {
            live_revision: report.live_revision,
            staged_revision: report.staged_revision,
            confirmed_revision: self.delivery.confirmed().map_or(0, |held| held.revision),
            lease_until: self.delivery.lease().map(|lease| lease.until),
            left: self.delivery.left(),
            reverts: self.delivery.reverts(),
        };
        self.tell(|status| {
            status.wire_set = wire_set;
            status.refused = refused;
            status.unfit = unfit;
            status.virtual_hosts = virtual_hosts;
            status.standing = standing;
        });
    }

    /// Waits before the next attempt; something may become due meanwhile.
    async fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while let Some(due) = self.delivery.due().filter(|due| *due < end) {
            self.sleep_until(due).await;
            self.time_has_come();
        }
        self.sleep_until(end).await;
        self.tell_delivery();
    }

    async fn sleep_until(&mut self, end: Instant) {
        let sleep = tokio::time::sleep_until(end);
        meanwhile(&mut self.names, &mut self.delivery, sleep).await;
    }

    /// Has the names looked up that delivery needs, and no others.
    fn want_names(&mut self) {
        self.names.want(self.delivery.queries());
    }

    /// Has endpoints asked for as long as something that is held needs them. Who follows a foreign control plane holds nothing
    /// but what is live, and that follows the wire set; ours speaks in deltas.
    fn need_endpoints(&mut self) {
        if self.client.mode == XdsMode::Sotw {
            return;
        }
        let is_foreign = self.delivery.follows_foreign();
        let names = self.delivery.endpoint_names().filter(|_| !is_foreign);
        let names = names.cloned().collect();
        self.to_ask.extend(self.state.need_endpoints(names));
    }

    fn tell(&self, change: impl FnOnce(&mut Status)) {
        self.status
            .send_modify(|status| change(Arc::make_mut(status)));
    }
}

/// What `future` gives. Meanwhile names are looked up and leases run out: endpoints move while the control plane is away, and
/// what was leased must not outlive it.
async fn meanwhile<S: Switch, T>(
    names: &mut Names,
    delivery: &mut Delivery<S>,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    loop {
        tokio::select! {
            output = &mut future => return output,
            answers = names.changed() => delivery.answered(answers, Instant::now()),
            () = sleep_until(delivery.alone_by()) => delivery.look_at_clock(Instant::now()),
        }
    }
}

async fn connect(server: Uri, credentials: &Credentials) -> Result<Authorized, String> {
    let bearer = credentials.bearer()?;
    let endpoint = Endpoint::from(server.clone())
        .connect_timeout(CONNECT_TIMEOUT)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEP_ALIVE.0)
        .keep_alive_timeout(KEEP_ALIVE.1)
        .keep_alive_while_idle(true);
    let endpoint = credentials.secure(endpoint, &server)?;
    let channel = endpoint.connect().await;
    channel
        .map(|channel| bearer.on(channel))
        .map_err(|error| describe(&error))
}

async fn next_event(session: &mut Option<Link>) -> Event {
    match session {
        Some(session) => session.next().await,
        None => std::future::pending().await,
    }
}

/// The error with its causes: tonic's own text says only "transport error".
pub(super) fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due).await,
        None => std::future::pending().await,
    }
}
