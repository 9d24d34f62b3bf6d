//! Ways between TCP and sockets in the file system: the latter are seen from every network namespace.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

/// A running relay between the two; dropping it closes its socket and all its connections.
pub struct Door(JoinHandle<()>);

impl Door {
    /// From a free port of 127.0.0.1, which is returned too, to the socket at `path`.
    pub async fn to_path(path: PathBuf) -> Result<(Self, SocketAddr)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let task = async move {
            let mut connections = JoinSet::new();
            loop {
                // A failed accept concerns one client, which will notice.
                if let Ok((client, _)) = listener.accept().await {
                    let path = path.clone();
                    connections.spawn(async move { drop(inward(client, path).await) });
                }
                while connections.try_join_next().is_some() {}
            }
        };
        Ok((Self(tokio::spawn(task)), address))
    }

    /// From a new socket at `path` to `target`.
    pub fn from_path(path: PathBuf, target: SocketAddr) -> Result<Self> {
        let listener =
            UnixListener::bind(&path).with_context(|| format!("a socket at {}", path.display()))?;
        let task = async move {
            let mut connections = JoinSet::new();
            loop {
                if let Ok((client, _)) = listener.accept().await {
                    connections.spawn(async move { drop(outward(client, target).await) });
                }
                while connections.try_join_next().is_some() {}
            }
        };
        Ok(Self(tokio::spawn(task)))
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn inward(client: TcpStream, path: PathBuf) -> io::Result<()> {
    client.set_nodelay(true)?;
    join(client, UnixStream::connect(path).await?).await
}

async fn outward(client: UnixStream, target: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect(target).await?;
    server.set_nodelay(true)?;
    join(client, server).await
}

async fn join(
    mut one: impl AsyncRead + AsyncWrite + Unpin,
    mut other: impl AsyncRead + AsyncWrite + Unpin,
) -> io::Result<()> {
    copy_bidirectional(&mut one, &mut other).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{self, Request};
    use crate::upstream::Upstream;

    #[tokio::test]
    async fn out_by_one_door_and_in_by_another() {
        let upstream = Upstream::start("catalog").await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("socket");
        let _out = Door::from_path(path.clone(), upstream.address()).unwrap();
        let (_in, address) = Door::to_path(path).await.unwrap();
        let answer = client::send(address, Request::get("/bytes?n=100000"))
            .await
            .unwrap();
        assert_eq!(answer.body.len(), 100_000);
    }
}
