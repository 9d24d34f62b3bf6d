//! A connection to a control plane, plain or by TLS.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::server::Server;
use crate::tls::{Trust, unverified};

/// How long a connection may take to open, over all addresses of a name, and TLS on it.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// A connection, whatever it is made of.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Opens one, by TLS if whom to trust is said. The error says what is wrong.
pub(super) async fn connect(
    server: &Server,
    trust: Option<&Trust>,
) -> Result<Box<dyn Stream>, String> {
    match tokio::time::timeout(CONNECT_WITHIN, open(server, trust)).await {
        Ok(opened) => opened,
        Err(_) => Err(format!("no connection within {CONNECT_WITHIN:?}")),
    }
}

async fn open(server: &Server, trust: Option<&Trust>) -> Result<Box<dyn Stream>, String> {
    let tcp = TcpStream::connect((server.host(), server.port())).await;
    let tcp = tcp.map_err(|error| error.to_string())?;
    let Some(trust) = trust else {
        return Ok(Box::new(tcp));
    };
    match trust.handshake(server.host(), tcp).await {
        Ok(tls) => Ok(Box::new(tls)),
        Err(error) => Err(unverified(&error).unwrap_or_else(|| format!("no TLS: {error}"))),
    }
}
