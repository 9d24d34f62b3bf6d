//! From hyper's request to our head: the only place that sees hyper's types on the way in. The head is copied and
//! hyper's is emptied at once, so that its read buffer is free for the next request.

use std::borrow::Cow;

use http::request::Parts;
use http::uri::Scheme;
use http::{Method, Uri, header};
use http_wire::canonical::{self, Refusal, Target};
use http_wire::head::{RequestHead, Version};
use xds::matcher::RequestView;

use crate::cause::Cause;

use super::failure::Failure;

/// Reads a request into `head`, in its canonical form.
pub(super) fn read(parts: &mut Parts, head: &mut RequestHead) -> Result<(), Failure> {
    copy(parts, head)?;
    let framing = check_framing(parts);
    parts.headers.clear();
    let uri = std::mem::take(&mut parts.uri);
    framing?;
    if parts.method == Method::CONNECT {
        // No route is for CONNECT; as Envoy. What follows may be for the tunnel that the client hoped for.
        return Err(Failure {
            close: true,
            ..Failure::of(Cause::NoRoute)
        });
    }
    canonical::read(head, &target(&uri)?)?;
    Ok(())
}

fn copy(parts: &Parts, head: &mut RequestHead) -> Result<(), Failure> {
    let version = match parts.version {
        http::Version::HTTP_10 => Version::Http10,
        http::Version::HTTP_2 => Version::Http2,
        _ => Version::Http11,
    };
    head.begin(parts.method.as_str(), version)?;
    let fields = head.fields_mut();
    for (name, value) in &parts.headers {
        fields.push(name.as_str().as_bytes(), value.as_bytes())?;
    }
    Ok(())
}

/// hyper undoes the last coding if it is `chunked`, and would let others before it pass. A body in a coding that we do not
/// know cannot be forwarded under the field that names the coding, since that field belongs to the hop: 501, as Envoy.
fn check_framing(parts: &Parts) -> Result<(), Failure> {
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    let plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if plain {
        Ok(())
    } else {
        Err(Failure::refused(501, "unsupported transfer coding"))
    }
}

fn target(uri: &Uri) -> Result<Target<'_>, Refusal> {
    let known_scheme = match uri.scheme() {
        Some(scheme) => *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS,
        // An authority alone is the form of CONNECT.
        None => uri.authority().is_none(),
    };
    if !known_scheme {
        return Err(Refusal::TargetForm);
    }
    Ok(Target {
        authority: uri
            .authority()
            .map(|authority| authority.as_str().as_bytes()),
        path: uri.path().as_bytes(),
        query: uri.query().map(str::as_bytes),
    })
}

/// A head as routing sees it.
pub(super) struct RoutingView<'h>(pub(super) &'h RequestHead);

impl RequestView for RoutingView<'_> {
    fn host(&self) -> &str {
        self.0.host()
    }

    fn method(&self) -> &str {
        self.0.method()
    }

    fn path(&self) -> &str {
        self.0.path()
    }

    fn query(&self) -> Option<&str> {
        self.0.query()
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        self.0.matched_field(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_from(request: http::request::Builder) -> Result<RequestHead, Failure> {
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        let mut head = RequestHead::new();
        read(&mut parts, &mut head)?;
        assert!(parts.headers.is_empty());
        Ok(head)
    }

    fn get(target: &str) -> http::request::Builder {
        http::Request::builder().uri(target)
    }

    fn status_of(request: http::request::Builder) -> Option<u16> {
        read_from(request).err().map(|failure| failure.status)
    }

    #[test]
    fn a_request_is_read_in_its_canonical_form() {
        let head = read_from(get("/a/../b?q=1").header("host", "Shop.Example:80")).unwrap();
        assert_eq!(
            (head.host(), head.path(), head.query()),
            ("shop.example", "/b", Some("q=1"))
        );
        assert_eq!(head.authority(), "Shop.Example:80");
    }

    #[test]
    fn what_has_no_path_or_no_single_reading_is_refused() {
        let connect = get("up.test:80")
            .method("CONNECT")
            .header("host", "up.test:80");
        assert_eq!(status_of(connect), Some(404));
        for request in [
            get("up.test:80").header("host", "up.test:80"),
            get("*").header("host", "a"),
            get("/"),
            get("/").header("host", "a").header("host", "a"),
            get("http://b/").header("host", "a"),
            get("ftp://a/").header("host", "a"),
            get("/%2f").header("host", "a"),
        ] {
            let text = format!("{request:?}");
            assert_eq!(status_of(request), Some(400), "{text}");
        }
        assert_eq!(
            status_of(get("*").method("OPTIONS").header("host", "a")),
            None
        );
        assert_eq!(status_of(get("http://a/").header("host", "a")), None);
    }

    #[test]
    fn a_body_is_chunked_or_not_and_nothing_else() {
        let with = |coding: &str| {
            get("/")
                .header("host", "a")
                .header("transfer-encoding", coding)
        };
        assert_eq!(status_of(with("Chunked")), None);
        assert_eq!(status_of(with("identity, chunked")), Some(501));
        assert_eq!(
            status_of(with("chunked").header("transfer-encoding", "chunked")),
            Some(501)
        );
    }

    #[test]
    fn repeated_fields_are_matched_joined() {
        let request = get("/")
            .header("host", "a:1")
            .header("x-a", "1")
            .header("x-a", "2")
            .header("x-b", "3");
        let head = read_from(request).unwrap();
        let view = RoutingView(&head);
        assert_eq!(view.header("x-a").as_deref(), Some(&b"1,2"[..]));
        assert_eq!(view.header("x-b").as_deref(), Some(&b"3"[..]));
        assert_eq!(view.header("host").as_deref(), Some(&b"a:1"[..]));
        assert_eq!(view.header("x-c"), None);
    }
}
