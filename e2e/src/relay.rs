//! A TCP relay in front of a server. It counts the bytes of both directions, and goes away and comes back at the same
//! address when it is told to: to a client that looks like a server that is away.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Read at once.
const PIECE: usize = 64 * 1024;

/// A running relay; dropping it closes its socket and all its connections.
pub struct Relay {
    address: SocketAddr,
    target: SocketAddr,
    passed: Arc<Passed>,
    /// `None` while it is cut.
    accepting: Option<JoinHandle<()>>,
}

/// Bytes that have been passed on.
#[derive(Default)]
struct Passed {
    to_server: AtomicU64,
    to_client: AtomicU64,
}

impl Relay {
    /// Relays a free port of 127.0.0.1 to `target`.
    pub async fn start(target: SocketAddr) -> Result<Self> {
        let mut relay = Self {
            address: ([127, 0, 0, 1], 0).into(),
            target,
            passed: Arc::default(),
            accepting: None,
        };
        relay.restore().await?;
        Ok(relay)
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that clients have sent so far.
    pub fn bytes_to_server(&self) -> u64 {
        self.passed.to_server.load(Ordering::Relaxed)
    }

    /// Bytes that clients have been sent so far.
    pub fn bytes_to_client(&self) -> u64 {
        self.passed.to_client.load(Ordering::Relaxed)
    }

    /// Closes the socket and all connections; clients are refused from now on.
    pub async fn cut(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // Cancelled is what it is meant to be.
            let _ = accepting.await;
        }
    }

    /// Accepts again, at the same address, after a [`Self::cut`].
    pub async fn restore(&mut self) -> Result<()> {
        let listener = TcpListener::bind(self.address)
            .await
            .with_context(|| format!("a relay at {}", self.address))?;
        self.address = listener.local_addr()?;
        let accepting = accept(listener, self.target, self.passed.clone());
        self.accepting = Some(tokio::spawn(accepting));
        Ok(())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, passed: Arc<Passed>) {
    // Ends with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns one client that gave up, or too many open files, which the test will notice.
        if let Ok((client, _)) = listener.accept().await {
            let passed = passed.clone();
            // A broken connection is closed on both sides, which is all that either side need know.
            connections.spawn(async move { drop(pass(client, target, &passed).await) });
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(client: TcpStream, target: SocketAddr, passed: &Passed) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::try_join!(
        copy(from_client, to_server, &passed.to_server),
        copy(from_server, to_client, &passed.to_client),
    )?;
    Ok(())
}

async fn copy(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    count: &AtomicU64,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        if length == 0 {
            return to.shutdown().await;
        }
        count.fetch_add(length as u64, Ordering::Relaxed);
        to.write_all(&piece[..length]).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::client::{self, Connection, Request};
    use crate::upstream::Upstream;
    use crate::wait;

    #[tokio::test]
    async fn what_is_passed_on_is_counted() {
        let upstream = Upstream::start("catalog").await.unwrap();
        let relay = Relay::start(upstream.address()).await.unwrap();
        let answer = client::send(relay.address(), Request::get("/bytes?n=100000"))
            .await
            .unwrap();
        assert_eq!(answer.body.len(), 100_000);
        assert!((100_000..101_000).contains(&relay.bytes_to_client()));
        assert!((20..200).contains(&relay.bytes_to_server()));
    }

    #[tokio::test]
    async fn a_cut_relay_closes_and_refuses_until_it_is_restored_at_its_address() {
        let upstream = Upstream::start("catalog").await.unwrap();
        let mut relay = Relay::start(upstream.address()).await.unwrap();
        let mut connection = Connection::open(relay.address()).await.unwrap();
        connection.send(Request::get("/")).await.unwrap();
        relay.cut().await;
        wait::until_true(
            "the connection is closed",
            Duration::from_secs(10),
            async || connection.is_closed(),
        )
        .await
        .unwrap();
        TcpStream::connect(relay.address()).await.unwrap_err();
        relay.restore().await.unwrap();
        client::send(relay.address(), Request::get("/"))
            .await
            .unwrap();
    }
}
