//! An answer on its way to the client: its head, then its body piece by piece. What is at hand of the body goes out together
//! with the head. Small pieces are copied behind what waits, large ones are written from where they lie.

use std::task::{Context, Poll, ready};

use http_wire::h1::BodyLength;
use http_wire::h1::answer::{Connection, Framing, encode_head};
use http_wire::h1::request::{CHUNK_END, LAST_CHUNK, encode_chunk_line};
use http_wire::head::{ResponseHead, Version};

use crate::client::Client;
use crate::request::Answer;
use crate::upstream::UpstreamError;
use crate::worker::{Downstream, Pair, Worker};

use super::End;

/// `Server` of every response; what an endpoint says is replaced (Envoy's `server_header_transformation: OVERWRITE`).
const SERVER: &[u8] = b"signalbox";
/// The answer is asked for more while fewer bytes than this wait to be written.
const WAITING: usize = 16 * 1024;
/// A piece of body up to this size is copied behind what waits: cheaper than one more entry of a vectored write.
const COPIED: usize = 4 * 1024;

/// How an answer is told.
pub(super) struct Manner {
    framing: Framing,
    connection: Connection,
    /// The body is left out: its length is of interest alone.
    is_bare: bool,
    /// No request is read after it.
    pub(super) is_last: bool,
}

/// An answer on its way out.
pub(super) struct Reply {
    out: Vec<u8>,
    written: usize,
    /// Bytes of one large piece behind them, which lies with the answer.
    large: usize,
    framing: Framing,
    /// The pieces are put into chunks here.
    is_chunking: bool,
    state: State,
}

enum State {
    /// More of the body may come.
    Open,
    /// All of it has been taken.
    Ended,
    /// It broke off. What came before goes out first: a client should see an answer that is cut, and not none at all.
    Cut,
}

impl Manner {
    /// How this answer is told (RFC 9112 section 6.3); `is_last` unless its end must be told by that of the connection.
    pub(super) fn of(heads: &Pair, answer: &Answer, switches: bool, is_last: bool) -> Self {
        let status = heads.response.status();
        let to_head = heads.request.method() == "HEAD";
        let is_old = heads.request.version() == Version::Http10;
        let is_bare = to_head || matches!(status, 100..=199 | 204 | 304);
        let framing = match answer.length() {
            // Of an answer of ours the head does not say how long it would be.
            BodyLength::Length(length) if to_head && answer.is_ours() => Framing::Length(length),
            _ if is_bare => Framing::None,
            BodyLength::None => Framing::Length(0),
            BodyLength::Length(length) => Framing::Length(length),
            BodyLength::Chunked | BodyLength::UntilClose if is_old => Framing::UntilClose,
            BodyLength::Chunked | BodyLength::UntilClose => Framing::Chunked,
        };
        let is_last = is_last || framing == Framing::UntilClose;
        let connection = match (switches, is_last, is_old) {
            (true, ..) => Connection::Upgrade,
            (_, true, _) => Connection::Close,
            (_, _, true) => Connection::KeepAlive,
            _ => Connection::Persists,
        };
        Self {
            framing,
            connection,
            is_bare,
            is_last,
        }
    }
}

impl Reply {
    /// An answer of which nothing has been written.
    pub(super) fn new(
        head: &ResponseHead,
        manner: &Manner,
        answer: &Answer,
        client: &Client,
        worker: &Worker,
    ) -> Self {
        let mut out = worker.pool.buffers.take_writing();
        out.extend_from_slice(client.take_begun());
        let (framing, connection) = (manner.framing, manner.connection);
        worker.with_date(|date| encode_head(head, framing, connection, SERVER, date, &mut out));
        Self {
            out,
            written: 0,
            large: 0,
            framing,
            is_chunking: framing == Framing::Chunked && answer.length() == BodyLength::UntilClose,
            state: if manner.is_bare {
                State::Ended
            } else {
                State::Open
            },
        }
    }

    /// Takes what is at hand of the answer and writes what can be written. Ready when all is written, and when that cannot be.
    pub(super) fn poll(
        &mut self,
        answer: &mut Answer,
        client: &Client,
        downstream: &Downstream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), End>> {
        loop {
            self.fill(answer, cx);
            if self.waiting() == 0 {
                return match self.state {
                    State::Open => {
                        let buffers = &downstream.worker().pool.buffers;
                        client.poll_gone(buffers, cx).map(|()| Err(End::Gone))
                    }
                    State::Ended => Poll::Ready(Ok(())),
                    State::Cut if self.framing == Framing::UntilClose => {
                        Poll::Ready(Err(End::Broken))
                    }
                    State::Cut => Poll::Ready(Err(End::Done)),
                };
            }
            match self.write(answer, client, cx) {
                Poll::Ready(Ok(())) => downstream.note_write(false),
                Poll::Ready(Err(_)) => return Poll::Ready(Err(End::Gone)),
                Poll::Pending => {
                    downstream.note_write(true);
                    return Poll::Pending;
                }
            }
        }
    }

    /// It is written, or never will be.
    pub(super) fn end(self, worker: &Worker) {
        worker.pool.buffers.put_writing(self.out);
    }

    fn waiting(&self) -> usize {
        self.out.len() - self.written + self.large
    }

    /// Asks for more of the body while there is room for it.
    fn fill(&mut self, answer: &mut Answer, cx: &mut Context<'_>) {
        while self.large == 0 && self.waiting() < WAITING && matches!(self.state, State::Open) {
            match answer.poll_piece(cx) {
                Poll::Pending => return,
                Poll::Ready(Ok(0)) => {
                    if self.is_chunking {
                        self.out.extend_from_slice(LAST_CHUNK);
                    }
                    self.state = State::Ended;
                }
                Poll::Ready(Ok(len)) => self.take(len, answer),
                Poll::Ready(Err(error)) => self.breaks(&error),
            }
        }
    }

    fn take(&mut self, len: usize, answer: &mut Answer) {
        if self.is_chunking {
            encode_chunk_line(len, &mut self.out);
        }
        if len > COPIED {
            self.large = len;
            return;
        }
        self.out.extend_from_slice(answer.piece());
        answer.use_piece(len);
        if self.is_chunking {
            self.out.extend_from_slice(CHUNK_END);
        }
    }

    fn breaks(&mut self, error: &UpstreamError) {
        tracing::debug!(%error, "an answer broke off");
        self.state = State::Cut;
    }

    /// Writes what waits in one system call.
    fn write(
        &mut self,
        answer: &mut Answer,
        client: &Client,
        cx: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        let head = &self.out[self.written..];
        let large = if self.large > 0 { answer.piece() } else { &[] };
        let written = ready!(client.poll_write(head, large, cx))?;
        let of_head = written.min(self.out.len() - self.written);
        self.written += of_head;
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
        }
        let of_large = written - of_head;
        if of_large > 0 {
            answer.use_piece(of_large);
            self.large -= of_large;
            if self.large == 0 && self.is_chunking {
                self.out.extend_from_slice(CHUNK_END);
            }
        }
        Poll::Ready(Ok(()))
    }
}
