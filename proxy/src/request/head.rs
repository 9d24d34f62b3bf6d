//! The target of a request, read in the one canonical way, and the head as routing sees it.

use std::borrow::Cow;

use http_wire::canonical::{self, Target};
use http_wire::head::RequestHead;
use xds::matcher::RequestView;

use crate::cause::Cause;

use super::failure::Failure;

/// Reads the target into a head that holds all the rest.
pub(crate) fn read(head: &mut RequestHead, target: &[u8]) -> Result<(), Failure> {
    if head.method() == "CONNECT" {
        // No route is for CONNECT; as Envoy. What follows may be for the tunnel that the client hoped for.
        return Err(Failure {
            close: true,
            ..Failure::of(Cause::NoRoute)
        });
    }
    canonical::read(head, &Target::parse(target)?)?;
    Ok(())
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
    use http_wire::head::Version;

    use super::*;

    fn head(method: &str, target: &str, fields: &[(&str, &str)]) -> Result<RequestHead, Failure> {
        let mut head = RequestHead::new();
        head.begin(method, Version::Http11).unwrap();
        for (name, value) in fields {
            head.fields_mut().append(*name, value.as_bytes()).unwrap();
        }
        read(&mut head, target.as_bytes())?;
        Ok(head)
    }

    #[test]
    fn a_request_is_read_in_its_canonical_form() {
        let head = head("GET", "/a/../b?q=1", &[("host", "Shop.Example:80")]).unwrap();
        assert_eq!(
            (head.host(), head.path(), head.query()),
            ("shop.example", "/b", Some("q=1"))
        );
        assert_eq!(head.authority(), "Shop.Example:80");
    }

    #[test]
    fn what_has_no_path_or_no_single_reading_is_refused() {
        let status = |method, target, fields: &[(&str, &str)]| {
            head(method, target, fields)
                .err()
                .map(|failure| failure.status)
        };
        let host = [("host", "a")];
        assert_eq!(status("CONNECT", "a:80", &[("host", "a:80")]), Some(404));
        for target in ["a:80", "*", "", "http://b/", "ftp://a/", "/%2f", "/a#b"] {
            assert_eq!(status("GET", target, &host), Some(400), "{target}");
        }
        assert_eq!(status("GET", "/", &[]), Some(400));
        assert_eq!(status("GET", "/", &[host[0], host[0]]), Some(400));
        assert_eq!(status("OPTIONS", "*", &host), None);
        assert_eq!(status("GET", "http://a/", &host), None);
    }

    #[test]
    fn repeated_fields_are_matched_joined() {
        let fields = [("host", "a:1"), ("x-a", "1"), ("x-a", "2"), ("x-b", "3")];
        let head = head("GET", "/", &fields).unwrap();
        let view = RoutingView(&head);
        assert_eq!(view.header("x-a").as_deref(), Some(&b"1,2"[..]));
        assert_eq!(view.header("x-b").as_deref(), Some(&b"3"[..]));
        assert_eq!(view.header("host").as_deref(), Some(&b"a:1"[..]));
        assert_eq!(view.header("x-c"), None);
    }
}
