//! Upstreams: one that answers requests, and one whose every byte the test writes.

use std::io::{BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;

use super::PATIENCE;
use super::http::{Message, read_body, read_head};

/// A server on a port of its own. Its threads end with the test's process.
pub(crate) struct Upstream {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    seen: Mutex<Receiver<Seen>>,
}

/// A request that the server got.
pub(crate) struct Seen {
    /// The request.
    pub(crate) request: Message,
    /// Which of its connections it came on, from 0.
    pub(crate) connection: usize,
}

impl Upstream {
    /// A server that answers every request by `answer`, which gives the bytes of a response.
    pub(crate) fn answering(answer: impl Fn(&Message) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let (seen_by, seen) = channel();
        let answer = Arc::new(answer);
        let address = accept_all(move |connection, stream| {
            let (answer, seen_by) = (answer.clone(), seen_by.clone());
            thread::spawn(move || converse(connection, stream, &*answer, &seen_by));
        });
        Self {
            address,
            seen: Mutex::new(seen),
        }
    }

    /// A server that answers 200 with its name.
    pub(crate) fn named(name: &'static str) -> Self {
        Self::answering(move |_| ok(name))
    }

    /// A server that hands every connection to `script`, in a thread of its own.
    pub(crate) fn scripted(script: impl Fn(usize, TcpStream) + Send + Sync + 'static) -> Self {
        let (_, seen) = channel();
        let script = Arc::new(script);
        let address = accept_all(move |connection, stream| {
            let script = script.clone();
            thread::spawn(move || script(connection, stream));
        });
        Self {
            address,
            seen: Mutex::new(seen),
        }
    }

    /// The next request it got.
    pub(crate) fn seen(&self) -> Seen {
        self.seen
            .lock()
            .unwrap()
            .recv_timeout(PATIENCE)
            .expect("a request upstream")
    }

    /// Whether no request has come that the test has not looked at.
    pub(crate) fn has_seen_nothing(&self) -> bool {
        self.seen.lock().unwrap().try_recv().is_err()
    }
}

/// A response with a body of known length.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// An address that nobody listens on. It stays reserved while the value lives.
pub(crate) fn nobody() -> (SocketAddr, impl Drop) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (address, Reserved { _socket: socket })
}

struct Reserved {
    _socket: socket2::Socket,
}

impl Drop for Reserved {
    fn drop(&mut self) {}
}

fn accept_all(mut take: impl FnMut(usize, TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for (connection, stream) in listener.incoming().enumerate() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            take(connection, stream);
        }
    });
    address
}

fn converse(
    connection: usize,
    stream: TcpStream,
    answer: &dyn Fn(&Message) -> Vec<u8>,
    seen: &Sender<Seen>,
) {
    let mut stream = BufReader::new(stream);
    while let Ok(Some(mut request)) = read_head(&mut stream) {
        if read_body(&mut request, &mut stream, false).is_err() {
            return;
        }
        let response = answer(&request);
        // The test may be over.
        let _ = seen.send(Seen {
            request,
            connection,
        });
        if stream.get_mut().write_all(&response).is_err() {
            return;
        }
    }
}
