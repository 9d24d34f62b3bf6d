//! Bytes of a socket on their way in: a head, then pieces of a body. They are used where they lie, and never copied out.
//! A buffer is taken from the worker when the socket has something to read, and goes back when it is empty again.

use std::io;
use std::ops::Range;
use std::task::{Context, Poll, ready};

use http_wire::h1::{Decoder, Malformed};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::buffers::{Buffers, LARGE_READ_SIZE, READ_SIZE};

/// Pieces up to this size are moved together so that they can be written at once; a larger one is a piece of its own.
const JOINED: usize = 4 * 1024;
/// With less room than this behind what waits, a read is not worth its system call.
const LITTLE_ROOM: usize = READ_SIZE / 4;

/// What has been read and not yet been used.
#[derive(Debug, Default)]
pub(crate) struct Receiving {
    /// Without capacity there is no buffer.
    bytes: Vec<u8>,
    /// A piece of a body that waits to be used.
    piece: Range<usize>,
    /// Where the bytes begin that nobody has looked at; behind the piece.
    next: usize,
    /// The last read filled its buffer: more of the kind is coming.
    is_large: bool,
}

impl Receiving {
    /// With these bytes at its front.
    #[cfg(test)]
    pub(crate) fn holding(bytes: &[u8]) -> Self {
        Self {
            bytes: bytes.to_vec(),
            ..Self::default()
        }
    }

    /// Whether nothing waits to be looked at or used.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The bytes that nobody has looked at.
    pub(crate) fn unread(&self) -> &[u8] {
        &self.bytes[self.next..]
    }

    /// Uses unread bytes from the front.
    pub(crate) fn consume(&mut self, len: usize) {
        self.next += len;
        self.tidy();
    }

