//! Whoever reads slowly slows the other side down; the proxy does not hold what is on its way.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::json;

use crate::support::config::{cluster, forward_with};
use crate::support::http::read_head;
use crate::support::{PATIENCE, Proxy, Upstream};

/// More than the buffers of four sockets and the proxy together.
const ENDLESS: usize = 512 * 1024 * 1024;
/// What may be on its way: Linux lets each of four socket buffers grow to a few MiB, the proxy adds far less than one.
const ON_ITS_WAY: usize = 64 * 1024 * 1024;

/// Writes until the other side takes nothing for a while; how much it took.
fn write_until_stuck(mut stream: &TcpStream) -> usize {
    stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let piece = vec![b'x'; 64 * 1024];
    let mut written = 0;
    while written < ENDLESS {
        match stream.write(&piece) {
            Ok(length) => written += length,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                return written;
            }
            Err(error) => panic!("{error}"),
        }
    }
    written
}

#[test]
fn a_client_that_does_not_read_stops_the_upstream() {
    let (tell, stuck) = channel();
    let tell = Mutex::new(tell);
    let upstream = Upstream::scripted(move |_, stream| {
        read_head(&mut BufReader::new(&stream)).unwrap();
        write!(
            &stream,
            "HTTP/1.1 200 OK\r\ncontent-length: {ENDLESS}\r\n\r\n"
        )
        .unwrap();
        tell.lock()
            .unwrap()
            .send(write_until_stuck(&stream))
            .unwrap();
    });
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    let written = stuck.recv_timeout(PATIENCE).unwrap();
    assert!(written < ON_ITS_WAY, "{written}");
    drop(client);
}

#[test]
fn an_upstream_that_does_not_read_stops_the_client() {
    let (tell, go_on) = channel::<()>();
    let go_on = Mutex::new(go_on);
    let upstream = Upstream::scripted(move |_, stream| {
        read_head(&mut BufReader::new(&stream)).unwrap();
        let _ = go_on.lock().unwrap().recv();
    });
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send(format!(
        "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {ENDLESS}\r\n\r\n"
    ));
    let written = write_until_stuck(client.socket());
    assert!(written < ON_ITS_WAY, "{written}");
    drop(tell);
}

#[test]
fn a_piece_is_passed_on_as_soon_as_it_is_here() {
    let (tell, go_on) = channel::<()>();
    let go_on = Mutex::new(go_on);
    let upstream = Upstream::scripted(move |_, mut stream| {
        read_head(&mut BufReader::new(&stream)).unwrap();
        stream
            .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n")
            .unwrap();
        go_on.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        stream.write_all(b"6\r\nsecond\r\n0\r\n\r\n").unwrap();
        let _ = stream.read(&mut [0]);
    });
    let route = forward_with("/", "a", json!({"timeout": "0s"}));
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    client.receive_head();
    assert_eq!(client.read_exact(10), b"5\r\nfirst\r\n");
    tell.send(()).unwrap();
    assert_eq!(client.read_exact(11), b"6\r\nsecond\r\n");
}
