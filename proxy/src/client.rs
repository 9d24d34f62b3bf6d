//! A client's connection as bytes: its socket, what was read from it and not yet used, and where the body of the current
//! request stands in it. The connection reads heads and writes; whoever forwards the body reads that. Both are in one task
//! and take turns. Timeouts and meaning are not here.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use http_wire::h1::answer::CONTINUE;
use http_wire::h1::{BodyLength, Decoder, Malformed};
use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use crate::buffers::Buffers;
use crate::receiving::Receiving;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    wire: RefCell<Wire>,
    /// Bytes of a body have come since it was last asked.
    has_moved: Cell<bool>,
}

/// The body of a request that is on its way in. There is one at a time on a connection.
#[derive(Debug)]
pub(crate) struct RequestBody {
    client: Rc<Client>,
    length: BodyLength,
}

/// Why a body has no further piece.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// Its bytes are no body.
    #[error("malformed: {0}")]
    Malformed(#[from] Malformed),
    /// The connection failed.
    #[error("connection failed")]
    Io(#[from] io::Error),
}

#[derive(Debug)]
struct Wire {
    stream: TcpStream,
    receiving: Receiving,
    body: Decoder,
    /// What the client waits for before it sends its body, as far as it has not been said.
    go_on: &'static [u8],
}

impl Client {
    /// A connection of which nothing has been read.
    pub(crate) fn new(stream: TcpStream) -> Rc<Self> {
        Rc::new(Self {
            wire: RefCell::new(Wire {
                stream,
                receiving: Receiving::default(),
                body: Decoder::new(BodyLength::None),
                go_on: &[],
            }),
            has_moved: Cell::new(false),
        })
    }

    /// The socket, and what was read from it and not used.
    pub(crate) fn into_parts(self) -> (TcpStream, Receiving) {
        let wire = self.wire.into_inner();
        (wire.stream, wire.receiving)
    }

    /// Whether bytes of a body have come since it was last asked.
    pub(crate) fn has_moved(&self) -> bool {
        self.has_moved.take()
    }

    // === heads ===

    /// Whether there are bytes that nobody has looked at.
    pub(crate) fn has_unread(&self) -> bool {
        !self.wire.borrow().receiving.unread().is_empty()
    }

    /// Gives the unread bytes to `take`, which says how many of them it has used.
    pub(crate) fn take_unread<T>(&self, take: impl FnOnce(&[u8]) -> (usize, T)) -> T {
        let receiving = &mut self.wire.borrow_mut().receiving;
        let (used, taken) = take(receiving.unread());
        receiving.consume(used);
        taken
    }

    /// Reads once, behind what is unread; 0 is the end of the connection.
    pub(crate) fn poll_read(
        &self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.wire.borrow_mut();
        wire.receiving.read(&mut wire.stream, buffers, cx)
    }

    /// Ready when the client has ended the connection or broken it off: nobody waits for the answer any more. What it sends
    /// meanwhile is kept, as far as one read takes.
    pub(crate) fn poll_gone(&self, buffers: &Buffers, cx: &mut Context<'_>) -> Poll<()> {
        let wire = &mut *self.wire.borrow_mut();
        if !wire.body.is_done() || !wire.receiving.is_empty() {
            return Poll::Pending;
        }
        match ready!(wire.receiving.read(&mut wire.stream, buffers, cx)) {
            Ok(1..) => {
                self.has_moved.set(true);
                Poll::Pending
            }
            Ok(0) | Err(_) => Poll::Ready(()),
        }
    }

    // === the body of the current request ===

    /// What follows is a body of this length; `None` if it is empty.
    pub(crate) fn begin_body(
        self: &Rc<Self>,
        length: BodyLength,
        expects_continue: bool,
    ) -> Option<RequestBody> {
        let wire = &mut *self.wire.borrow_mut();
        wire.body = Decoder::new(length);
        wire.go_on = if expects_continue { CONTINUE } else { &[] };
        (length != BodyLength::None).then(|| RequestBody {
            client: self.clone(),
            length,
        })
    }

    /// Drops what is at hand of a body that nobody wants; `false` if that is not all of it, so that the connection is of no
    /// further use.
    pub(crate) fn skip_body(&self) -> bool {
        let wire = &mut *self.wire.borrow_mut();
        loop {
            match wire.receiving.find_piece(&mut wire.body, false) {
                Ok(0) => return wire.body.is_done(),
                Ok(len) => wire.receiving.use_piece(len),
                Err(_) => return false,
            }
        }
    }

    // === writing ===

    /// What is left to say of an interim response that has begun to go out; another response comes behind it.
    pub(crate) fn take_begun(&self) -> &'static [u8] {
        let go_on = std::mem::take(&mut self.wire.borrow_mut().go_on);
        if go_on.len() < CONTINUE.len() {
            go_on
        } else {
            &[]
        }
    }

    /// Writes up to two buffers in one system call; gives how much.
    pub(crate) fn poll_write(
        &self,
        first: &[u8],
        second: &[u8],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let wire = &mut *self.wire.borrow_mut();
        let stream = Pin::new(&mut wire.stream);
        let written = if second.is_empty() {
            ready!(stream.poll_write(cx, first))?
        } else {
            let parts = [IoSlice::new(first), IoSlice::new(second)];
            ready!(stream.poll_write_vectored(cx, &parts))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        Poll::Ready(Ok(written))
    }
}

impl RequestBody {
    /// Its length, as its head says. A chunked one keeps its chunks: what comes out is framed already.
    pub(crate) fn length(&self) -> BodyLength {
        self.length
    }

    /// The length of the piece that is at hand; 0 at the end. Whoever asks first is the one for whom the client is told to go
    /// on, if it waits for that.
    pub(crate) fn poll_piece(
        &mut self,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, BodyError>> {
        let wire = &mut *self.client.wire.borrow_mut();
        loop {
            let len = wire.receiving.find_piece(&mut wire.body, true)?;
            if len > 0 || wire.body.is_done() {
                return Poll::Ready(Ok(len));
            }
            while !wire.go_on.is_empty() {
                let written = ready!(Pin::new(&mut wire.stream).poll_write(cx, wire.go_on))?;
                wire.go_on = &wire.go_on[written..];
            }
            if ready!(wire.receiving.read(&mut wire.stream, buffers, cx))? == 0 {
                return Poll::Ready(Err(Malformed::Cut.into()));
            }
            // A client that sends needs no telling.
            wire.go_on = &[];
            self.client.has_moved.set(true);
        }
    }

    /// Looks at the piece that is at hand.
    pub(crate) fn with_piece<T>(&self, look: impl FnOnce(&[u8]) -> T) -> T {
        look(self.client.wire.borrow().receiving.piece())
    }

    /// Uses bytes from the front of the piece.
    pub(crate) fn use_piece(&mut self, len: usize) {
        self.client.wire.borrow_mut().receiving.use_piece(len);
    }
}
