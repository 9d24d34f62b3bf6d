//! One client connection: HTTP/1.1 by hyper, timeouts, drain and what follows an upgrade by us. hyper has no idle timeout,
//! starts its timeout for heads while a connection is idle, and knows nothing of a reader that stands still; the worker's
//! wheel does.

mod io;

use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::cause::Cause;
use crate::request::{self, Switch};
use crate::worker::{Downstream, Expiry, Phase};

use io::Watched;

/// Largest head, and the most that is read ahead or waits to be written. Envoy's limit for heads is 60 KiB.
const BUFFER_SIZE: usize = 64 * 1024;
/// How long a client may take to read the last response before the socket is closed (Envoy's `delayed_close_timeout`).
/// Without it, bytes that we have not read would make the kernel reset the connection and take the response with it.
const LINGER: Duration = Duration::from_secs(1);
/// What a client is told whose head takes too long.
const HEAD_TIMEOUT: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\nserver: signalbox\r\n\r\n";

/// How a connection came to its end.
enum End {
    /// By itself: both sides are done.
    Done,
    /// hyper could not go on.
    Failed(hyper::Error),
    /// Its time was up.
    Expired(Expiry),
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: TcpStream, downstream: Rc<Downstream>) {
    let switch = Switch::default();
    let (answered, switching) = (downstream.clone(), switch.clone());
    let service = service_fn(move |request| {
        let response = request::answer(answered.clone(), switching.clone(), request);
        async { Ok::<_, Infallible>(response.await) }
    });
    let io = TokioIo::new(Watched::new(stream, downstream.clone()));
    let mut connection = http1::Builder::new()
        .max_buf_size(BUFFER_SIZE)
        .max_header_size(BUFFER_SIZE)
        .header_read_timeout(None)
        .serve_connection(io, service);
    let end = poll_fn(|cx| step(&mut connection, &downstream, cx)).await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().into_stream();
    match (end, switch.take()) {
        // hyper has written the 101 and leaves the socket as it is.
        (End::Done, Some(tunnel)) => tunnel.carry(stream, &parts.read_buf, &downstream).await,
        (end, _) => close(stream, &downstream, end).await,
    }
}

/// Does what can be done now.
fn step<C: Served>(connection: &mut C, downstream: &Downstream, cx: &mut Context<'_>) -> Poll<End> {
    downstream.park(cx.waker());
    match (downstream.expired(), downstream.phase()) {
        (None, _) | (Some(Expiry::Stream), Phase::Request) => {}
        (Some(Expiry::Idle), Phase::Idle) => {
            downstream.take_expiry(Expiry::Idle);
            Pin::new(&mut *connection).graceful_shutdown();
        }
        (Some(Expiry::Head), Phase::Head) => return Poll::Ready(End::Expired(Expiry::Head)),
        (Some(Expiry::Stream), Phase::Response | Phase::Idle) => {
            return Poll::Ready(End::Expired(Expiry::Stream));
        }
        // Something moved after all.
        (Some(stale), _) => {
            downstream.take_expiry(stale);
        }
    }
    let done = Pin::new(connection).poll(cx);
    done.map(|result| result.map_or_else(End::Failed, |()| End::Done))
}

/// What [`step`] needs of a connection of hyper, whose type cannot be named.
trait Served: Future<Output = hyper::Result<()>> + Unpin {
    fn graceful_shutdown(self: Pin<&mut Self>);
}

impl<I, B, S> Served for http1::Connection<I, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B> + Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    I: hyper::rt::Read + hyper::rt::Write + Unpin,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn graceful_shutdown(self: Pin<&mut Self>) {
        http1::Connection::graceful_shutdown(self);
    }
}

/// Counts how it ended and closes the socket.
async fn close(stream: TcpStream, downstream: &Downstream, end: End) {
    match end {
        End::Done => linger(stream).await,
        End::Failed(error) if error.is_parse() => {
            // hyper has answered it with 400, 414 or 431.
            downstream.worker().count_failure(Cause::DownstreamProtocol);
            linger(stream).await;
        }
        End::Failed(error) => {
            tracing::debug!(peer = %downstream.peer(), %error, "connection failed");
        }
        End::Expired(Expiry::Head) => {
            downstream.worker().count_failure(Cause::HeadTimeout);
            // A socket that takes nothing now takes nothing later.
            let _ = stream.try_write(HEAD_TIMEOUT);
        }
        End::Expired(_) => {}
    }
}

/// Says that nothing more will come and reads on until the client closes, so that what it has not read yet is not lost.
async fn linger(mut stream: TcpStream) {
    // Said already unless hyper gave up; saying it again changes nothing.
    let _ = stream.shutdown().await;
    let read_out = async { while stream.readable().await.is_ok() && discard(&stream) {} };
    let _ = tokio::time::timeout(LINGER, read_out).await;
}

/// Throws away what has arrived. `false` at the end.
fn discard(stream: &TcpStream) -> bool {
    let mut scrap = [0; 4096];
    match stream.try_read(&mut scrap) {
        Ok(len) => len > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}
