//! Every wait has an end. The timeouts here are short; what is checked is which one ends a wait, and what the client sees.

use std::io::BufReader;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::config::{cluster, forward, forward_with, listener_with};
use crate::support::http::read_head;
use crate::support::{Pace, Proxy, Upstream};

/// An upstream that reads requests and never answers.
fn silent() -> Upstream {
    Upstream::scripted(|_, stream| {
        let mut reader = BufReader::new(&stream);
        let _ = std::io::Read::read_to_end(&mut reader, &mut Vec::new());
    })
}

fn with_listener(routes: Vec<Value>, clusters: Vec<Value>, more: Value) -> Proxy {
    let mut proxy = Proxy::start();
    let mut resources = clusters;
    resources.push(listener_with("web", proxy.address(), routes, more));
    assert_eq!(proxy.apply(&resources), []);
    proxy
}

#[test]
fn the_routes_timeout_is_504() {
    let upstream = silent();
    let route = forward_with("/", "a", json!({"timeout": "0.2s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    let start = Instant::now();
    assert_eq!(client.get("/").status(), 504);
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("UT", 1)]
    );
}

#[test]
fn the_routes_timeout_counts_from_the_end_of_an_upload() {
    let upstream = silent();
    let route = forward_with("/", "a", json!({"timeout": "0.3s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    let start = Instant::now();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\n");
    // A byte now and then keeps the upload alive for longer than the timeout.
    let mut pace = Pace::every(Duration::from_millis(150));
    for byte in ["a", "b", "c", "d"] {
        pace.wait();
        client.send(byte);
    }
    let uploaded = start.elapsed();
    assert!(uploaded > Duration::from_millis(500));
    assert_eq!(client.receive().status(), 504);
    assert!(start.elapsed() >= uploaded + Duration::from_millis(200));
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("UT", 1)]
    );
}

#[test]
fn an_upload_that_pauses_for_longer_than_the_routes_timeout_is_not_late_and_its_answer_can_be() {
    let upstream = Upstream::scripted(|_, stream| {
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        let mut body = [0; 2];
        std::io::Read::read_exact(&mut reader, &mut body).unwrap();
        std::io::Write::write_all(
            &mut (&stream),
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        )
        .unwrap();
        let _ = std::io::Read::read_to_end(&mut reader, &mut Vec::new());
    });
    let route = forward_with("/", "a", json!({"timeout": "0.2s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\n1");
    Pace::every(Duration::from_millis(500)).wait();
    // Taken before the last byte leaves: the proxy may see it long before this thread runs again.
    let uploaded = Instant::now();
    client.send("2");
    assert_eq!(client.receive_head().status(), 200);
    assert!(client.read_to_end().is_ok_and(|bytes| bytes == b"half"));
    assert!(uploaded.elapsed() >= Duration::from_millis(200));
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("UT", 1)]
    );
}

#[test]
fn the_routes_timeout_cuts_an_answer_that_goes_on_for_too_long() {
    let upstream = Upstream::scripted(|_, stream| {
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        std::io::Write::write_all(
            &mut (&stream),
            b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf",
        )
        .unwrap();
        let _ = std::io::Read::read_to_end(&mut reader, &mut Vec::new());
    });
    let route = forward_with("/", "a", json!({"timeout": "0.2s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive_head().status(), 200);
    assert!(client.read_to_end().is_ok_and(|bytes| bytes == b"half"));
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("UT", 1)]
    );
}

#[test]
fn an_endpoint_that_does_not_answer_a_connect_is_503() {
    // A listening socket whose queue is full takes no more connections on Linux.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket
        .bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) =
        std::net::TcpStream::connect_timeout(&address, Duration::from_millis(300))
    {
        queued.push(stream);
    }
    let mut quick = cluster("a", &[address]);
    quick["connect_timeout"] = json!("0.2s");
    let proxy = Proxy::serving(vec![forward("/", "a")], vec![quick]);
    assert_eq!(proxy.connect().get("/").status(), 503);
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("UF", 1)]
    );
}

#[test]
fn a_request_in_which_nothing_moves_ends() {
    let upstream = silent();
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    let more = json!({"stream_idle_timeout": "0.2s"});
    let proxy = with_listener(vec![route], vec![cluster("a", &[upstream.address])], more);
    let mut client = proxy.connect();
    let response = client.get("/");
    assert_eq!(
        (response.status(), response.text().as_str()),
        (504, "stream timeout")
    );

    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    assert_eq!(client.receive().status(), 408, "the client is to blame");
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("SI", 2)]
    );
}

#[test]
fn a_routes_own_limit_on_pauses_goes_before_the_listeners() {
    let upstream = silent();
    let route = forward_with("/", "a", json!({"timeout": "0s", "idle_timeout": "0.2s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    assert_eq!(proxy.connect().get("/").status(), 504);
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("SI", 1)]
    );
}

#[test]
fn a_client_that_does_not_read_is_cut_off() {
    let upstream = Upstream::answering(|_| {
        let length = 64 * 1024 * 1024;
        let mut response =
            format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        response.resize(response.len() + length, b'x');
        response
    });
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    let more = json!({"stream_idle_timeout": "0.3s"});
    let proxy = with_listener(vec![route], vec![cluster("a", &[upstream.address])], more);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    proxy.wait_for_failures("SI", 1);
    drop(client);
}

#[test]
fn a_head_that_does_not_end_is_408() {
    let proxy = with_listener(vec![], vec![], json!({"request_headers_timeout": "0.3s"}));
    let mut client = proxy.connect();
    let start = Instant::now();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-slow: ");
    let mut pace = Pace::every(Duration::from_millis(50));
    for _ in 0..4 {
        pace.wait();
        client.send("a");
    }
    assert_eq!(client.receive().status(), 408);
    assert!(start.elapsed() < Duration::from_secs(3));
    assert_eq!(
        proxy.failures().into_iter().collect::<Vec<_>>(),
        [("HT", 1)]
    );
}

#[test]
fn an_idle_connection_is_closed_and_one_in_use_is_not() {
    let upstream = Upstream::named("a");
    let more = json!({"common_http_protocol_options": {"idle_timeout": "0.3s"}});
    let proxy = with_listener(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
        more,
    );
    let unused = proxy.connect();
    let mut used = proxy.connect();
    let mut pace = Pace::every(Duration::from_millis(100));
    for _ in 0..8 {
        pace.wait();
        assert_eq!(used.get("/").text(), "a");
    }
    assert!(unused.sees_the_end());
    assert!(used.sees_the_end(), "at last it is idle too");
    assert!(proxy.failures().is_empty(), "{:?}", proxy.failures());
}
