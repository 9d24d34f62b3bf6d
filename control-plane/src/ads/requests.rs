//! Requests out of the body of a gRPC call. In: the body. Out: messages, one after another.
//!
//! Not tonic's `Streaming`, for one reason: that keeps the buffer of its largest message for as long as the stream lives, and a
//! client that comes back begins with all the names that it holds. Here an idle stream has no buffer.

use std::marker::PhantomData;

use bytes::{Buf, BytesMut};
use http_body_util::BodyExt as _;
use prost::Message;
use tonic::Status;
use tonic::body::Body;

/// Largest request. A client that comes back names all it holds in one message: 50,000 names are several MiB.
const REQUEST_SIZE: usize = 64 * 1024 * 1024;
/// Flag and length before every message (gRPC over HTTP/2, "Length-Prefixed-Message").
const PREFIX: usize = 5;

/// The requests of one stream.
#[derive(Debug)]
pub(super) struct Requests<R> {
    body: Body,
    buffer: BytesMut,
    message: PhantomData<fn() -> R>,
}

impl<R: Message + Default> Requests<R> {
    pub(super) fn new(body: Body) -> Self {
        Self {
            body,
            buffer: BytesMut::new(),
            message: PhantomData,
        }
    }

    /// The next request; `None` at the end. Cancel-safe.
    pub(super) async fn message(&mut self) -> Result<Option<R>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            match self.body.frame().await.transpose()? {
                Some(frame) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
                None if self.buffer.is_empty() => return Ok(None),
                None => return Err(Status::internal("the stream ended inside a message")),
            }
        }
    }

    fn whole(&mut self) -> Result<Option<R>, Status> {
        let Some((prefix, rest)) = self.buffer.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let [flag, length @ ..] = *prefix;
        if flag != 0 {
            return Err(Status::unimplemented("compressed messages are not read"));
        }
        let length = u32::from_be_bytes(length) as usize;
        if length > REQUEST_SIZE {
            return Err(Status::out_of_range(format!(
                "a message of {length} bytes; at most {REQUEST_SIZE} are read"
            )));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let message = R::decode(&rest[..length]);
        self.buffer.advance(PREFIX + length);
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        let message = message.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use envoy_types::pb::envoy::service::discovery::v3::DiscoveryRequest;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn request(nonce: &str) -> DiscoveryRequest {
        DiscoveryRequest {
            response_nonce: nonce.into(),
            ..Default::default()
        }
    }

    fn framed(request: &DiscoveryRequest) -> Vec<u8> {
        let length = (request.encoded_len() as u32).to_be_bytes();
        [&[0], length.as_slice(), &request.encode_to_vec()].concat()
    }

    fn requests(bytes: &[u8], piece: usize) -> Requests<DiscoveryRequest> {
        let pieces: Vec<Result<_, Status>> = bytes
            .chunks(piece)
            .map(|piece| Ok(Frame::data(Bytes::copy_from_slice(piece))))
            .collect();
        Requests::new(Body::new(StreamBody::new(futures_util::stream::iter(
            pieces,
        ))))
    }

    #[tokio::test]
    async fn messages_come_whole_however_they_are_cut_and_leave_no_buffer() {
        let sent = ["one", "", "three"].map(request);
        let bytes: Vec<u8> = sent.iter().flat_map(framed).collect();
        for piece in 1..=bytes.len() {
            let mut requests = requests(&bytes, piece);
            for request in &sent {
                assert_eq!(requests.message().await.unwrap().as_ref(), Some(request));
            }
            assert_eq!(requests.buffer.capacity(), 0);
            assert_eq!(requests.message().await.unwrap(), None);
        }
    }

    #[tokio::test]
    async fn a_length_alone_takes_no_memory() {
        let mut begun = vec![0];
        begun.extend((REQUEST_SIZE as u32).to_be_bytes());
        let mut requests = requests(&begun, 100);
        requests.message().await.unwrap_err();
        assert!(requests.buffer.capacity() < 1024);
    }

    #[tokio::test]
    async fn a_connection_that_breaks_ends_the_stream_with_its_reason() {
        let torn = framed(&request("torn"));
        let half = Bytes::copy_from_slice(&torn[..4]);
        let pieces = [Ok(Frame::data(half)), Err(Status::cancelled("reset"))];
        let body = Body::new(StreamBody::new(futures_util::stream::iter(pieces)));
        let mut requests = Requests::<DiscoveryRequest>::new(body);
        let error = requests.message().await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::Cancelled);
    }

    #[tokio::test]
    async fn what_is_no_message_ends_the_stream() {
        let torn = framed(&request("torn"));
        for bytes in [
            &torn[..torn.len() - 1],
            &[1, 0, 0, 0, 0],
            &[0, 255, 255, 255, 255],
            &[0, 0, 0, 0, 1, 255],
        ] {
            requests(bytes, 100).message().await.unwrap_err();
        }
    }
}
