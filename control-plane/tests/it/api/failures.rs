//! Whatever goes wrong is told as a problem document.

use axum::body::{Body, Bytes};
use serde_json::json;

use super::{Api, CONFIG, MAX_CONFIG_BYTES};

#[tokio::test]
async fn failures_of_the_framework_are_problems_too() {
    let api = Api::new().await;
    let problem = api.get("/nowhere").await.problem(404, "not-found");
    assert_eq!(problem["instance"], "/nowhere");
    api.get("/v1/fleets/default/")
        .await
        .problem(404, "not-found");
    let answer = api.send("POST", CONFIG, &[], "").await;
    assert_eq!(answer.header("allow"), "GET,HEAD,PUT");
    answer.problem(405, "method-not-allowed");
    api.get("/v1/fleets/default/routes?limit=x")
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/default/routes?limit=0")
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/default/routes?limit=1001")
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/default/routes/%FF")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn a_parameter_that_is_not_known_is_not_ignored() {
    let api = Api::new().await;
    api.put(&format!("{CONFIG}?dry=true"), &[], &json!({}))
        .await
        .problem(400, "bad-request");
    api.put(&format!("{CONFIG}?prune=maybe"), &[], &json!({}))
        .await
        .problem(400, "bad-request");
    api.put(&format!("{CONFIG}?message=a%00b"), &[], &json!({}))
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/default?x=1")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn a_fleet_that_is_not_there_is_not_found_everywhere() {
    let api = Api::new().await;
    for fleet in ["nope", "NOPE", "a%00b", "%2E%2E"] {
        for path in [
            "",
            "/config",
            "/routes",
            "/routes/x",
            "/route-order",
            "/endpoints",
            "/endpoints/x",
            "/revisions",
            "/revisions/1",
            "/revisions/1/config",
            "/revisions/1/diff/0",
            "/nodes",
            "/nodes/x",
            "/nodes/x/config",
        ] {
            api.get(&format!("/v1/fleets/{fleet}{path}"))
                .await
                .problem(404, "not-found");
        }
        let body = json!({"respond": {"status": 200}});
        api.put(&format!("/v1/fleets/{fleet}/routes/x"), &[], &body)
            .await
            .problem(404, "not-found");
        api.put(
            &format!("/v1/fleets/{fleet}/endpoints/x"),
            &[],
            &json!({"endpoints": []}),
        )
        .await
        .problem(404, "not-found");
        api.delete(
            &format!("/v1/fleets/{fleet}/routes/x"),
            &[("if-match", "*")],
        )
        .await
        .problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_name_that_cannot_be_is_told_as_invalid_where_it_is_written_and_as_missing_where_it_is_read()
 {
    let api = Api::new().await;
    for name in ["A", "a%00b", "a%2Fb"] {
        let path = format!("/v1/fleets/default/routes/{name}");
        api.put(&path, &[], &json!({"respond": {"status": 200}}))
            .await
            .problem(422, "validation");
        api.get(&path).await.problem(404, "not-found");
        let path = format!("/v1/fleets/default/endpoints/{name}");
        api.put(&path, &[], &json!({"endpoints": []}))
            .await
            .problem(400, "bad-request");
        api.get(&path).await.problem(404, "not-found");
        api.delete(&path, &[]).await.problem(404, "not-found");
    }
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused() {
    let api = Api::new().await;
    // Space after a document is part of a body.
    let padded = |bytes: usize| [b"{}".to_vec(), vec![b' '; bytes - 2]].concat();
    let any = 8 * 1024 * 1024;
    let fleet = "/v1/fleets/default";
    let exists = [("if-match", "*")];
    api.send("PUT", fleet, &exists, padded(any))
        .await
        .expect(200);
    api.send("PUT", fleet, &exists, padded(any + 1))
        .await
        .problem(413, "too-large");
    // A whole config has a limit of its own.
    api.send("PUT", CONFIG, &[], padded(MAX_CONFIG_BYTES))
        .await
        .expect(200);
    api.send("PUT", CONFIG, &[], padded(MAX_CONFIG_BYTES + 1))
        .await
        .problem(413, "too-large");
}

#[tokio::test]
async fn a_body_that_is_nested_too_deeply_is_refused() {
    let api = Api::new().await;
    for depth in [33, 100_000] {
        let deep = "[".repeat(depth);
        api.send("PUT", CONFIG, &[], deep.clone())
            .await
            .problem(400, "too-deep");
        api.send("PUT", CONFIG, &[("content-type", "application/yaml")], deep)
            .await
            .problem(400, "too-deep");
    }
}

#[tokio::test]
async fn a_cluster_with_too_many_endpoints_is_refused() {
    let api = Api::new().await;
    let endpoint = |index: u32| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + index);
        json!({"address": address.to_string(), "port": 80})
    };
    let endpoints: Vec<_> = (0..10_001).map(endpoint).collect();
    let path = "/v1/fleets/default/endpoints/c";
    api.put(path, &[], &json!({"endpoints": endpoints}))
        .await
        .problem(422, "too-many");
    api.put(path, &[], &json!({"endpoints": endpoints[1..]}))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_request_that_never_ends_is_ended() {
    let api = Api::new().await;
    // The clock now jumps ahead as soon as nothing else can happen: nothing waits for the ten seconds.
    tokio::time::pause();
    let endless =
        Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
    let problem = api
        .send("PUT", CONFIG, &[], endless)
        .await
        .problem(503, "timeout");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("read before you repeat it")
    );
}

#[tokio::test]
async fn a_database_that_is_away_is_told_as_such_and_as_nothing_more() {
    let api = Api::with_shop().await;
    api.store.close().await;
    let answer = api.get("/v1/audit").await;
    assert_eq!(answer.header("retry-after"), "1");
    let problem = answer.problem(503, "store-unavailable");
    assert!(!problem.to_string().contains("pool"), "{problem}");
    api.get("/readyz").await.problem(503, "store-unavailable");
    api.get("/healthz").await.expect(200);
    let metrics = api.get("/metrics").await.text;
    assert!(
        metrics.contains(r#"signalbox_store_errors_total{kind="unavailable"} 2"#),
        "{metrics}"
    );
}
