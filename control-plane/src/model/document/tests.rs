use super::*;
use crate::model::canonical;

/// The resources of a YAML document that can be read.
pub(crate) fn config(yaml: &str) -> Config {
    let document = super::yaml(yaml.as_bytes()).unwrap();
    super::config(&document).unwrap().config
}

fn problems(yaml: &str) -> Vec<String> {
    let document = super::yaml(yaml.as_bytes()).unwrap();
    let found = super::config(&document).unwrap_err();
    found
        .problems
        .into_iter()
        .map(|problem| format!("{} {}", problem.pointer, problem.code))
        .collect()
}

#[test]
fn every_fault_of_form_is_found_at_once_with_its_pointer() {
    let yaml = "
        listeners: [{name: web, address: nowhere, port: 70000, colour: red}]
        clusters:
          - {name: a, discovery: dns}
          - {name: b, endpoints: [{address: 127.0.0.1}]}
          - {name: b, discovery: api}
          - {name: b, discovery: api}
        routes:
          - {name: r, match: {path: {glob: /x}, headers: [{name: a, exact: 1, starts: b}]}, timeout: 5}
        policies: []";
    let mut found = problems(yaml);
    found.sort();
    assert_eq!(
        found,
        [
            "/clusters/0/discovery invalid",
            "/clusters/1/endpoints/0/port required",
            "/clusters/3/name duplicate",
            "/listeners/0/address invalid",
            "/listeners/0/colour unsupported",
            "/listeners/0/port invalid",
            "/policies unsupported",
            "/routes/0/match/headers/0/exact invalid",
            "/routes/0/match/headers/0/starts unsupported",
            "/routes/0/match/path invalid",
            "/routes/0/timeout invalid",
        ]
    );
}

#[test]
fn a_path_has_exactly_one_kind() {
    assert_eq!(
        problems("routes: [{name: r, match: {path: {exact: /a, prefix: /a}}}]").len(),
        1
    );
    assert_eq!(problems("routes: [{name: r, match: {path: {}}}]").len(), 1);
}

#[test]
fn a_document_that_is_no_object_of_lists_is_refused() {
    assert_eq!(problems("[]"), [" invalid"]);
    assert_eq!(problems("routes: {name: a}"), ["/routes invalid"]);
    assert_eq!(problems("routes: [1]"), ["/routes/0 invalid"]);
}

#[test]
fn a_key_that_stands_twice_is_an_error() {
    assert!(
        json(br#"{"a":1,"a":2}"#)
            .unwrap_err()
            .to_string()
            .contains("twice")
    );
    assert!(yaml(b"a: 1\na: 2\n").is_err());
}

#[test]
fn a_document_as_deep_as_a_well_is_an_error_and_not_a_crash() {
    let deep = "[".repeat(100_000);
    assert!(json(deep.as_bytes()).is_err());
    assert!(yaml(deep.as_bytes()).is_err());
}

#[test]
fn json_and_yaml_of_one_content_have_the_same_bytes() {
    let yaml = "
        routes:
          - name: r
            priority: 0
            hosts: []
            timeout: 90s
            match: {path: {prefix: /}, headers: [{name: a, present: true, invert: false}]}
            redirect: {host: b.example, status: 301}";
    let json = br#"{"routes":[{"redirect":{"host":"b.example"},"name":"r",
        "match":{"headers":[{"present":true,"name":"a"}],"path":{"prefix":"/"}},"timeout":"1m30s"}]}"#;
    let of_yaml = config(yaml);
    let of_json = super::config(&super::json(json).unwrap()).unwrap().config;
    assert_eq!(of_yaml, of_json);
    let bytes = canonical::to_bytes(&*of_yaml.routes["r"]);
    assert_eq!(
        String::from_utf8(bytes).unwrap(),
        r#"{"match":{"headers":[{"name":"a","present":true}],"path":{"prefix":"/"}},"name":"r","redirect":{"host":"b.example"},"timeout":"1m30s"}"#
    );
}

#[test]
fn a_document_of_one_resource_takes_its_name_from_the_url_and_must_not_contradict_it() {
    let named = json(br#"{"name":"a","discovery":"api"}"#).unwrap();
    let nameless = json(br#"{"discovery":"api"}"#).unwrap();
    assert_eq!(
        resource::<Cluster>(&nameless, "a"),
        resource::<Cluster>(&named, "a")
    );
    let problems = resource::<Cluster>(&named, "b").unwrap_err();
    assert_eq!(
        (problems[0].pointer.as_str(), problems[0].code),
        ("/name", Code::Invalid)
    );
}

#[test]
fn positions_are_those_of_the_document() {
    let document =
        yaml(b"clusters: [{name: b, discovery: api}, {name: a, discovery: api}]").unwrap();
    let submitted = super::config(&document).unwrap();
    assert_eq!(submitted.positions[&ResourceId::new(Kind::Cluster, "a")], 1);
}
