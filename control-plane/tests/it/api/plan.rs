//! Dry runs and explanations: what would be, and why.

use std::collections::BTreeMap;

use control_plane::model::timestamp::Timestamp;
use control_plane::store::node_status::NodeStatus;
use serde_json::{Value, json};

use super::{Api, CONFIG, SHOP, errors};

fn node(id: &str, class: &str) -> NodeStatus {
    NodeStatus {
        fleet: "default".into(),
        id: id.into(),
        replica: "r1".into(),
        connected: true,
        class: class.into(),
        user_agent: class.into(),
        zone: String::new(),
        labels: BTreeMap::new(),
        connected_at: Timestamp::from_micros(0),
        sent_revision: None,
        acked_revision: None,
        wanted_revision: None,
        problems: Vec::new(),
        live_revision: None,
        staged_revision: None,
        refused: None,
        updated_at: Timestamp::from_micros(0),
    }
}

fn class<'p>(plan: &'p Value, name: &str) -> &'p Value {
    let classes = plan["plan"]["classes"].as_array().unwrap();
    classes.iter().find(|class| class["class"] == name).unwrap()
}

#[tokio::test]
async fn what_a_class_does_without_is_told_in_the_plan_and_at_its_nodes() {
    let api = Api::new().await;
    let nodes = [node("program", "grpc"), node("proxy", "envoy")];
    api.store.write_nodes("r1", &nodes).await.unwrap();
    let document =
        json!({"routes": [{"name": "hello", "hosts": ["h"], "respond": {"status": 200}}]});
    let planned = api
        .put(&format!("{CONFIG}?dry_run=true"), &[], &document)
        .await;
    let planned = planned.expect(200).json();
    api.put(CONFIG, &[], &document).await.expect(200);
    let at = async |node: &str| {
        let path = format!("/v1/fleets/default/nodes/{node}");
        api.get(&path).await.expect(200).json()["warnings"].clone()
    };
    let warnings = at("program").await;
    assert_eq!(warnings[0]["resource"], "routes/hello");
    assert_eq!(class(&planned, "grpc")["warnings"], warnings);
    assert_eq!(at("proxy").await, json!([]));
}

#[tokio::test]
async fn a_dry_run_tells_what_a_write_would_do_and_stores_nothing() {
    let api = Api::with_shop().await;
    api.store.heartbeat("r1").await.unwrap();
    let nodes = [
        node("a", "envoy"),
        node("b", "envoy"),
        node("c", "signalbox"),
    ];
    api.store.write_nodes("r1", &nodes).await.unwrap();
    let document = json!({"routes": [
        {"name": "hello", "match": {"path": {"exact": "/hello"}}, "respond": {"status": 204}},
        {"name": "hello-again", "match": {"path": {"exact": "/hello"}}, "respond": {"status": 200}},
    ]});
    let path = format!("{CONFIG}?dry_run=true");
    let planned = api
        .put(&path, &[("if-match", "*")], &document)
        .await
        .expect(200);
    assert_eq!(planned.header("config-revision"), "1");
    let planned = planned.json();
    assert_eq!(planned["plan"]["base_revision"], 1);
    let changes = &planned["plan"]["changes"];
    assert_eq!(changes[0]["resource"], "routes/hello");
    assert_eq!(
        changes[0]["fields"],
        json!([
            {"pointer": "/respond/body", "old": "hello\n"},
            {"pointer": "/respond/headers", "old": {"content-type": "text/plain"}},
            {"pointer": "/respond/status", "old": 200, "new": 204},
        ])
    );
    assert_eq!(changes[1]["change"], "created");
    assert_eq!(
        planned["plan"]["warnings"][0]["resource"],
        "routes/hello-again"
    );
    assert_eq!(
        class(&planned, "envoy")["resources"],
        json!([{"type": "RouteConfiguration", "added": [], "changed": ["web"], "removed": []}])
    );
    assert_eq!(
        class(&planned, "envoy")["nodes_affected"],
        json!({"connected": 2, "known": 2})
    );
    assert_eq!(
        class(&planned, "signalbox")["resources"][0]["changed"],
        json!(["web/*"])
    );
    assert_eq!(api.get("/v1/fleets/default").await.json()["revision"], 1);
}

#[tokio::test]
async fn a_dry_run_of_one_resource_is_a_plan_too() {
    let api = Api::with_shop().await;
    let any = [("if-match", "*")];
    let route = "/v1/fleets/default/routes/hello?dry_run=true";
    for planned in [
        api.put(route, &any, &json!({"respond": {"status": 404}}))
            .await,
        api.patch(route, &any, &json!({"respond": {"status": 404}}))
            .await,
        api.delete(route, &any).await,
    ] {
        let planned = planned.expect(200).json();
        assert_eq!(planned["plan"]["changes"][0]["resource"], "routes/hello");
    }
    assert_eq!(api.get("/v1/fleets/default").await.json()["revision"], 1);
}

#[tokio::test]
async fn a_dry_run_fails_as_the_write_would() {
    let api = Api::with_shop().await;
    let path = format!("{CONFIG}?dry_run=true");
    api.put(&path, &[], &json!({}))
        .await
        .problem(428, "precondition-required");
    api.put(&path, &[("if-match", "\"7\"")], &json!({}))
        .await
        .problem(412, "revision-conflict");
    let bad = json!({"routes": [{"name": "r", "forward": {"cluster": "nope"}}]});
    let problem = api
        .put(&path, &[("if-match", "*")], &bad)
        .await
        .problem(422, "validation");
    assert_eq!(
        errors(&problem),
        ["/routes/0/forward/cluster missing-reference"]
    );
    let catalog = "/v1/fleets/default/clusters/catalog?dry_run=true";
    api.delete(catalog, &[("if-match", "*")])
        .await
        .problem(409, "in-use");
}

