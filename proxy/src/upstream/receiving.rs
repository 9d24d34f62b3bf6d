//! The response on its way in: bytes of the socket, then data of the body.
//! A buffer is taken from the worker when the socket has something to read, and goes back when it is empty again.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http_wire::h1::{Decoder, Malformed};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use super::buffers::{Buffers, LARGE_READ_SIZE, READ_SIZE};

/// Data up to this size is copied out of the buffer, which goes back to the worker at once; more is handed out as it lies.
const COPIED: usize = 4 * 1024;

/// What has been read and not yet been used.
#[derive(Debug, Default)]
pub(super) struct Receiving {
    buffer: Option<BytesMut>,
    /// The last read filled its buffer: more of the kind is coming.
    is_large: bool,
}

impl Receiving {
    /// With these bytes at its front.
    pub(super) fn holding(bytes: &[u8]) -> Self {
        Self {
            buffer: (!bytes.is_empty()).then(|| BytesMut::from(bytes)),
            is_large: false,
        }
    }

    /// The bytes that have not been used.
    pub(super) fn unread(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }

    /// Uses bytes from the front.
    pub(super) fn consume(&mut self, len: usize) {
        if let Some(buffer) = &mut self.buffer {
            buffer.advance(len);
        }
    }

    /// Reads once; 0 is the end of the connection.
    pub(super) fn read(
        &mut self,
        stream: &mut TcpStream,
        buffers: &Buffers,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if stream.poll_read_ready(cx)?.is_pending() {
            self.release(buffers);
            return Poll::Pending;
        }
        let buffer = self.buffer.get_or_insert_with(|| buffers.take_reading());
        let wanted = if self.is_large {
            LARGE_READ_SIZE
        } else {
            READ_SIZE
        };
        if buffer.is_empty() || buffer.len() == buffer.capacity() {
            buffer.reserve(wanted);
        }
        let room = buffer.capacity() - buffer.len();
        let read = ready!(pin!(stream.read_buf(buffer)).poll(cx))?;
        self.is_large = read == room;
        Poll::Ready(Ok(read))
    }

    /// The next piece of the body among the unread bytes; `None` if there is none. Small pieces that follow are joined to it,
    /// and the end of the body behind it is taken at once.
    pub(super) fn data(&mut self, decoder: &mut Decoder) -> Result<Option<Bytes>, Malformed> {
        let Some(buffer) = &mut self.buffer else {
            return Ok(None);
        };
        let (mut used, mut piece) = (0, 0..0);
        while piece.is_empty() && used < buffer.len() && !decoder.is_done() {
            let step = decoder.decode(&buffer[used..])?;
            piece = used + step.data.start..used + step.data.end;
            used += step.consumed;
        }
        while used < buffer.len() && !decoder.is_done() && !piece.is_empty() {
            // What is wrong behind this piece is found when its turn comes.
            let mut ahead = decoder.clone();
            let Ok(step) = ahead.decode(&buffer[used..]) else {
                break;
            };
            if step.data.len() > COPIED {
                break;
            }
            buffer.copy_within(used + step.data.start..used + step.data.end, piece.end);
            piece.end += step.data.len();
            used += step.consumed;
            *decoder = ahead;
        }
        let data = take(buffer, piece.start, piece.end);
        buffer.advance(used - piece.end);
        Ok((!data.is_empty()).then_some(data))
    }

    /// Gives the buffer back if it is empty.
    pub(super) fn release(&mut self, buffers: &Buffers) {
        if let Some(buffer) = self.buffer.take_if(|buffer| buffer.is_empty()) {
            buffers.put_reading(buffer);
        }
    }
}

/// Cuts a piece out of the buffer and drops what lies before it.
fn take(buffer: &mut BytesMut, start: usize, end: usize) -> Bytes {
    buffer.advance(start);
    let len = end - start;
    if len > COPIED {
        return buffer.split_to(len).freeze();
    }
    let data = Bytes::copy_from_slice(&buffer[..len]);
    buffer.advance(len);
    data
}

#[cfg(test)]
mod tests {
    use http_wire::h1::BodyLength;

    use super::*;

    fn receiving(bytes: &[u8]) -> Receiving {
        Receiving {
            buffer: Some(BytesMut::from(bytes)),
            is_large: false,
        }
    }

    #[test]
    fn small_chunks_and_the_end_behind_them_are_one_piece() {
        let mut receiving = receiving(b"3\r\nabc\r\n2;x\r\nde\r\n0\r\n\r\nnext");
        let mut decoder = Decoder::new(BodyLength::Chunked);
        assert_eq!(
            receiving.data(&mut decoder),
            Ok(Some(Bytes::from_static(b"abcde")))
        );
        assert!(decoder.is_done());
        assert_eq!(receiving.unread(), b"next");
    }

    #[test]
    fn large_chunks_are_handed_out_one_by_one_as_they_lie() {
        let large = vec![b'a'; COPIED + 1];
        let mut wire = Vec::new();
        for _ in 0..2 {
            wire.extend_from_slice(format!("{:x}\r\n", large.len()).as_bytes());
            wire.extend_from_slice(&large);
            wire.extend_from_slice(b"\r\n");
        }
        let mut receiving = receiving(&wire);
        let mut decoder = Decoder::new(BodyLength::Chunked);
        let first = receiving.unread()[6..].as_ptr();
        let piece = receiving
            .data(&mut decoder)
            .expect("well-formed")
            .expect("data");
        assert_eq!((piece.as_ptr(), piece.len()), (first, large.len()));
        assert_eq!(receiving.data(&mut decoder), Ok(Some(Bytes::from(large))));
        assert_eq!(receiving.data(&mut decoder), Ok(None));
    }

    #[test]
    fn what_is_malformed_behind_a_piece_does_not_take_the_piece_away() {
        let mut receiving = receiving(b"3\r\nabc\r\nzz\r\n");
        let mut decoder = Decoder::new(BodyLength::Chunked);
        assert_eq!(
            receiving.data(&mut decoder),
            Ok(Some(Bytes::from_static(b"abc")))
        );
        assert_eq!(receiving.data(&mut decoder), Err(Malformed::Chunk));
    }

    #[test]
    fn bytes_behind_a_body_stay() {
        let mut receiving = receiving(b"abcdef");
        let mut decoder = Decoder::new(BodyLength::Length(3));
        assert_eq!(
            receiving.data(&mut decoder),
            Ok(Some(Bytes::from_static(b"abc")))
        );
        assert_eq!(receiving.data(&mut decoder), Ok(None));
        assert_eq!(receiving.unread(), b"def");
    }
}
