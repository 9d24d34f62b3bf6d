//! What goes in comes out, in both directions, in every framing.

use serde_json::json;

use crate::support::config::{cluster, forward, forward_with};
use crate::support::http::Message;
use crate::support::upstream::{nobody, ok};
use crate::support::{Proxy, Upstream};

fn in_front_of(upstream: &Upstream) -> Proxy {
    Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    )
}

#[test]
fn a_request_and_its_body_arrive_and_so_does_the_answer() {
    let upstream = Upstream::answering(|request| ok(&format!("got {}", request.text())));
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("POST /a/b?q=1 HTTP/1.1\r\nhost: shop.example:8080\r\ncontent-length: 5\r\nx-mine: 1\r\n\r\nhello");
    assert_eq!(client.receive().text(), "got hello");
    let seen = upstream.seen().request;
    assert_eq!(seen.start, "POST /a/b?q=1 HTTP/1.1");
    assert_eq!(seen.field("host").as_deref(), Some("shop.example:8080"));
    assert_eq!(seen.field("content-length").as_deref(), Some("5"));
    assert_eq!(seen.field("x-mine").as_deref(), Some("1"));
}

#[test]
fn chunks_pass_in_both_directions() {
    let upstream = Upstream::answering(|request| {
        let body = request.text();
        let (a, b) = body.split_at(3);
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{a}\r\n{:x}\r\n{b}\r\n0\r\n\r\n", b.len()).into()
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n4\r\ncdef\r\n0\r\n\r\n");
        let response = client.receive();
        assert_eq!(response.text(), "abcdef");
        let (length, coding) = (
            response.field("content-length"),
            response.field("transfer-encoding"),
        );
        assert!(length.is_some() != coding.is_some(), "framed in one way");
        assert_eq!(upstream.seen().request.text(), "abcdef");
    }
}

#[test]
fn large_bodies_pass_whole() {
    let upstream = Upstream::answering(|request| {
        let mut response = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
            request.body.len()
        )
        .into_bytes();
        response.extend(request.body.iter().rev());
        response
    });
    let proxy = in_front_of(&upstream);
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7) as u8).collect();
    let mut client = proxy.connect();
    let mut sender = client.socket().try_clone().unwrap();
    let sent = body.clone();
    let sending = std::thread::spawn(move || {
        use std::io::Write;
        write!(
            sender,
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n",
            sent.len()
        )
        .unwrap();
        sender.write_all(&sent).unwrap();
    });
    let mut answer = client.receive().body;
    answer.reverse();
    assert!(answer == body);
    sending.join().unwrap();
}

