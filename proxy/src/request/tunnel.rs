//! Requests that ask to switch to another protocol (RFC 9110 section 7.8), WebSocket above all. Which may is decided here
//! before they are sent on; when the endpoint has agreed, a [`Tunnel`] is what is left of the request: the two connections
//! and its books, and nothing of the config but its cluster.

use std::future::poll_fn;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use crate::cause::Cause;
use crate::receiving::Receiving;
use crate::upstream::{Side, Tunnel as Upstream};
use crate::worker::{Downstream, Expiry, Pair};

use super::failure::Failure;
use super::in_flight::InFlight;
use super::{Call, Way};

/// Refuses a request to switch that neither its route nor the listener allows, with 403 and the end of the connection: what
/// comes next on it may be of that protocol. As Envoy (`ConnectionManagerImpl::ActiveStream::decodeHeaders`,
/// "upgrade_failed").
pub(super) fn check(call: &Call<'_>, way: &Way<'_>, heads: &Pair) -> Result<(), Failure> {
    let Some(protocol) = heads.request.upgrade() else {
        return Ok(());
    };
    if call.listener.served.allows_upgrade(way.route, protocol) {
        Ok(())
    } else {
        Err(Failure::of(Cause::UpgradeRefused))
    }
}

/// A request that has become two connections.
pub(crate) struct Tunnel {
    upstream: Upstream,
    in_flight: InFlight,
}

impl Tunnel {
    pub(super) fn new(upstream: Upstream, in_flight: InFlight) -> Self {
        Self {
            upstream,
            in_flight,
        }
    }

    /// Carries bytes until both sides have ended, one of them fails, or nothing moves for the time that the route allows
    /// for pauses. `first` came from the client before it knew. The route's timeout ended with the 101 (Envoy's
    /// `RouteAction.timeout` on upgrades; its stream idle timeout goes on).
    pub(crate) async fn carry(
        mut self,
        mut client: TcpStream,
        first: Receiving,
        downstream: &Downstream,
    ) {
        downstream.begin_tunnel();
        self.upstream.begin_with(first);
        match poll_fn(|cx| self.step(&mut client, downstream, cx)).await {
            Ok(()) => self.in_flight.ends(),
            Err(cause) => self.in_flight.breaks(cause),
        }
    }

    fn step(
        &mut self,
        client: &mut TcpStream,
        downstream: &Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Cause>> {
        downstream.park(cx.waker());
        let ended = self.upstream.poll(client, cx);
        let is_expired = downstream.take_expiry(Expiry::Stream);
        if self.upstream.has_moved() {
            downstream.note_read();
        } else if is_expired {
            return Poll::Ready(Err(Cause::StreamIdle));
        }
        ended.map_err(|side| match side {
            Side::Client => Cause::DownstreamClosed,
            Side::Upstream => Cause::UpstreamClosed,
        })
    }
}
