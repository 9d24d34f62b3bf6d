//! The request on its way out: the head, then the body as the client sends it.
//! The client is asked for more only while little is waiting to be written, so a slow upstream slows the client down instead of
//! filling memory. Small pieces are joined behind the head, large ones are written from where they are.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use http_body::Body;
use http_wire::h1::Framing;
use http_wire::h1::request::{CHUNK_END, LAST_CHUNK, encode_chunk_line};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::RequestBody;
use super::buffers::Buffers;
use super::error::UpstreamError;

/// The client is asked for more body while fewer bytes than this wait to be written.
const WAITING: usize = 16 * 1024;
/// A piece of body up to this size is copied behind what waits: cheaper than one more entry of a vectored write.
const COPIED: usize = 4 * 1024;

/// The request on its way out.
#[derive(Debug)]
pub(super) struct Sending {
    /// The head and small pieces of body; `written` of them have gone.
    out: Vec<u8>,
    written: usize,
    /// One large piece behind them, and what follows it.
    large: Bytes,
    tail: &'static [u8],
    body: Option<RequestBody>,
    /// Bytes of body still to come; `None` for chunks.
    remaining: Option<u64>,
    /// Why the upstream takes no more. Its answer may be on the way all the same.
    broken: Option<io::Error>,
    pub(super) is_begun: bool,
    pub(super) is_body_begun: bool,
}

impl Sending {
    /// `out` holds the encoded head, which announces `framing`.
    pub(super) fn new(out: Vec<u8>, framing: Framing, body: Option<RequestBody>) -> Self {
        let remaining = match framing {
            Framing::None => Some(0),
            Framing::Length(length) => Some(length),
            Framing::Chunked => None,
        };
        Self {
            out,
            written: 0,
            large: Bytes::new(),
            tail: &[],
            body,
            remaining,
            broken: None,
            is_begun: false,
            is_body_begun: false,
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

    /// Sends what can be sent now. Gives the number of bytes written; an error is the client's, or of our own making.
    /// A failure of the socket stops the sending and is kept: the upstream may have answered before it closed.
    pub(super) fn drive(
        &mut self,
        stream: &mut TcpStream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Result<usize, UpstreamError> {
        let mut sent = 0;
        while !self.is_done() && self.broken.is_none() {
            self.fill(cx)?;
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
        self.out.len() - self.written + self.large.len() + self.tail.len()
    }

    /// Asks the client for body while there is room for it.
    fn fill(&mut self, cx: &mut Context<'_>) -> Result<(), UpstreamError> {
        while self.large.is_empty()
            && self.tail.is_empty()
            && self.waiting() < WAITING
            && let Some(body) = &mut self.body
        {
            match Pin::new(body).poll_frame(cx) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are dropped at this hop.
                    if let Ok(data) = frame.into_data() {
                        self.push(data)?;
                    }
                }
                Poll::Ready(Some(Err(error))) => return Err(UpstreamError::RequestBody(error)),
                Poll::Ready(None) => self.end()?,
            }
        }
        Ok(())
    }

    fn push(&mut self, data: Bytes) -> Result<(), UpstreamError> {
        self.is_body_begun = true;
        if data.is_empty() {
            return Ok(());
        }
        let end = match &mut self.remaining {
            Some(remaining) => {
                *remaining = remaining
                    .checked_sub(data.len() as u64)
                    .ok_or(UpstreamError::RequestLength)?;
                &[]
            }
            None => {
                encode_chunk_line(data.len(), &mut self.out);
                CHUNK_END
            }
        };
        if data.len() <= COPIED {
            self.out.extend_from_slice(&data);
            self.out.extend_from_slice(end);
        } else {
            self.large = data;
            self.tail = end;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), UpstreamError> {
        self.body = None;
        match self.remaining {
            Some(0) => Ok(()),
            Some(_) => Err(UpstreamError::RequestLength),
            None => {
                self.out.extend_from_slice(LAST_CHUNK);
                Ok(())
            }
        }
    }

    /// Writes what waits in one system call.
    fn write(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let head = &self.out[self.written..];
        let written = if self.large.is_empty() && self.tail.is_empty() {
            ready!(Pin::new(stream).poll_write(cx, head))?
        } else {
            let parts = [
                IoSlice::new(head),
                IoSlice::new(&self.large),
                IoSlice::new(self.tail),
            ];
            ready!(Pin::new(stream).poll_write_vectored(cx, &parts))?
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
        let of_large = (written - of_head).min(self.large.len());
        self.large.advance(of_large);
        self.tail = &self.tail[written - of_head - of_large..];
    }

    fn give_up(&mut self, error: io::Error) {
        self.broken = Some(error);
        self.body = None;
        self.large = Bytes::new();
        self.tail = &[];
        self.out.clear();
        self.written = 0;
    }
}
