//! Any unary gRPC call → a message that is the server's name, as it stands (gRPC over HTTP/2, "Responses").

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{StreamBody, combinators::BoxBody};

use super::Body;

pub(super) fn is_call<B>(request: &Request<B>) -> bool {
    let content_type = request.headers().get("content-type");
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

pub(super) fn answer(name: &str) -> Result<Response<Body>, http::Error> {
    let mut message = BytesMut::with_capacity(5 + name.len());
    message.put_u8(0);
    message.put_u32(name.len() as u32);
    message.put_slice(name.as_bytes());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames: [Result<Frame<Bytes>, hyper::Error>; 2] = [
        Ok(Frame::data(message.freeze())),
        Ok(Frame::trailers(trailers)),
    ];
    Response::builder()
        .header("content-type", "application/grpc")
        .body(BoxBody::new(StreamBody::new(stream::iter(frames))))
}
