//! Fleets and the fast lane.

use std::time::{Duration, Instant};

use super::{Bench, Done};

const SOON: Duration = Duration::from_secs(20);

fn json(bench: &Bench, arguments: &[&str]) -> serde_json::Value {
    bench
        .run(&[arguments, &["-o", "json"]].concat())
        .expect(0)
        .json()
}

#[test]
fn a_fleet_is_created_shown_changed_and_deleted() {
    let bench = Bench::new();
    let create = ["fleet", "create", "edge", "--description", "at the edge"];
    let create = [&create[..], &["--label", "zone=a", "--label", "tier=1"]].concat();
    assert_eq!(bench.run(&create).expect(0).out, "created fleets/edge\n");
    let done = bench.run(&create).expect(3);
    assert!(done.out.is_empty() && !done.err.is_empty(), "{done:?}");
    assert_eq!(
        bench.run(&["fleet", "list", "-o", "name"]).expect(0).out,
        "fleets/default\nfleets/edge\n"
    );
    let table = bench.run(&["fleet", "get", "edge"]).expect(0).out;
    assert!(
        table.starts_with("NAME  REVISION  CREATED\nedge  0"),
        "{table}"
    );

    // What is not named stays.
    let set = [
        "fleet",
        "set",
        "edge",
        "--label",
        "zone=b",
        "--remove-label",
        "tier",
    ];
    assert_eq!(bench.run(&set).expect(0).out, "updated fleets/edge\n");
    let fleet = json(&bench, &["fleet", "get", "edge"]);
    assert_eq!(fleet["description"], "at the edge");
    assert_eq!(fleet["labels"], serde_json::json!({"zone": "b"}));
    assert_eq!(
        bench.run(&set).expect(0).out,
        "nothing to change of fleets/edge\n"
    );
    bench
        .run(&["fleet", "set", "nowhere", "--description", "x"])
        .expect(1);

    // A fleet that has something is in use.
    let cluster = "clusters: [{name: a, discovery: api}]";
    let apply = ["apply", "-f", "-", "--fleet", "edge"];
    bench.run_with(&apply, cluster).expect(0);
    let delete = ["fleet", "delete", "edge"];
    bench.run(&delete).expect(3);
    bench
        .run(&["delete", "clusters", "a", "--fleet", "edge"])
        .expect(0);
    assert_eq!(bench.run(&delete).expect(0).out, "deleted fleets/edge\n");
    bench.run(&delete).expect(1);
    bench.run(&["fleet", "get", "edge"]).expect(1);
}

#[test]
fn endpoints_are_put_read_and_deleted() {
    let bench = Bench::new();
    let cluster = "clusters: [{name: api, discovery: api}, {name: own, endpoints: []}]";
    bench.run_with(&["apply", "-f", "-"], cluster).expect(0);
    let put =
        |yaml: &str| -> Done { bench.run_with(&["endpoints", "put", "-f", "-", "api"], yaml) };
    let one = "endpoints: [{address: 127.0.0.1, port: 9}]";
    assert_eq!(put(one).expect(0).out, "created endpoints/api\n");
    assert_eq!(put(one).expect(0).out, "unchanged endpoints/api\n");
    let two = "endpoints:\n  - {address: 127.0.0.1, port: 9}\n  - {address: 127.0.0.2, port: 9}\n";
    assert_eq!(put(two).expect(0).out, "updated endpoints/api\n");
    assert_eq!(
        bench.run(&["get", "endpoints"]).expect(0).out,
        "CLUSTER  ENDPOINTS\napi      127.0.0.1:9, 127.0.0.2:9\n"
    );
    let of_one = json(&bench, &["get", "endpoints", "api"]);
    assert_eq!(of_one["endpoints"].as_array().unwrap().len(), 2);
    let revision = bench.revision();

    // A fault is told with its line, and nothing is stored.
    let bad = bench.file(
        "bad.yaml",
        &two.replace("127.0.0.2, port: 9", "nowhere!, port: 9"),
    );
    let done = bench
        .run(&["endpoints", "put", "-f", &bad, "api"])
        .expect(3);
    let place = format!("{bad}:3: /endpoints/1/address: ");
    assert!(done.err.contains(&place), "{}", done.err);
    bench
        .run_with(&["endpoints", "put", "-f", "-", "own"], one)
        .expect(3);

    // Not before the cluster: it lives by them.
    bench.run(&["delete", "endpoints", "api"]).expect(3);
    bench.run(&["delete", "clusters", "api"]).expect(0);
    // Nor while nodes are served the cluster: a rollout takes it from them.
    let deadline = Instant::now() + SOON;
    let deleted = loop {
        let done = bench.run(&["delete", "endpoints", "api"]);
        if done.code != 3 || Instant::now() > deadline {
            break done;
        }
    };
    assert_eq!(deleted.expect(0).out, "deleted endpoints/api\n");
    bench.run(&["delete", "endpoints", "api"]).expect(1);
    assert_eq!(bench.revision(), revision + 1, "the fast lane makes none");
}
