//! A new config goes live under traffic: nothing fails, no connection closes, and every request is answered by one config.

use std::io::{BufReader, Write};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::config::{cluster, config, forward, listener, merge};
use crate::support::{Client, PATIENCE, Proxy, Upstream};

const SWAPS: usize = 300;

/// A route whose responses carry a mark, to a cluster of the same mark.
fn marked(mark: usize) -> Value {
    let mut route = forward("/", &format!("c{mark}"));
    let header = json!({"header": {"key": "x-route", "value": mark.to_string()}});
    merge(&mut route, json!({"response_headers_to_add": [header]}));
    route
}

#[test]
fn swaps_under_load_fail_no_request_and_close_no_connection() {
    // An upstream each for even and odd configs, so that a mixture would show.
    let upstreams = [Upstream::named("0"), Upstream::named("1")];
    let mut proxy = Proxy::start();
    let swap = |proxy: &mut Proxy, number: usize| {
        let name = format!("c{number}");
        proxy.serve(
            vec![marked(number)],
            vec![cluster(&name, &[upstreams[number % 2].address])],
        );
    };
    swap(&mut proxy, 0);
    let address = proxy.address();
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                let mut newest = 0;
                while !over.load(Ordering::Relaxed) {
                    let response = client.get("/");
                    let mark: usize = response.field("x-route").unwrap().parse().unwrap();
                    assert_eq!(
                        response.text(),
                        (mark % 2).to_string(),
                        "one config for the whole request"
                    );
                    assert!(mark >= newest, "a connection never goes back");
                    newest = mark;
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 1..=SWAPS {
            let before = answered.load(Ordering::Relaxed);
            swap(&mut proxy, number);
            while answered.load(Ordering::Relaxed) == before && !thread::panicking() {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(proxy.failures().is_empty(), "{:?}", proxy.failures());
}

#[test]
fn the_first_request_after_a_swap_is_answered_by_the_new_config() {
    let mut proxy = Proxy::start();
    let answer = |text: String| json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": text}}});
    proxy.serve(vec![answer("0".into())], vec![]);
    let mut client = proxy.connect();
    for number in 1..100 {
        proxy.serve(vec![answer(number.to_string())], vec![]);
        assert_eq!(client.get("/").text(), number.to_string());
    }
}

#[test]
fn a_request_in_flight_ends_on_the_config_it_began_with() {
    let slow = Upstream::scripted(|_, stream| {
        use std::io::Read;
        let mut reader = BufReader::new(&stream);
        crate::support::http::read_head(&mut reader).unwrap();
        // The body is the signal to answer.
        reader.read_exact(&mut [0]).unwrap();
        (&stream)
            .write_all(&crate::support::upstream::ok("old"))
            .unwrap();
    });
    let new = Upstream::named("new");
    let mut proxy = Proxy::start();
    proxy.serve(vec![marked(1)], vec![cluster("c1", &[slow.address])]);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\n");
    // Another connection shows that the next config is live while that request waits.
    proxy.serve(vec![marked(2)], vec![cluster("c2", &[new.address])]);
    assert_eq!(proxy.connect().get("/").text(), "new");
    client.send("x");
    let response = client.receive();
    // It may have been read before or after the swap, but it is answered by one config as a whole.
    match response.text().as_str() {
        "old" => assert_eq!(response.field("x-route").as_deref(), Some("1")),
        other => assert_eq!(
            (other, response.field("x-route").as_deref()),
            ("new", Some("2"))
        ),
    }
    assert_eq!(client.get("/").text(), "new");
}

#[test]
fn a_kept_connection_to_an_address_that_is_gone_is_not_used_again() {
    let (first, second) = (Upstream::named("first"), Upstream::named("second"));
    let mut proxy = Proxy::start();
    let serve = |proxy: &mut Proxy, upstream: &Upstream| {
        proxy.serve(
            vec![forward("/", "a")],
            vec![cluster("a", &[upstream.address])],
        );
    };
    serve(&mut proxy, &first);
    let mut client = proxy.connect();
    assert_eq!(client.get("/").text(), "first");
    assert_eq!(first.seen().connection, 0);
    serve(&mut proxy, &second);
    assert_eq!(client.get("/").text(), "second");
    serve(&mut proxy, &first);
    assert_eq!(client.get("/").text(), "first");
    assert_eq!(first.seen().connection, 1, "a new connection");
}

#[test]
fn a_change_elsewhere_keeps_connections_to_endpoints() {
    let upstream = Upstream::named("a");
    let mut proxy = Proxy::start();
    let kept = || cluster("a", &[upstream.address]);
    proxy.serve(vec![forward("/", "a")], vec![kept()]);
    let mut client = proxy.connect();
    client.get("/");
    proxy.serve(
        vec![forward("/", "a"), forward("/b", "b")],
        vec![kept(), cluster("b", &[])],
    );
    client.get("/");
    assert_eq!(
        [upstream.seen().connection, upstream.seen().connection],
        [0, 0]
    );
}

#[test]
fn a_config_is_let_go_while_a_connection_is_idle_and_a_download_that_began_on_it_goes_on() {
    let (tell, go_on) = channel::<()>();
    let go_on = Mutex::new(go_on);
    let upstream = Upstream::scripted(move |_, stream| {
        crate::support::http::read_head(&mut BufReader::new(&stream)).unwrap();
        (&stream)
            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
            .unwrap();
        go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        (&stream).write_all(b"later").unwrap();
    });
    let direct = json!({"match": {"path": "/direct"}, "direct_response": {"status": 200}});
    let mut proxy = Proxy::start();
    let routes = vec![direct, forward("/", "a")];
    let resources = [
        listener("web", proxy.address(), routes),
        cluster("a", &[upstream.address]),
    ];
    let first = config(&resources);
    let watch = Arc::downgrade(&first.listeners[0]);
    assert_eq!(proxy.apply_config(&first), []);
    drop(first);
    let (mut idle, mut download) = (proxy.connect(), proxy.connect());
    assert_eq!(idle.get("/direct").status(), 200);
    download.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    download.receive_head();
    assert_eq!(download.read_exact(5), b"first");

    let start = Instant::now();
    while watch.upgrade().is_some() {
        assert!(
            start.elapsed() < PATIENCE,
            "somebody holds the first config"
        );
        proxy.serve(vec![forward("/", "b")], vec![]);
    }
    tell.send(()).unwrap();
    assert_eq!(download.read_exact(5), b"later");
    assert_eq!(
        idle.get("/direct").status(),
        503,
        "the new config has another route"
    );
    assert_eq!(proxy.failures()["NC"], 1);
}
