//! Exchanges with a scripted server over real sockets.
//! Nothing sleeps: a test waits for what it needs, or for the event loop to have seen all that has happened ([`settle`]).

mod failures;
mod keep_alive;
mod server;
mod streaming;

use std::cell::Cell;
use std::convert::Infallible;
use std::future::pending;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full, StreamBody};
use http_wire::canonical::{self, Target};
use http_wire::head::{RequestHead, ResponseHead, Version};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio_stream::StreamExt;
use tokio_stream::wrappers::UnboundedReceiverStream;

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
    Ok((head.status(), text(exchange.into_body()).await?))
}

async fn text(body: ResponseBody) -> Result<String, UpstreamError> {
    let content = body.collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&content).into_owned())
}

/// A request body whose length is known.
async fn known(content: Bytes) -> RequestBody {
    received(Full::new(content)).await
}

/// A request body that comes piece by piece, in chunks; it ends when the sender is dropped.
async fn pieces() -> (mpsc::UnboundedSender<Bytes>, RequestBody) {
    let (sender, receiver) = mpsc::unbounded_channel();
    let frames =
        UnboundedReceiverStream::new(receiver).map(|data| Ok::<_, Infallible>(Frame::data(data)));
    (sender, received(StreamBody::new(frames)).await)
}

/// What a server of hyper makes of a body: the type that the downstream side hands over.
async fn received<B>(body: B) -> RequestBody
where
    B: Body<Data = Bytes, Error = Infallible> + 'static,
{
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(near))
        .await
        .unwrap();
    spawn_local(connection);
    spawn_local(async move {
        let _ = client
            .send_request(http::Request::post("/").body(body).unwrap())
            .await;
    });
    accepted(far).await
}

/// The body of the first request on a connection to a server of hyper, which never answers.
async fn accepted(connection: DuplexStream) -> RequestBody {
    let (sender, receiver) = oneshot::channel();
    let sender = Cell::new(Some(sender));
    let service = service_fn(move |request: http::Request<RequestBody>| {
        let _ = sender.take().map(|sender| sender.send(request.into_body()));
        pending::<Result<http::Response<Full<Bytes>>, Infallible>>()
    });
    let mut server = hyper::server::conn::http1::Builder::new();
    spawn_local(
        server
            .half_close(true)
            .serve_connection(TokioIo::new(connection), service),
    );
    receiver.await.unwrap()
}
