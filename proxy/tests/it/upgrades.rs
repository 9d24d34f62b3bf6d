//! Requests that switch to another protocol: what both sides are told, what is carried after it, and how it ends.

use std::io::{BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use proxy::traffic::Drained;
use serde_json::{Value, json};

use crate::support::config::{
    cluster, config, forward, forward_with, listener, listener_with, merge,
};
use crate::support::http::{Message, read_head};
use crate::support::proxy::free_place;
use crate::support::upstream::nobody;
use crate::support::{Client, PATIENCE, Pace, Proxy, Upstream};

const ASK: &str = "GET /chat HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, Upgrade\r\n\
    upgrade: WebSocket\r\nsec-websocket-key: k\r\n\r\n";
const AGREE: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\n\
    upgrade: websocket\r\nsec-websocket-accept: a\r\n\r\n";

/// A route to a cluster on which a request may switch to WebSocket.
fn websocket(more: Value) -> Value {
    let mut action = json!({"upgrade_configs": [{"upgrade_type": "websocket"}]});
    merge(&mut action, more);
    forward_with("/", "a", action)
}

fn serving(upstream: &Upstream, more: Value) -> Proxy {
    Proxy::serving(
        vec![websocket(more)],
        vec![cluster("a", &[upstream.address])],
    )
}

/// A server that switches, sends `first` together with its head, and then says back what it hears until it hears no more.
fn echo(first: &'static [u8]) -> Upstream {
    Upstream::scripted(move |_, mut stream| {
        agree(&stream, first);
        let mut bytes = [0; 4096];
        while let Ok(read @ 1..) = stream.read(&mut bytes) {
            if stream.write_all(&bytes[..read]).is_err() {
                return;
            }
        }
    })
}

/// Reads the request and switches. What follows the head stays in the socket: the proxy holds it back until then.
fn agree(mut stream: &TcpStream, first: &[u8]) -> Message {
    let mut reader = BufReader::new(stream);
    let request = read_head(&mut reader).unwrap().unwrap();
    assert_eq!(reader.buffer(), b"", "nothing before the switch");
    stream.write_all(&[AGREE, first].concat()).unwrap();
    request
}

/// Asks for WebSocket and gets it.
fn switch(client: &mut Client) -> Message {
    client.send(ASK);
    let response = client.receive_head();
    assert_eq!(response.status(), 101);
    response
}

fn failures(proxy: &Proxy) -> Vec<(&'static str, u64)> {
    proxy.failures().into_iter().collect()
}

#[test]
fn both_sides_are_told_and_what_came_with_the_heads_goes_first() {
    let (tell, told) = channel();
    let tell = Mutex::new(tell);
    let upstream = Upstream::scripted(move |_, mut stream| {
        let request = agree(&stream, b"server first");
        let mut early = [0; 5];
        stream.read_exact(&mut early).unwrap();
        tell.lock().unwrap().send((request, early)).unwrap();
    });
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    client.send(format!("{ASK}early"));
    let response = client.receive_head();
    assert_eq!(response.status(), 101);
    let field = |name| response.field(name);
    assert_eq!(field("connection").as_deref(), Some("upgrade"));
    assert_eq!(field("upgrade").as_deref(), Some("WebSocket"));
    assert_eq!(field("sec-websocket-accept").as_deref(), Some("a"));
    assert_eq!(field("content-length"), None);
    assert_eq!(client.read_exact(12), b"server first");
    let (request, early) = told.recv_timeout(PATIENCE).unwrap();
    assert_eq!(&early, b"early");
    assert_eq!(request.field("connection").as_deref(), Some("upgrade"));
    assert_eq!(request.field("upgrade").as_deref(), Some("WebSocket"));
    assert_eq!(request.field("sec-websocket-key").as_deref(), Some("k"));
}

#[test]
fn the_listener_allows_too_and_routes_may_ask_for_the_field() {
    let upstream = echo(b"");
    let mut route = forward("/", "a");
    let only = json!({"prefix": "/", "headers": [{"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": true}}]});
    merge(&mut route, json!({"match": only}));
    let allowed = json!({"upgrade_configs": [{"upgrade_type": "websocket"}]});
    let mut proxy = Proxy::start();
    let resources = [
        cluster("a", &[upstream.address]),
        listener_with("web", proxy.address(), vec![route], allowed),
    ];
    assert_eq!(proxy.apply(&resources), []);
    let mut client = proxy.connect();
    switch(&mut client);
    client.send("ping");
    assert_eq!(client.read_exact(4), b"ping");
    assert_eq!(proxy.connect().get("/chat").status(), 404);
}

