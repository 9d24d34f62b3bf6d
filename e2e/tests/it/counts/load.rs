//! A client without surprises: all connections send, then all are read, and so again. What the proxy finds when it wakes does
//! then depend on as little as can be.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: h0.example\r\n\r\n";
/// An answer that takes longer, under any tool, will not come.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// One kept connection.
pub(super) struct Client {
    stream: TcpStream,
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(Self { stream })
    }

    pub(super) fn send(&mut self) -> Result<()> {
        Ok(self.stream.write_all(REQUEST)?)
    }

    /// A whole answer, which must be a 200.
    pub(super) fn receive(&mut self) -> Result<()> {
        let mut answer = Vec::new();
        let mut piece = [0; 4096];
        while !is_whole(&answer)? {
            let read = self
                .stream
                .read(&mut piece)
                .context("waiting for an answer")?;
            ensure!(read > 0, "the connection was closed");
            answer.extend_from_slice(&piece[..read]);
        }
        Ok(())
    }
}

fn is_whole(answer: &[u8]) -> Result<bool> {
    let text = std::str::from_utf8(answer)?;
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return Ok(false);
    };
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let head = head.to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .context("an answer says its length")?;
    Ok(body.len() == length.trim().parse::<usize>()?)
}

/// So many requests, evenly over so many connections.
pub(super) async fn in_lockstep(
    address: SocketAddr,
    connections: usize,
    requests: usize,
) -> Result<()> {
    let drive = move || {
        let mut clients = (0..connections)
            .map(|_| Client::connect(address))
            .collect::<Result<Vec<_>>>()?;
        for _ in 0..requests / connections {
            clients.iter_mut().try_for_each(Client::send)?;
            clients.iter_mut().try_for_each(Client::receive)?;
        }
        Ok(())
    };
    tokio::task::spawn_blocking(drive).await?
}

/// Lets this process open so many files. By a program of the system: raising the limit by ourselves needs `unsafe`.
pub(super) fn allow_files(count: usize) -> Result<()> {
    let status = Command::new("prlimit")
        .args(["--pid", &std::process::id().to_string()])
        .arg(format!("--nofile={count}:"))
        .status()
        .context("prlimit (Debian: `apt-get install util-linux`)")?;
    ensure!(status.success(), "{count} open files are not allowed here");
    Ok(())
}
