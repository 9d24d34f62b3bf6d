//! What a response holds, for whoever writes it. A body of an endpoint streams through piece by piece: the writer asks for the
//! next piece when it has written the last, and nothing is read from the endpoint before that. The head is not here, and how
//! head and body are written neither: that differs from protocol to protocol.

use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_wire::h1::BodyLength;
use tokio::time::Instant;

use crate::upstream::{ResponseBody, UpstreamError};
use crate::worker::Downstream;

use super::failure::cause_of;
use super::in_flight::InFlight;
use super::record::Record;
use super::tunnel::Tunnel;

/// A request's answer, from the request's beginning on: first what is known of it, in the end the body of a response. It lies
/// in one place all the time and is filled there. When it is dropped the request has ended, answered or not.
pub(crate) struct Answer {
    pub(super) content: Content,
    pub(super) downstream: Rc<Downstream>,
    pub(super) record: Record,
}

/// What a response holds.
pub(super) enum Content {
    /// Nobody knows yet.
    Awaited,
    /// Nothing.
    Empty,
    /// A text that is at hand.
    Whole(Bytes),
    /// What an endpoint sends.
    Upstream(Stream),
    /// Nothing, and another protocol after it.
    Switched(Box<Tunnel>),
}

/// The body of an endpoint's answer on its way.
pub(super) struct Stream {
    body: ResponseBody,
    in_flight: InFlight,
}

impl Content {
    /// A text that may be empty.
    pub(super) fn of(text: Bytes) -> Self {
        if text.is_empty() {
            Self::Empty
        } else {
            Self::Whole(text)
        }
    }
}

impl Answer {
    /// The answer of a request that begins.
    pub(crate) fn awaited(downstream: &Rc<Downstream>) -> Self {
        Self {
            content: Content::Awaited,
            downstream: downstream.clone(),
            record: Record::new(Instant::now()),
        }
    }

    /// Whether it is ours, so that nobody reads the request's body any more.
    pub(crate) fn is_ours(&self) -> bool {
        matches!(self.content, Content::Empty | Content::Whole(_))
    }

    /// What comes after it, if it switches to another protocol.
    pub(crate) fn take_tunnel(&mut self) -> Option<Box<Tunnel>> {
        match std::mem::replace(&mut self.content, Content::Empty) {
            Content::Switched(tunnel) => Some(tunnel),
            content => {
                self.content = content;
                None
            }
        }
    }

    /// How long its body is. A chunked one, which only a client of HTTP/1.1 gets, comes with its chunks.
    pub(crate) fn length(&self) -> BodyLength {
        match &self.content {
            Content::Awaited | Content::Empty | Content::Switched(_) => BodyLength::Length(0),
            Content::Whole(text) => BodyLength::Length(text.len() as u64),
            Content::Upstream(stream) => stream.body.length(),
        }
    }

    /// The length of the piece that is at hand; 0 at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, UpstreamError>> {
        match &mut self.content {
            Content::Awaited | Content::Empty | Content::Switched(_) => Poll::Ready(Ok(0)),
            Content::Whole(text) => Poll::Ready(Ok(text.len())),
            Content::Upstream(stream) => stream.poll_piece(cx),
        }
    }

    /// The piece that is at hand.
    pub(crate) fn piece(&self) -> &[u8] {
        match &self.content {
            Content::Awaited | Content::Empty | Content::Switched(_) => &[],
            Content::Whole(text) => text,
            Content::Upstream(stream) => stream.body.piece(),
        }
    }

    /// Uses bytes from the front of the piece.
    pub(crate) fn use_piece(&mut self, len: usize) {
        match &mut self.content {
            Content::Awaited | Content::Empty | Content::Switched(_) => {}
            Content::Whole(text) => text.advance(len),
            Content::Upstream(stream) => stream.body.use_piece(len),
        }
    }
}

impl Stream {
    pub(super) fn new(body: ResponseBody, mut in_flight: InFlight) -> Self {
        if body.is_whole() {
            in_flight.completes();
        }
        Self { body, in_flight }
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, UpstreamError>> {
        let polled = ready!(self.body.poll_piece(cx));
        match &polled {
            Err(error) => self.in_flight.breaks(cause_of(error)),
            Ok(_) if self.body.is_whole() => self.in_flight.completes(),
            Ok(_) => {}
        }
        Poll::Ready(polled)
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        match &mut self.content {
            Content::Upstream(stream) => self.record.ends(stream.in_flight.settle()),
            // The client did not wait for it.
            Content::Awaited => return,
            _ => self.record.ends_here(),
        }
        self.downstream.end_request();
    }
}
