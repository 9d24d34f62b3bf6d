//! A forwarder of bytes that reads nothing in them: what any proxy in user space must do, and so the floor of the comparison.
//! Each client connection gets an upstream connection of its own. When one side ends, so does the other.

use std::collections::HashMap;
use std::io::{self, ErrorKind, Read as _};
use std::net::SocketAddr;

use anyhow::Result;
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Registry, Token};

use super::{flush, wait, write_or_keep};

const LISTENER: Token = Token(usize::MAX);
const BUFFER: usize = 64 * 1024;

/// Runs until the process is ended.
pub(crate) fn serve(listen: SocketAddr, upstream: SocketAddr) -> Result<()> {
    let mut poll = Poll::new()?;
    let mut events = Events::with_capacity(1024);
    let mut listener = TcpListener::bind(listen)?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    println!("forwarder ready");
    let mut pairs = HashMap::new();
    let mut next = 0;
    let mut buffer = vec![0; BUFFER];
    loop {
        wait(&mut poll, &mut events)?;
        for event in &events {
            if event.token() == LISTENER {
                while let Ok((client, _)) = listener.accept() {
                    pairs.insert(
                        next,
                        Pair::connect(client, upstream, poll.registry(), next)?,
                    );
                    next += 1;
                }
                continue;
            }
            // The two ends of pair n have the tokens 2n and 2n + 1.
            let (pair, end) = (event.token().0 / 2, event.token().0 % 2);
            let outcome = pairs
                .get_mut(&pair)
                .map(|pair| pair.turn(event, end, &mut buffer));
            if outcome.is_some_and(|outcome| outcome.is_err()) {
                pairs.remove(&pair);
            }
        }
    }
}

struct Pair {
    ends: [TcpStream; 2],
    /// What an end has not taken yet. While there is some, its opposite is not read.
    unsent: [Vec<u8>; 2],
}

impl Pair {
    fn connect(
        client: TcpStream,
        upstream: SocketAddr,
        registry: &Registry,
        number: usize,
    ) -> io::Result<Self> {
        let mut ends = [client, TcpStream::connect(upstream)?];
        for (index, end) in ends.iter_mut().enumerate() {
            end.set_nodelay(true)?;
            registry.register(
                end,
                Token(2 * number + index),
                Interest::READABLE | Interest::WRITABLE,
            )?;
        }
        Ok(Self {
            ends,
            unsent: [Vec::new(), Vec::new()],
        })
    }

    /// An error, the end of either side included, ends the pair.
    fn turn(&mut self, event: &Event, end: usize, buffer: &mut [u8]) -> io::Result<()> {
        if event.is_writable() && !self.unsent[end].is_empty() {
            flush(&mut self.ends[end], &mut self.unsent[end])?;
            self.forward(1 - end, buffer, true)?;
        }
        if event.is_readable() {
            self.forward(end, buffer, event.is_read_closed())?;
        }
        Ok(())
    }

    /// From one end to the other. A short read has emptied the socket, unless `to_the_end` something may hide behind it.
    fn forward(&mut self, from: usize, buffer: &mut [u8], to_the_end: bool) -> io::Result<()> {
        let to = 1 - from;
        while self.unsent[to].is_empty() {
            match self.ends[from].read(buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    write_or_keep(&mut self.ends[to], &buffer[..read], &mut self.unsent[to])?;
                    if read < buffer.len() && !to_the_end {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net;
    use std::thread;

    use super::*;
    use crate::exchange::Exchange;

    /// Servers without an end: their threads go with the test's process.
    fn start(serve: impl FnOnce(SocketAddr) -> Result<()> + Send + 'static) -> SocketAddr {
        let address = SocketAddr::from(([127, 0, 0, 1], e2e::ports::free_port().unwrap()));
        thread::spawn(move || serve(address));
        while net::TcpStream::connect(address).is_err() {
            thread::yield_now();
        }
        address
    }

    #[test]
    fn pipelined_requests_are_answered_in_full_through_the_forwarder() {
        let upstream = start(|listen| super::super::upstream::serve(listen, Exchange::Small));
        let forwarder = start(move |listen| serve(listen, upstream));
        let mut client = net::TcpStream::connect(forwarder).unwrap();
        let requests = 10_000;
        let mut answers = client.try_clone().unwrap();
        let reader = thread::spawn(move || {
            let mut text = String::new();
            while text.matches("HTTP/1.1 200 OK").count() < requests || !text.ends_with('x') {
                let mut piece = vec![0; 1 << 20];
                let read = answers.read(&mut piece).unwrap();
                text.push_str(std::str::from_utf8(&piece[..read]).unwrap());
            }
            text.len()
        });
        client
            .write_all(&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(requests))
            .unwrap();
        assert_eq!(
            reader.join().unwrap() % requests,
            0,
            "every answer is whole"
        );
    }
}
