//! The head of a request: method, target in its canonical form, fields.
//! `begin` and `fields_mut` fill it, `canonical::read` gives it host, path and query; after that the same path and query
//! are matched, authorised and forwarded.

use std::borrow::Cow;

use super::field_id::FieldId;
use super::fields::{Fields, Invalid, Span};
use super::text::{Text, TextSpan};
use crate::octets;

/// The version a message came with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    #[default]
    Http11,
    /// HTTP/2
    Http2,
}

/// A method; most are one of a few.
#[derive(Clone, Copy, Debug)]
enum Method {
    Known(&'static str),
    Other(TextSpan),
}

impl Default for Method {
    fn default() -> Self {
        Method::Known("")
    }
}

/// The head of one request.
///
/// `Host` is not among the fields once the target has been read: [`RequestHead::authority`] is what goes upstream in its place
/// and [`RequestHead::host`] is what routes.
#[derive(Clone, Debug, Default)]
pub struct RequestHead {
    fields: Fields,
    text: Text,
    version: Version,
    method: Method,
    path: TextSpan,
    query: Option<TextSpan>,
    host: TextSpan,
    authority: Span,
    upgrade: Option<Span>,
}

impl RequestHead {
    /// An empty head.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets everything, keeps the capacity.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.text.clear();
        let empty = TextSpan::default();
        (self.method, self.version) = (Method::default(), Version::default());
        (self.path, self.query, self.host) = (empty, None, empty);
        (self.authority, self.upgrade) = (Span::default(), None);
    }

    /// Clears the head and starts a new one. The method is a token; methods have a case (RFC 9110 section 9.1).
    pub fn begin(&mut self, method: &str, version: Version) -> Result<(), Invalid> {
        self.clear();
        if !octets::is_token(method.as_bytes()) {
            return Err(Invalid::Name);
        }
        self.set_line(method.as_bytes(), version)
    }

    /// The method, as sent.
    pub fn method(&self) -> &str {
        match self.method {
            Method::Known(method) => method,
            Method::Other(span) => self.text.get(span),
        }
    }

    /// True for methods that may be sent twice with the effect of once (RFC 9110 section 9.2.2).
    pub fn is_idempotent(&self) -> bool {
        matches!(
            self.method(),
            "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"
        )
    }

    /// The version that the client spoke.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The canonical path: starts with `/`, or is `*`. Empty until the target has been read.
    pub fn path(&self) -> &str {
        self.text.get(self.path)
    }

    /// What stood behind the `?`, byte for byte; `None` without `?`.
    pub fn query(&self) -> Option<&str> {
        self.query.map(|query| self.text.get(query))
    }

    /// The host that routes: lower case, without port and trailing dot; an IPv6 address in brackets.
    /// Empty only for HTTP/1.0 without a host.
    pub fn host(&self) -> &str {
        self.text.get(self.host)
    }

