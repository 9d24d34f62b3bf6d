//! The I/O of the client: connects to the control plane, keeps one stream open, comes back after a pause when it ends,
//! and hands over the wire set whenever it may go live. While the control plane is away, what is live stays live.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use futures_util::FutureExt;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};
use xds::compile::compile;
use xds::config::Config;

use super::fit::{Decision, Fit};
use super::state::ClientState;
use super::{Client, Status};

/// First and longest pause between attempts, as Envoy's: full jitter below a bound that doubles (gRFC A57).
const PAUSE_BASE: Duration = Duration::from_millis(500);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// How long an attempt to connect may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the connection is probed, and how long an answer may take: a black hole is seen within ten seconds.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(5));
/// Largest response; a foreign server may send all its clusters at once.
const RESPONSE_SIZE: usize = 256 * 1024 * 1024;

/// Follows the control plane for ever.
pub(super) async fn follow(
    client: Client,
    activate: impl FnMut(Config),
    status: watch::Sender<Arc<Status>>,
) {
    let fit = Fit::new(client.initial_fetch_timeout);
    let mut follower = Follower {
        client,
        state: ClientState::default(),
        fit,
        dirty: false,
        due: None,
        activate,
        status,
    };
    let mut failures = 0;
    loop {
        let ended = follower.stream().await;
        failures = if follower.status.borrow().connected {
            0
        } else {
            failures + 1
        };
        tracing::warn!(server = %follower.client.server, reason = %ended, "no xDS stream");
        follower.tell(|status| {
            status.connected = false;
            status.last_error = Some(ended);
        });
        follower.pause(pause(failures)).await;
    }
}

/// A pause drawn evenly from zero to a bound that doubles with every failure in a row.
fn pause(failures: u32) -> Duration {
    let bound = PAUSE_BASE
        .saturating_mul(1 << failures.min(10))
        .min(PAUSE_MAX);
    bound.mul_f64(fastrand::f64())
}

struct Follower<A> {
    client: Client,
    state: ClientState,
    fit: Fit,
    /// The wire set changed since it was judged.
    dirty: bool,
    /// When a wire set that did not fit will be judged again.
    due: Option<Instant>,
    activate: A,
    status: watch::Sender<Arc<Status>>,
}

impl<A: FnMut(Config)> Follower<A> {
    /// One stream, until it ends; returns why.
    async fn stream(&mut self) -> String {
        let opening = self.open();
        let (requests, mut responses) = match opening.await {
            Ok(stream) => stream,
            Err(reason) => return reason,
        };
        loop {
            // Judged when nothing more is at hand, so that a burst of responses compiles once.
            let message = match responses.message().now_or_never() {
                Some(message) => message,
                None => {
                    self.judge();
                    tokio::select! {
                        message = responses.message() => message,
                        () = sleep_until(self.due) => {
                            self.dirty = true;
                            continue;
                        }
                    }
                }
            };
            match message {
                Ok(Some(response)) => self.response(response, &requests),
                Ok(None) => return "the control plane ended the stream".into(),
                Err(error) => return format!("{}: {}", error.code(), error.message()),
            }
        }
    }

    async fn open(
        &mut self,
    ) -> Result<
        (
            mpsc::UnboundedSender<DeltaDiscoveryRequest>,
            Streaming<DeltaDiscoveryResponse>,
        ),
        String,
    > {
        let mut client = AggregatedDiscoveryServiceClient::new(self.connect().await?)
            .max_decoding_message_size(RESPONSE_SIZE);
        // Bounded by what the server sends: a few small requests for each response.
        let (requests, queue) = mpsc::unbounded_channel();
        let mut first = self.state.open();
        if let Some(first) = first.first_mut() {
            first.node = Some(self.client.node.to_proto());
        }
        send(&requests, first);
        let response = client
            .delta_aggregated_resources(UnboundedReceiverStream::new(queue))
            .await;
        let response =
            response.map_err(|error| format!("{}: {}", error.code(), error.message()))?;
        Ok((requests, response.into_inner()))
    }

    async fn connect(&self) -> Result<Channel, String> {
        let endpoint = Endpoint::from(self.client.server.clone())
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEP_ALIVE.0)
            .keep_alive_timeout(KEEP_ALIVE.1)
            .keep_alive_while_idle(true);
        endpoint.connect().await.map_err(|error| describe(&error))
    }

    fn response(
        &mut self,
        response: DeltaDiscoveryResponse,
        requests: &mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    ) {
        let control_plane = response
            .control_plane
            .as_ref()
            .map(|control_plane| control_plane.identifier.clone());
        if !self.status.borrow().connected {
            tracing::info!(server = %self.client.server, "xDS stream open");
            self.tell(|status| {
                status.connected = true;
                status.last_error = None;
                status.control_plane = control_plane.unwrap_or_default();
            });
        }
        let reply = self.state.response(response);
        for refusal in reply
            .requests
            .iter()
            .filter_map(|request| request.error_detail.as_ref())
        {
            tracing::warn!(problems = %refusal.message, "config refused");
        }
        self.dirty |= reply.changed;
        send(requests, reply.requests);
    }

    /// Compiles the wire set if it changed, and activates it if it may go live.
    fn judge(&mut self) {
        if !std::mem::take(&mut self.dirty) {
            return;
        }
        let (config, problems) = compile(self.state.wire_set());
        match self
            .fit
            .judge(self.state.is_answered(), &problems, Instant::now())
        {
            Decision::Activate => {
                self.due = None;
                (self.activate)(config);
            }
            Decision::Wait(due) => self.due = Some(due),
        }
        let (wire_set, refused) = (
            self.state.wire_set().clone(),
            self.state.refused().cloned().collect(),
        );
        self.tell(|status| {
            status.wire_set = wire_set;
            status.refused = refused;
            status.unfit = problems;
        });
    }

    /// Waits before the next attempt; a wire set that waits for its parts may become due meanwhile.
    async fn pause(&mut self, pause: Duration) {
        let end = Instant::now() + pause;
        while let Some(due) = self.due.filter(|due| *due < end) {
            tokio::time::sleep_until(due).await;
            self.dirty = true;
            self.judge();
        }
        tokio::time::sleep_until(end).await;
    }

    fn tell(&self, change: impl FnOnce(&mut Status)) {
        self.status
            .send_modify(|status| change(Arc::make_mut(status)));
    }
}

fn send(
    queue: &mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    requests: Vec<DeltaDiscoveryRequest>,
) {
    for request in requests {
        // The other end is gone if the stream broke; its end is seen by the reader.
        let _ = queue.send(request);
    }
}

/// The error with its causes: tonic's own text says only "transport error".
fn describe(error: &dyn std::error::Error) -> String {
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
