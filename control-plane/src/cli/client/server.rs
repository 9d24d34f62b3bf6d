//! The URL of a control plane.

use std::fmt;
use std::str::FromStr;

use http::Uri;

/// Where a control plane is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Server {
    tls: bool,
    host: String,
    port: u16,
    authority: String,
    prefix: String,
}

impl Server {
    /// Whether TLS is spoken with it.
    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    /// The host to connect to: a name, or an address without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// The port to connect to.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// For the Host field.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// What stands before every path, without a slash at its end: a control plane may be behind another server.
    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl FromStr for Server {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let example = "a server is a URL such as http://127.0.0.1:8080 or https://box.example";
        let uri: Uri = text.parse().map_err(|_| example.to_owned())?;
        let (tls, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => (false, authority),
            (Some("https"), Some(authority)) => (true, authority),
            _ => return Err(example.to_owned()),
        };
        if authority.as_str().contains('@') || uri.query().is_some() {
            return Err(format!("{example}; credentials are given with --token"));
        }
        let host = authority.host();
        let bare = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'));
        Ok(Self {
            tls,
            host: bare.unwrap_or(host).to_owned(),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_string(),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_says_where_to_connect_and_what_stands_before_paths() {
        let server: Server = "http://[::1]:8080/boxes/a/".parse().unwrap();
        assert_eq!((server.host(), server.port()), ("::1", 8080));
        assert_eq!(
            (server.authority(), server.prefix()),
            ("[::1]:8080", "/boxes/a")
        );
        assert_eq!(server.to_string(), "http://[::1]:8080/boxes/a");
        let server: Server = "http://box.example".parse().unwrap();
        assert_eq!(
            (server.host(), server.port(), server.prefix()),
            ("box.example", 80, "")
        );
        let server: Server = "https://box.example/a".parse().unwrap();
        assert_eq!((server.tls(), server.port()), (true, 443));
        assert_eq!(server.to_string(), "https://box.example/a");
    }

    #[test]
    fn what_is_no_url_of_a_server_is_refused() {
        for text in [
            "",
            "127.0.0.1:8080",
            "ftp://a",
            "http://u:p@a",
            "http://a?b",
            "/v1",
        ] {
            assert!(text.parse::<Server>().is_err(), "{text:?}");
        }
    }
}
