//! Custom methods: `POST …/revisions/7:revert`. The router knows whole segments only, so that `…/7:revert` is asked
//! from it as `…/7/~revert`; nobody outside sees that form.

use axum::extract::Request;
use axum::http::{Method, Uri, uri::PathAndQuery};
use utoipa::openapi::OpenApi;

/// The path as clients know it, of a path as the router knows it.
pub(super) fn public(path: &str) -> String {
    path.replace("/~", ":")
}

/// The document with the paths that clients know.
pub(super) fn document(mut document: OpenApi) -> OpenApi {
    let paths = std::mem::take(&mut document.paths.paths).into_iter();
    document.paths.paths = paths.map(|(path, item)| (public(&path), item)).collect();
    document
}

/// Turns the path that a client sent into the one that the router knows.
pub(super) fn route(mut request: Request) -> Request {
    if request.method() == Method::POST
        && let Some(target) = internal(request.uri())
    {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(target);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// `None` if the last segment names no method.
fn internal(uri: &Uri) -> Option<PathAndQuery> {
    let (rest, verb) = uri.path().rsplit_once(':')?;
    let is_verb = !verb.is_empty() && verb.bytes().all(|byte| byte.is_ascii_lowercase());
    let query = uri.query().map(|query| format!("?{query}"));
    let target = format!("{rest}/~{verb}{}", query.unwrap_or_default());
    target.parse().ok().filter(|_| is_verb)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: Method, uri: &str) -> String {
        let request = Request::builder().method(method).uri(uri);
        let request = request.body(axum::body::Body::empty()).unwrap();
        route(request).uri().to_string()
    }

    #[test]
    fn a_method_becomes_a_segment_of_its_own_and_back() {
        assert_eq!(
            routed(Method::POST, "/a/7:revert?x=y:z"),
            "/a/7/~revert?x=y:z"
        );
        assert_eq!(
            routed(Method::POST, "http://h:1/a:explain"),
            "http://h:1/a/~explain"
        );
        for (method, uri) in [
            (Method::GET, "/nodes/a:b"),
            (Method::POST, "/a:7"),
            (Method::POST, "/a:"),
            (Method::POST, "/a:b/c"),
            (Method::POST, "/a"),
        ] {
            assert_eq!(routed(method, uri), uri);
        }
        assert_eq!(
            public("/v1/fleets/{fleet}/~explain"),
            "/v1/fleets/{fleet}:explain"
        );
    }
}