    /// Reads once; 0 is the end of the connection. There must be no piece that waits.
    ///
    /// Tries first, and leaves a waker only when there is nothing: who was woken for the socket asks the event loop once, not twice.
    /// A read takes nothing of tokio's cooperative budget: what is read is written somewhere, and that does.
    pub(crate) fn read(
        &mut self,
        stream: &mut TcpStream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        debug_assert!(self.piece.is_empty(), "it would be moved");
        loop {
            match self.try_read(stream, buffers) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.release(buffers);
                    ready!(stream.poll_read_ready(cx))?;
                }
                read => return Poll::Ready(read),
            }
        }
    }

    /// Reads what is there. While the event loop has seen nothing on the socket this makes no system call and takes no buffer.
    fn try_read(&mut self, stream: &TcpStream, buffers: &Buffers) -> io::Result<usize> {
        let mut outcome = None;
        let tried = stream.try_io(Interest::READABLE, || {
            self.make_room(buffers);
            let room = self.bytes.capacity() - self.bytes.len();
            let read = stream.try_read_buf(&mut self.bytes)?;
            self.is_large = read == room;
            outcome = Some(read);
            // A short read has emptied the socket: with this the next one waits for an event, and spares a system call to
            // find that out (as tokio's own `poll_read`).
            if 0 < read && read < room {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(())
        });
        match outcome {
            Some(read) => Ok(read),
            None => tried.map(|()| 0),
        }
    }

    /// Looks for the next piece of the body among the unread bytes, unless one waits, and gives its length: 0 if there is
    /// none. Small pieces that follow are joined to it, and the end of the body behind it is taken at once. With `framed` a
    /// chunked body keeps its chunks.
    pub(crate) fn find_piece(
        &mut self,
        decoder: &mut Decoder,
        framed: bool,
    ) -> Result<usize, Malformed> {
        let step = if framed {
            Decoder::pass
        } else {
            Decoder::decode
        };
        while self.piece.is_empty() && self.next < self.bytes.len() && !decoder.is_done() {
            let step = step(decoder, &self.bytes[self.next..])?;
            self.piece = self.next + step.data.start..self.next + step.data.end;
            self.next += step.consumed;
        }
        while !self.piece.is_empty() && self.next < self.bytes.len() && !decoder.is_done() {
            // What is wrong behind this piece is found when its turn comes.
            let mut ahead = decoder.clone();
            let Ok(step) = step(&mut ahead, &self.bytes[self.next..]) else {
                break;
            };
            if step.data.len() > JOINED {
                break;
            }
            let data = self.next + step.data.start..self.next + step.data.end;
            let len = data.len();
            self.bytes.copy_within(data, self.piece.end);
            self.piece.end += len;
            self.next += step.consumed;
            *decoder = ahead;
        }
        self.tidy();
        Ok(self.piece.len())
    }

    /// The piece that waits to be used.
    pub(crate) fn piece(&self) -> &[u8] {
        &self.bytes[self.piece.clone()]
    }

    /// Uses bytes from the front of the piece.
    pub(crate) fn use_piece(&mut self, len: usize) {
        self.piece.start += len;
        self.tidy();
    }

    /// Gives the buffer back if it is empty.
    pub(crate) fn release(&mut self, buffers: &Buffers) {
        if self.bytes.is_empty() && self.bytes.capacity() > 0 {
            buffers.put_reading(std::mem::take(&mut self.bytes));
        }
    }

    /// Gives the buffer back with all that is in it.
    pub(crate) fn discard(&mut self, buffers: &Buffers) {
        (self.piece, self.next) = (0..0, self.bytes.len());
        self.tidy();
        self.release(buffers);
    }

    fn tidy(&mut self) {
        if self.piece.is_empty() {
            self.piece = 0..0;
            if self.next == self.bytes.len() {
                self.bytes.clear();
                self.next = 0;
            }
        }
    }

    fn make_room(&mut self, buffers: &Buffers) {
        if self.bytes.capacity() == 0 {
            self.bytes = buffers.take_reading();
        }
        if self.bytes.is_empty() && self.is_large {
            self.bytes.reserve(LARGE_READ_SIZE);
        } else if self.bytes.capacity() - self.bytes.len() < LITTLE_ROOM {
            // A head that goes on, or requests in a row.
            self.bytes.drain(..self.next);
            self.next = 0;
            if self.bytes.capacity() - self.bytes.len() < LITTLE_ROOM {
                self.bytes.reserve(READ_SIZE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_wire::h1::BodyLength;

    use super::*;

    /// All pieces, each taken as a whole.
    fn pieces(receiving: &mut Receiving, decoder: &mut Decoder, framed: bool) -> Vec<String> {
        let mut pieces = Vec::new();
        loop {
            let len = receiving.find_piece(decoder, framed).expect("well-formed");
            if len == 0 {
                return pieces;
            }
            pieces.push(String::from_utf8_lossy(receiving.piece()).into_owned());
            receiving.use_piece(len);
        }
    }

    #[test]
    fn small_chunks_and_the_end_behind_them_are_one_piece() {
        let wire = b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nx: y\r\n\r\nnext";
        for (framed, expected) in [(false, "abcde"), (true, "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")] {
            let mut receiving = Receiving::holding(wire);
            let mut decoder = Decoder::new(BodyLength::Chunked);
            assert_eq!(pieces(&mut receiving, &mut decoder, framed), [expected]);
            assert!(decoder.is_done());
            assert_eq!(receiving.unread(), b"next");
        }
    }

    #[test]
    fn large_chunks_are_handed_out_one_by_one_as_they_lie() {
        let large = vec![b'a'; JOINED + 1];
        let mut wire = Vec::new();
        for _ in 0..2 {
            wire.extend_from_slice(format!("{:x}\r\n", large.len()).as_bytes());
            wire.extend_from_slice(&large);
            wire.extend_from_slice(b"\r\n");
        }
        let mut receiving = Receiving::holding(&wire);
        let mut decoder = Decoder::new(BodyLength::Chunked);
        let first = receiving.unread()[6..].as_ptr();
        let found = receiving.find_piece(&mut decoder, false);
        assert_eq!(found, Ok(large.len()));
        assert_eq!(receiving.piece().as_ptr(), first);
        receiving.use_piece(large.len());
        assert_eq!(pieces(&mut receiving, &mut decoder, false).len(), 1);

        let mut receiving = Receiving::holding(&wire);
        let mut decoder = Decoder::new(BodyLength::Chunked);
        let whole = receiving.find_piece(&mut decoder, true);
        assert_eq!(whole, Ok(wire.len()), "with their frames they are one");
    }

    #[test]
    fn what_is_malformed_behind_a_piece_does_not_take_the_piece_away() {
        let mut receiving = Receiving::holding(b"3\r\nabc\r\nzz\r\n");
        let mut decoder = Decoder::new(BodyLength::Chunked);
        assert_eq!(receiving.find_piece(&mut decoder, false), Ok(3));
        receiving.use_piece(3);
        let found = receiving.find_piece(&mut decoder, false);
        assert_eq!(found, Err(Malformed::Chunk));
    }

    #[test]
    fn bytes_behind_a_body_stay() {
        let mut receiving = Receiving::holding(b"abcdef");
        let mut decoder = Decoder::new(BodyLength::Length(3));
        assert_eq!(pieces(&mut receiving, &mut decoder, false), ["abc"]);
        assert_eq!(receiving.unread(), b"def");
    }
}
