//! Certificates and keys as they stand in files (PEM, RFC 7468), and what can be wrong with them.

use std::path::{Path, PathBuf};

use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::VerifierBuilderError;

/// Why files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One cannot be read, or holds something else.
    #[error("cannot read {path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: pem::Error,
    },
    /// One holds no certificate.
    #[error("{0} holds no certificate")]
    Empty(PathBuf),
    /// The certificate and the key are of no use together.
    #[error("the certificate and its key cannot be used")]
    Pair(#[source] rustls::Error),
    /// The roots are of no use.
    #[error("the roots of clients' certificates cannot be used")]
    Roots(#[source] VerifierBuilderError),
    /// Nobody says whom to trust.
    #[error("this system has no roots of certificates where they are looked for")]
    NoRoots,
}

/// The certificates of a file, one or more.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let broken = |source| TlsError::File {
        path: path.to_owned(),
        source,
    };
    let read = CertificateDer::pem_file_iter(path).map_err(broken)?;
    let certificates: Vec<_> = read.collect::<Result<_, _>>().map_err(broken)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty(path.to_owned()));
    }
    Ok(certificates)
}

/// The private key of a file.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_file(path).map_err(|source| TlsError::File {
        path: path.to_owned(),
        source,
    })
}
