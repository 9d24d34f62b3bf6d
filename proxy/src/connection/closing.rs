//! The last of a connection.

use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::End;

/// How long a client may take to read the last response before the socket is closed (Envoy's `delayed_close_timeout`).
/// Without it, bytes that we have not read would make the kernel reset the connection and take the response with it.
const LINGER: Duration = Duration::from_secs(1);

/// Closes the socket of a connection that has come to its end.
pub(super) async fn close(stream: TcpStream, end: End) {
    match end {
        End::Done => linger(stream).await,
        // A plain end would be taken for that of the answer.
        End::Broken => drop(SockRef::from(&stream).set_linger(Some(Duration::ZERO))),
        End::Gone | End::Switched(_) => {}
    }
}

/// Says that nothing more will come and reads on until the client closes, so that what it has not read yet is not lost.
async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let read_out = async { while stream.readable().await.is_ok() && discard(&stream) {} };
    let _ = tokio::time::timeout(LINGER, read_out).await;
}

/// Throws away what has arrived. `false` at the end.
fn discard(stream: &TcpStream) -> bool {
    let mut scrap = [0; 4096];
    match stream.try_read(&mut scrap) {
        Ok(len) => len > 0,
        Err(error) => error.kind() == std::io::ErrorKind::WouldBlock,
    }
}
