//! A client that goes away takes its request with it.

use std::io::{BufReader, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};

use serde_json::json;

use crate::support::config::{cluster, forward_with};
use crate::support::http::read_head;
use crate::support::{PATIENCE, Proxy, Upstream};

/// What an upstream tells of its one connection.
#[derive(Debug, PartialEq, Eq)]
enum Event {
    Asked,
    Closed,
}

/// An upstream that answers with these bytes and then waits for the connection's end.
fn watching(answer: &'static [u8]) -> (Upstream, Receiver<Event>) {
    let (tell, events) = channel();
    let tell = Mutex::new(tell);
    let upstream = Upstream::scripted(move |_, stream| {
        let tell = tell.lock().unwrap().clone();
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        (&stream).write_all(answer).unwrap();
        let _ = tell.send(Event::Asked);
        // Ends with the connection, in whatever way.
        let _ = reader.read_to_end(&mut Vec::new());
        let _ = tell.send(Event::Closed);
    });
    (upstream, events)
}

fn check(answer: &'static [u8]) {
    let (upstream, events) = watching(answer);
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(events.recv_timeout(PATIENCE), Ok(Event::Asked));
    if !answer.is_empty() {
        client.receive_head();
    }
    client.close();
    assert_eq!(events.recv_timeout(PATIENCE), Ok(Event::Closed));
    proxy.wait_for_failures("DC", 1);
}

#[test]
fn a_client_that_leaves_before_the_answer_ends_the_upstream_request() {
    check(b"");
}

#[test]
fn a_client_that_leaves_in_the_middle_of_the_answer_ends_the_upstream_request() {
    check(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf");
}
