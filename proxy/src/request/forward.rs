//! Sends a request on to its cluster: chooses an endpoint, asks, and waits for the head of the answer. The answer's body is
//! streamed by `body`.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use http_wire::head::{FieldId, Version};
use xds::route::Forward;

use crate::cause::Cause;
use crate::client::RequestBody;
use crate::metrics::class_index;
use crate::upstream::{Exchange, Limits, UpstreamError};
use crate::worker::{Downstream, Expiry, Pair};

use super::answer::{Content, Stream};
use super::failure::Failure;
use super::in_flight::InFlight;
use super::tunnel::Tunnel;
use super::{Call, Way, rewrite};

/// Forwards the request; the head of the answer is in `heads.response`.
pub(super) async fn send(
    call: &Call<'_>,
    forward: &Forward,
    cluster: &str,
    way: &Way<'_>,
    heads: &mut Pair,
    upload: Option<RequestBody>,
) -> Result<Content, Failure> {
    let target = call.view.target(cluster);
    let target = target.ok_or(Failure::no_cluster(forward.cluster_not_found.status()))?;
    call.record.goes_to(target);
    let endpoint = target.pick().ok_or(Failure::of(Cause::NoEndpoint))?;
    let mut in_flight = InFlight::new(target, endpoint, call.downstream, call.started);
    let hostname = in_flight.hostname();
    rewrite::request(
        &call.listener.served,
        forward,
        way,
        hostname,
        &mut heads.request,
    )?;

    let uploads = upload.is_some();
    let connect_timeout = target.cluster().served().cluster.connect_timeout;
    let limits = limits(call, forward, connect_timeout, uploads);
    call.downstream.limit_pauses(pause(call, forward));
    let exchange = {
        let asked = ask(call, forward, limits, &mut in_flight, heads, upload);
        unless_stalled(call.downstream, !uploads, pin!(asked)).await
    }?;

    heads.response.fields_mut().remove_hop_by_hop();
    in_flight.streams(class_index(heads.response.status()));
    if heads.response.status() == 101 {
        // The exchange has seen that it is the protocol which was asked for.
        let protocol = heads.request.upgrade().unwrap_or_default();
        heads
            .response
            .fields_mut()
            .append(FieldId::Upgrade, protocol)?;
        let tunnel = Tunnel::new(exchange.into_tunnel(), in_flight);
        return Ok(Content::Switched(Box::new(tunnel)));
    }
    // HTTP/1.0 knows no chunks.
    let framed = heads.request.version() == Version::Http11;
    let body = exchange.into_body(framed);
    Ok(Content::Upstream(Stream::new(body, in_flight)))
}

/// How long nothing may move: the route's word goes before the listener's.
fn pause(call: &Call<'_>, forward: &Forward) -> Option<Duration> {
    let listener = call.listener.served.listener.http.stream_idle_timeout;
    forward.timeouts().idle.unwrap_or(listener)
}

/// Asks the endpoint, once more if the first attempt provably came to nothing: the endpoint closed a kept connection
/// just when it was used again, or could not be reached and there is another one. No client should see either.
async fn ask(
    call: &Call<'_>,
    forward: &Forward,
    limits: Limits,
    in_flight: &mut InFlight,
    heads: &mut Pair,
    mut upload: Option<RequestBody>,
) -> Result<Exchange, UpstreamError> {
    let can_repeat = upload.is_none();
    let is_idempotent = heads.request.is_idempotent();
    let error = match attempt(call, limits, in_flight, heads, upload.take()).await {
        Err(error) if can_repeat && error.retry_is_safe(is_idempotent) => error,
        outcome => return outcome,
    };
    let is_unreachable = matches!(
        error,
        UpstreamError::Connect(_) | UpstreamError::ConnectTimeout
    );
    if is_unreachable && !in_flight.goes_elsewhere() {
        return Err(error);
    }
    // The names of endpoints were checked when they came.
    if rewrite::goes_elsewhere(forward, in_flight.hostname(), &mut heads.request).is_err() {
        return Err(error);
    }
    in_flight.target().slot().retries.inc();
    attempt(call, limits, in_flight, heads, None).await
}

async fn attempt(
    call: &Call<'_>,
    limits: Limits,
    in_flight: &InFlight,
    heads: &mut Pair,
    upload: Option<RequestBody>,
) -> Result<Exchange, UpstreamError> {
    let pool = &call.downstream.worker().pool;
    let mut exchange =
        Exchange::open(pool, in_flight.address(), limits, &heads.request, upload).await?;
    exchange.response(&mut heads.response).await?;
    Ok(exchange)
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

/// What `future` gives, unless nothing moves on the client's connection for too long.
async fn unless_stalled<T>(
    downstream: &Downstream,
    request_complete: bool,
    mut future: Pin<&mut impl Future<Output = Result<T, UpstreamError>>>,
) -> Result<T, Failure> {
    poll_fn(|cx| {
        if downstream.take_expiry(Expiry::Stream) {
            return Poll::Ready(Err(Failure::stalled(request_complete)));
        }
        future
            .as_mut()
            .poll(cx)
            .map_err(|error| Failure::from(&error))
    })
    .await
}
