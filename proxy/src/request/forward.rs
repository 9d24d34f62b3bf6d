//! Sends a request on to its cluster: chooses an endpoint, asks, and waits for the head of the answer. The answer's body is
//! streamed by `body`.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_wire::head::{FieldId, Version};
use xds::route::Forward;

use crate::cause::Cause;
use crate::client::RequestBody;
use crate::metrics::class_index;
use crate::upstream::{Connecting, Exchange, Limits, UpstreamError};
use crate::worker::{Downstream, Expiry, Pair};

use super::answer::{Content, Stream};
use super::failure::Failure;
use super::in_flight::InFlight;
use super::tunnel::Tunnel;
use super::{Call, Way, rewrite};

/// Makes the request ready to be sent.
pub(super) fn begin<'c>(
    call: &'c Call<'c>,
    forward: &'c Forward,
    cluster: &str,
    way: &Way<'_>,
    heads: &mut Pair,
    upload: Option<RequestBody>,
) -> Result<Asking<'c>, Failure> {
    let target = call.view.target(cluster);
    let target = target.ok_or(Failure::no_cluster(forward.cluster_not_found.status()))?;
    call.record.goes_to(target);
    let endpoint = target.pick().ok_or(Failure::of(Cause::NoEndpoint))?;
    let in_flight = InFlight::new(target, endpoint, call.downstream, call.started);
    let hostname = in_flight.hostname();
    rewrite::request(
        &call.listener.served,
        forward,
        way,
        hostname,
        &mut heads.request,
    )?;
    call.downstream.limit_pauses(pause(call, forward));
    let connect_timeout = target.cluster().served().cluster.connect_timeout;
    Ok(Asking {
        downstream: call.downstream,
        forward,
        limits: limits(call, forward, connect_timeout, upload.is_some()),
        has_body: upload.is_some(),
        is_repeated: false,
        upload,
        in_flight,
        stage: Stage::Start,
    })
}

/// How long nothing may move: the route's word goes before the listener's.
fn pause(call: &Call<'_>, forward: &Forward) -> Option<Duration> {
    let listener = call.listener.served.listener.http.stream_idle_timeout;
    forward.timeouts().idle.unwrap_or(listener)
}

/// A request that has not got the head of its answer yet: [`begin`], then [`Asking::poll`], then [`Asking::finish`].
pub(super) struct Asking<'c> {
    downstream: &'c Downstream,
    forward: &'c Forward,
    limits: Limits,
    has_body: bool,
    is_repeated: bool,
    /// The body, until an exchange has it.
    upload: Option<RequestBody>,
    in_flight: InFlight,
    stage: Stage,
}

/// What it waits for.
enum Stage {
    /// Nothing has been done yet.
    Start,
    /// There is no idle connection.
    Connecting(Connecting),
    Asked(Exchange),
}

impl Asking<'_> {
    /// Asks the endpoint, once more if the first attempt provably came to nothing: the endpoint closed a kept connection
    /// just when it was used again, or could not be reached and there is another one. No client should see either. Fails
    /// when nothing moves on the client's connection for too long.
    pub(super) fn poll(
        &mut self,
        heads: &mut Pair,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        if self.downstream.take_expiry(Expiry::Stream) {
            return Poll::Ready(Err(Failure::stalled(!self.has_body)));
        }
        while let Err(error) = ready!(self.poll_attempt(heads, cx)) {
            if !self.repeats(&error, heads) {
                return Poll::Ready(Err(Failure::from(&error)));
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_attempt(
        &mut self,
        heads: &mut Pair,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        loop {
            let pool = &self.downstream.worker().pool;
            let lease = match &mut self.stage {
                Stage::Asked(exchange) => return exchange.poll_response(&mut heads.response, cx),
                Stage::Connecting(connecting) => Some(ready!(connecting.as_mut().poll(cx))?),
                Stage::Start => pool.take(self.in_flight.address()),
            };
            self.stage = match lease {
                Some(lease) => {
                    let upload = self.upload.take();
                    let (limits, head) = (&self.limits, &heads.request);
                    Stage::Asked(Exchange::begin(pool, lease, limits, head, upload))
                }
                None => {
                    let Limits {
                        connect_timeout,
                        deadline,
                        ..
                    } = self.limits;
                    Stage::Connecting(pool.connect(
                        self.in_flight.address(),
                        connect_timeout,
                        deadline,
                    ))
                }
            };
        }
    }

    /// Makes the answer of what has come: its head is in `heads.response`, what comes behind it in `content`.
    pub(super) fn finish(self, heads: &mut Pair, content: &mut Content) -> Result<(), Failure> {
        let mut in_flight = self.in_flight;
        let Stage::Asked(exchange) = self.stage else {
            return Err(Failure::of(Cause::Internal));
        };
        heads.response.fields_mut().remove_hop_by_hop();
        in_flight.streams(class_index(heads.response.status()));
        if heads.response.status() == 101 {
            // The exchange has seen that it is the protocol which was asked for.
            let protocol = heads.request.upgrade().unwrap_or_default();
            let fields = heads.response.fields_mut();
            fields.append(FieldId::Upgrade, protocol)?;
            let tunnel = Tunnel::new(exchange.into_tunnel(), in_flight);
            *content = Content::Switched(Box::new(tunnel));
            return Ok(());
        }
        // HTTP/1.0 knows no chunks.
        let framed = heads.request.version() == Version::Http11;
        *content = Content::Upstream(Stream::new(exchange.into_body(framed), in_flight));
        Ok(())
    }

    /// Whether there is to be another attempt after one that failed.
    fn repeats(&mut self, error: &UpstreamError, heads: &mut Pair) -> bool {
        let is_safe = || error.retry_is_safe(heads.request.is_idempotent());
        if self.is_repeated || self.has_body || !is_safe() {
            return false;
        }
        let is_unreachable = matches!(
            error,
            UpstreamError::Connect(_) | UpstreamError::ConnectTimeout
        );
        if is_unreachable && !self.in_flight.goes_elsewhere() {
            return false;
        }
        // The names of endpoints were checked when they came.
        let hostname = self.in_flight.hostname();
        if rewrite::goes_elsewhere(self.forward, hostname, &mut heads.request).is_err() {
            return false;
        }
        self.in_flight.target().slot().retries.inc();
        (self.stage, self.is_repeated) = (Stage::Start, true);
        true
    }
}

/// How long a request may take. The route's timeout counts from the whole request's arrival, as Envoy's does: one without a
/// body is whole when its head is read.
fn limits(call: &Call<'_>, forward: &Forward, connect_timeout: Duration, uploads: bool) -> Limits {
    let (deadline, timeout) = if uploads {
        (None, forward.timeouts().total)
    } else {
        let deadline = forward
            .timeouts()
            .total
            .and_then(|timeout| call.started.checked_add(timeout));
        (deadline, None)
    };
    // The connection to the client watches pauses, in both directions.
    Limits {
        connect_timeout,
        idle_timeout: None,
        deadline,
        timeout,
    }
}
