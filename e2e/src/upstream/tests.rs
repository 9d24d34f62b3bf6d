use std::time::Duration;

use http_body_util::BodyExt as _;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::client::{self, Connection, Request};
use crate::wait;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn the_answer_says_what_arrived_and_where() {
    let upstream = Upstream::start("catalog").await.unwrap();
    let request = Request::post("/a/b?c=d")
        .host("shop.example")
        .header("x-a", "1")
        .header("x-a", "2");
    let answer = client::send(upstream.address(), request).await.unwrap();
    let json = answer.json().unwrap();
    assert_eq!(answer.header("x-upstream"), Some("catalog"));
    assert_eq!(
        (&json["upstream"], &json["method"], &json["path"]),
        (&"catalog".into(), &"POST".into(), &"/a/b".into())
    );
    assert_eq!(
        (&json["query"], &json["headers"]["host"]),
        (&"c=d".into(), &"shop.example".into())
    );
    assert_eq!(json["headers"]["x-a"], "1, 2");
}

#[tokio::test]
async fn requests_and_connections_are_counted() {
    let upstream = Upstream::start("catalog").await.unwrap();
    let mut connection = Connection::open(upstream.address()).await.unwrap();
    for _ in 0..3 {
        connection.send(Request::get("/")).await.unwrap();
    }
    client::send(upstream.address(), Request::get("/"))
        .await
        .unwrap();
    assert_eq!((upstream.requests(), upstream.connections()), (4, 2));
    drop(connection);
    wait::until_true("all are closed", SOON, async || {
        upstream.open_connections() == 0
    })
    .await
    .unwrap();
    assert_eq!(upstream.cancelled(), 0);
}

#[tokio::test]
async fn bodies_come_in_the_size_and_framing_that_was_asked_for() {
    let upstream = Upstream::start("catalog").await.unwrap();
    for length in [0, 1, 16_384, 100_000] {
        let plain = client::send(
            upstream.address(),
            Request::get(format!("/x/bytes?n={length}")),
        )
        .await
        .unwrap();
        assert_eq!(
            (plain.body.len(), plain.header("content-length")),
            (length, Some(length.to_string().as_str()))
        );
        let chunked = client::send(
            upstream.address(),
            Request::get(format!("/bytes?n={length}&chunked")),
        )
        .await
        .unwrap();
        assert_eq!(
            (chunked.body.len(), chunked.header("transfer-encoding")),
            (length, Some("chunked"))
        );
    }
    let echo = client::send(upstream.address(), Request::post("/echo").body("hello"))
        .await
        .unwrap();
    assert_eq!(echo.text(), "hello");
    let status = client::send(upstream.address(), Request::get("/status?code=503"))
        .await
        .unwrap();
    assert_eq!(status.status, 503);
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted_as_cancelled() {
    let upstream = Upstream::start("catalog").await.unwrap();
    let mut stream = TcpStream::connect(upstream.address()).await.unwrap();
    stream
        .write_all(b"GET /slow?ms=60000 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    wait::until_true("it arrives", SOON, async || upstream.requests() == 1)
        .await
        .unwrap();
    drop(stream);
    wait::until_true("it is cancelled", SOON, async || upstream.cancelled() == 1)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dropped_upstream_closes_its_connections() {
    let upstream = Upstream::start("catalog").await.unwrap();
    let mut connection = Connection::open(upstream.address()).await.unwrap();
    connection.send(Request::get("/")).await.unwrap();
    let answer = connection
        .stream(Request::get("/bytes?n=1000000000"))
        .await
        .unwrap();
    drop(upstream);
    answer.into_body().collect().await.unwrap_err();
    wait::until_true("the connection is closed", SOON, async || {
        connection.is_closed()
    })
    .await
    .unwrap();
}
