//! The request on its way out: the head, then the body as the client sends it.
//! The client is asked for more only while little is waiting to be written, so a slow upstream slows the client down instead of
//! filling memory. Small pieces are joined behind the head, large ones are written from where they lie.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::buffers::Buffers;
use crate::client::RequestBody;

use super::error::UpstreamError;

/// The client is asked for more body while fewer bytes than this wait to be written.
const WAITING: usize = 16 * 1024;
/// A piece of body up to this size is copied behind what waits: cheaper than one more entry of a vectored write.
const COPIED: usize = 4 * 1024;

/// The request on its way out.
#[derive(Debug, Default)]
pub(super) struct Sending {
    /// The head and small pieces of body; `written` of them have gone.
    out: Vec<u8>,
    written: usize,
    /// Bytes of one large piece behind them, which lies with the body.
    large: usize,
    body: Option<RequestBody>,
    /// Why the upstream takes no more. Its answer may be on the way all the same.
    broken: Option<io::Error>,
    pub(super) is_begun: bool,
    pub(super) is_body_begun: bool,
}

impl Sending {
    /// `out` holds the encoded head, which announces the framing that the body comes in.
    pub(super) fn new(out: Vec<u8>, body: Option<RequestBody>) -> Self {
        Self {
            out,
            body,
            ..Self::default()
        }
    }

    /// True when all of the request has been written.
    pub(super) fn is_done(&self) -> bool {
        self.body.is_none() && self.broken.is_none() && self.waiting() == 0
    }

    /// True when the client has nothing more to send.
    pub(super) fn is_received(&self) -> bool {
        self.body.is_none()
    }

    /// Why the upstream takes no more, if so.
    pub(super) fn take_broken(&mut self) -> Option<io::Error> {
        self.broken.take()
    }

    /// Sends what can be sent now. Gives the number of bytes written; an error is the client's.
    /// A failure of the socket stops the sending and is kept: the upstream may have answered before it closed.
    pub(super) fn drive(
        &mut self,
        stream: &mut TcpStream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Result<usize, UpstreamError> {
        let mut sent = 0;
        while !self.is_done() && self.broken.is_none() {
            self.fill(buffers, cx)?;
            if self.waiting() == 0 {
                break;
            }
            match self.write(stream, cx) {
                Poll::Ready(Ok(written)) => sent += written,
                Poll::Ready(Err(error)) => self.give_up(error),
                Poll::Pending => break,
            }
        }
        if (self.is_done() || self.broken.is_some()) && self.out.capacity() > 0 {
            buffers.put_writing(std::mem::take(&mut self.out));
        }
        self.is_begun |= sent > 0;
        Ok(sent)
    }

    /// Bytes that wait to be written.
    fn waiting(&self) -> usize {
        self.out.len() - self.written + self.large
    }

    /// Asks the client for body while there is room for it.
    fn fill(&mut self, buffers: &Buffers, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        while self.large == 0
            && self.waiting() < WAITING
            && let Some(body) = &mut self.body
        {
            match body.poll_piece(buffers, cx) {
                Poll::Pending => break,
                Poll::Ready(Ok(0)) => self.body = None,
                Poll::Ready(Ok(len)) => {
                    self.is_body_begun = true;
                    if len <= COPIED {
                        body.with_piece(|piece| self.out.extend_from_slice(piece));
                        body.use_piece(len);
                    } else {
                        self.large = len;
                    }
                }
                Poll::Ready(Err(error)) => return Err(UpstreamError::RequestBody(error)),
            }
        }
        Ok(())
    }

    /// Writes what waits in one system call.
    fn write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let head = &self.out[self.written..];
        let stream = Pin::new(stream);
        let written = match &self.body {
            Some(body) if self.large > 0 => ready!(body.with_piece(|piece| {
                let parts = [IoSlice::new(head), IoSlice::new(piece)];
                stream.poll_write_vectored(cx, &parts)
            }))?,
            _ => ready!(stream.poll_write(cx, head))?,
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(written);
        Poll::Ready(Ok(written))
    }

    fn advance(&mut self, written: usize) {
        let of_head = written.min(self.out.len() - self.written);
        self.written += of_head;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        if let Some(body) = &mut self.body {
            let of_large = written - of_head;
            body.use_piece(of_large);
            self.large -= of_large;
        }
    }

    fn give_up(&mut self, error: io::Error) {
        self.broken = Some(error);
        self.body = None;
        self.large = 0;
        self.out.clear();
        self.written = 0;
    }
}
