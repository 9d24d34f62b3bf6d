//! Programs that do as little as can be done, so that what is measured is the peer: an HTTP upstream, an L4 forwarder, a load.
//! One thread, an event loop on `mio` (epoll): no runtime, no tasks, no allocation per request.

pub(crate) mod forwarder;
pub(crate) mod idle;
pub(crate) mod load;
pub(crate) mod upstream;

use std::io::{self, ErrorKind, Write as _};

use mio::net::TcpStream;
use mio::{Events, Poll};

/// Waits for events; a signal is no event.
fn wait(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    match poll.poll(events, None) {
        Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
        outcome => outcome,
    }
}

/// Writes what the socket takes; the rest is kept for when it takes more.
fn write_or_keep(stream: &mut TcpStream, bytes: &[u8], unsent: &mut Vec<u8>) -> io::Result<()> {
    let written = if unsent.is_empty() {
        write_some(stream, bytes)?
    } else {
        0
    };
    unsent.extend_from_slice(&bytes[written..]);
    Ok(())
}

/// Writes what was kept.
fn flush(stream: &mut TcpStream, unsent: &mut Vec<u8>) -> io::Result<()> {
    let written = write_some(stream, unsent)?;
    unsent.drain(..written);
    Ok(())
}

fn write_some(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while written < bytes.len() {
        match stream.write(&bytes[written..]) {
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}
