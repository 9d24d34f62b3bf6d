//! Answers of the proxy's own: redirects and direct responses.

use serde_json::json;

use crate::support::Proxy;
use crate::support::config::merge;

#[test]
fn a_redirect_says_where_to_go() {
    let to = |redirect| json!({"match": {"prefix": "/"}, "redirect": redirect});
    for (redirect, status, location) in [
        (
            json!({"host_redirect": "new.example"}),
            301,
            "http://new.example/a/b?q=1",
        ),
        (
            json!({"https_redirect": true, "response_code": "PERMANENT_REDIRECT"}),
            308,
            "https://shop.example/a/b?q=1",
        ),
        (
            json!({"path_redirect": "/c", "strip_query": true, "response_code": "FOUND"}),
            302,
            "http://shop.example/c",
        ),
        (
            json!({"port_redirect": 8443, "scheme_redirect": "https"}),
            301,
            "https://shop.example:8443/a/b?q=1",
        ),
    ] {
        let proxy = Proxy::serving(vec![to(redirect)], vec![]);
        let response = proxy.connect().get("/a/b?q=1");
        assert_eq!(
            (response.status(), response.field("location").as_deref()),
            (status, Some(location))
        );
        assert_eq!(response.field("content-length").as_deref(), Some("0"));
    }
}

#[test]
fn a_direct_response_is_a_text_unless_the_route_says_otherwise() {
    let hello = json!({"status": 200, "body": {"inline_string": "hello\n"}});
    let plain = json!({"match": {"path": "/plain"}, "direct_response": hello});
    let mut typed = json!({"match": {"path": "/json"}, "direct_response": hello});
    let content_type = json!({"header": {"key": "content-type", "value": "application/json"}});
    merge(
        &mut typed,
        json!({"response_headers_to_add": [content_type]}),
    );
    let empty = json!({"match": {"path": "/gone"}, "direct_response": {"status": 410}});
    let proxy = Proxy::serving(vec![plain, typed, empty], vec![]);
    let mut client = proxy.connect();

    let response = client.get("/plain");
    assert_eq!(
        (response.status(), response.text().as_str()),
        (200, "hello\n")
    );
    assert_eq!(
        response.field("content-type").as_deref(),
        Some("text/plain")
    );
    assert_eq!(response.field("content-length").as_deref(), Some("6"));
    assert_eq!(
        client.get("/json").field("content-type").as_deref(),
        Some("application/json")
    );
    let gone = client.get("/gone");
    assert_eq!((gone.status(), gone.field("content-type")), (410, None));

    client.send("HEAD /plain HTTP/1.1\r\nhost: a\r\n\r\n");
    let head = client.receive_head();
    assert_eq!(head.field("content-length").as_deref(), Some("6"));
    assert_eq!(client.get("/plain").text(), "hello\n");
}

#[test]
fn the_body_of_a_request_that_is_answered_here_does_no_harm() {
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200}});
    let proxy = Proxy::serving(vec![route], vec![]);
    let mut client = proxy.connect();
    client.send("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive().status(), 200);
    assert_eq!(client.receive().status(), 200);
}

#[test]
fn a_route_is_matched_by_what_an_upstream_would_see() {
    let https_only = json!({
        "match": {"prefix": "/", "headers": [{"name": "x-forwarded-proto", "string_match": {"exact": "http"}}]},
        "redirect": {"https_redirect": true},
    });
    let proxy = Proxy::serving(vec![https_only], vec![]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-proto: https\r\n\r\n");
    assert_eq!(client.receive().status(), 301);
}