    /// What goes upstream as `Host`: the authority as the client wrote it, with its port, unless it was replaced.
    pub fn authority(&self) -> &str {
        std::str::from_utf8(self.fields.slice(self.authority))
            .expect("checked to be ASCII when it was stored")
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// What a route's condition on a field sees: its values joined by commas (RFC 9110 section 5.3); of `host` the
    /// authority, and of `upgrade` what [`RequestHead::keep_upgrade`] found, since neither stands among the fields.
    pub fn matched_field(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        match name {
            "host" => return Some(self.authority().as_bytes().into()),
            "upgrade" => return self.upgrade().map(Into::into),
            _ => {}
        }
        let mut values = self.fields.get_all(name);
        let first = values.next()?;
        let Some(second) = values.next() else {
            return Some(first.into());
        };
        let mut joined = [first, b",", second].concat();
        for value in values {
            joined.push(b',');
            joined.extend_from_slice(value);
        }
        Some(joined.into())
    }

    /// The fields, to be changed.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Replaces the path: it starts with `/` and holds no control byte, space, `?` or `#`.
    /// It is forwarded as given: a rewrite is not normalised again.
    pub fn set_path(&mut self, path: &str) -> Result<(), Invalid> {
        let is_legal = |&byte: &u8| octets::is_target(byte) && byte != b'?';
        if !path.starts_with('/') || !path.as_bytes().iter().all(is_legal) {
            return Err(Invalid::Target);
        }
        self.path = self.text.store(path.as_bytes())?;
        Ok(())
    }

    /// Replaces the query, without its `?`; `None` removes it.
    pub fn set_query(&mut self, query: Option<&str>) -> Result<(), Invalid> {
        self.query = match query {
            Some(query) if query.as_bytes().iter().all(|&byte| octets::is_target(byte)) => {
                Some(self.text.store(query.as_bytes())?)
            }
            Some(_) => return Err(Invalid::Target),
            None => None,
        };
        Ok(())
    }

    /// Replaces what goes upstream as `Host`. The host that routed stays.
    pub fn set_authority(&mut self, authority: &str) -> Result<(), Invalid> {
        let is_legal = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(byte);
        if authority.is_empty() || !authority.as_bytes().iter().all(is_legal) {
            return Err(Invalid::Target);
        }
        self.authority = self.fields.store(authority.as_bytes())?;
        Ok(())
    }

    /// The protocol that the request asks to switch to, as it was written; several are a list. `None` unless
    /// [`RequestHead::keep_upgrade`] found one.
    pub fn upgrade(&self) -> Option<&[u8]> {
        self.upgrade.map(|span| self.fields.slice(span))
    }

    /// Keeps what the request asks to switch to (RFC 9110 section 7.8) apart from the fields of the hop, which are removed
    /// later: it goes upstream with a `Connection` of its own. HTTP/1.0 cannot ask, and nobody is asked for h2c, as in
    /// Envoy (`ConnectionImpl::onHeadersCompleteImpl`).
    pub fn keep_upgrade(&mut self) -> Result<(), Invalid> {
        self.upgrade = None;
        if self.version != Version::Http11 || !self.fields.contains(FieldId::Upgrade) {
            return Ok(());
        }
        let is_upgrade = |option: &[u8]| option.eq_ignore_ascii_case(b"upgrade");
        let mut options = self.fields.get_all(FieldId::Connection);
        let is_named = options.any(|value| octets::list(value).any(is_upgrade));
        drop(options);
        if !is_named {
            return Ok(());
        }
        let protocols: Vec<&[u8]> = self.fields.get_all(FieldId::Upgrade).collect();
        let protocols = protocols.join(&b","[..]);
        if !protocols.is_empty() && !protocols.eq_ignore_ascii_case(b"h2c") {
            self.upgrade = Some(self.fields.store(&protocols)?);
        }
        Ok(())
    }

    /// What goes upstream as `Host`, as bytes.
    pub(crate) fn authority_bytes(&self) -> &[u8] {
        self.fields.slice(self.authority)
    }

    /// What the request line says, the target apart. The caller has checked that `method` is a token.
    pub(crate) fn set_line(&mut self, method: &[u8], version: Version) -> Result<(), Invalid> {
        self.method = match known_method(method) {
            Some(known) => Method::Known(known),
            None => Method::Other(self.text.store(method)?),
        };
        self.version = version;
        Ok(())
    }

    /// Where the fields and the text of the head are written.
    pub(crate) fn parts_mut(&mut self) -> (&mut Fields, &mut Text) {
        (&mut self.fields, &mut self.text)
    }

    /// Takes the reading of `canonical`, which has checked every byte of it.
    pub(crate) fn set_target(&mut self, target: CanonicalTarget) {
        self.path = target.path;
        self.query = target.query;
        self.host = target.host;
        self.authority = target.authority;
    }
}

/// The methods of RFC 9110 section 9.3 and RFC 5789.
fn known_method(method: &[u8]) -> Option<&'static str> {
    Some(match method {
        b"GET" => "GET",
        b"HEAD" => "HEAD",
        b"POST" => "POST",
        b"PUT" => "PUT",
        b"DELETE" => "DELETE",
        b"CONNECT" => "CONNECT",
        b"OPTIONS" => "OPTIONS",
        b"TRACE" => "TRACE",
        b"PATCH" => "PATCH",
        _ => return None,
    })
}

