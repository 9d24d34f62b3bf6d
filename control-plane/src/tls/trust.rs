//! What a client needs for TLS: whom it trusts, and what it shows of itself. In: files in PEM, or the roots of this
//! system. Out: connections, or what is wrong with the other end in a sentence.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{CertificateError, ClientConfig, Error, InvalidMessage, RootCertStore};

use super::pem::{TlsError, certificates, key};

/// Where systems keep the roots that they trust, all in one file. Source: Go, `crypto/x509/root_linux.go` and
/// `root_bsd.go`; the list of OpenSSL's own probes is the same.
const BUNDLES: [&str; 6] = [
    // Debian, Ubuntu, Alpine, Arch
    "/etc/ssl/certs/ca-certificates.crt",
    // Fedora, RHEL 6
    "/etc/pki/tls/certs/ca-bundle.crt",
    // openSUSE
    "/etc/ssl/ca-bundle.pem",
    // RHEL 7 and later
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    // Alpine, macOS, OpenBSD
    "/etc/ssl/cert.pem",
    // FreeBSD
    "/usr/local/etc/ssl/cert.pem",
];
/// Names another file in place of these; known to everything that uses OpenSSL.
const BUNDLE_VARIABLE: &str = "SSL_CERT_FILE";

/// Whom a client trusts, and as whom it comes.
#[derive(Clone)]
pub struct Trust(Arc<ClientConfig>);

impl Trust {
    /// Trusts the roots in `ca_file` and no others; those of this system if there is none. Shows the certificate and key
    /// of `identity` to a server that asks.
    ///
    /// # Errors
    /// A file cannot be used, or this system has no roots.
    pub fn load(
        ca_file: Option<&Path>,
        identity: Option<(&Path, &Path)>,
    ) -> Result<Self, TlsError> {
        let roots = match ca_file {
            Some(path) => roots(path)?,
            None => system_roots()?,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_root_certificates(roots);
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some((cert, own)) => builder
                .with_client_auth_cert(certificates(cert)?, key(own)?)
                .map_err(TlsError::Pair)?,
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self(Arc::new(config)))
    }

    /// Speaks TLS on a connection to `host`, a name or an address.
    ///
    /// # Errors
    /// The other end is not who it should be, or speaks no TLS.
    pub async fn handshake(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        TlsConnector::from(self.0.clone()).connect(name, tcp).await
    }
}

/// What is wrong with the other end of a handshake, if it is one of the things that people can mend.
pub fn unverified(error: &std::io::Error) -> Option<String> {
    let certificate = match error.get_ref()?.downcast_ref::<Error>()? {
        Error::InvalidCertificate(certificate) => certificate,
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            return Some("it does not speak TLS".to_owned());
        }
        _ => return None,
    };
    Some(match certificate {
        // Another authority of the same name is one that is not trusted, too.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            let sentence = "its certificate comes from an authority that is not trusted here; --ca-file names others";
            sentence.to_owned()
        }
        CertificateError::NotValidForName => "its certificate is for another name".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => format!(
            "its certificate is not for {}, but for {}",
            expected.to_str(),
            names(presented)
        ),
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet".to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    })
}

/// `DnsName("a")` and the like, as the verifier puts them, without what is around them.
fn names(presented: &[String]) -> String {
    let bare = presented.iter().map(|name| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        inner.trim_matches(['"', ')', '(']).to_owned()
    });
    match bare.collect::<Vec<_>>() {
        none if none.is_empty() => "no name at all".to_owned(),
        names => names.join(", "),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for root in certificates(path)? {
        roots.add(root).map_err(TlsError::Pair)?;
    }
    Ok(roots)
}

/// Systems trust a few certificates that no verifier reads; those are left out.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let named = std::env::var_os(BUNDLE_VARIABLE).filter(|path| !path.is_empty());
    let path = match named {
        Some(path) => PathBuf::from(path),
        None => {
            let known = BUNDLES.iter().map(Path::new).find(|path| path.is_file());
            known.ok_or(TlsError::NoRoots)?.to_owned()
        }
    };
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(certificates(&path)?);
    if roots.is_empty() {
        return Err(TlsError::Empty(path));
    }
    Ok(roots)
}
