//! A connection to a control plane.

use std::time::Duration;

use tokio::net::TcpStream;

use super::server::Server;

/// How long a connection may take to open, over all addresses of a name.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Opens one. The error says what is wrong.
pub(super) async fn connect(server: &Server) -> Result<TcpStream, String> {
    let connect = TcpStream::connect((server.host(), server.port()));
    match tokio::time::timeout(CONNECT_WITHIN, connect).await {
        Ok(Ok(stream)) => Ok(stream),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no connection within {CONNECT_WITHIN:?}")),
    }
}
