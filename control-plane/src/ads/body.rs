//! Responses as the body of a gRPC call. In: responses, and how the stream ends. Out: pieces no longer than an HTTP/2 frame, made when
//! the connection can take them.
//!
//! Not tonic's encoder, for one reason: that copies a response in one piece and keeps the buffer of the largest one for as long as
//! the stream lives, which is the whole config for every client.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;
use tokio::sync::mpsc;
use tonic::Status;

use super::wire::{Encoded, Pieces};

/// The body.
#[derive(Debug)]
pub(super) struct ResponseBody {
    responses: mpsc::Receiver<Result<Encoded, Status>>,
    sending: Option<Pieces>,
    ended: bool,
}

impl ResponseBody {
    pub(super) fn new(responses: mpsc::Receiver<Result<Encoded, Status>>) -> Self {
        Self {
            responses,
            sending: None,
            ended: false,
        }
    }
}

impl http_body::Body for ResponseBody {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        loop {
            if let Some(piece) = self.sending.as_mut().and_then(Pieces::next) {
                return Poll::Ready(Some(Ok(Frame::data(piece))));
            }
            self.sending = None;
            if self.ended {
                return Poll::Ready(None);
            }
            let status = match ready!(self.responses.poll_recv(context)) {
                Some(Ok(response)) => {
                    self.sending = Some(response.into_pieces());
                    continue;
                }
                Some(Err(status)) => status,
                None => Status::ok(""),
            };
            self.ended = true;
            let mut trailers = HeaderMap::new();
            return Poll::Ready(Some(
                status
                    .add_header(&mut trailers)
                    .map(|()| Frame::trailers(trailers)),
            ));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
