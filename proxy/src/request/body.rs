//! What a response holds, as hyper takes it. A body of an endpoint streams through piece by piece: hyper asks for the next
//! piece when it has written the last, and nothing is read from the endpoint before that.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};

use crate::upstream::{ResponseBody, UpstreamError};
use crate::worker::Downstream;

use super::failure::cause_of;
use super::in_flight::InFlight;
use super::record::Record;
use super::tunnel::{Switch, Tunnel};

/// The body of a response. When it is dropped the response has ended.
pub(crate) struct Body {
    content: Content,
    downstream: Rc<Downstream>,
    record: Record,
}

/// What a body holds.
#[expect(
    clippy::large_enum_variant,
    reason = "a box would be an allocation for each request that is forwarded"
)]
pub(super) enum Content {
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
    /// It broke off; hyper is told when it has written what came before.
    broken: Option<UpstreamError>,
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

    /// Leaves the tunnel to the connection, if it is one.
    pub(super) fn hand_over(self, switch: &Switch) -> Self {
        match self {
            Self::Switched(tunnel) => {
                switch.put(tunnel);
                Self::Empty
            }
            content => content,
        }
    }
}

impl Body {
    pub(super) fn new(content: Content, downstream: Rc<Downstream>, record: Record) -> Self {
        Self {
            content,
            downstream,
            record,
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        match &mut self.content {
            Content::Empty | Content::Switched(_) => Poll::Ready(None),
            Content::Whole(text) => {
                let text = std::mem::take(text);
                self.content = Content::Empty;
                Poll::Ready(Some(Ok(Frame::data(text))))
            }
            Content::Upstream(stream) => stream.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Empty | Content::Switched(_) => true,
            Content::Whole(_) => false,
            Content::Upstream(stream) => stream.body.is_end_stream() && stream.broken.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty | Content::Switched(_) => SizeHint::with_exact(0),
            Content::Whole(text) => SizeHint::with_exact(text.len() as u64),
            Content::Upstream(stream) => stream.body.size_hint(),
        }
    }
}

impl Stream {
    pub(super) fn new(body: ResponseBody, mut in_flight: InFlight) -> Self {
        if body.is_end_stream() {
            in_flight.completes();
        }
        Self {
            body,
            in_flight,
            broken: None,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        if let Some(error) = self.broken.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        match frame {
            Some(Err(error)) => self.breaks(error, cx),
            // hyper does not ask again after the last piece of a body with a length.
            Some(Ok(piece)) => {
                if self.body.is_end_stream() {
                    self.in_flight.completes();
                }
                Poll::Ready(Some(Ok(piece)))
            }
            None => {
                self.in_flight.completes();
                Poll::Ready(None)
            }
        }
    }

    /// hyper throws away what it has not written when it hears of an error. A client should see an answer that is cut, and
    /// not none at all, so the error waits until hyper has been at the socket once more.
    fn breaks<T>(&mut self, error: UpstreamError, cx: &mut Context<'_>) -> Poll<T> {
        self.in_flight.breaks(cause_of(&error));
        self.broken = Some(error);
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        match &mut self.content {
            Content::Upstream(stream) => self.record.ends(stream.in_flight.settle()),
            _ => self.record.ends_here(),
        }
        self.downstream.end_request();
    }
}