#[test]
fn an_answer_until_close_ends_with_its_connection_and_not_with_ours() {
    let upstream = Upstream::scripted(|_, mut stream| {
        use std::io::Write;
        crate::support::http::read_head(&mut std::io::BufReader::new(&stream)).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
            .unwrap();
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    for _ in 0..2 {
        assert_eq!(client.get("/").text(), "until the end");
    }
}

#[test]
fn answers_without_a_body_keep_the_connection() {
    let upstream = Upstream::answering(|request| match request.start.split(' ').nth(1) {
        Some("/204") => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        Some("/304") => {
            b"HTTP/1.1 304 Not Modified\r\netag: \"x\"\r\ncontent-length: 7\r\n\r\n".to_vec()
        }
        _ if request.start.starts_with("HEAD") => {
            b"HTTP/1.1 200 OK\r\ncontent-length: 12345\r\n\r\n".to_vec()
        }
        _ => ok("body"),
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    assert_eq!(client.get("/204").status(), 204);
    let not_modified = client.get("/304");
    assert_eq!(
        (not_modified.status(), not_modified.field("etag").as_deref()),
        (304, Some("\"x\""))
    );
    client.send("HEAD / HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = client.receive_head();
    assert_eq!(head.field("content-length").as_deref(), Some("12345"));
    assert_eq!(head.field("transfer-encoding"), None);
    assert_eq!(client.get("/").text(), "body");
}

#[test]
fn requests_in_a_row_are_answered_in_their_order_over_one_upstream_connection() {
    let upstream = Upstream::answering(|request| ok(&request.start));
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("GET /1 HTTP/1.1\r\nhost: a\r\n\r\nGET /2 HTTP/1.1\r\nhost: a\r\n\r\nGET /3 HTTP/1.1\r\nhost: a\r\n\r\n");
    for path in ["/1", "/2", "/3"] {
        assert_eq!(client.receive().text(), format!("GET {path} HTTP/1.1"));
        assert_eq!(upstream.seen().connection, 0);
    }
}

#[test]
fn a_client_that_asks_first_is_told_to_continue() {
    let upstream = Upstream::answering(|request| ok(&request.text()));
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\nexpect: 100-continue\r\n\r\n");
    assert_eq!(client.receive_head().status(), 100);
    client.send("hi");
    assert_eq!(client.receive().text(), "hi");
    assert_eq!(upstream.seen().request.field("expect"), None);
}

#[test]
fn http_1_0_is_answered_in_its_own_way() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_vec()
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let response = client.receive();
    assert_eq!(
        (
            response.text().as_str(),
            response.field("transfer-encoding")
        ),
        ("hi", None)
    );
    assert!(client.sees_the_end());
    assert_eq!(upstream.seen().request.start, "GET / HTTP/1.1");
}

#[test]
fn a_route_rewrites_the_path_and_keeps_the_query() {
    let upstream = Upstream::named("a");
    let route = json!({
        "match": {"path_separated_prefix": "/products"},
        "route": {"cluster": "a", "prefix_rewrite": "/v2/products"},
    });
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    proxy.connect().get("/products/7?q=/products");
    assert_eq!(
        upstream.seen().request.start,
        "GET /v2/products/7?q=/products HTTP/1.1"
    );
}

#[test]
fn the_canonical_path_is_matched_and_forwarded() {
    let (public, admin) = (Upstream::named("public"), Upstream::named("admin"));
    let proxy = Proxy::serving(
        vec![forward("/admin", "admin"), forward("/", "public")],
        vec![
            cluster("admin", &[admin.address]),
            cluster("public", &[public.address]),
        ],
    );
    let mut client = proxy.connect();
    for path in [
        "/x/../admin/y",
        "//admin/y",
        "/%61dmin/y",
        "/x/%2e%2e/admin//y",
    ] {
        assert_eq!(client.get(path).text(), "admin", "{path}");
        assert_eq!(admin.seen().request.start, "GET /admin/y HTTP/1.1");
    }
    assert!(public.has_seen_nothing());
}

#[test]
fn weights_decide_how_often_a_cluster_is_chosen() {
    let (a, b) = (Upstream::named("a"), Upstream::named("b"));
    let clusters = json!([{"name": "a", "weight": 3}, {"name": "b", "weight": 1}]);
    let route =
        json!({"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}});
    let proxy = Proxy::serving(
        vec![route],
        vec![cluster("a", &[a.address]), cluster("b", &[b.address])],
    );
    let mut client = proxy.connect();
    let to_a = (0..1000).filter(|_| client.get("/").text() == "a").count();
    // Five standard deviations: wrong once in 2 million runs.
    assert!((680..=820).contains(&to_a), "{to_a}");
}

#[test]
fn an_upstream_that_closes_a_kept_connection_is_asked_again() {
    let upstream = Upstream::scripted(|_, stream| {
        use std::io::Write;
        let mut reader = std::io::BufReader::new(&stream);
        // Every connection answers once, reads the second request and closes without a word.
        crate::support::http::read_head(&mut reader).unwrap();
        (&stream).write_all(&ok("again")).unwrap();
        let _ = crate::support::http::read_head(&mut reader);
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    for _ in 0..5 {
        assert_eq!(client.get("/").text(), "again");
    }
    assert!(proxy.failures().is_empty(), "{:?}", proxy.failures());
}

#[test]
fn an_endpoint_that_cannot_be_reached_is_passed_over() {
    let upstream = Upstream::named("alive");
    let (dead, _reserved) = nobody();
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[dead, upstream.address])],
    );
    let mut client = proxy.connect();
    let answers: Vec<Message> = (0..6).map(|_| client.get("/")).collect();
    assert!(answers.iter().all(|answer| answer.text() == "alive"));
}

#[test]
fn an_early_answer_does_not_wait_for_the_upload() {
    let upstream = Upstream::scripted(|_, stream| {
        use std::io::{Read, Write};
        crate::support::http::read_head(&mut std::io::BufReader::new(&stream)).unwrap();
        (&stream)
            .write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
            .unwrap();
        let _ = (&stream).read_to_end(&mut Vec::new());
    });
    let proxy = Proxy::serving(
        vec![forward_with("/", "a", json!({"timeout": "5s"}))],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\nonly the beginning");
    let response = client.receive();
    assert_eq!((response.status(), response.text().as_str()), (403, "no"));
}
