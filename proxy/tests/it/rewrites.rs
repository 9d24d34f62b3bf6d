//! What the config changes in a request on its way upstream and in the answer: path, host, fields at every level.

use serde_json::{Value, json};

use crate::support::config::{cluster, forward_with, listener_with, merge};
use crate::support::http::Message;
use crate::support::upstream::ok;
use crate::support::{Proxy, Upstream};

/// What an upstream sees of a request to a proxy with this route action.
fn seen(action: Value, request: &str) -> Message {
    let upstream = Upstream::named("a");
    let proxy = Proxy::serving(
        vec![forward_with("/", "a", action)],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send(request);
    assert_eq!(client.receive().status(), 200);
    upstream.seen().request
}

/// The status of a request to a proxy with this route action.
fn status(action: Value, request: &str) -> u16 {
    let upstream = Upstream::named("a");
    let proxy = Proxy::serving(
        vec![forward_with("/", "a", action)],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    client.send(request);
    client.receive().status()
}

fn pattern(regex: &str, substitution: &str) -> Value {
    json!({"pattern": {"regex": regex}, "substitution": substitution})
}

#[test]
fn a_path_is_rewritten_by_a_pattern_and_keeps_its_query() {
    let action = json!({"regex_rewrite": pattern("^/service/([^/]+)(/.*)$", r"\2/instance/\1")});
    let request = "GET /service/foo/v1/api?a=/service/x/y HTTP/1.1\r\nhost: a\r\n\r\n";
    assert_eq!(
        seen(action, request).start,
        "GET /v1/api/instance/foo?a=/service/x/y HTTP/1.1"
    );
}

#[test]
fn a_pattern_that_leaves_no_path_fails_the_request_and_never_reaches_the_upstream() {
    let action = json!({"regex_rewrite": pattern("^/", "")});
    assert_eq!(status(action, "GET /a HTTP/1.1\r\nhost: a\r\n\r\n"), 500);
}

#[test]
fn a_host_is_rewritten_to_a_literal_and_the_old_one_is_told() {
    let request = "GET / HTTP/1.1\r\nhost: Shop.example:8080\r\n\r\n";
    let plain = seen(json!({"host_rewrite_literal": "internal:81"}), request);
    assert_eq!(plain.field("host").as_deref(), Some("internal:81"));
    assert_eq!(plain.field("x-forwarded-host"), None);

    let told = seen(
        json!({"host_rewrite_literal": "internal:81", "append_x_forwarded_host": true}),
        request,
    );
    assert_eq!(told.field("host").as_deref(), Some("internal:81"));
    assert_eq!(
        told.field("x-forwarded-host").as_deref(),
        Some("Shop.example:8080")
    );
}

#[test]
fn the_old_host_is_appended_to_what_trusted_proxies_said_but_not_twice() {
    let upstream = Upstream::named("a");
    let action = json!({"host_rewrite_literal": "internal", "append_x_forwarded_host": true});
    let trusting = json!({"use_remote_address": false});
    let mut proxy = Proxy::start();
    let web = listener_with(
        "web",
        proxy.address(),
        vec![forward_with("/", "a", action)],
        trusting,
    );
    assert_eq!(proxy.apply(&[web, cluster("a", &[upstream.address])]), []);
    let mut client = proxy.connect();
    for (said, wanted) in [("first", "first,b"), ("first, b", "first, b")] {
        client.send(format!(
            "GET / HTTP/1.1\r\nhost: b\r\nx-forwarded-host: {said}\r\n\r\n"
        ));
        assert_eq!(client.receive().status(), 200);
        let told = upstream.seen().request.field("x-forwarded-host");
        assert_eq!(told.as_deref(), Some(wanted));
    }
}

#[test]
fn a_host_comes_from_a_field_if_the_field_is_there() {
    let action = || json!({"host_rewrite_header": "X-Tenant"});
    let with = |field: &str| format!("GET / HTTP/1.1\r\nhost: a\r\n{field}\r\n");
    let host = |field: &str| seen(action(), &with(field)).field("host");
    assert_eq!(
        host("x-tenant: one.example\r\n").as_deref(),
        Some("one.example")
    );
    assert_eq!(host("").as_deref(), Some("a"));
    assert_eq!(host("x-tenant:\r\n").as_deref(), Some("a"));
    assert_eq!(status(action(), &with("x-tenant: a/b\r\n")), 400);
}

#[test]
fn a_host_comes_from_the_path_before_the_path_is_rewritten() {
    let action = json!({
        "host_rewrite_path_regex": pattern("^/(.+)/.+$", r"\1.example"),
        "regex_rewrite": pattern("^/[^/]+", ""),
    });
    let seen = seen(action, "GET /one/two?x=/ HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(seen.field("host").as_deref(), Some("one.example"));
    assert_eq!(seen.start, "GET /two?x=/ HTTP/1.1");
}

#[test]
fn a_weighted_cluster_edits_what_goes_to_it_alone() {
    let upstreams = [Upstream::named("a"), Upstream::named("b")];
    let share = |name: &str| {
        json!({
            "name": name,
            "weight": 1,
            "host_rewrite_literal": format!("{name}.internal"),
            "request_headers_to_add": [{"header": {"key": "x-side", "value": name}}],
            "response_headers_to_add": [{"header": {"key": "x-side", "value": name}}],
        })
    };
    let route = json!({
        "match": {"prefix": "/"},
        "route": {"weighted_clusters": {"clusters": [share("a"), share("b")]}},
    });
    let proxy = Proxy::serving(
        vec![route],
        vec![
            cluster("a", &[upstreams[0].address]),
            cluster("b", &[upstreams[1].address]),
        ],
    );
    let mut client = proxy.connect();
    let mut sides = Vec::new();
    // 60 draws that all fall on one side happen once in 2^59 runs.
    for _ in 0..60 {
        let answer = client.get("/");
        let side = answer.text();
        assert_eq!(answer.field("x-side").as_deref(), Some(&*side));
        let seen = upstreams[usize::from(side == "b")].seen().request;
        assert_eq!(seen.field("x-side").as_deref(), Some(&*side));
        assert_eq!(seen.field("host"), Some(format!("{side}.internal")));
        sides.push(side);
    }
    assert!(sides.iter().any(|side| side == "a") && sides.iter().any(|side| side == "b"));
}

/// The order of four levels, in both directions: each appends its name to `x-order` and overwrites `x-last`.
#[test]
fn the_widest_level_has_the_last_word_unless_the_route_is_to_have_it() {
    let upstream = Upstream::answering(|_| ok("a"));
    let edits = |level: &str| {
        let set = json!([
            {"header": {"key": "x-order", "value": level}},
            {"header": {"key": "x-last", "value": level}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ]);
        json!({"request_headers_to_add": set, "response_headers_to_add": set})
    };
    let with = |mut message: Value, level: &str| {
        merge(&mut message, edits(level));
        message
    };
    let mut proxy = Proxy::start();
    for (most_specific_wins, order, last) in [
        (false, "cluster,route,host,table", "table"),
        (true, "cluster,table,host,route", "route"),
    ] {
        let clusters = json!([with(json!({"name": "a", "weight": 1}), "cluster")]);
        let route = with(
            json!({"match": {"prefix": "/"}, "route": {"weighted_clusters": {"clusters": clusters}}}),
            "route",
        );
        let host = with(
            json!({"name": "all", "domains": ["*"], "routes": [route]}),
            "host",
        );
        let table = with(
            json!({
                "virtual_hosts": [host],
                "most_specific_header_mutations_wins": most_specific_wins,
            }),
            "table",
        );
        let web = listener_with(
            "web",
            proxy.address(),
            vec![],
            json!({"route_config": table}),
        );
        assert_eq!(proxy.apply(&[web, cluster("a", &[upstream.address])]), []);

        let answer = proxy.connect().get("/");
        for message in [answer, upstream.seen().request] {
            assert_eq!(message.field("x-order").as_deref(), Some(order));
            assert_eq!(message.field("x-last").as_deref(), Some(last));
        }
    }
}

#[test]
fn answers_of_the_proxys_own_are_edited_by_host_and_table_too() {
    let set = |level: &str| json!([{"header": {"key": format!("x-{level}"), "value": "1"}}]);
    let routes = json!([
        {"match": {"path": "/redirect"}, "redirect": {"path_redirect": "/new"}},
        {"match": {"path": "/respond"}, "direct_response": {"status": 204}},
        {"match": {"path": "/fail"}, "route": {"cluster": "gone"}},
    ]);
    let table = json!({
        "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes, "response_headers_to_add": set("host")}],
        "response_headers_to_add": set("table"),
    });
    let mut proxy = Proxy::start();
    let web = listener_with(
        "web",
        proxy.address(),
        vec![],
        json!({"route_config": table}),
    );
    assert_eq!(proxy.apply(&[web]), []);
    let mut client = proxy.connect();
    for (path, status) in [("/redirect", 301), ("/respond", 204), ("/fail", 503)] {
        let answer = client.get(path);
        assert_eq!(answer.status(), status);
        assert_eq!(answer.field("x-host").as_deref(), Some("1"), "{path}");
        assert_eq!(answer.field("x-table").as_deref(), Some("1"), "{path}");
    }
    let nowhere = client.get("/nowhere");
    assert_eq!((nowhere.status(), nowhere.field("x-table")), (404, None));
}

#[test]
fn an_edit_with_an_empty_value_is_made_only_if_it_is_to_be_kept() {
    let upstream = Upstream::named("a");
    let mut route = forward_with("/", "a", json!({}));
    merge(
        &mut route,
        json!({"request_headers_to_add": [
            {"header": {"key": "x-left-out", "value": ""}},
            {"header": {"key": "x-kept", "value": ""}, "keep_empty_value": true},
            {"header": {"key": "x-old", "value": "new"}, "append": false},
        ]}),
    );
    let proxy = Proxy::serving(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nx-left-out: stays\r\nx-old: old\r\n\r\n");
    assert_eq!(client.receive().status(), 200);
    let seen = upstream.seen().request;
    assert_eq!(seen.field("x-left-out").as_deref(), Some("stays"));
    assert_eq!(seen.field("x-kept").as_deref(), Some(""));
    assert_eq!(seen.field("x-old").as_deref(), Some("new"));
}

#[test]
fn a_path_is_matched_without_case_where_the_route_says_so() {
    let upstream = Upstream::named("a");
    let route = |matched: Value| json!({"match": matched, "route": {"cluster": "a", "prefix_rewrite": "/new"}});
    let proxy = Proxy::serving(
        vec![
            route(json!({"path_separated_prefix": "/Docs", "case_sensitive": false})),
            route(json!({"path": "/Exact"})),
        ],
        vec![cluster("a", &[upstream.address])],
    );
    let mut client = proxy.connect();
    assert_eq!(client.get("/dOCS/Page").status(), 200);
    assert_eq!(upstream.seen().request.start, "GET /new/Page HTTP/1.1");
    assert_eq!(client.get("/exact").status(), 404);
    assert_eq!(client.get("/Exact").status(), 200);
}

#[test]
fn a_host_is_taken_from_the_endpoint_if_that_has_a_name_also_after_another_could_not_be_reached() {
    let (nobody, _reserved) = crate::support::upstream::nobody();
    let upstream = Upstream::named("a");
    let endpoint = |address: std::net::SocketAddr, hostname: &str| {
        let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
        json!({"endpoint": {"address": {"socket_address": socket}, "hostname": hostname}})
    };
    let action = json!({"auto_host_rewrite": true, "append_x_forwarded_host": true});
    let seen = |endpoints: Value| {
        let mut cluster = cluster("a", &[]);
        merge(
            &mut cluster,
            json!({"load_assignment": {"endpoints": [{"lb_endpoints": endpoints}]}}),
        );
        let route = forward_with("/", "a", action.clone());
        let proxy = Proxy::serving(vec![route], vec![cluster]);
        // Two in turn: one of them meets the endpoint first that is not there.
        for _ in 0..2 {
            let answer = proxy.connect().get("/");
            assert_eq!(answer.status(), 200);
        }
        let requests = [upstream.seen().request, upstream.seen().request];
        requests.map(|request| (request.field("host"), request.field("x-forwarded-host")))
    };
    let named = seen(json!([
        endpoint(nobody, "nobody.example"),
        endpoint(upstream.address, "a.example")
    ]));
    let plain = seen(json!([endpoint(upstream.address, "")]));
    assert_eq!(named[0].0.as_deref(), Some("a.example"));
    assert_eq!(named[0], named[1]);
    assert!(named[0].1.is_some(), "the old host is told");
    assert_ne!(plain[0].0.as_deref(), Some("a.example"));
    assert_eq!(plain[0].1, None, "nothing was rewritten");
}
