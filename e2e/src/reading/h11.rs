//! The second reader: h11, a library for Python that knows HTTP/1.1 and no sockets. One helper process reads everything; it
//! is asked in lines of JSON and ends when its input does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::{End, Message, Reading, Start};
use crate::tools;

/// The helper process.
pub struct H11 {
    child: Child,
    pipes: Mutex<(ChildStdin, BufReader<ChildStdout>)>,
}

impl H11 {
    /// Starts the helper.
    pub fn start() -> Result<Self> {
        let mut child = Command::new(tools::python()?)
            .args(["-u", "-c", include_str!("h11.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the reader in Python")?;
        let input = child.stdin.take().context("its input")?;
        let output = child.stdout.take().context("its output")?;
        Ok(Self {
            child,
            pipes: Mutex::new((input, BufReader::new(output))),
        })
    }

    /// Reads all requests at the front of `bytes`.
    pub fn requests(&self, bytes: &[u8]) -> Result<Reading> {
        self.ask(&json!({"role": "server", "bytes": hex(bytes)}))
    }

    /// Reads the responses to requests of these methods, interim ones among them. `is_closed`: no more bytes will come.
    pub fn responses(&self, bytes: &[u8], methods: &[&str], is_closed: bool) -> Result<Reading> {
        self.ask(&json!({
            "role": "client",
            "bytes": hex(bytes),
            "methods": methods,
            "closed": is_closed,
        }))
    }

    fn ask(&self, question: &Value) -> Result<Reading> {
        let mut pipes = self
            .pipes
            .lock()
            .expect("nothing panics while it holds the lock");
        writeln!(pipes.0, "{question}").context("asking the reader in Python")?;
        let mut line = String::new();
        let read = pipes.1.read_line(&mut line)?;
        ensure!(read > 0, "the reader in Python has ended");
        let answer: Value = serde_json::from_str(&line)?;
        let messages = answer["messages"].as_array().context("messages")?;
        Ok(Reading {
            messages: messages.iter().map(message).collect::<Result<_>>()?,
            end: match answer["end"].as_str().context("end")? {
                "clean" => End::Clean,
                "incomplete" => End::Incomplete,
                why => End::Malformed(why.to_owned()),
            },
        })
    }
}

impl Drop for H11 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn message(value: &Value) -> Result<Message> {
    let text = |name: &str| value[name].as_str().map(ToOwned::to_owned);
    let start = match value["status"].as_u64() {
        Some(status) => Start::Status(u16::try_from(status)?),
        None => Start::Request {
            method: text("method").context("method")?,
            target: text("target").context("target")?,
        },
    };
    Ok(Message {
        start,
        fields: fields(&value["fields"])?,
        body: unhex(&text("body").context("body")?)?,
        trailers: fields(&value["trailers"])?,
    })
}

fn fields(value: &Value) -> Result<Vec<(String, Vec<u8>)>> {
    let list = value.as_array().context("a list of fields")?;
    let field = |field: &Value| {
        let name = field[0].as_str().context("a name")?;
        let value = field[1].as_str().context("a value")?;
        anyhow::Ok((name.to_owned(), unhex(value)?))
    };
    list.iter().map(field).collect()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(DIGITS[usize::from(digit)]));
    digits.collect()
}

fn unhex(text: &str) -> Result<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::super::strict;
    use super::*;

    #[test]
    fn what_the_strict_reader_reads_is_read_the_same() {
        let h11 = H11::start().unwrap();
        let bytes = b"POST /a HTTP/1.1\r\nHost: h\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nx-t: 1\r\n\r\nGET / HTTP/1.1\r\nhost: h\r\nconnection: upgrade\r\nupgrade: x\r\n\r\nPUT / HTTP/1.1\r\nhost: h\r\ncontent-length: 2\r\n\r\nab";
        let expected = strict::requests(bytes);
        assert_eq!((expected.messages.len(), &expected.end), (3, &End::Clean));
        assert_eq!(h11.requests(bytes).unwrap(), expected);
        for cut in [1, 70, 90, bytes.len() - 1] {
            let expected = strict::requests(&bytes[..cut]);
            assert_eq!(h11.requests(&bytes[..cut]).unwrap(), expected, "{cut}");
        }
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nHTTP/1.1 304 \r\n\r\nHTTP/1.1 200 OK\r\n\r\nrest";
        let methods = ["HEAD", "GET", "GET"];
        for is_closed in [true, false] {
            let expected = strict::responses(bytes, &methods, is_closed);
            let read = h11.responses(bytes, &methods, is_closed).unwrap();
            assert_eq!(read, expected, "{is_closed}");
        }
        let read = h11.responses(bytes, &methods[..1], true).unwrap();
        assert!(matches!(read.end, End::Malformed(_)), "{read:?}");
        let read = h11.requests(b"GET / HTTP/1.1\r\nhost : h\r\n\r\n").unwrap();
        assert!(matches!(read.end, End::Malformed(_)), "{read:?}");
    }
}
