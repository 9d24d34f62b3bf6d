//! Sample servers inside the test's process, for HTTP/1.1 and, on the same port, for gRPC (which any method is answered
//! with, `answer/grpc.rs`). The answer says what arrived: JSON with the server's name, the method, path, query and fields.
//! The last segment of the path chooses something else:
//!
//! | path | answer |
//! |---|---|
//! | `…/slow?ms=N` | after N milliseconds (1,000 without) |
//! | `…/bytes?n=N` | N bytes with Content-Length; `&chunked` without it |
//! | `…/echo` | the request's body, streamed |
//! | `…/status?code=N` | status N |

mod answer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running server; dropping it closes its socket and all its connections.
pub struct Upstream {
    name: String,
    address: SocketAddr,
    seen: Arc<Seen>,
    server: JoinHandle<()>,
}

/// What has reached a server so far.
#[derive(Default)]
struct Seen {
    requests: AtomicUsize,
    connections: AtomicUsize,
    open: AtomicUsize,
    cancelled: AtomicUsize,
    /// What `x-cluster-rev` says; nothing while it is 0.
    revision: AtomicU64,
}

impl Upstream {
    /// A server on a free port of 127.0.0.1.
    pub async fn start(name: &str) -> Result<Self> {
        Self::start_at(name, ([127, 0, 0, 1], 0).into()).await
    }

    /// A server at this address.
    pub async fn start_at(name: &str, address: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("upstream {name} at {address}"))?;
        let address = listener.local_addr()?;
        let seen = Arc::<Seen>::default();
        let server = tokio::spawn(accept(listener, name.into(), seen.clone()));
        Ok(Self {
            name: name.to_owned(),
            address,
            seen,
            server,
        })
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Says `x-cluster-rev: revision` in every answer that begins from now on.
    pub fn answer_revision(&self, revision: u64) {
        self.seen.revision.store(revision, Ordering::Relaxed);
    }

    /// Requests that arrived, answered or not.
    pub fn requests(&self) -> usize {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Connections accepted since the start.
    pub fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::Relaxed)
    }

    /// Connections open now.
    pub fn open_connections(&self) -> usize {
        self.seen.open.load(Ordering::Relaxed)
    }

    /// Requests whose connection closed before the answer was ready.
    pub fn cancelled(&self) -> usize {
        self.seen.cancelled.load(Ordering::Relaxed)
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, name: Arc<str>, seen: Arc<Seen>) {
    // Ends with this task, and the connections with it.
    let mut connections = JoinSet::new();
    loop {
        // A failed accept concerns one client that gave up, or too many open files, which the test will notice.
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(serve(stream, name.clone(), seen.clone()));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, name: Arc<str>, seen: Arc<Seen>) {
    seen.connections.fetch_add(1, Ordering::Relaxed);
    let _open = Counted::one_more(&seen.open);
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let (name, seen) = (name.clone(), seen.clone());
        async move { answer_counted(request, &name, &seen).await }
    });
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new());
    // A client that closes is the client's business: the counters tell what a test may want to know.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn answer_counted(
    request: http::Request<hyper::body::Incoming>,
    name: &str,
    seen: &Seen,
) -> Result<http::Response<answer::Body>, http::Error> {
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let unanswered = CountedOnDrop(&seen.cancelled);
    let revision = seen.revision.load(Ordering::Relaxed);
    let mut response = answer::answer(request, name).await;
    std::mem::forget(unanswered);
    if let (Ok(response), 1..) = (&mut response, revision) {
        let headers = response.headers_mut();
        headers.insert("x-cluster-rev", revision.into());
    }
    response
}

/// Counts something for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn one_more(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts that it was dropped.
struct CountedOnDrop<'a>(&'a AtomicUsize);

impl Drop for CountedOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
