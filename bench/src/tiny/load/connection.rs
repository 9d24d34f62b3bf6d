//! One connection of the load: a request is written, its answer is read to its end.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context as _, Result};
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::answer::Reading;

pub(super) struct Connection {
    stream: TcpStream,
    target: SocketAddr,
    exchange: Option<Exchange>,
    reading: Reading,
}

/// A request that has no whole answer yet.
struct Exchange {
    request: usize,
    written: usize,
    due: Instant,
    /// It was sent on a connection that was then found closed.
    sent_again: bool,
}

/// What has become of it.
pub(super) enum Turn {
    Waits,
    /// The answer is whole; when the request was due.
    Answered(Instant),
    /// The other side has closed, and no harm is done.
    Closed,
    Failed,
}

impl Connection {
    pub(super) fn open(target: SocketAddr, registry: &Registry, token: Token) -> Result<Self> {
        Ok(Self {
            stream: connect(target, registry, token)?,
            target,
            exchange: None,
            reading: Reading::default(),
        })
    }

    /// In the place of the one that was closed.
    pub(super) fn reopen(&mut self, registry: &Registry, token: Token) -> Result<()> {
        self.stream = connect(self.target, registry, token)?;
        if let Some(exchange) = &mut self.exchange {
            exchange.written = 0;
            exchange.sent_again = true;
        }
        Ok(())
    }

    /// Gives up the request.
    pub(super) fn forget(&mut self) {
        self.exchange = None;
        self.reading = Reading::default();
    }

    pub(super) fn begin(&mut self, request: usize, due: Instant) {
        self.exchange = Some(Exchange {
            request,
            written: 0,
            due,
            sent_again: false,
        });
    }

    pub(super) fn turn(&mut self, requests: &[Vec<u8>], buffer: &mut [u8]) -> Turn {
        if let Some(exchange) = &mut self.exchange {
            let request = &requests[exchange.request];
            while exchange.written < request.len() {
                match self.stream.write(&request[exchange.written..]) {
                    Ok(count) => exchange.written += count,
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    // Not connected yet: it is written when the socket says so.
                    Err(error) if error.kind() == ErrorKind::NotConnected => return Turn::Waits,
                    Err(_) => return self.closed(),
                }
            }
        }
        while !buffer.is_empty() {
            match self.stream.read(buffer) {
                Ok(0) => return self.closed(),
                Ok(read) => match self.reading.feed(&buffer[..read]) {
                    Ok(true) => {
                        let answered = self.exchange.take();
                        return answered
                            .map_or(Turn::Failed, |answered| Turn::Answered(answered.due));
                    }
                    // A short read has emptied the socket.
                    Ok(false) if read < buffer.len() => break,
                    Ok(false) => {}
                    Err(_) => return Turn::Failed,
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::NotConnected => break,
                Err(_) => return self.closed(),
            }
        }
        Turn::Waits
    }

    fn closed(&self) -> Turn {
        let sent_again = self
            .exchange
            .as_ref()
            .is_some_and(|exchange| exchange.sent_again);
        if self.reading.is_untouched() && !sent_again {
            Turn::Closed
        } else {
            Turn::Failed
        }
    }
}

/// Connects in the background would be faster, and a refused connection would then be found late: the load waits.
fn connect(target: SocketAddr, registry: &Registry, token: Token) -> Result<TcpStream> {
    let stream =
        std::net::TcpStream::connect(target).with_context(|| format!("connecting to {target}"))?;
    stream.set_nodelay(true)?;
    stream.set_nonblocking(true)?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
    Ok(stream)
}
