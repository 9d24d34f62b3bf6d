//! A client's connection: how its bytes may come, when it goes on, and how it ends.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Mutex;
use std::sync::mpsc::channel;

use serde_json::json;

use crate::support::config::{cluster, forward, forward_with};
use crate::support::http::read_head;
use crate::support::upstream::ok;
use crate::support::{Client, PATIENCE, Proxy, Upstream};

fn in_front_of(upstream: &Upstream) -> Proxy {
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])])
}

/// An upstream that answers every connection's one request with these bytes and closes.
fn saying(answer: &'static [u8]) -> Upstream {
    Upstream::scripted(move |_, mut stream| {
        read_head(&mut BufReader::new(&stream)).unwrap();
        stream.write_all(answer).unwrap();
    })
}

#[test]
fn a_request_may_come_byte_by_byte_and_the_next_one_with_its_end() {
    let upstream =
        Upstream::answering(|request| ok(&format!("{} {}", request.start, request.text())));
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    let first = "POST /1 HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n";
    for byte in first.as_bytes().chunks(1) {
        client.send(byte);
    }
    assert_eq!(client.receive().text(), "POST /1 HTTP/1.1 abcd");
    client.send(format!("{first}GET /2 HTTP/1.1\r\nhost"));
    client.send(": a\r\n\r\n");
    assert_eq!(client.receive().text(), "POST /1 HTTP/1.1 abcd");
    assert_eq!(client.receive().text(), "GET /2 HTTP/1.1 ");
}

#[test]
fn many_requests_in_a_row_outgrow_every_buffer() {
    let upstream = Upstream::answering(|request| ok(&request.start));
    let proxy = in_front_of(&upstream);
    let client = proxy.connect();
    let mut sender = client.socket().try_clone().unwrap();
    let filler = "x".repeat(900);
    let sending = std::thread::spawn(move || {
        for number in 0..300 {
            let request =
                format!("GET /{number} HTTP/1.1\r\nhost: a\r\nx-filler: {filler}\r\n\r\n");
            sender.write_all(request.as_bytes()).unwrap();
        }
    });
    let mut client = client;
    for number in 0..300 {
        assert_eq!(client.receive().text(), format!("GET /{number} HTTP/1.1"));
    }
    sending.join().unwrap();
}

#[test]
fn extensions_and_trailers_end_here_in_both_directions() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let upstream = Upstream::scripted(move |_, mut stream| {
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        let mut body = [0; 11];
        reader.read_exact(&mut body).unwrap();
        tell.lock().unwrap().send(body).unwrap();
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2;a=b\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n";
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;c=d\r\nx\r\n0;e\r\nx-sum: 1\r\n\r\n");
    assert_eq!(
        &told.recv_timeout(PATIENCE).unwrap(),
        b"1\r\nx\r\n0\r\n\r\n"
    );
    client.receive_head();
    assert_eq!(client.read_exact(12), b"2\r\nhi\r\n0\r\n\r\n");
}

#[test]
fn an_answer_without_length_comes_in_chunks_and_keeps_the_connection() {
    let upstream = saying(b"HTTP/1.1 200 OK\r\n\r\nuntil the end");
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    for _ in 0..2 {
        let response = client.get("/");
        assert_eq!(
            response.field("transfer-encoding").as_deref(),
            Some("chunked")
        );
        assert_eq!(response.text(), "until the end");
    }
}

#[test]
fn a_client_of_http_1_0_keeps_its_connection_only_if_it_asks_and_the_length_is_known() {
    let upstream = Upstream::answering(|request| {
        if request.start.contains("/chunks") {
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n".to_vec()
        } else {
            ok("hi")
        }
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
        let response = client.receive();
        assert_eq!(response.text(), "hi");
        assert_eq!(response.field("connection").as_deref(), Some("keep-alive"));
    }
    client.send("GET /chunks HTTP/1.0\r\nhost: a\r\nconnection: keep-alive\r\n\r\n");
    let response = client.receive();
    assert_eq!(response.text(), "hi");
    assert!(response.closes());
    assert_eq!(response.field("transfer-encoding"), None);

    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    assert!(client.receive().closes());
    assert!(client.sees_the_end());
}

#[test]
fn an_answer_that_is_cut_never_looks_whole_to_http_1_0() {
    let upstream = saying(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n");
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n");
    let error = client.read_to_end().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    proxy.wait_for_failures("UC", 1);
}

#[test]
fn a_client_that_asks_for_the_end_gets_it() {
    let proxy = in_front_of(&Upstream::named("a"));
    let mut client = proxy.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\n",
    );
    let response = client.receive();
    assert!(response.closes());
    assert!(client.sees_the_end());
}

#[test]
fn nobody_is_told_to_continue_who_is_answered_at_once() {
    let answer = json!({"match": {"prefix": "/"}, "direct_response": {"status": 403}});
    let proxy = Proxy::serving(vec![answer], vec![]);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n");
    let response = client.receive();
    assert_eq!(response.status(), 403);
    assert!(response.closes(), "what follows may be the body or not");
    assert!(client.sees_the_end());
}

#[test]
fn a_refusal_is_read_by_a_client_that_still_sends() {
    let proxy = in_front_of(&Upstream::named("a"));
    for head in [
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\n",
        "POST /%2f HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000\r\n\r\n",
    ] {
        let mut client = proxy.connect();
        client.send(head);
        let mut sender = client.socket().try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            // As much as the sockets take, and until they are closed.
            let piece = [b'x'; 16 * 1024];
            (0..60).all(|_| sender.write_all(&piece).is_ok())
        });
        let response = client.receive();
        assert_eq!(response.status(), 400);
        assert!(response.closes());
        client.close();
        let _ = sending.join().unwrap();
    }
}

#[test]
fn a_client_that_ends_its_side_while_it_waits_is_gone() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let upstream = Upstream::scripted(move |_, stream| {
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        tell.lock().unwrap().send("asked").unwrap();
        let _ = reader.read_to_end(&mut Vec::new());
        tell.lock().unwrap().send("closed").unwrap();
    });
    let proxy = in_front_of(&upstream);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(told.recv_timeout(PATIENCE), Ok("asked"));
    client.socket().shutdown(Shutdown::Write).unwrap();
    assert_eq!(told.recv_timeout(PATIENCE), Ok("closed"));
    proxy.wait_for_failures("DC", 1);
}

#[test]
fn half_a_head_and_an_end_are_nobodys_failure() {
    let proxy = in_front_of(&Upstream::named("a"));
    let mut client: Client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost");
    client.socket().shutdown(Shutdown::Write).unwrap();
    assert!(client.sees_the_end());
    assert!(proxy.failures().is_empty());
}

#[test]
fn an_upload_that_is_not_wanted_any_more_ends_its_connection() {
    let route = vec![forward("/", "nowhere")];
    let proxy = Proxy::serving(route, vec![]);
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf");
    let response = client.receive();
    assert_eq!(response.status(), 503);
    assert!(response.closes());
    let mut client = proxy.connect();
    client.send("PUT / HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\r\nall.");
    assert!(!client.receive().closes(), "it is all here");
    assert_eq!(client.get("/").status(), 503);
}
