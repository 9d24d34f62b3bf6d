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

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn response(bytes: usize) -> Encoded {
        let names: Vec<String> = (0..bytes / 10).map(|nth| format!("{nth:08}")).collect();
        Encoded::nothing_of("unknown", &names).unwrap()
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_status_after_all_that_was_sent_before() {
        for (end, code) in [(None, "0"), (Some(Status::not_found("gone")), "5")] {
            let (responses, receiver) = mpsc::channel(3);
            let sent = [response(100_000), response(10)];
            let lengths: usize = sent
                .iter()
                .map(|response| 5 + response.to_vec().len())
                .sum();
            for response in sent {
                responses.send(Ok(response)).await.unwrap();
            }
            if let Some(status) = end {
                responses.send(Err(status)).await.unwrap();
            }
            drop(responses);
            let whole = ResponseBody::new(receiver).collect().await.unwrap();
            assert_eq!(whole.trailers().unwrap()["grpc-status"], code);
            assert_eq!(whole.to_bytes().len(), lengths);
        }
    }

    #[tokio::test]
    async fn a_client_that_reads_nothing_holds_one_response_and_keeps_one_waiting() {
        let (responses, receiver) = mpsc::channel(1);
        let mut body = ResponseBody::new(receiver);
        responses.try_send(Ok(response(100_000))).unwrap();
        assert!(responses.try_reserve().is_err());
        body.frame().await.unwrap().unwrap();
        responses.try_send(Ok(response(100_000))).unwrap();
        // The rest of the first one comes before the second one is taken.
        body.frame().await.unwrap().unwrap();
        assert!(responses.try_reserve().is_err());
    }
}
