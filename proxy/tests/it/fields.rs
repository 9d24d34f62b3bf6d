//! What the proxy adds to, takes from and leaves in the fields of a message.

use serde_json::json;

use crate::support::config::{cluster, forward, merge};
use crate::support::{Proxy, Upstream};

#[test]
fn fields_of_the_hop_end_here() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nkeep-alive: timeout=5\r\nconnection: x-hop\r\nx-hop: 1\r\nx-end: 1\r\n\r\n".to_vec()
    });
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: keep-alive, x-hop, x-forwarded-for\r\nx-hop: 1\r\nkeep-alive: 5\r\n\
         upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\nte: trailers, deflate\r\nproxy-authorization: x\r\nx-end: 1\r\n\r\n",
    );
    let response = client.receive();
    let seen = upstream.seen().request;
    for gone in [
        "connection",
        "x-hop",
        "keep-alive",
        "upgrade",
        "http2-settings",
        "proxy-authorization",
    ] {
        assert_eq!(seen.field(gone), None, "{gone} upstream");
        assert_eq!(response.field(gone), None, "{gone} downstream");
    }
    assert_eq!(seen.field("x-end").as_deref(), Some("1"));
    assert_eq!(seen.field("x-forwarded-for").as_deref(), Some("127.0.0.1"));
    assert_eq!(response.field("x-end").as_deref(), Some("1"));
}

#[test]
fn a_client_is_known_by_its_connection_and_not_by_its_word() {
    let upstream = Upstream::named("a");
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send(
        "GET / HTTP/1.1\r\nhost: a\r\nx-forwarded-for: 1.2.3.4\r\nx-forwarded-proto: https\r\nx-forwarded-host: evil\r\n\
         forwarded: for=1.2.3.4\r\nx-real-ip: 1.2.3.4\r\nx-request-id: mine\r\n\r\n",
    );
    client.receive();
    let seen = upstream.seen().request;
    assert_eq!(
        seen.field("x-forwarded-for").as_deref(),
        Some("1.2.3.4,127.0.0.1")
    );
    assert_eq!(seen.field("x-forwarded-proto").as_deref(), Some("http"));
    for gone in ["x-forwarded-host", "forwarded", "x-real-ip"] {
        assert_eq!(seen.field(gone), None, "{gone}");
    }
    let id = seen.field("x-request-id").unwrap();
    assert!(id != "mine" && id.len() == 36, "{id}");
}

#[test]
fn a_response_says_who_served_it_and_when() {
    let upstream = Upstream::answering(|request| {
        let date = if request.start.contains("/dated") {
            "date: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        } else {
            ""
        };
        format!("HTTP/1.1 200 OK\r\nserver: apache\r\n{date}content-length: 0\r\n\r\n").into()
    });
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    let response = client.get("/");
    assert_eq!(response.field("server").as_deref(), Some("signalbox"));
    assert!(response.field("date").is_some());
    let dated = client.get("/dated");
    assert_eq!(
        dated.field("date").as_deref(),
        Some("Thu, 01 Jan 1970 00:00:00 GMT")
    );
}

#[test]
fn a_route_edits_fields_in_both_directions() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nx-secret: 1\r\nx-a: old\r\n\r\n".to_vec()
    });
    let add = |key: &str, value: &str, action: &str| json!({"header": {"key": key, "value": value}, "append_action": action});
    let mut route = forward("/", "a");
    merge(
        &mut route,
        json!({
            "request_headers_to_remove": ["x-internal"],
            "request_headers_to_add": [add("x-gateway", "signalbox", "OVERWRITE_IF_EXISTS_OR_ADD")],
            "response_headers_to_remove": ["x-secret"],
            "response_headers_to_add": [add("x-a", "new", "APPEND_IF_EXISTS_OR_ADD")],
        }),
    );
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-internal: 1\r\nx-gateway: forged\r\n\r\n");
    let response = client.receive();
    let seen = upstream.seen().request;
    assert_eq!(
        (seen.field("x-internal"), seen.field("x-gateway").as_deref()),
        (None, Some("signalbox"))
    );
    assert_eq!(
        (response.field("x-secret"), response.field("x-a").as_deref()),
        (None, Some("old,new"))
    );
}

#[test]
fn repeated_fields_stay_repeated() {
    let upstream = Upstream::answering(|_| {
        b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nset-cookie: a=1\r\nset-cookie: b=2; path=/\r\n\r\n".to_vec()
    });
    let proxy = Proxy::serving(
        vec![forward("/", "a")],
        vec![cluster("a", &[upstream.address])],
    );
    let cookies: Vec<_> = proxy.connect().get("/").fields;
    let cookies = cookies
        .iter()
        .filter(|(name, _)| name == "set-cookie")
        .map(|(_, value)| &**value);
    assert_eq!(cookies.collect::<Vec<_>>(), ["a=1", "b=2; path=/"]);
}