#[test]
fn much_goes_both_ways_at_once_and_neither_way_waits_for_the_other() {
    const LEN: usize = 8 << 20;
    let upstream = Upstream::scripted(|_, mut stream| {
        agree(&stream, b"");
        let mut writer = stream.try_clone().unwrap();
        let writing = thread::spawn(move || writer.write_all(&vec![b'd'; LEN]).unwrap());
        let mut bytes = vec![0; LEN];
        stream.read_exact(&mut bytes).unwrap();
        assert!(bytes.iter().all(|byte| *byte == b'u'));
        writing.join().unwrap();
        stream.write_all(b"all").unwrap();
    });
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    switch(&mut client);
    let mut writer = client.socket().try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&vec![b'u'; LEN]).unwrap());
    assert!(client.read_exact(LEN).iter().all(|byte| *byte == b'd'));
    assert_eq!(client.read_exact(3), b"all");
    writing.join().unwrap();
}

#[test]
fn a_side_that_has_said_its_last_still_hears_the_other() {
    let upstream = Upstream::scripted(|connection, mut stream| {
        agree(&stream, b"");
        let mut heard = Vec::new();
        if connection == 0 {
            stream.read_to_end(&mut heard).unwrap();
            stream.write_all(&heard).unwrap();
        } else {
            stream.shutdown(Shutdown::Write).unwrap();
            stream.read_to_end(&mut heard).unwrap();
            assert_eq!(heard, b"one", "after our end");
        }
    });
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    switch(&mut client);
    client.send("one");
    client.socket().shutdown(Shutdown::Write).unwrap();
    assert_eq!(client.read_to_end().unwrap(), b"one");

    // A tunnel's connection is never used again: this one is the second.
    let mut client = proxy.connect();
    switch(&mut client);
    let mut reader = client.socket().try_clone().unwrap();
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
    client.send("one");
    client.socket().shutdown(Shutdown::Write).unwrap();
    assert!(client.sees_the_end());
    assert_eq!(failures(&proxy), []);
}

#[test]
fn what_nobody_allows_is_403_and_the_end_of_the_connection() {
    let upstream = Upstream::named("a");
    let off = json!({"upgrade_configs": [{"upgrade_type": "websocket", "enabled": false}]});
    let routes = vec![forward_with("/off", "a", off), forward("/", "a")];
    let on = json!({"upgrade_configs": [{"upgrade_type": "websocket"}]});
    let mut proxy = Proxy::start();
    let resources = [
        cluster("a", &[upstream.address]),
        listener_with("web", proxy.address(), routes, on),
    ];
    assert_eq!(proxy.apply(&resources), []);
    let refused = |request: String| {
        let mut client = proxy.connect();
        // What follows might be a request of somebody else's making.
        client.send(request + "GET /smuggled HTTP/1.1\r\nhost: a\r\n\r\n");
        let response = client.receive();
        assert_eq!((response.status(), response.text().as_str()), (403, ""));
        assert!(response.closes() && client.sees_the_end());
    };
    refused(ASK.replace("/chat", "/off"));
    refused(ASK.replace("WebSocket", "other"));
    refused(ASK.replace("WebSocket", "websocket, other"));
    assert!(upstream.has_seen_nothing());
    assert_eq!(failures(&proxy), [("UD", 3)]);
}

#[test]
fn an_answer_that_does_not_switch_is_an_answer_and_the_last_one() {
    let upstream = Upstream::named("no");
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    client.send(ASK);
    let response = client.receive();
    assert_eq!((response.status(), response.text().as_str()), (200, "no"));
    assert!(response.closes());
    assert!(client.sees_the_end());
    assert_eq!(upstream.seen().connection, 0);
    // Upstream it was an exchange like any other.
    assert_eq!(proxy.connect().get("/").text(), "no");
    assert!(failures(&proxy).is_empty());
}

#[test]
fn what_is_no_request_to_switch_is_answered_as_if_it_did_not_ask() {
    let upstream = Upstream::named("a");
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    let upload = ASK.replace("\r\n\r\n", "\r\ncontent-length: 1\r\n\r\nx");
    for request in [
        ASK.replace("WebSocket", "h2c"),
        ASK.replace("keep-alive, Upgrade", "keep-alive"),
        upload,
    ] {
        client.send(request);
        assert_eq!(client.receive().text(), "a");
        let seen = upstream.seen().request;
        assert_eq!(
            (seen.field("upgrade"), seen.field("connection")),
            (None, None)
        );
    }
}

