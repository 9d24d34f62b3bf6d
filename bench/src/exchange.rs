//! What is asked and answered: the same for load, upstream and whoever stands between them. Pure.

use crate::table::Table;

const SMALL: usize = 100;
const MIB: usize = 1 << 20;
/// Of a chunked answer, as the upstream cuts it.
const CHUNK: usize = 16 << 10;
/// What all bodies are made of. No line ends: the load finds the end of a chunked body by its blank line.
const FILLING: u8 = b'x';

/// A request and its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Exchange {
    /// GET, 100 bytes.
    Small,
    /// GET, 10 KiB.
    TenKib,
    /// GET, 1 MiB with its length.
    Mib,
    /// GET, 1 MiB in chunks.
    MibChunked,
    /// POST of 64 KiB, 100 bytes.
    Post,
}

impl Exchange {
    pub(crate) fn name(self) -> String {
        let value = clap::ValueEnum::to_possible_value(&self);
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }

    /// The whole answer, head and body.
    pub(crate) fn answer(self) -> Vec<u8> {
        let head = |framing: &str| {
            format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{framing}\r\n\r\n").into_bytes()
        };
        let whole = |length: usize| {
            let head = head(&format!("Content-Length: {length}"));
            [head, vec![FILLING; length]].concat()
        };
        match self {
            Self::Small | Self::Post => whole(SMALL),
            Self::TenKib => whole(10 << 10),
            Self::Mib => whole(MIB),
            Self::MibChunked => {
                let chunk = [
                    format!("{CHUNK:x}\r\n").into_bytes(),
                    vec![FILLING; CHUNK],
                    b"\r\n".to_vec(),
                ]
                .concat();
                let chunks = chunk.repeat(MIB / CHUNK);
                [
                    head("Transfer-Encoding: chunked"),
                    chunks,
                    b"0\r\n\r\n".to_vec(),
                ]
                .concat()
            }
        }
    }

    /// The length of each request's body.
    pub(crate) fn request_body(self) -> usize {
        match self {
            Self::Post => 64 << 10,
            Self::Small | Self::TenKib | Self::Mib | Self::MibChunked => 0,
        }
    }

    /// Requests that are spread over the table, to be sent one after the other.
    pub(crate) fn requests(self, table: Table) -> Vec<Vec<u8>> {
        let targets = table.targets();
        targets
            .iter()
            .map(|target| self.request(&target.host, &target.path))
            .collect()
    }

    pub(crate) fn request(self, host: &str, path: &str) -> Vec<u8> {
        match self.request_body() {
            0 => format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
            length => {
                let head = format!(
                    "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\n\r\n"
                );
                [head.into_bytes(), vec![FILLING; length]].concat()
            }
        }
    }
}
