//! Lists, history, nodes, and the process itself.

use std::collections::BTreeMap;

use control_plane::model::timestamp::Timestamp;
use control_plane::store::node_status::{NodeStatus, Refusal};
use serde_json::json;

use super::{Api, errors};

#[tokio::test]
async fn lists_are_in_the_order_of_names_and_go_on_where_a_page_ended() {
    let api = Api::with_shop().await;
    let routes = "/v1/fleets/default/routes";
    let all = api.get(routes).await.expect(200);
    assert_eq!(
        all.names(),
        ["account", "hello", "old-shop", "products", "products-beta"]
    );
    assert_eq!(all.header("config-revision"), "1");
    assert!(all.json().get("next_page_token").is_none());
    let mut names = Vec::new();
    let mut path = format!("{routes}?limit=2");
    loop {
        let page = api.get(&path).await.expect(200);
        names.extend(page.names());
        match page.json()["next_page_token"].as_str() {
            Some(token) => path = format!("{routes}?limit=2&page_token={token}"),
            None => break,
        }
    }
    assert_eq!(names, all.names());
    assert_eq!(
        api.get("/v1/fleets/default/listeners").await.names(),
        ["web"]
    );
    assert_eq!(api.get("/v1/fleets").await.names(), ["default"]);
    assert_eq!(api.get("/v1/fleets/default").await.json()["revision"], 1);
}

#[tokio::test]
async fn the_order_of_routes_is_shown_for_each_host() {
    let api = Api::with_shop().await;
    let order = api
        .get("/v1/fleets/default/route-order")
        .await
        .expect(200)
        .json();
    assert_eq!(
        order,
        json!({"listeners": [{"listener": "web", "hosts": [
            {"host": "shop.example", "routes": ["products-beta", "products"]},
            {"host": "old.example", "routes": ["old-shop"]},
            {"host": "*.shop.example", "routes": ["products"]},
            {"host": "*", "routes": ["hello", "account"]},
        ]}]})
    );
}

#[tokio::test]
async fn the_history_is_listed_from_the_newest() {
    let api = Api::with_shop().await;
    api.delete(
        "/v1/fleets/default/routes/hello?message=no%20more",
        &[("if-match", "*")],
    )
    .await
    .expect(204);
    let page = api
        .get("/v1/fleets/default/revisions?limit=1")
        .await
        .expect(200)
        .json();
    let newest = &page["items"][0];
    assert_eq!(
        (&newest["number"], &newest["message"], &newest["author"]),
        (&json!(2), &json!("no more"), &json!("local"))
    );
    assert!(
        newest["created_at"].as_str().unwrap().ends_with('Z')
            && newest["hash"].as_str().unwrap().len() == 64
    );
    let token = page["next_page_token"].as_str().unwrap();
    let page = api
        .get(&format!("/v1/fleets/default/revisions?page_token={token}"))
        .await
        .json();
    assert_eq!(
        (&page["items"][0]["number"], page.get("next_page_token")),
        (&json!(1), None)
    );
    assert_eq!(
        api.get("/v1/fleets/default/revisions/2").await.json(),
        *newest
    );
    api.get("/v1/fleets/default/revisions/3")
        .await
        .problem(404, "not-found");
    api.get("/v1/fleets/default/revisions/x")
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/default/revisions?page_token=x")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn nodes_are_shown_with_what_they_refused() {
    let api = Api::new().await;
    let node = |id: &str| NodeStatus {
        fleet: "default".into(),
        id: id.into(),
        replica: "r1".into(),
        connected: true,
        class: "envoy".into(),
        user_agent: "envoy/1.40.0".into(),
        zone: String::new(),
        labels: BTreeMap::new(),
        connected_at: Timestamp::from_micros(0),
        wanted_revision: Some(3),
        sent_revision: Some(2),
        acked_revision: Some(1),
        live_revision: Some(1),
        staged_revision: None,
        refused: Some(Refusal {
            revision: 2,
            type_url: "t".into(),
            resources: vec!["r".into()],
            message: "no".into(),
            reverted: false,
            at: Timestamp::from_micros(0),
        }),
        problems: Vec::new(),
        updated_at: Timestamp::from_micros(0),
    };
    api.store.heartbeat("r1").await.unwrap();
    api.store
        .write_nodes("r1", &[node("edge/1"), node("edge/2")])
        .await
        .unwrap();
    let list = api
        .get("/v1/fleets/default/nodes?limit=1")
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&list["items"][0]["id"], &list["next_page_token"]),
        (&json!("edge/1"), &json!("edge/1"))
    );
    let one = api
        .get("/v1/fleets/default/nodes/edge%2F2")
        .await
        .expect(200)
        .json();
    assert_eq!(
        one["refused"],
        json!({"revision": 2, "type_url": "t", "resources": ["r"], "message": "no", "at": "1970-01-01T00:00:00.000000Z"})
    );
    assert_eq!(
        (&one["connected"], &one["acked_revision"]),
        (&json!(true), &json!(1))
    );
    api.get("/v1/fleets/default/nodes/nobody")
        .await
        .problem(404, "not-found");
    api.get("/v1/fleets/default/nodes/%00")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_single_resource_is_judged_with_pointers_into_its_own_document() {
    let api = Api::with_shop().await;
    let route =
        json!({"match": {"path": {"regex": "("}}, "forward": {"cluster": "nope"}, "timeout": "0s"});
    let problem = api
        .put("/v1/fleets/default/routes/new", &[], &route)
        .await
        .problem(422, "validation");
    assert_eq!(
        errors(&problem),
        [
            "/forward/cluster missing-reference",
            "/match/path/regex invalid",
            "/timeout invalid"
        ]
    );
    let other = json!({"name": "other", "respond": {"status": 200}});
    let problem = api
        .put("/v1/fleets/default/routes/new", &[], &other)
        .await
        .problem(422, "validation");
    assert_eq!(errors(&problem), ["/name invalid"]);
    let yaml = api
        .send(
            "PUT",
            "/v1/fleets/default/routes/new",
            &[("content-type", "application/yaml")],
            "respond: {status: 204}",
        )
        .await;
    yaml.expect(201);
}

#[tokio::test]
async fn the_process_tells_of_itself() {
    let api = Api::with_shop().await;
    api.get("/v1/fleets/nope/config")
        .await
        .problem(404, "not-found");
    assert_eq!(api.get("/healthz").await.expect(200).text, "ok\n");
    api.get("/readyz").await.expect(200);
    let metrics = api.get("/metrics").await.expect(200);
    assert!(
        metrics
            .header("content-type")
            .starts_with("application/openmetrics-text")
    );
    assert!(
        metrics.text.contains("signalbox_commits_total 1\n"),
        "{}",
        metrics.text
    );
    let series = r#"signalbox_api_requests_total{route="/v1/fleets/{fleet}/config",method="GET",status="4xx"} 1"#;
    assert!(metrics.text.contains(series), "{}", metrics.text);
    let document = api.get("/openapi.json").await.expect(200).json();
    assert!(document["components"]["schemas"]["Route"]["properties"]["match"].is_object());
    api.shutdown.cancel();
    api.get("/readyz").await.problem(503, "store-unavailable");
    api.get("/healthz").await.expect(200);
}
