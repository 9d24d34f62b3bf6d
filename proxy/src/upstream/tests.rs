//! Exchanges with a scripted server over real sockets.
//! Nothing sleeps: a test waits for what it needs, or for the event loop to have seen all that has happened ([`settle`]).

mod failures;
mod keep_alive;
mod server;
mod streaming;

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_wire::canonical::{self, Target};
use http_wire::h1::BodyLength;
use http_wire::head::{RequestHead, ResponseHead, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::{LocalSet, spawn_local};

use crate::client::{Client, RequestBody};

use super::*;
use server::Server;

const LIMITS: Limits = Limits {
    connect_timeout: Duration::from_secs(5),
    idle_timeout: None,
    deadline: None,
    timeout: None,
};

/// Runs a test the way a worker runs: one thread, a `LocalSet`, a pool.
async fn worker<T>(test: impl AsyncFnOnce(&Rc<Pool>, &Server) -> T) -> T {
    let body = async {
        let server = Server::start().await;
        test(&Pool::new(), &server).await
    };
    LocalSet::new().run_until(body).await
}

/// Returns when the event loop has seen everything that happened on any socket before the call: what comes last on a
/// connection of our own is reported together with or after all that came before.
async fn settle() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut near = TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    for _ in 0..3 {
        near.write_all(b"x").await.unwrap();
        far.read_exact(&mut [0]).await.unwrap();
    }
}

fn request(method: &str, path: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.begin(method, Version::Http2).unwrap();
    let target = Target {
        authority: Some(b"shop.example"),
        path: path.as_bytes(),
        query: None,
    };
    canonical::read(&mut head, &target).unwrap();
    head
}

/// Sends a request and reads the head of its response.
async fn start(
    pool: &Rc<Pool>,
    server: &Server,
    method: &str,
    body: Option<RequestBody>,
) -> Result<(ResponseHead, Exchange), UpstreamError> {
    start_within(LIMITS, pool, server, method, body).await
}

async fn start_within(
    limits: Limits,
    pool: &Rc<Pool>,
    server: &Server,
    method: &str,
    body: Option<RequestBody>,
) -> Result<(ResponseHead, Exchange), UpstreamError> {
    let mut exchange =
        Exchange::open(pool, server.address, limits, &request(method, "/"), body).await?;
    let mut head = ResponseHead::new();
    exchange.response(&mut head).await?;
    Ok((head, exchange))
}

/// A whole exchange: the status and the content.
async fn fetch(
    pool: &Rc<Pool>,
    server: &Server,
    method: &str,
) -> Result<(u16, String), UpstreamError> {
    let (head, exchange) = start(pool, server, method, None).await?;
    Ok((head.status(), text(exchange.into_body(false)).await?))
}

/// The next piece; `None` at the end.
async fn piece(body: &mut ResponseBody) -> Option<Result<Bytes, UpstreamError>> {
    match poll_fn(|cx| body.poll_piece(cx)).await {
        Ok(0) => None,
        Ok(len) => {
            let piece = Bytes::copy_from_slice(&body.piece()[..len]);
            body.use_piece(len);
            Some(Ok(piece))
        }
        Err(error) => Some(Err(error)),
    }
}

async fn rest(mut body: ResponseBody) -> Result<Vec<u8>, UpstreamError> {
    let mut content = Vec::new();
    while let Some(piece) = piece(&mut body).await {
        content.extend_from_slice(&piece?);
    }
    Ok(content)
}

async fn text(body: ResponseBody) -> Result<String, UpstreamError> {
    let content = rest(body).await?;
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// A request body whose length is known.
async fn known(content: Bytes) -> RequestBody {
    let (mut client, body) = receiving(BodyLength::Length(content.len() as u64)).await;
    spawn_local(async move { client.write_all(&content).await });
    settle().await;
    body
}

/// A request body that comes piece by piece, in chunks; it ends when the sender is dropped.
async fn pieces() -> (mpsc::UnboundedSender<Bytes>, RequestBody) {
    let (sender, mut receiver) = mpsc::unbounded_channel::<Bytes>();
    let (mut client, body) = receiving(BodyLength::Chunked).await;
    spawn_local(async move {
        while let Some(piece) = receiver.recv().await {
            let line = format!("{:x}\r\n", piece.len());
            let chunk = [line.as_bytes(), &piece, b"\r\n"].concat();
            client.write_all(&chunk).await.unwrap();
        }
        client.write_all(b"0\r\n\r\n").await
    });
    (sender, body)
}

/// A body of this length as it comes from a client, and the client.
async fn receiving(length: BodyLength) -> (TcpStream, RequestBody) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let body = Client::new(accepted).begin_body(length, false).unwrap();
    (client, body)
}
