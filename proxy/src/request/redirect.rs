//! Where a redirect sends the client: the `Location`, put together as Envoy's `Utility::newUri` does.

use std::borrow::Cow;

use http_wire::head::{FieldId, RequestHead};
use xds::route::{PathMatch, Redirect, RedirectPath, Route};

use crate::worker::Pair;

use super::answer::Content;
use super::failure::Failure;
use super::forwarded;
use super::rewrite::rewritten;

/// Answers with a redirect.
pub(super) fn answer(
    redirect: &Redirect,
    route: &Route,
    heads: &mut Pair,
) -> Result<Content, Failure> {
    heads.response.begin(redirect.status);
    let location = location(redirect, &route.path, &heads.request);
    heads
        .response
        .fields_mut()
        .append(FieldId::Location, location.as_bytes())?;
    Ok(Content::Empty)
}

fn location(redirect: &Redirect, matched: &PathMatch, request: &RequestHead) -> String {
    let request_scheme = forwarded::scheme(request.fields());
    let scheme = redirect.scheme.as_deref().unwrap_or(request_scheme);
    let host = match &redirect.host {
        Some(host) => host,
        None => same_host(request.authority(), redirect, scheme, request_scheme),
    };
    let mut location = format!("{scheme}://{host}");
    if let Some(port) = redirect.port {
        location.push(':');
        location.push_str(&port.to_string());
    }
    push_path(&mut location, redirect, matched, request);
    location
}

/// The request's host. Its port goes if the redirect says another, or if it is the default of the scheme that is left.
fn same_host<'a>(
    authority: &'a str,
    redirect: &Redirect,
    scheme: &str,
    request_scheme: &str,
) -> &'a str {
    let colon = if authority.starts_with('[') {
        authority.rfind("]:").map(|bracket| bracket + 1)
    } else {
        authority.rfind(':')
    };
    let Some(colon) = colon else { return authority };
    let default_port = if request_scheme == "https" {
        ":443"
    } else {
        ":80"
    };
    let is_stale = scheme != request_scheme && &authority[colon..] == default_port;
    if redirect.port.is_some() || is_stale {
        &authority[..colon]
    } else {
        authority
    }
}

fn push_path(
    location: &mut String,
    redirect: &Redirect,
    matched: &PathMatch,
    request: &RequestHead,
) {
    let path = match &redirect.path {
        RedirectPath::Keep => Cow::Borrowed(request.path()),
        RedirectPath::Replace(path) => Cow::Borrowed(&**path),
        RedirectPath::Prefix(prefix) => {
            let path = rewritten(matched, prefix, request.path());
            Cow::Owned(String::from_utf8_lossy(&path).into_owned())
        }
        RedirectPath::Regex(substitution) => Cow::Owned(substitution.apply(request.path())),
    };
    // Without its slash the path would become a part of the host; Envoy adds it too.
    if !path.starts_with('/') {
        location.push('/');
    }
    location.push_str(&path);
    // A query in the redirect takes the place of the request's and is never stripped.
    if let Some(query) = request.query()
        && !path.contains('?')
        && !redirect.strip_query
    {
        location.push('?');
        location.push_str(query);
    }
}

#[cfg(test)]
mod tests {
    use http_wire::canonical::{self, Target};
    use http_wire::head::Version;
    use xds::route::Substitution;

    use super::*;

    fn to_https(path: RedirectPath) -> Redirect {
        Redirect {
            status: 301,
            scheme: Some("https".into()),
            host: None,
            port: None,
            path,
            strip_query: false,
        }
    }

    fn of(redirect: &Redirect, host: &str, target: &str) -> String {
        let mut head = RequestHead::new();
        head.begin("GET", Version::Http11).unwrap();
        head.fields_mut()
            .append(FieldId::Host, host.as_bytes())
            .unwrap();
        canonical::read(&mut head, &Target::parse(target.as_bytes()).unwrap()).unwrap();
        location(redirect, &PathMatch::SegmentPrefix("/a".into()), &head)
    }

    #[test]
    fn the_request_is_kept_where_the_redirect_says_nothing() {
        let redirect = to_https(RedirectPath::Keep);
        assert_eq!(
            of(&redirect, "shop.example", "/a/b?q=1"),
            "https://shop.example/a/b?q=1"
        );
        assert_eq!(
            of(&redirect, "shop.example:8080", "/a"),
            "https://shop.example:8080/a"
        );
    }

    #[test]
    fn the_default_port_goes_with_its_scheme() {
        let redirect = to_https(RedirectPath::Keep);
        assert_eq!(
            of(&redirect, "shop.example:80", "/a"),
            "https://shop.example/a"
        );
        assert_eq!(of(&redirect, "[::1]:80", "/a"), "https://[::1]/a");
        assert_eq!(of(&redirect, "[::1]", "/a"), "https://[::1]/a");
        let same_scheme = Redirect {
            scheme: None,
            ..to_https(RedirectPath::Keep)
        };
        assert_eq!(
            of(&same_scheme, "shop.example:80", "/a"),
            "http://shop.example:80/a"
        );
    }

    #[test]
    fn a_new_port_takes_the_place_of_the_old_one() {
        let redirect = Redirect {
            port: Some(8443),
            ..to_https(RedirectPath::Keep)
        };
        assert_eq!(
            of(&redirect, "shop.example:8080", "/a"),
            "https://shop.example:8443/a"
        );
        assert_eq!(of(&redirect, "[::1]:8080", "/a"), "https://[::1]:8443/a");
        let moved = Redirect {
            host: Some("new.example".into()),
            ..redirect
        };
        assert_eq!(
            of(&moved, "shop.example:8080", "/a"),
            "https://new.example:8443/a"
        );
    }

    #[test]
    fn the_path_is_replaced_whole_or_where_the_route_matched() {
        let whole = to_https(RedirectPath::Replace("/new".into()));
        assert_eq!(of(&whole, "h", "/a/b?q=1"), "https://h/new?q=1");
        let prefix = to_https(RedirectPath::Prefix("/new".into()));
        assert_eq!(of(&prefix, "h", "/a/b?q=1"), "https://h/new/b?q=1");
    }

    #[test]
    fn the_path_is_replaced_where_a_pattern_matches_and_stays_a_path() {
        let regex = |pattern, replacement| {
            to_https(RedirectPath::Regex(
                Substitution::new(pattern, replacement).unwrap(),
            ))
        };
        let swapped = regex("^/([^/]+)/([^/]+)$", r"/\2/\1");
        assert_eq!(of(&swapped, "h", "/a/b?q=1"), "https://h/b/a?q=1");
        let query = regex("^/item/(.*)$", r"/item?id=\1");
        assert_eq!(of(&query, "h", "/item/7?q=1"), "https://h/item?id=7");
        for path in [
            regex("^/a", ".evil.example"),
            to_https(RedirectPath::Prefix(".evil.example".into())),
            to_https(RedirectPath::Replace(".evil.example/b".into())),
        ] {
            assert_eq!(of(&path, "h", "/a/b"), "https://h/.evil.example/b");
        }
    }

    #[test]
    fn a_query_is_stripped_unless_it_is_the_redirects_own() {
        let strip = |path| Redirect {
            strip_query: true,
            ..to_https(path)
        };
        assert_eq!(of(&strip(RedirectPath::Keep), "h", "/a?q=1"), "https://h/a");
        let own = strip(RedirectPath::Replace("/new?x=1".into()));
        assert_eq!(of(&own, "h", "/a?q=1"), "https://h/new?x=1");
    }
}