/// The ranges that `canonical` wrote into the head.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CanonicalTarget {
    pub(crate) path: TextSpan,
    pub(crate) query: Option<TextSpan>,
    pub(crate) host: TextSpan,
    pub(crate) authority: Span,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_is_a_token_and_keeps_its_case() {
        let mut head = RequestHead::new();
        head.begin("Get", Version::Http11).expect("a token");
        assert_eq!(head.method(), "Get");
        assert!(!head.is_idempotent());
        for bad in ["", "GET /", "G\r\nT"] {
            assert_eq!(head.begin(bad, Version::Http11), Err(Invalid::Name));
        }
    }

    #[test]
    fn rewriting_refuses_what_would_change_the_request_line() {
        let mut head = RequestHead::new();
        head.begin("GET", Version::Http11).expect("a token");
        for bad in ["", "x", "/a b", "/a?b", "/a#b", "/a\r\n", "/ä"] {
            assert_eq!(head.set_path(bad), Err(Invalid::Target), "{bad:?}");
        }
        for bad in ["a b", "a#b", "a\n", "ä"] {
            assert_eq!(head.set_query(Some(bad)), Err(Invalid::Target), "{bad:?}");
        }
        for bad in ["", "a b", "a/b", "u@h", "a,b", "a\r\n"] {
            assert_eq!(head.set_authority(bad), Err(Invalid::Target), "{bad:?}");
        }
        head.set_path("/v2/a%20b").expect("legal path");
        head.set_query(Some("x=?/")).expect("legal query");
        head.set_authority("[::1]:80").expect("legal authority");
        assert_eq!(
            (head.path(), head.query(), head.authority()),
            ("/v2/a%20b", Some("x=?/"), "[::1]:80")
        );
        head.set_query(None).expect("removing is always legal");
        assert_eq!(head.query(), None);
    }

    #[test]
    fn an_upgrade_is_asked_for_in_two_fields_and_outlives_them() {
        let asked = |version, list: &[(&str, &[u8])]| {
            let mut head = RequestHead::new();
            head.begin("GET", version).expect("a token");
            for (name, value) in list {
                head.fields_mut().append(*name, value).expect("legal field");
            }
            head.keep_upgrade().expect("room");
            head.fields_mut().remove_hop_by_hop();
            assert!(!head.fields().contains(FieldId::Upgrade));
            head.upgrade().map(<[u8]>::to_vec)
        };
        let connection = ("connection", &b"keep-alive, Upgrade"[..]);
        let websocket = ("upgrade", &b"WebSocket"[..]);
        let v11 = Version::Http11;
        assert_eq!(
            asked(v11, &[connection, websocket]).as_deref(),
            Some(&b"WebSocket"[..])
        );
        assert_eq!(
            asked(v11, &[websocket, connection, ("upgrade", b"other")]).as_deref(),
            Some(&b"WebSocket,other"[..])
        );
        for nothing in [
            &[websocket][..],
            &[connection],
            &[connection, ("upgrade", b"h2C")],
        ] {
            assert_eq!(asked(v11, nothing), None);
        }
        assert_eq!(asked(Version::Http10, &[connection, websocket]), None);
    }

    #[test]
    fn begin_forgets_the_request_before() {
        let mut head = RequestHead::new();
        head.begin("GET", Version::Http10).expect("a token");
        head.set_path("/a").expect("legal path");
        head.fields_mut().append("x", b"1").expect("legal field");
        head.begin("PUT", Version::Http11).expect("a token");
        assert_eq!((head.path(), head.host(), head.fields().len()), ("", "", 0));
        assert_eq!(head.version(), Version::Http11);
    }
}
