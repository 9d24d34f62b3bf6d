//! Both directions of one exchange over one connection, after it is open and until it ends.
//! `exchange` reads heads with it, `body` streams with it; each poll first sends, then receives, then looks at the clock.

use std::rc::Rc;
use std::task::{Context, Poll};

use crate::receiving::Receiving;

use super::error::{Stage, UpstreamError};
use super::pool::{Lease, Pool};
use super::sending::Sending;
use super::tunnel::Tunnel;
use super::watch::Watch;

/// An exchange under way. Dropping it closes the connection.
#[derive(Debug)]
pub(super) struct Transfer {
    pool: Rc<Pool>,
    lease: Lease,
    is_response_begun: bool,
}

impl Transfer {
    /// A transfer of which nothing has been sent.
    pub(super) fn new(pool: Rc<Pool>, mut lease: Lease, sending: Sending, watch: Watch) -> Self {
        (lease.connection.sending, lease.connection.watch) = (sending, watch);
        Self {
            pool,
            lease,
            is_response_begun: false,
        }
    }

    /// Sends what can be sent and reads once: the number of bytes read, 0 at the end of the connection. Fails when
    /// nothing has moved for too long, when the client's body fails, and when the connection does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, UpstreamError>> {
        self.send(cx)?;
        let connection = &mut *self.lease.connection;
        let receiving = &mut connection.receiving;
        match receiving.read(&mut connection.stream, &self.pool.buffers, cx) {
            Poll::Ready(Ok(read)) => {
                connection.watch.moved();
                self.is_response_begun |= read > 0;
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(UpstreamError::broken(self.stage(), error))),
            Poll::Pending => connection.watch.poll(&mut connection.timer, cx).map(Err),
        }
    }

    /// Something was handed on and it is the client's turn: how long that takes is not the upstream's idle time.
    pub(super) fn pause(&mut self) {
        self.lease.connection.watch.moved();
    }

    /// Fails if the deadline has passed. While data keeps coming nobody waits, so [`Transfer::poll`] would not notice.
    pub(super) fn check_deadline(&self) -> Result<(), UpstreamError> {
        if self.lease.connection.watch.is_over() {
            Err(UpstreamError::Deadline)
        } else {
            Ok(())
        }
    }

    /// The error for a connection that ended too early. If writing had failed before, that says best what happened.
    pub(super) fn closed(&mut self) -> UpstreamError {
        let stage = self.stage();
        match self.lease.connection.sending.take_broken() {
            Some(error) => UpstreamError::broken(stage, error),
            None => UpstreamError::Closed(stage),
        }
    }

    /// The response has ended. The connection goes back to the pool if the response allows it (`is_reusable`), the request
    /// has gone out whole, and the upstream has sent nothing more: bytes behind a response would answer the next request.
    /// What was received and not used stays for who reads the body.
    pub(super) fn finish(mut self, is_reusable: bool) -> (Rc<Pool>, Receiving) {
        let connection = &mut *self.lease.connection;
        let receiving = std::mem::take(&mut connection.receiving);
        let is_clean = receiving.unread().is_empty();
        if is_reusable && is_clean && connection.sending.is_done() {
            self.pool.put(self.lease);
        }
        (self.pool, receiving)
    }

    /// What has come in and is not used.
    pub(super) fn receiving(&mut self) -> &mut Receiving {
        &mut self.lease.connection.receiving
    }

    /// The piece of the body that waits to be used.
    pub(super) fn piece(&self) -> &[u8] {
        self.lease.connection.receiving.piece()
    }

    /// Whether the whole request has gone out.
    pub(super) fn is_sent(&self) -> bool {
        self.lease.connection.sending.is_done()
    }

    /// The connection has left HTTP. It never goes back to the pool; its clock is the tunnel's own.
    pub(super) fn into_tunnel(self) -> Tunnel {
        let (stream, receiving) = self.lease.into_parts();
        Tunnel::new(self.pool, stream, receiving)
    }

    /// Sends what can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        let connection = &mut *self.lease.connection;
        let (stream, sending) = (&mut connection.stream, &mut connection.sending);
        if sending.drive(stream, &self.pool.buffers, cx)? > 0 {
            connection.watch.moved();
        }
        if connection.sending.is_received() {
            connection.watch.request_is_whole();
        }
        Ok(())
    }

    fn stage(&self) -> Stage {
        Stage {
            reused: self.lease.is_reused,
            sent: self.lease.connection.sending.is_begun,
            body_begun: self.lease.connection.sending.is_body_begun,
            response_begun: self.is_response_begun,
        }
    }
}
