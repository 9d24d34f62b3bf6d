//! Connections of both ports: TCP as it comes, or TLS on it. In: a listener, and files in PEM. Out: connections on which
//! the handshake is done. A handshake runs beside the others and has little time, so a client that is silent holds
//! nobody up. Beside it the other end: what our own client trusts.

mod validity;

mod peer;
mod pem;

mod files;
mod stream;
mod trust;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;

pub use self::files::{Protocol, Tls, TlsFiles};
pub use self::peer::Peer;
pub use self::pem::TlsError;
pub use self::stream::Connection;
pub use self::trust::{Trust, unverified};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How many run at once; more clients wait in the socket's queue.
const HANDSHAKES_MAX: usize = 256;
/// Pause after an accept that failed: most often too many files are open.
const PAUSE: Duration = Duration::from_millis(500);

/// Connections, as they become ready.
#[derive(Debug)]
pub struct Incoming {
    connections: mpsc::Receiver<(Connection, SocketAddr)>,
    address: SocketAddr,
}

impl Incoming {
    /// Accepts connections for as long as this is held.
    ///
    /// # Errors
    /// The listener does not know its address.
    pub fn new(listener: TcpListener, tls: Option<Arc<Tls>>) -> std::io::Result<Self> {
        let address = listener.local_addr()?;
        let (ready, connections) = mpsc::channel(1);
        tokio::spawn(accept(listener, tls, ready));
        Ok(Self {
            connections,
            address,
        })
    }

    /// The next connection; never if none can come any more.
    pub async fn next(&mut self) -> (Connection, SocketAddr) {
        match self.connections.recv().await {
            Some(connection) => connection,
            None => std::future::pending().await,
        }
    }
}

type Ready = mpsc::Sender<(Connection, SocketAddr)>;

async fn accept(listener: TcpListener, tls: Option<Arc<Tls>>, ready: Ready) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let (tcp, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        // Small messages are answers that somebody waits for.
        let _ = tcp.set_nodelay(true);
        let Some(tls) = &tls else {
            if ready.send((Connection::Plain(tcp), peer)).await.is_err() {
                return;
            }
            continue;
        };
        let Ok(permit) = handshakes.clone().acquire_owned().await else {
            return;
        };
        let (acceptor, ready) = (TlsAcceptor::from(tls.current()), ready.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(HANDSHAKE, acceptor.accept(tcp)).await {
                Ok(Ok(stream)) => {
                    drop(permit);
                    let _ = ready.send((Connection::Tls(Box::new(stream)), peer)).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "a TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "a TLS handshake took too long"),
            }
        });
    }
}

impl axum::serve::Listener for Incoming {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        self.next().await
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(self.address)
    }
}

impl futures_util::Stream for Incoming {
    type Item = std::io::Result<Connection>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let next = self.connections.poll_recv(context);
        next.map(|next| next.map(|(connection, _)| Ok(connection)))
    }
}
