//! Bytes that all clients read and wrote: on the sockets, so with HTTP/2 around them, and in messages.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// Counted so far.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    /// Read from sockets.
    pub(crate) received: AtomicU64,
    /// Written to sockets.
    pub(crate) sent: AtomicU64,
    /// Discovery responses, each with its gRPC prefix.
    pub(crate) responses: AtomicU64,
    /// Targets of sessions, each with its gRPC prefix.
    pub(crate) targets: AtomicU64,
}

/// What was counted, or the difference of two such.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) responses: u64,
    pub(crate) targets: u64,
}

impl Traffic {
    pub(crate) fn so_far(&self) -> Bytes {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Bytes {
            received: read(&self.received),
            sent: read(&self.sent),
            responses: read(&self.responses),
            targets: read(&self.targets),
        }
    }

    pub(crate) fn since(&self, before: Bytes) -> Bytes {
        let now = self.so_far();
        Bytes {
            received: now.received - before.received,
            sent: now.sent - before.sent,
            responses: now.responses - before.responses,
            targets: now.targets - before.targets,
        }
    }
}

pub(crate) fn add(counter: &AtomicU64, bytes: usize) {
    counter.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// A socket whose bytes are counted.
#[derive(Debug)]
pub(crate) struct Counted {
    tcp: TcpStream,
    traffic: Arc<Traffic>,
}

impl Counted {
    pub(crate) fn new(tcp: TcpStream, traffic: Arc<Traffic>) -> Self {
        Self { tcp, traffic }
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.tcp).poll_read(context, buffer))?;
        add(&self.traffic.received, buffer.filled().len() - before);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write(context, bytes))?;
        add(&self.traffic.sent, written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.tcp).poll_write_vectored(context, parts))?;
        add(&self.traffic.sent, written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }
}