#[tokio::test]
async fn a_dry_run_of_what_is_there_already_changes_nothing() {
    let api = Api::with_shop().await;
    let headers = [("if-match", "*"), ("content-type", "application/yaml")];
    let path = format!("{CONFIG}?dry_run=true&prune=true");
    let planned = api
        .send("PUT", &path, &headers, SHOP)
        .await
        .expect(200)
        .json();
    assert_eq!(planned["plan"]["changes"], json!([]));
    assert_eq!(class(&planned, "envoy")["resources"], json!([]));
}

#[tokio::test]
async fn a_request_is_explained_by_what_a_node_served_at_a_time() {
    let api = Api::with_shop().await;
    // What is written after this has a later time: SQLite's clock counts milliseconds.
    let moment = async || {
        let now = api.store.clock().await.unwrap();
        while api.store.clock().await.unwrap() == now {}
        now
    };
    let serves = async |revision| {
        let status = NodeStatus {
            acked_revision: Some(revision),
            ..node("edge", "envoy")
        };
        api.store.write_nodes("r1", &[status]).await.unwrap();
        moment().await
    };
    let before = moment().await;
    let first = serves(1).await;
    api.delete("/v1/fleets/default/routes/hello", &[("if-match", "*")])
        .await
        .expect(204);
    let second = serves(2).await;
    let explain = "/v1/fleets/default:explain";
    let ask =
        |at: Option<Timestamp>| json!({"host": "x", "path": "/hello", "node": "edge", "at": at});
    for (at, revision, outcome, has_ended) in [
        (Some(first), 1, "respond", true),
        (Some(second), 2, "no_route", false),
        (None, 2, "no_route", false),
    ] {
        let told = api.post(explain, &[], &ask(at)).await.expect(200).json();
        assert_eq!(
            (&told["revision"], &told["outcome"]),
            (&json!(revision), &json!(outcome))
        );
        assert_eq!(told["served"]["node"], "edge");
        assert_eq!(told["served"]["until"].is_string(), has_ended, "{told}");
    }
    for (asked, expected) in [
        (ask(Some(before)), "/at missing-reference"),
        (
            json!({"host": "x", "path": "/", "node": "nobody"}),
            "/node missing-reference",
        ),
        (
            json!({"host": "x", "path": "/", "at": first}),
            "/at missing-reference",
        ),
        (
            json!({"host": "x", "path": "/", "node": "edge", "revision": 1}),
            "/revision missing-reference",
        ),
    ] {
        let problem = api.post(explain, &[], &asked).await;
        let problem = problem.problem(422, "validation");
        assert_eq!(errors(&problem), [expected]);
    }
}

#[tokio::test]
async fn a_request_is_explained_at_any_revision() {
    let api = Api::with_shop().await;
    api.delete("/v1/fleets/default/routes/hello", &[("if-match", "*")])
        .await
        .expect(204);
    let explain = "/v1/fleets/default:explain";
    let ask = |revision: Option<u64>| json!({"host": "x", "path": "/hello", "revision": revision});
    let now = api.post(explain, &[], &ask(None)).await.expect(200).json();
    assert_eq!(
        (&now["revision"], &now["outcome"], &now["status"]),
        (&json!(2), &json!("no_route"), &json!(404))
    );
    let before = api
        .post(explain, &[], &ask(Some(1)))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&before["outcome"], &before["route"]["name"]),
        (&json!("respond"), &json!("hello"))
    );
    api.post(explain, &[], &ask(Some(3)))
        .await
        .problem(404, "not-found");
    let problem = api
        .post(
            explain,
            &[],
            &json!({"host": "x", "path": "/", "listener": "nope"}),
        )
        .await
        .problem(422, "validation");
    assert_eq!(problem["instance"], explain);
    assert_eq!(errors(&problem), ["/listener missing-reference"]);
    let problem = api
        .post(explain, &[], &json!({"path": "/", "verb": "GET"}))
        .await
        .problem(422, "validation");
    assert_eq!(errors(&problem), ["/host required", "/verb unsupported"]);
    api.get(explain).await.problem(404, "not-found");
    api.post("/v1/fleets/nope:explain", &[], &ask(None))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_node_s_config_is_what_its_class_is_served() {
    let api = Api::with_shop().await;
    api.complete_rollout().await;
    api.store.heartbeat("r1").await.unwrap();
    let nodes = [node("a", "envoy"), node("b", "signalbox")];
    api.store.write_nodes("r1", &nodes).await.unwrap();
    api.get("/v1/fleets/default/nodes/a/config")
        .await
        .problem(503, "store-unavailable");
    api.reconciler.refresh().await.unwrap();
    let config = api
        .get("/v1/fleets/default/nodes/a/config")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&config["class"], &config["revision"]),
        (&json!("envoy"), &json!(1))
    );
    let resources = config["resources"].as_array().unwrap();
    let catalog = resources
        .iter()
        .find(|one| one["type"] == "Cluster" && one["name"] == "catalog")
        .unwrap();
    assert_eq!(
        catalog["resource"]["lb_policy"], "LEAST_REQUEST",
        "{catalog}"
    );
    let of_ours = api.get("/v1/fleets/default/nodes/b/config").await.json();
    let types = of_ours["resources"].as_array().unwrap().iter();
    assert!(types.into_iter().any(|one| one["type"] == "VirtualHost"));
    api.get("/v1/fleets/default/nodes/c/config")
        .await
        .problem(404, "not-found");
}