#[test]
fn a_switch_to_something_else_is_a_fault_of_the_endpoint() {
    let other =
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: other\r\n\r\n";
    let upstream = Upstream::scripted(|_, mut stream| {
        read_head(&mut BufReader::new(&stream)).unwrap();
        stream.write_all(other).unwrap();
    });
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    client.send(ASK);
    let response = client.receive();
    assert_eq!(response.status(), 502);
    assert!(response.closes());
    assert_eq!(failures(&proxy), [("UPE", 1)]);
}

#[test]
fn an_endpoint_that_is_not_there_is_503_as_for_others() {
    let (address, _reserved) = nobody();
    let proxy = Proxy::serving(vec![websocket(json!({}))], vec![cluster("a", &[address])]);
    let mut client = proxy.connect();
    client.send(ASK);
    assert_eq!(client.receive().status(), 503);
    assert_eq!(failures(&proxy), [("UF", 1)]);
}

#[test]
fn the_routes_timeout_ends_with_the_switch_and_pauses_stay_limited() {
    let upstream = Upstream::scripted(|_, mut stream| {
        agree(&stream, b"");
        // Slower than the route's timeout as a whole, never slower than its pauses.
        let mut pace = Pace::every(Duration::from_millis(200));
        for _ in 0..5 {
            pace.wait();
            stream.write_all(b".").unwrap();
        }
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let proxy = serving(
        &upstream,
        json!({"timeout": "0.3s", "idle_timeout": "1.5s"}),
    );
    let mut client = proxy.connect();
    switch(&mut client);
    let start = Instant::now();
    assert_eq!(client.read_exact(5), b".....");
    assert!(start.elapsed() > Duration::from_millis(600));
    assert!(client.sees_the_end());
    proxy.wait_for_failures("SI", 1);
    assert_eq!(failures(&proxy), [("SI", 1)]);
}

#[test]
fn a_switch_that_takes_too_long_is_504() {
    let upstream = Upstream::scripted(|_, mut stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let proxy = serving(&upstream, json!({"timeout": "0.2s"}));
    let mut client = proxy.connect();
    client.send(ASK);
    assert_eq!(client.receive().status(), 504);
}

#[test]
fn it_outlives_the_closing_of_the_port_and_ends_with_the_drain() {
    let upstream = echo(b"");
    let proxy = serving(&upstream, json!({}));
    let address = proxy.address();
    let mut client = proxy.connect();
    switch(&mut client);
    // Long enough that a busy machine sees the closed port well before the end.
    let draining = thread::spawn(move || proxy.drain(Duration::from_secs(4)));
    while Client::try_connect(address).is_ok() {
        thread::yield_now();
    }
    client.send("still");
    assert_eq!(client.read_exact(5), b"still");
    assert!(client.sees_the_end());
    assert_eq!(draining.join().unwrap(), Drained::Cut);
}

#[test]
fn a_config_is_let_go_while_a_tunnel_that_began_on_it_goes_on() {
    let upstream = echo(b"");
    for listener_stays in [true, false] {
        let mut proxy = Proxy::start();
        let elsewhere = free_place(1);
        let first = config(&[
            listener("web", proxy.address(), vec![websocket(json!({}))]),
            cluster("a", &[upstream.address]),
        ]);
        let watch = Arc::downgrade(&first.listeners[0]);
        assert_eq!(proxy.apply_config(&first), []);
        drop(first);
        let mut client = proxy.connect();
        switch(&mut client);
        let start = Instant::now();
        while watch.upgrade().is_some() {
            assert!(start.elapsed() < PATIENCE, "somebody holds it");
            let (name, place) = if listener_stays {
                ("web", proxy.address())
            } else {
                ("other", elsewhere)
            };
            let other = listener(name, place, vec![forward("/", "b")]);
            assert_eq!(proxy.apply(&[other]), []);
        }
        client.send("still");
        assert_eq!(client.read_exact(5), b"still");
        client.close();
    }
}

#[test]
fn an_endpoint_that_breaks_off_ends_the_clients_connection() {
    let (tell, told) = channel();
    let tell: Mutex<Sender<TcpStream>> = Mutex::new(tell);
    let upstream = Upstream::scripted(move |_, stream| {
        agree(&stream, b"");
        tell.lock().unwrap().send(stream).unwrap();
    });
    let proxy = serving(&upstream, json!({}));
    let mut client = proxy.connect();
    switch(&mut client);
    let stream = told.recv_timeout(PATIENCE).unwrap();
    // A reset instead of an end.
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    assert!(client.read_to_end().is_ok_and(|rest| rest.is_empty()));
    proxy.wait_for_failures("UC", 1);
}
