//! One gRPC stream of a simulated client, over a connection of its own. In: messages to send, as bytes. Out: bytes as they come,
//! with their capacity given back at once, as a client that keeps up does.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};

/// A stream.
pub(crate) struct Stream {
    up: SendStream<Bytes>,
    down: Down,
}

enum Down {
    Opening(ResponseFuture),
    Open(RecvStream),
}

impl Stream {
    /// Opens a stream of this method (`package.Service/Method`).
    pub(crate) fn open(connection: &mut SendRequest<Bytes>, method: &str) -> Result<Self> {
        let request = http::Request::post(format!("http://control-plane/{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let (response, up) = connection.send_request(request, false)?;
        Ok(Self {
            up,
            down: Down::Opening(response),
        })
    }

    /// Queues bytes.
    pub(crate) fn send(&mut self, bytes: Bytes) -> Result<()> {
        if !bytes.is_empty() {
            self.up.send_data(bytes, false)?;
        }
        Ok(())
    }

    /// The next bytes. Cancel-safe.
    pub(crate) async fn data(&mut self) -> Result<Bytes> {
        std::future::poll_fn(|context| self.poll_data(context)).await
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Result<Bytes>> {
        if let Down::Opening(response) = &mut self.down {
            let response = ready!(Pin::new(response).poll(context))?;
            let refused = response.headers().get("grpc-status");
            if response.status() != http::StatusCode::OK || refused.is_some() {
                return Poll::Ready(Err(anyhow::anyhow!("refused: {:?}", response.headers())));
            }
            self.down = Down::Open(response.into_body());
        }
        let Down::Open(body) = &mut self.down else {
            return Poll::Pending;
        };
        Poll::Ready(match ready!(body.poll_data(context)) {
            Some(bytes) => take(body, bytes),
            None => ended(ready!(body.poll_trailers(context))),
        })
    }
}

fn take(body: &mut RecvStream, bytes: Result<Bytes, h2::Error>) -> Result<Bytes> {
    let bytes = bytes.context("the stream broke")?;
    body.flow_control().release_capacity(bytes.len())?;
    Ok(bytes)
}

fn ended(trailers: Result<Option<http::HeaderMap>, h2::Error>) -> Result<Bytes> {
    bail!("the server ended the stream: {:?}", trailers?)
}
