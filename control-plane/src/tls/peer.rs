//! What is kept of the certificate that a client has shown. The handshake has checked it; what its names mean is decided
//! in `access`.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use super::validity;

/// Who is at the other end of a connection, as far as its certificate says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// The URIs among its names (RFC 5280, section 4.2.1.6); `None` if it has shown no certificate.
    pub uris: Option<Arc<[String]>>,
    /// The last second in which its certificate is good; `None` if it has shown no certificate.
    pub until: Option<SystemTime>,
}

impl Peer {
    /// Of a connection on which the handshake is done.
    pub(super) fn of(stream: &TlsStream<TcpStream>) -> Self {
        let (_, session) = stream.get_ref();
        let shown = session.peer_certificates().and_then(<[_]>::first);
        // What the verifier could read can be read again.
        let read = shown.and_then(|der| webpki::EndEntityCert::try_from(der).ok());
        Self {
            uris: read.map(|read| read.valid_uri_names().map(str::to_owned).collect()),
            until: shown.map(|der| validity::not_after(der).unwrap_or(SystemTime::UNIX_EPOCH)),
        }
    }
}
