//! Request → response of a sample server. Knows no sockets and no counters.

mod grpc;

use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::BoxBody};
use hyper::body::Incoming;
use serde_json::{Map, Value, json};

pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// Large bodies are made of pieces of this size, not held whole.
const PIECE: usize = 16 * 1024;

pub(super) async fn answer(
    request: Request<Incoming>,
    name: &str,
) -> Result<Response<Body>, http::Error> {
    if grpc::is_call(&request) {
        return grpc::answer(name);
    }
    let response = Response::builder().header("x-upstream", name);
    match last_segment(request.uri().path()) {
        "slow" => {
            let pause = parameter(&request, "ms")
                .and_then(|ms| ms.parse().ok())
                .unwrap_or(1_000);
            tokio::time::sleep(Duration::from_millis(pause)).await;
            response
                .header("content-type", "application/json")
                .body(whole(describe(&request, name)))
        }
        "bytes" => {
            let length = parameter(&request, "n")
                .and_then(|n| n.parse().ok())
                .unwrap_or(0);
            let chunked = parameter(&request, "chunked").is_some();
            let response = if chunked {
                response
            } else {
                response.header("content-length", length)
            };
            response
                .header("content-type", "application/octet-stream")
                .body(bytes(length))
        }
        "echo" => response.body(request.into_body().boxed()),
        "status" => {
            let status = parameter(&request, "code")
                .and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok());
            response
                .status(status.unwrap_or(StatusCode::BAD_REQUEST))
                .body(whole(String::new()))
        }
        _ => response
            .header("content-type", "application/json")
            .body(whole(describe(&request, name))),
    }
}

/// What arrived, for people and tests to read.
fn describe(request: &Request<Incoming>, name: &str) -> String {
    let description = json!({
        "upstream": name,
        "method": request.method().as_str(),
        "path": request.uri().path(),
        "query": request.uri().query(),
        "headers": fields(request.headers()),
    });
    format!("{description:#}\n")
}

/// Fields of one name are joined as RFC 9110 section 5.3 allows.
fn fields(headers: &HeaderMap) -> Value {
    let names = headers.keys().map(|name| {
        let values = headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        (
            name.to_string(),
            Value::String(values.collect::<Vec<_>>().join(", ")),
        )
    });
    Value::Object(names.collect::<Map<_, _>>())
}

fn last_segment(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, last)| last)
}

/// A query parameter, not decoded; `""` for one without a value.
fn parameter<'a>(request: &'a Request<Incoming>, name: &str) -> Option<&'a str> {
    let pairs = request
        .uri()
        .query()?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .into_iter()
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn whole(text: String) -> Body {
    Full::new(Bytes::from(text))
        .map_err(|never| match never {})
        .boxed()
}

fn bytes(length: usize) -> Body {
    let piece = Bytes::from_static(&[b'x'; PIECE]);
    let pieces = stream::unfold(length, move |left| {
        let next = piece.slice(..left.min(PIECE));
        async move { (left > 0).then(|| (Ok(Frame::data(next.clone())), left - next.len())) }
    });
    BoxBody::new(StreamBody::new(pieces))
}
