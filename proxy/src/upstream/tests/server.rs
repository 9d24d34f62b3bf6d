//! The other end: a server that does what a test tells it to, byte by byte.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A listening server.
pub(super) struct Server {
    listener: TcpListener,
    pub(super) address: SocketAddr,
}

/// One accepted connection.
pub(super) struct Peer {
    pub(super) stream: TcpStream,
    unread: Vec<u8>,
}

impl Server {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        Self { listener, address }
    }

    pub(super) async fn accept(&self) -> Peer {
        let (stream, _) = self.listener.accept().await.unwrap();
        Peer {
            stream,
            unread: Vec::new(),
        }
    }

    /// Accepts, reads a request without a body, and answers.
    pub(super) async fn answer(&self, response: &str) -> Peer {
        let mut peer = self.accept().await;
        peer.answer(response).await;
        peer
    }
}

impl Peer {
    /// Reads to the end of a head.
    pub(super) async fn head(&mut self) -> String {
        self.until("\r\n\r\n").await
    }

    /// Reads up to and with `end`.
    pub(super) async fn until(&mut self, end: &str) -> String {
        loop {
            let at = self
                .unread
                .windows(end.len())
                .position(|window| window == end.as_bytes());
            if let Some(at) = at {
                let rest = self.unread.split_off(at + end.len());
                let taken = std::mem::replace(&mut self.unread, rest);
                return String::from_utf8(taken).unwrap();
            }
            assert!(
                self.read().await > 0,
                "closed before {end:?}: {:?}",
                String::from_utf8_lossy(&self.unread)
            );
        }
    }

    /// Reads once; gives the number of bytes, 0 at the end.
    pub(super) async fn read(&mut self) -> usize {
        self.stream.read_buf(&mut self.unread).await.unwrap_or(0)
    }

    /// What has been read and not taken.
    pub(super) fn unread(&self) -> String {
        String::from_utf8_lossy(&self.unread).into_owned()
    }

    pub(super) async fn write(&mut self, bytes: &str) {
        self.stream.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// Reads a request without a body and answers.
    pub(super) async fn answer(&mut self, response: &str) {
        self.head().await;
        self.write(response).await;
    }

    /// Sends back whatever comes, until the other side has closed.
    pub(super) async fn echo(mut self) {
        self.stream.write_all(&self.unread).await.unwrap();
        let (mut from, mut to) = self.stream.split();
        tokio::io::copy(&mut from, &mut to).await.unwrap();
    }

    /// Returns when the other side has closed.
    pub(super) async fn closed(&mut self) {
        while self.read().await > 0 {}
    }
}
