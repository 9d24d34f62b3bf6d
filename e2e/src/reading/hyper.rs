//! What hyper's server reads, over a pipe in memory.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Message, Start};

/// Room for all of a reading; nobody waits for the other side.
const PIPE: usize = 1 << 24;

/// The whole requests among `bytes`. A field that is repeated stands where its first line does.
pub async fn requests(bytes: &[u8]) -> Result<Vec<Message>> {
    let (mut ours, theirs) = tokio::io::duplex(PIPE);
    let messages = Arc::<Mutex<Vec<Message>>>::default();
    let seen = messages.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let seen = seen.clone();
        async move {
            // What is cut is no whole request.
            if let Ok(message) = read(request).await {
                lock(&seen).push(message);
            }
            Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
        }
    });
    // Our proxy adds a few to the 100 fields that it takes.
    let mut server = http1::Builder::new();
    server.max_headers(200).half_close(true);
    let connection = server.serve_connection(TokioIo::new(theirs), service);
    ours.write_all(bytes).await?;
    ours.shutdown().await?;
    let mut answers = Vec::new();
    let (served, read) = tokio::join!(connection, ours.read_to_end(&mut answers));
    served.context("hyper")?;
    read?;
    Ok(std::mem::take(&mut lock(&messages)))
}

async fn read(request: Request<Incoming>) -> hyper::Result<Message> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?;
    let trailers = body.trailers().map(fields).unwrap_or_default();
    Ok(Message {
        start: Start::Request {
            method: head.method.to_string(),
            target: head.uri.to_string(),
        },
        fields: fields(&head.headers),
        body: body.to_bytes().to_vec(),
        trailers,
    })
}

fn fields(map: &HeaderMap) -> Vec<(String, Vec<u8>)> {
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    map.iter().map(field).collect()
}

fn lock(messages: &Mutex<Vec<Message>>) -> std::sync::MutexGuard<'_, Vec<Message>> {
    messages.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::super::strict;
    use super::*;

    #[tokio::test]
    async fn what_the_strict_reader_reads_is_read_the_same() {
        let bytes = b"POST /a?b HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\n\r\nPUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab";
        let read = requests(bytes).await.unwrap();
        assert_eq!(read, strict::requests(bytes).messages);
        assert_eq!(read.len(), 3);
    }
}
