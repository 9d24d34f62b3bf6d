//! How the proxy knows its control plane, and how it shows who it is itself: certificates, and a join token in the metadata
//! of every stream. In: files. They are read for every connection, so renewing them needs no restart.

use std::path::{Path, PathBuf};

use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

/// The files.
#[derive(Clone, Debug, Default)]
pub(crate) struct Credentials {
    /// Roots of the control plane's certificate; needed for `https`.
    pub(crate) ca: Option<PathBuf>,
    /// The proxy's own certificate and its key.
    pub(crate) identity: Option<(PathBuf, PathBuf)>,
    /// Holds a join token.
    pub(crate) token: Option<PathBuf>,
}

/// A connection on which every call says who calls.
pub(super) type Authorized = InterceptedService<Channel, Bearer>;

/// Adds the token to a call's metadata.
#[derive(Clone, Debug)]
pub(super) struct Bearer(Option<MetadataValue<Ascii>>);

impl Credentials {
    /// The token as it is now. An error says which file is of no use.
    pub(super) fn bearer(&self) -> Result<Bearer, String> {
        let Some(path) = &self.token else {
            return Ok(Bearer(None));
        };
        let text = read(path)?;
        let token = String::from_utf8_lossy(&text);
        let field = format!("Bearer {}", token.trim());
        let value: Result<MetadataValue<Ascii>, _> = field.parse();
        let mut value = value.map_err(|_| format!("{} holds no token", path.display()))?;
        value.set_sensitive(true);
        Ok(Bearer(Some(value)))
    }

    /// Adds TLS to an endpoint, if its URL asks for it. An error says which file is of no use.
    pub(super) fn secure(&self, endpoint: Endpoint, server: &Uri) -> Result<Endpoint, String> {
        if server.scheme_str() != Some("https") {
            return Ok(endpoint);
        }
        let mut tls = ClientTlsConfig::new();
        if let Some(host) = server.host() {
            tls = tls.domain_name(host.trim_start_matches('[').trim_end_matches(']'));
        }
        if let Some(ca) = &self.ca {
            tls = tls.ca_certificate(Certificate::from_pem(read(ca)?));
        }
        if let Some((cert, key)) = &self.identity {
            tls = tls.identity(Identity::from_pem(read(cert)?, read(key)?));
        }
        endpoint
            .tls_config(tls)
            .map_err(|error| super::stream::describe(&error))
    }
}

impl Bearer {
    /// Speaks for a connection.
    pub(super) fn on(self, channel: Channel) -> Authorized {
        InterceptedService::new(channel, self)
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(field) = &self.0 {
            request
                .metadata_mut()
                .insert("authorization", field.clone());
        }
        Ok(request)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_anew_for_every_connection() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let credentials = Credentials {
            token: Some(path.clone()),
            ..Credentials::default()
        };
        let sent = || {
            let mut bearer = credentials.bearer()?;
            let request = bearer.call(Request::new(())).unwrap();
            let field = request.metadata().get("authorization").cloned();
            Ok::<_, String>(field.unwrap().to_str().unwrap().to_owned())
        };
        assert!(sent().unwrap_err().contains("cannot read"));
        for (text, field) in [("one\n", "Bearer one"), (" two ", "Bearer two")] {
            std::fs::write(&path, text).unwrap();
            assert_eq!(sent().unwrap(), field);
        }
        std::fs::write(&path, "a\nb").unwrap();
        assert!(sent().unwrap_err().contains("holds no token"));
    }

    #[test]
    fn without_a_token_nothing_is_said() {
        let mut bearer = Credentials::default().bearer().unwrap();
        let request = bearer.call(Request::new(())).unwrap();
        assert!(request.metadata().get("authorization").is_none());
    }
}
