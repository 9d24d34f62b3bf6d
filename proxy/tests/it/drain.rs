//! The way out: what is in flight ends, what is idle is closed, nobody new is let in.

use std::io::{BufReader, Read, Write};
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use proxy::traffic::Drained;

use crate::support::config::{cluster, forward};
use crate::support::http::read_head;
use crate::support::upstream::ok;
use crate::support::{Client, PATIENCE, Proxy, Upstream};

#[test]
fn a_request_in_flight_is_answered_and_told_to_close() {
    let (asked, was_asked) = channel();
    let (go_on, may_go_on) = channel::<()>();
    let shared = Mutex::new((asked, may_go_on));
    let upstream = Upstream::scripted(move |_, stream| {
        read_head(&mut BufReader::new(&stream)).unwrap();
        let shared = shared.lock().unwrap();
        shared.0.send(()).unwrap();
        shared.1.recv_timeout(PATIENCE).unwrap();
        (&stream).write_all(&ok("at last")).unwrap();
    });
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let address = proxy.address();
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    was_asked.recv_timeout(PATIENCE).unwrap();
    let draining = thread::spawn(move || proxy.drain(PATIENCE));
    while Client::try_connect(address).is_ok() {
        thread::yield_now();
    }
    go_on.send(()).unwrap();
    let response = client.receive();
    assert_eq!(response.text(), "at last");
    assert!(response.closes());
    assert!(client.sees_the_end());
    assert_eq!(draining.join().unwrap(), Drained::Completely);
}

#[test]
fn clients_in_use_lose_no_request() {
    let upstream = Upstream::named("a");
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let (started, all_started) = channel();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (mut client, started) = (proxy.connect(), started.clone());
            thread::spawn(move || {
                let mut requests = 0;
                loop {
                    let response = client.get("/");
                    assert_eq!(response.text(), "a");
                    requests += 1;
                    if requests == 20 {
                        started.send(()).unwrap();
                    }
                    if response.closes() {
                        return requests;
                    }
                }
            })
        })
        .collect();
    for _ in 0..8 {
        all_started.recv_timeout(PATIENCE).unwrap();
    }
    assert_eq!(proxy.drain(PATIENCE), Drained::Completely);
    for client in clients {
        assert!(client.join().unwrap() >= 20);
    }
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let upstream = Upstream::named("a");
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let unused = proxy.connect();
    let mut used = proxy.connect();
    used.get("/");
    let start = Instant::now();
    let draining = thread::spawn(move || proxy.drain(PATIENCE));
    assert!(unused.sees_the_end());
    assert!(used.sees_the_end());
    assert_eq!(draining.join().unwrap(), Drained::Completely);
    assert!(start.elapsed() < PATIENCE / 2);
}

#[test]
fn what_does_not_end_in_time_is_cut() {
    let (asked, was_asked) = channel();
    let asked = Mutex::new(asked);
    let upstream = Upstream::scripted(move |_, stream| {
        let mut reader = BufReader::new(&stream);
        read_head(&mut reader).unwrap();
        asked.lock().unwrap().send(()).unwrap();
        let _ = reader.read_to_end(&mut Vec::new());
    });
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    was_asked.recv_timeout(PATIENCE).unwrap();
    assert_eq!(proxy.drain(Duration::from_millis(300)), Drained::Cut);
    assert!(client.sees_the_end());
}
