//! Requests that cannot be read in exactly one way, or that ask for what is not served here: each gets a clean answer, and
//! none of them an upstream.

use crate::support::config::{cluster, forward};
use crate::support::{Client, Proxy, Upstream};

/// What is sent, and the status that answers it.
const REQUESTS: &[(&str, u16)] = &[
    // Targets without a path.
    (
        "CONNECT up.test:80 HTTP/1.1\r\nhost: up.test:80\r\n\r\n",
        404,
    ),
    ("GET up.test:80 HTTP/1.1\r\nhost: up.test:80\r\n\r\n", 400),
    ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", 404),
    // Hosts.
    ("GET / HTTP/1.1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nhost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a,b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: u@a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a/b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: \r\n\r\n", 400),
    ("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    // Paths.
    ("GET /%2fadmin HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /%5Cadmin HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /a%00 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /a%zz HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET /a%2 HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    // Framing.
    (
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity, chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        501,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip\r\n\r\nhello",
        400,
    ),
    (
        "POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +5\r\n\r\nhello",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        400,
    ),
    (
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ncontent-length: 5\r\n\r\nhello",
        400,
    ),
    // Lines.
    ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ("GET / HTTP/3.0\r\nhost: a\r\n\r\n", 505),
    ("GET /\r\n\r\n", 505),
    ("GET / http/1.1\r\nhost: a\r\n\r\n", 400),
    ("\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", 400),
    ("\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", 400),
    ("GET / HTTP/1.1\nhost: a\n\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\nx: b\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost : a\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\n folded: 1\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\n: empty\r\n\r\n", 400),
    ("GET / HTTP/1.1\r\nhost: a\r\nx: a\0b\r\n\r\n", 400),
];

#[test]
fn every_odd_request_gets_a_clean_answer_and_no_upstream() {
    let upstream = Upstream::named("a");
    // Not a prefix of `*`.
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    for (request, status) in REQUESTS {
        let mut client = proxy.connect();
        client.send(request);
        let response = client.receive();
        assert_eq!(response.status(), *status, "{request:?}");
        assert!(*status == 404 || response.closes(), "{request:?}");
        let names_cause = *status == 404 || !response.body.is_empty();
        assert!(names_cause, "{request:?}");
    }
    assert!(upstream.has_seen_nothing());
    assert_eq!(proxy.connect().get("/").text(), "a", "the proxy serves on");
    let refused = REQUESTS.iter().filter(|(_, status)| *status != 404).count() as u64;
    assert!(proxy.failures()["DPE"] >= refused, "{:?}", proxy.failures());
    assert_eq!(proxy.failures()["NR"], 2);
}

#[test]
fn a_head_that_is_too_large_is_refused() {
    let proxy = Proxy::serving(vec![forward("/", "a")], vec![]);
    let large = format!(
        "GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n\r\n",
        "a".repeat(80 * 1024)
    );
    let many = format!(
        "GET / HTTP/1.1\r\nhost: a\r\n{}\r\n",
        "x: 1\r\n".repeat(101)
    );
    for head in [large, many] {
        let mut client: Client = proxy.connect();
        // The answer may come before all of it is sent.
        let _ = std::io::Write::write_all(&mut client.socket(), head.as_bytes());
        assert_eq!(client.receive().status(), 431);
    }
    let target = format!("GET /{} HTTP/1.1\r\n", "a".repeat(80 * 1024));
    let mut client: Client = proxy.connect();
    let _ = std::io::Write::write_all(&mut client.socket(), target.as_bytes());
    assert_eq!(client.receive().status(), 414);
    proxy.wait_for_failures("DPE", 3);
}

#[test]
fn a_length_beside_chunks_never_reaches_an_upstream() {
    let upstream = Upstream::answering(|request| crate::support::upstream::ok(&request.text()));
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    for order in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 3\r\n",
    ] {
        let mut client = proxy.connect();
        client.send(format!("POST / HTTP/1.1\r\nhost: a\r\n{order}\r\n5\r\nhello\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n"));
        let response = client.receive();
        assert_eq!((response.status(), &*response.text()), (400, "two_lengths"));
        assert!(client.sees_the_end(), "what follows is not a request");
    }
    assert!(upstream.has_seen_nothing());
}
