//! Requests that fail: the status that the client sees and the cause that is counted, as Envoy has them.

use std::io::{BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::config::{cluster, forward, forward_with, merge};
use crate::support::http::read_head;
use crate::support::upstream::nobody;
use crate::support::{Proxy, Upstream};

/// An upstream that reads a request, writes these bytes and closes.
fn writing(bytes: &'static [u8]) -> Upstream {
    Upstream::scripted(move |_, stream: TcpStream| {
        let _ = read_head(&mut BufReader::new(&stream));
        let _ = (&stream).write_all(bytes);
    })
}

#[track_caller]
fn check(route: Value, clusters: Vec<Value>, status: u16, cause: &str) {
    let proxy = Proxy::serving(vec![route], clusters);
    let mut client = proxy.connect();
    let response = client.get("/a");
    assert_eq!(response.status(), status);
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [(cause, 1)]
    );
    assert_eq!(client.get("/a").status(), status, "the connection stays");
}

#[test]
fn no_route_is_404() {
    check(forward("/b", "a"), vec![], 404, "NR");
}

#[test]
fn a_missing_cluster_is_503_or_what_the_route_says() {
    check(forward("/", "nowhere"), vec![], 503, "NC");
    let route = forward_with(
        "/",
        "nowhere",
        json!({"cluster_not_found_response_code": "NOT_FOUND"}),
    );
    check(route, vec![], 404, "NC");
}

#[test]
fn a_cluster_without_endpoints_is_503() {
    check(forward("/", "a"), vec![cluster("a", &[])], 503, "UH");
}

#[test]
fn an_endpoint_that_refuses_is_503() {
    let (address, _reserved) = nobody();
    check(forward("/", "a"), vec![cluster("a", &[address])], 503, "UF");
}

#[test]
fn an_upstream_that_closes_without_an_answer_is_503() {
    let upstream = writing(b"");
    check(
        forward("/", "a"),
        vec![cluster("a", &[upstream.address])],
        503,
        "UC",
    );
}

#[test]
fn an_answer_that_is_not_http_is_502() {
    for answer in [
        &b"220 mail.example ESMTP\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
    ] {
        let upstream = writing(answer);
        check(
            forward("/", "a"),
            vec![cluster("a", &[upstream.address])],
            502,
            "UPE",
        );
    }
}

#[test]
fn an_answer_that_is_cut_is_seen_to_be_cut() {
    for (answer, clean_end) in [
        (
            &b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"[..],
            false,
        ),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            false,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nwhole", true),
    ] {
        let upstream = writing(answer);
        let proxy = Proxy::serving(
            vec![forward("/", "a")],
            vec![cluster("a", &[upstream.address])],
        );
        let mut client = proxy.connect();
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
        let received = client.try_receive();
        assert_eq!(received.is_ok(), clean_end, "{received:?}");
        let expected: &[(&str, u64)] = if clean_end { &[] } else { &[("UC", 1)] };
        assert_eq!(proxy.failures().into_iter().collect::<Vec<_>>(), expected);
    }
}

#[test]
fn a_body_that_the_client_breaks_off_ends_the_upstream_request() {
    let (told, ended) = std::sync::mpsc::channel();
    let told = std::sync::Mutex::new(told);
    let upstream = Upstream::scripted(move |_, stream| {
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        let read = std::io::Read::read_to_end(&mut reader, &mut Vec::new());
        let _ = told.lock().unwrap().send(read.is_ok() || read.is_err());
    });
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send(
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nnot a chunk",
    );
    assert_eq!(client.receive().status(), 400);
    assert!(ended.recv_timeout(crate::support::PATIENCE).unwrap());
}

#[test]
fn the_fields_of_a_route_are_on_its_failures_too() {
    let mut route = forward("/", "nowhere");
    let header = json!({"header": {"key": "x-route", "value": "r1"}});
    merge(&mut route, json!({"response_headers_to_add": [header]}));
    let proxy = Proxy::serving(vec![route], vec![]);
    let response = proxy.connect().get("/");
    assert_eq!(
        (response.status(), response.field("x-route").as_deref()),
        (503, Some("r1"))
    );
    assert_eq!(response.field("server").as_deref(), Some("signalbox"));
}
