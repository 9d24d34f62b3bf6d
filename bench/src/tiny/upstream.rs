//! An HTTP/1.1 server that answers every request with the same bytes, prepared once. It knows the length of the bodies to come
//! and reads nothing but the blank lines that end heads.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};

use super::wait;
use crate::exchange::Exchange;

const LISTENER: Token = Token(0);
/// A batch of heads; more are read in several turns.
const BUFFER: usize = 64 * 1024;

/// Runs until the process is ended.
pub(crate) fn serve(listen: SocketAddr, exchange: Exchange) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("upstream ready");
    let mut connections = HashMap::new();
    let mut next = LISTENER.0;
    let mut buffer = vec![0; BUFFER];
    let answer = exchange.answer();
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
                    let connection = Connection::new(stream, exchange.request_body());
                    connections.insert(Token(next), connection);
                }
            } else if let Some(connection) = connections.get_mut(&event.token())
                && connection
                    .turn(&mut buffer, &answer, event.is_read_closed())
                    .is_err()
            {
                connections.remove(&event.token());
            }
        }
    }
}

struct Connection {
    stream: TcpStream,
    requests: Requests,
    /// Answers that are not written to their end.
    owed: usize,
    /// How much of the first of them is written.
    written: usize,
}

impl Connection {
    fn new(stream: TcpStream, body: usize) -> Self {
        Self {
            stream,
            requests: Requests::with_bodies_of(body),
            owed: 0,
            written: 0,
        }
    }

    /// Reads what is there and answers it. An error, the end included, ends the connection.
    fn turn(&mut self, buffer: &mut [u8], answer: &[u8], closed: bool) -> io::Result<()> {
        self.write(answer)?;
        loop {
            match self.stream.read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    self.owed += self.requests.count(&buffer[..read]);
                    self.write(answer)?;
                    // A short read has emptied the socket: the next data is a new event, and asking would be a wasted call.
                    if read < buffer.len() && !closed {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes what the socket takes.
    fn write(&mut self, answer: &[u8]) -> io::Result<()> {
        while self.owed > 0 {
            match self.stream.write(&answer[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            if self.written == answer.len() {
                self.owed -= 1;
                self.written = 0;
            }
        }
        Ok(())
    }
}

/// Finds the ends of requests, across reads.
struct Requests {
    body: usize,
    /// What is missing of the body that is being read.
    body_left: usize,
    /// How many bytes of `\r\n\r\n` the head so far ends with.
    matched: u8,
}

impl Requests {
    fn with_bodies_of(body: usize) -> Self {
        Self {
            body,
            body_left: 0,
            matched: 0,
        }
    }

    /// How many requests end in these bytes.
    fn count(&mut self, mut bytes: &[u8]) -> usize {
        let mut requests = 0;
        loop {
            if self.body_left > 0 {
                let here = self.body_left.min(bytes.len());
                self.body_left -= here;
                bytes = &bytes[here..];
                requests += usize::from(here > 0 && self.body_left == 0);
            }
            let Some(end) = self.head_end(bytes) else {
                return requests;
            };
            bytes = &bytes[end..];
            self.body_left = self.body;
            requests += usize::from(self.body == 0);
        }
    }

    /// Where the head ends, if it does.
    fn head_end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (index, byte) in bytes.iter().enumerate() {
            self.matched = match (self.matched, byte) {
                (0 | 2, b'\r') | (1, b'\n') => self.matched + 1,
                (3, b'\n') => {
                    self.matched = 0;
                    return Some(index + 1);
                }
                (_, b'\r') => 1,
                _ => 0,
            };
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_however_they_are_cut() {
        for body in [0, 1, 50] {
            let request = [
                b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
                vec![b'\n'; body],
            ];
            let requests = request.concat().repeat(3);
            for cut in 1..requests.len() {
                let mut reading = Requests::with_bodies_of(body);
                let counted: usize = requests.chunks(cut).map(|piece| reading.count(piece)).sum();
                assert_eq!(counted, 3, "bodies of {body}, cut every {cut} bytes");
            }
        }
    }

    #[test]
    fn line_ends_without_a_blank_line_are_no_head() {
        let count = |bytes| Requests::with_bodies_of(0).count(bytes);
        assert_eq!(count(b"a\r\nb\n\n\r\r\nc\r\n\r".as_slice()), 0);
        assert_eq!(count(b"a\r\r\n\r\n".as_slice()), 1);
    }
}
