mod after;

use super::*;
use crate::model::Kind;
use crate::model::document::tests::config;
use proptest::prelude::*;

const SHOP: &str = include_str!("../../../examples/shop.yaml");

fn refused(yaml: &str) -> Vec<String> {
    let problems = Draft::new(config(yaml)).validate(None, &[]).unwrap_err();
    let told = |problem: Problem| {
        let resource = problem
            .resource
            .map(|id| id.to_string())
            .unwrap_or_default();
        format!("{resource}{} {}", problem.pointer, problem.code)
    };
    problems.into_iter().map(told).collect()
}

#[test]
fn the_example_is_valid() {
    let validated = Draft::new(config(SHOP)).validate(None, &[]).unwrap();
    assert_eq!(validated.changes(&Config::default()).len(), 9);
}

#[test]
fn problems_of_the_model_and_of_the_compiler_come_together_and_each_once() {
    let yaml = "
        listeners: [{name: web, address: 0.0.0.0, port: 80}]
        clusters: [{name: c, discovery: api}]
        routes:
          - {name: a, match: {path: {regex: '/('}}, forward: {cluster: nope}}
          - {name: b, match: {headers: [{name: x, regex: '[z-a]'}]}, forward: {cluster: c}, timeout: 0s}";
    let mut found = refused(yaml);
    found.sort();
    assert_eq!(
        found,
        [
            "routes/a/forward/cluster missing-reference",
            "routes/a/match/path/regex invalid",
            "routes/b/match/headers/0/regex invalid",
            "routes/b/timeout invalid",
        ]
    );
}

#[test]
fn a_route_that_no_listener_serves_is_compiled_all_the_same() {
    let yaml = "routes: [{name: a, match: {path: {regex: '/('}}, respond: {status: 200}}]";
    assert_eq!(refused(yaml), ["routes/a/match/path/regex invalid"]);
}

#[test]
fn changes_name_what_differs_and_nothing_else() {
    let base = config(
        "clusters: [{name: a, discovery: api}, {name: b, discovery: api}, {name: c, discovery: api}]",
    );
    let next = config(
        "clusters: [{name: a, discovery: api}, {name: b, endpoints: []}, {name: d, discovery: api}]",
    );
    let changes = Draft::new(next).validate(None, &[]).unwrap().changes(&base);
    let told: Vec<_> = changes
        .iter()
        .map(|change| (change.id.to_string(), change.verb))
        .collect();
    assert_eq!(
        told,
        [
            ("clusters/b".to_owned(), Verb::Update),
            ("clusters/d".to_owned(), Verb::Create),
            ("clusters/c".to_owned(), Verb::Delete)
        ]
    );
}

#[test]
fn the_hash_is_a_function_of_the_content_alone() {
    let hash = |yaml: &str| *Draft::new(config(yaml)).validate(None, &[]).unwrap().hash();
    let one = hash(
        "clusters: [{name: a, discovery: api}, {name: b, discovery: api, load_balancing: round_robin}]",
    );
    assert_eq!(
        one,
        hash("clusters: [{name: b, discovery: api}, {discovery: api, name: a}]")
    );
    assert_ne!(one, hash("clusters: [{name: a, discovery: api}]"));
    assert_ne!(
        one,
        hash("clusters: [{name: a, discovery: api}, {name: b, endpoints: []}]")
    );
}

/// Routes of all shapes, good and bad.
fn route() -> impl Strategy<Value = String> {
    let host = prop::sample::select(vec![
        "",
        "hosts: [a], ",
        "hosts: ['*.a', a], ",
        "hosts: ['*'], ",
        "hosts: [A], ",
        "hosts: ['a:1'], ",
    ]);
    let text = prop::sample::select(vec![
        "/", "/a", "/a/", "/a/b", "a", "/[", "/%", "/a.*", "", "/é", "//", "/a?b",
    ]);
    let path = (
        prop::sample::select(vec!["exact", "prefix", "string_prefix", "regex"]),
        text.clone(),
    )
        .prop_map(|(kind, text)| {
            format!(
                "match: {{path: {{{kind}: '{text}'}}, headers: [{{name: x, prefix: '{text}'}}]}}, "
            )
        });
    let action = (0..6, text).prop_map(|(kind, text)| match kind {
        0 => format!("forward: {{cluster: c}}, rewrite: {{path_prefix: '{text}'}}"),
        1 => "forward: {clusters: [{name: c, weight: 0}, {name: d}]}".to_owned(),
        2 => format!("redirect: {{path_prefix: '{text}'}}"),
        3 => format!("redirect: {{path: '{text}', host: '{text}'}}"),
        4 => format!("respond: {{status: 200, body: '{text}', headers: {{a: '{text}'}}}}"),
        _ => format!("forward: {{cluster: '{text}'}}, request_headers: {{set: {{'{text}': x}}}}"),
    });
    (host, path, action).prop_map(|(host, path, action)| format!("{host}{path}{action}"))
}

proptest! {
    /// What the model accepts the compiler accepts, but for regular expressions, which are its business alone.
    #[test]
    fn whatever_the_model_accepts_every_client_accepts(routes in prop::collection::vec(route(), 1..6)) {
        let routes: Vec<String> = routes.iter().enumerate().map(|(index, route)| format!("{{name: r{index}, {route}}}")).collect();
        let yaml = format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: 80}}]\nclusters: [{{name: c, discovery: api}}, {{name: d, endpoints: []}}]\nroutes: [{}]",
            routes.join(", ")
        );
        let config = config(&yaml);
        let by_model = config.check();
        let by_all = Draft::new(config).validate(None, &[]).err().unwrap_or_default();
        let more: Vec<_> = by_all.iter().skip(by_model.len()).filter(|problem| !problem.pointer.ends_with("/regex")).collect();
        prop_assert!(more.is_empty() || !by_model.is_empty(), "{more:?}\n{yaml}");
    }
}
