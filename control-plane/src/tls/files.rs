//! Certificates in files. They are read at start, where a fault ends the program, and again whenever they change, where a
//! fault leaves those that were read before: renewing a certificate needs no restart.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{self, RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use super::pem::{TlsError, certificates, key};

/// How often the files are looked at. Renewal is a matter of days; whoever tests it waits this long.
const LOOK: Duration = Duration::from_secs(2);

/// The files of a port.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, then those that lead to a root.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
    /// Roots of the certificates that clients must show; nobody must show one without.
    pub client_ca: Option<PathBuf>,
}

/// What is spoken on the port (ALPN, RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2, which gRPC needs.
    Http2,
}

/// The certificates of a port, as they are now.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    protocol: Protocol,
    /// The files as they were before they were read first: what changes meanwhile is read again.
    first: Vec<Option<Stamp>>,
    current: Mutex<Arc<ServerConfig>>,
}

/// When a file was written, how long it is, and which one it is: a file that takes another's place may be as old and as
/// long.
type Stamp = (SystemTime, u64, u64);

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// They cannot be used.
    pub fn load(files: TlsFiles, protocol: Protocol) -> Result<Arc<Self>, TlsError> {
        let first = stamps(&files);
        let current = Mutex::new(read(&files, protocol)?);
        Ok(Arc::new(Self {
            files,
            protocol,
            first,
            current,
        }))
    }

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.clone()
    }

    /// Reads the files again whenever one of them has changed, until it is cancelled.
    pub async fn follow(self: Arc<Self>, shutdown: CancellationToken) {
        let mut seen = self.first.clone();
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
            let stamps = stamps(&self.files);
            if stamps == seen {
                continue;
            }
            seen = stamps;
            match read(&self.files, self.protocol) {
                Ok(config) => {
                    let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
                    *current = config;
                    tracing::info!(cert = %self.files.cert.display(), "certificates were read again");
                }
                // One file of a pair may have changed before the other.
                Err(error) => {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "certificates have changed and cannot be used; those before stay"
                    );
                }
            }
        }
    }
}

fn stamps(files: &TlsFiles) -> Vec<Option<Stamp>> {
    let stamp = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    };
    let pair = [&files.cert, &files.key].into_iter();
    pair.chain(&files.client_ca).map(stamp).collect()
}

fn read(files: &TlsFiles, protocol: Protocol) -> Result<Arc<ServerConfig>, TlsError> {
    // Said by name: a process-wide default would depend on which other crate had asked first.
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Pair)?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => builder.with_client_cert_verifier(verifier(path, provider)?),
    };
    let mut config = builder
        .with_single_cert(certificates(&files.cert)?, key(&files.key)?)
        .map_err(TlsError::Pair)?;
    config.alpn_protocols = match protocol {
        Protocol::Http1 => vec![b"http/1.1".to_vec()],
        Protocol::Http2 => vec![b"h2".to_vec()],
    };
    Ok(Arc::new(config))
}

fn verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root).map_err(TlsError::Pair)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(TlsError::Roots)
}
