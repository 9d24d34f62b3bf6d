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
    pub(super) receiving: Receiving,
    pool: Rc<Pool>,
    lease: Lease,
    sending: Sending,
    watch: Watch,
    is_response_begun: bool,
}

impl Transfer {
    /// A transfer of which nothing has been sent.
    pub(super) fn new(pool: Rc<Pool>, lease: Lease, sending: Sending, watch: Watch) -> Self {
        Self {
            receiving: Receiving::default(),
            pool,
            lease,
            sending,
            watch,
            is_response_begun: false,
        }
    }

    /// Sends what can be sent and reads once: the number of bytes read, 0 at the end of the connection. Fails when
    /// nothing has moved for too long, when the client's body fails, and when the connection does.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, UpstreamError>> {
        self.send(cx)?;
        let connection = &mut self.lease.connection;
        match self
            .receiving
            .read(&mut connection.stream, &self.pool.buffers, cx)
        {
            Poll::Ready(Ok(read)) => {
                self.watch.moved();
                self.is_response_begun |= read > 0;
                Poll::Ready(Ok(read))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(UpstreamError::broken(self.stage(), error))),
            Poll::Pending => self.watch.poll(&mut connection.timer, cx).map(Err),
        }
    }

    /// Something was handed on and it is the client's turn: how long that takes is not the upstream's idle time.
    pub(super) fn pause(&mut self) {
        self.watch.moved();
    }

    /// Fails if the deadline has passed. While data keeps coming nobody waits, so [`Transfer::poll`] would not notice.
    pub(super) fn check_deadline(&self) -> Result<(), UpstreamError> {
        if self.watch.is_over() {
            Err(UpstreamError::Deadline)
        } else {
            Ok(())
        }
    }

    /// The error for a connection that ended too early. If writing had failed before, that says best what happened.
    pub(super) fn closed(&mut self) -> UpstreamError {
        let stage = self.stage();
        match self.sending.take_broken() {
            Some(error) => UpstreamError::broken(stage, error),
            None => UpstreamError::Closed(stage),
        }
    }

    /// The response has ended. The connection goes back to the pool if the response allows it (`is_reusable`), the request
    /// has gone out whole, and the upstream has sent nothing more: bytes behind a response would answer the next request.
    /// What was received and not used stays for who reads the body.
    pub(super) fn finish(self, is_reusable: bool) -> (Rc<Pool>, Receiving) {
        let is_clean = self.receiving.unread().is_empty();
        if is_reusable && is_clean && self.sending.is_done() {
            self.pool.put(self.lease);
        }
        (self.pool, self.receiving)
    }

    /// Whether the whole request has gone out.
    pub(super) fn is_sent(&self) -> bool {
        self.sending.is_done()
    }

    /// The connection has left HTTP. It never goes back to the pool; its clock is the tunnel's own.
    pub(super) fn into_tunnel(self) -> Tunnel {
        Tunnel::new(self.pool, self.lease.into_stream(), self.receiving)
    }

    /// Sends what can be sent.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        let stream = &mut self.lease.connection.stream;
        if self.sending.drive(stream, &self.pool.buffers, cx)? > 0 {
            self.watch.moved();
        }
        if self.sending.is_received() {
            self.watch.request_is_whole();
        }
        Ok(())
    }

    fn stage(&self) -> Stage {
        Stage {
            reused: self.lease.is_reused,
            sent: self.sending.is_begun,
            body_begun: self.sending.is_body_begun,
            response_begun: self.is_response_begun,
        }
    }
}
