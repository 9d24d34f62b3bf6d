use super::*;
use crate::model::Resource as _;

fn problems(yaml: &str) -> Vec<String> {
    let document = crate::model::document::yaml(yaml.as_bytes()).unwrap();
    let route: Route = crate::model::document::resource(&document, "r").unwrap();
    let mut check = Check::new(None);
    crate::model::Resource::check(&route, &mut check);
    check
        .finish()
        .into_iter()
        .map(|problem| format!("{} {}", problem.pointer, problem.code))
        .collect()
}

#[test]
fn a_route_that_says_everything_it_may_is_valid() {
    let yaml = r#"
        hosts: [shop.example, "*.shop.example", "shop.*", "*"]
        priority: -1
        listeners: [web]
        match:
          path: {prefix: /products}
          methods: [GET, HEAD]
          headers:
            - {name: X-Beta, exact: "1", ignore_case: true, invert: true}
            - {name: x-any, present: false}
          query: [{name: lang, regex: "[a-z]{2}"}, {name: q, present: true}]
        forward: {clusters: [{name: a, weight: 0}, {name: b}]}
        rewrite: {path_prefix: /}
        timeout: 5s
        idle_timeout: 1m
        request_headers: {set: {a: "1"}, append: {b: "2"}, remove: [c]}
        response_headers: {set: {a: "1"}}"#;
    assert_eq!(problems(yaml), [""; 0]);
}

#[test]
fn a_route_does_exactly_one_thing() {
    assert_eq!(problems("{}"), [" required"]);
    let both = "{forward: {cluster: a}, redirect: {host: b}, respond: {status: 200}}";
    assert_eq!(problems(both), ["/redirect invalid", "/respond invalid"]);
    assert_eq!(problems("{forward: {}}"), ["/forward required"]);
    assert_eq!(
        problems("{forward: {cluster: a, clusters: [{name: b}]}}"),
        ["/forward/clusters invalid"]
    );
}

#[test]
fn what_only_forwarding_honours_is_refused_elsewhere() {
    let yaml = "{respond: {status: 200}, rewrite: {path_prefix: /a}, timeout: 1s, idle_timeout: 1s, request_headers: {remove: [a]}}";
    assert_eq!(
        problems(yaml),
        [
            "/rewrite invalid",
            "/timeout invalid",
            "/idle_timeout invalid",
            "/request_headers invalid"
        ]
    );
}

#[test]
fn a_condition_asks_exactly_one_thing() {
    let yaml = r#"
        forward: {cluster: a}
        match:
          headers:
            - {name: a}
            - {name: a, exact: "1", regex: "2"}
            - {name: "a b", prefix: ""}
            - {name: a, regex: "x", ignore_case: true}
          query: [{name: q, present: false}, {name: "q=", exact: ""}]"#;
    assert_eq!(
        problems(yaml),
        [
            "/match/headers/0 required",
            "/match/headers/1/regex invalid",
            "/match/headers/2/name invalid",
            "/match/headers/2/prefix invalid",
            "/match/headers/3/ignore_case invalid",
            "/match/query/0/present unsupported",
            "/match/query/1/name invalid",
        ]
    );
}

#[test]
fn a_prefix_is_replaced_only_where_one_was_matched() {
    let rewrite = |path: &str, new: &str| {
        problems(&format!(
            "{{match: {{path: {path}}}, forward: {{cluster: a}}, rewrite: {{path_prefix: {new}}}}}"
        ))
    };
    assert!(rewrite("{prefix: /a}", "/b").is_empty());
    assert!(rewrite("{exact: /a}", "/b/").is_empty());
    assert!(rewrite("{string_prefix: /a/}", "/b/").is_empty());
    assert_eq!(
        rewrite("{prefix: /a}", "/b/"),
        ["/rewrite/path_prefix invalid"]
    );
    assert_eq!(
        rewrite("{regex: /a}", "/b"),
        ["/rewrite/path_prefix unsupported"]
    );
}

#[test]
fn a_redirect_leads_elsewhere() {
    let redirect = |fields: &str| problems(&format!("{{redirect: {{{fields}}}}}"));
    assert_eq!(redirect("status: 302"), ["/redirect required"]);
    assert_eq!(
        redirect("status: 200, host: a"),
        ["/redirect/status invalid"]
    );
    assert_eq!(
        redirect("host: 'a:80', port: 0"),
        ["/redirect/host invalid", "/redirect/port invalid"]
    );
    assert_eq!(
        redirect("path: /a, path_prefix: /b"),
        ["/redirect/path_prefix invalid"]
    );
    assert!(redirect("path: '/a?b=c'").is_empty());
    assert_eq!(redirect("path: '/a?b=c#d'"), ["/redirect/path invalid"]);
}

#[test]
fn an_answer_is_one_that_http_allows() {
    let respond = |fields: &str| problems(&format!("{{respond: {{{fields}}}}}"));
    assert_eq!(respond("status: 100"), ["/respond/status invalid"]);
    assert_eq!(respond("status: 204, body: a"), ["/respond/body invalid"]);
    assert_eq!(
        respond(&format!("status: 200, body: {}", "a".repeat(4_097))),
        ["/respond/body invalid"]
    );
    assert_eq!(
        respond("status: 200, headers: {Content-Type: text/plain}"),
        ["/respond/headers/Content-Type invalid"]
    );
    assert_eq!(
        problems("{respond: {status: 200, headers: {a: b}}, response_headers: {set: {a: c}}}"),
        ["/response_headers/set/a duplicate"]
    );
}

#[test]
fn a_field_is_edited_in_one_way() {
    let edits = "{forward: {cluster: a}, request_headers: {set: {A: x, a: y, host: z}, append: {a: z}, remove: [A, b, B]}}";
    assert_eq!(
        problems(edits),
        [
            "/request_headers/set/a duplicate",
            "/request_headers/set/host invalid",
            "/request_headers/remove/2 duplicate",
            "/request_headers/append/a duplicate",
            "/request_headers/remove/0 duplicate",
        ]
    );
}

#[test]
fn lists_hold_nothing_twice_and_weights_sum_up_to_something() {
    assert_eq!(
        problems(
            "{hosts: [a, b, a], listeners: [w, w], match: {methods: [GET, GET, get]}, forward: {clusters: [{name: a, weight: 0}, {name: a, weight: 0}]}}"
        ),
        [
            "/hosts/2 duplicate",
            "/listeners/1 duplicate",
            "/match/methods/2 invalid",
            "/match/methods/1 duplicate",
            "/forward/clusters/1 duplicate",
            "/forward/clusters invalid",
        ]
    );
}

#[test]
fn a_route_without_hosts_answers_for_every_host() {
    let route: Route = serde_json::from_str(r#"{"name":"r"}"#).unwrap();
    assert_eq!(route.host_patterns().collect::<Vec<_>>(), ["*"]);
    assert_eq!(route.name(), "r");
}
