//! An HTTP/1.1 server that answers every request with the same 100 bytes. Bodies are not read: the load has none.

use std::collections::HashMap;
use std::io::{ErrorKind, Read as _};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::{flush, wait, write_or_keep};

const LISTENER: Token = Token(0);
/// A batch of heads; larger ones are read in several turns.
const BUFFER: usize = 16 * 1024;
const BODY_LENGTH: usize = 100;

/// Runs until the process is ended.
pub(crate) fn serve(listen: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("upstream ready");
    let mut connections = HashMap::new();
    let mut next = LISTENER.0;
    let mut buffer = vec![0; BUFFER];
    let answer = answer();
    loop {
        wait(&mut poll, &mut events)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((mut stream, _)) = listener.accept() {
                    stream.set_nodelay(true)?;
                    next += 1;
                    poll.registry().register(
                        &mut stream,
                        Token(next),
                        Interest::READABLE | Interest::WRITABLE,
                    )?;
                    connections.insert(
                        Token(next),
                        Connection {
                            stream,
                            heads: HeadEnds::default(),
                            unsent: Vec::new(),
                        },
                    );
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && !connection.turn(&mut buffer, &answer, event.is_read_closed())
            {
                connections.remove(&event.token());
            }
        }
    }
}

fn answer() -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {BODY_LENGTH}\r\n\r\n"
    );
    [head.into_bytes(), vec![b'x'; BODY_LENGTH]].concat()
}

struct Connection {
    stream: TcpStream,
    heads: HeadEnds,
    unsent: Vec<u8>,
}

impl Connection {
    /// Reads what is there and answers it; `false` when the connection is over.
    fn turn(&mut self, buffer: &mut [u8], answer: &[u8], closed: bool) -> bool {
        if !self.unsent.is_empty() && flush(&mut self.stream, &mut self.unsent).is_err() {
            return false;
        }
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return false,
                Ok(read) => {
                    for _ in 0..self.heads.count(&buffer[..read]) {
                        if write_or_keep(&mut self.stream, answer, &mut self.unsent).is_err() {
                            return false;
                        }
                    }
                    // A short read has emptied the socket: the next data is a new event, and asking would be a wasted call.
                    if read < buffer.len() && !closed {
                        return true;
                    }
                }
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

/// Finds the blank lines that end request heads, across reads.
#[derive(Default)]
struct HeadEnds {
    /// How many bytes of `\r\n\r\n` the input ended with.
    matched: u8,
}

impl HeadEnds {
    fn count(&mut self, bytes: &[u8]) -> usize {
        let mut heads = 0;
        for byte in bytes {
            self.matched = match (self.matched, byte) {
                (0 | 2, b'\r') | (1, b'\n') => self.matched + 1,
                (3, b'\n') => {
                    heads += 1;
                    0
                }
                (_, b'\r') => 1,
                _ => 0,
            };
        }
        heads
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_counted_however_they_are_cut() {
        let requests = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(3);
        for cut in 1..requests.len() {
            let mut heads = HeadEnds::default();
            let counted: usize = requests.chunks(cut).map(|piece| heads.count(piece)).sum();
            assert_eq!(counted, 3, "cut every {cut} bytes");
        }
    }

    #[test]
    fn line_ends_without_a_blank_line_are_no_head() {
        assert_eq!(HeadEnds::default().count(b"a\r\nb\n\n\r\r\nc\r\n\r"), 0);
        assert_eq!(HeadEnds::default().count(b"a\r\r\n\r\n"), 1);
    }
}
