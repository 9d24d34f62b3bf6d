//! A client on one connection.

use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

use super::PATIENCE;
use super::http::{Message, read_body, read_head};

/// A connection to the proxy.
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects.
    pub(crate) fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).expect("the proxy accepts")
    }

    /// Connects, if somebody listens.
    pub(crate) fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    /// The socket.
    pub(crate) fn socket(&self) -> &TcpStream {
        self.stream.get_ref()
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream
            .get_mut()
            .write_all(bytes.as_ref())
            .expect("the proxy reads");
    }

    /// Reads the next response to anything but HEAD.
    pub(crate) fn receive(&mut self) -> Message {
        self.try_receive()
            .expect("a whole response")
            .expect("a response")
    }

    /// Reads the next response; `None` if the connection is closed before it.
    pub(crate) fn try_receive(&mut self) -> io::Result<Option<Message>> {
        let Some(mut message) = read_head(&mut self.stream)? else {
            return Ok(None);
        };
        if !matches!(message.status(), 204 | 304) {
            read_body(&mut message, &mut self.stream, true)?;
        }
        Ok(Some(message))
    }

    /// Reads the head of the next response and nothing of its body.
    pub(crate) fn receive_head(&mut self) -> Message {
        read_head(&mut self.stream)
            .expect("a head")
            .expect("a response")
    }

    /// Reads some bytes of a body.
    pub(crate) fn read_exact(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = vec![0; length];
        self.stream.read_exact(&mut bytes).expect("more bytes");
        bytes
    }

    /// Sends a request for a path and reads the response.
    pub(crate) fn get(&mut self, path: &str) -> Message {
        self.send(format!("GET {path} HTTP/1.1\r\nhost: shop.example\r\n\r\n"));
        self.receive()
    }

    /// Reads to the end of the connection: the bytes, or the error that ended it.
    pub(crate) fn read_to_end(mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Whether the proxy has closed the connection; waits for it.
    pub(crate) fn sees_the_end(mut self) -> bool {
        matches!(self.stream.read(&mut [0; 1]), Ok(0))
    }

    /// Goes away.
    pub(crate) fn close(self) {
        let _ = self.socket().shutdown(Shutdown::Both);
    }
}
