//! Certificates for tests: an authority of their own, in a folder that goes with it.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Result;
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SanType,
};
use tempfile::TempDir;

/// Somebody who vouches for others.
pub struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its private key, as PEM files.
#[derive(Clone, Debug)]
pub struct Pair {
    pub cert: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// With a root of its own.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-certificates-")
            .tempdir()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let root = params.self_signed(&key)?;
        std::fs::write(folder.path().join("root.pem"), root.pem())?;
        Ok(Self {
            folder,
            issuer: Issuer::new(params, key),
        })
    }

    /// The root's certificate.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("root.pem")
    }

    /// Where the files are, for others that go with them.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A certificate for a server or a client on this machine; one of the same name is replaced.
    pub fn issue(&self, name: &str) -> Result<Pair> {
        self.issue_with(name, &[])
    }

    /// The same with URIs among its names.
    pub fn issue_with(&self, name: &str, uris: &[&str]) -> Result<Pair> {
        self.issue_until(name, uris, None)
    }

    /// The same, good until a time, in whole seconds; for long if none is given.
    pub fn issue_until(
        &self,
        name: &str,
        uris: &[&str],
        until: Option<SystemTime>,
    ) -> Result<Pair> {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let mut params = CertificateParams::new(names)?;
        if let Some(until) = until {
            params.not_after = until.into();
        }
        for uri in uris {
            let uri = SanType::URI((*uri).try_into()?);
            params.subject_alt_names.push(uri);
        }
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.issuer)?;
        let path = |end: &str| self.folder.path().join(format!("{name}{end}"));
        let pair = Pair {
            cert: path(".pem"),
            key: path("-key.pem"),
        };
        std::fs::write(&pair.key, key.serialize_pem())?;
        std::fs::write(&pair.cert, cert.pem())?;
        Ok(pair)
    }
}
