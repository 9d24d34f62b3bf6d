//! Two connections that have left HTTP: what comes on the one goes out on the other, byte for byte, until both ways have
//! ended. Each way has at most one buffer, borrowed from the worker while there are bytes in it, so a quiet tunnel costs its
//! two sockets. Time is the caller's: [`Tunnel::has_moved`] says whether to be patient.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::buffers::Buffers;
use crate::receiving::Receiving;

use super::pool::Pool;

/// Whose connection failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// The client's.
    Client,
    /// The endpoint's.
    Upstream,
}

/// The endpoint's side of a tunnel, with what is on its way in both directions.
#[derive(Debug)]
pub(crate) struct Tunnel {
    pool: Rc<Pool>,
    upstream: TcpStream,
    to_client: Flow,
    to_upstream: Flow,
    has_moved: bool,
}

/// One way.
#[derive(Debug, Default)]
struct Flow {
    waiting: Receiving,
    state: State,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// More may come.
    #[default]
    Open,
    /// The sender has said its last; what waits is still to be written.
    Ending,
    /// The receiver knows.
    Ended,
}

/// The end of a flow that failed.
enum End {
    From,
    To,
}

impl Tunnel {
    /// A tunnel to an endpoint; `waiting` holds what came behind the head of its 101.
    pub(super) fn new(pool: Rc<Pool>, upstream: TcpStream, waiting: Receiving) -> Self {
        Self {
            pool,
            upstream,
            to_client: Flow {
                waiting,
                state: State::Open,
            },
            to_upstream: Flow::default(),
            has_moved: false,
        }
    }

    /// Takes bytes that the client sent before it knew: they go first.
    pub(crate) fn begin_with(&mut self, first: Receiving) {
        self.to_upstream.waiting = first;
    }

    /// Carries what can be carried. Ready when both sides have said their last and know it of each other, or when a
    /// connection fails. A side that ends its way may still be told the rest of the other; that one of them breaks off
    /// after such an end is no failure.
    pub(crate) fn poll(
        &mut self,
        client: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Side>> {
        let outcome = self.poll_both(client, cx);
        let is_ending = [&self.to_client, &self.to_upstream].map(|flow| flow.state != State::Open);
        match outcome {
            Poll::Ready(Err(_)) if is_ending.contains(&true) => Poll::Ready(Ok(())),
            outcome => outcome,
        }
    }

    fn poll_both(
        &mut self,
        client: &mut TcpStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), Side>> {
        let (buffers, moved) = (&self.pool.buffers, &mut self.has_moved);
        let up = self
            .to_upstream
            .poll(client, &mut self.upstream, buffers, moved, cx)
            .map_err(|end| match end {
                End::From => Side::Client,
                End::To => Side::Upstream,
            })?;
        let down = self
            .to_client
            .poll(&mut self.upstream, client, buffers, moved, cx)
            .map_err(|end| match end {
                End::From => Side::Upstream,
                End::To => Side::Client,
            })?;
        if up.is_ready() && down.is_ready() {
            Poll::Ready(Ok(()))
        } else {
            Poll::Pending
        }
    }

    /// Whether bytes have moved since it was last asked.
    pub(crate) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }
}

impl Flow {
    /// Reads and writes until one of the two has to wait, or this way has ended.
    fn poll(
        &mut self,
        from: &mut TcpStream,
        to: &mut TcpStream,
        buffers: &Buffers,
        moved: &mut bool,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            while !self.waiting.unread().is_empty() {
                let written = Pin::new(&mut *to).poll_write(cx, self.waiting.unread());
                let written = ready!(written).and_then(not_nothing).map_err(|_| End::To)?;
                self.waiting.consume(written);
                *moved = true;
            }
            match self.state {
                State::Open => {
                    let read = ready!(self.waiting.read(from, buffers, cx));
                    if read.map_err(|_| End::From)? == 0 {
                        self.state = State::Ending;
                    }
                    *moved = true;
                }
                State::Ending => {
                    ready!(Pin::new(&mut *to).poll_shutdown(cx)).map_err(|_| End::To)?;
                    self.waiting.release(buffers);
                    self.state = State::Ended;
                }
                State::Ended => return Poll::Ready(Ok(())),
            }
        }
    }
}

fn not_nothing(written: usize) -> io::Result<usize> {
    if written == 0 {
        return Err(io::ErrorKind::WriteZero.into());
    }
    Ok(written)
}
