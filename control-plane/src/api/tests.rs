use std::collections::BTreeSet;

use super::*;
use crate::store::sql::{Database, SqlStore};

/// The paths that a router has, as its debug text tells them: axum has no other way to ask.
fn paths(router: &Router<ApiState>) -> BTreeSet<String> {
    let text = format!("{router:?}");
    let (_, printed) = text
        .split_once("paths: {")
        .expect("axum prints the paths of a router");
    let mut paths = BTreeSet::new();
    // Between the quotes of two paths there is no brace; after the last one there is.
    let mut parts = printed.split('"');
    while let (Some(between), Some(path)) = (parts.next(), parts.next()) {
        if between.contains('}') {
            break;
        }
        paths.insert(path.to_owned());
    }
    paths
}

#[test]
fn the_router_and_the_openapi_document_have_the_same_paths() {
    let (router, document) = routes().split_for_parts();
    let documented: BTreeSet<String> = document.paths.paths.keys().cloned().collect();
    assert_eq!(paths(&router), documented);
    assert!(documented.len() > 15, "the document was made");
}

#[test]
fn a_route_that_bypasses_the_document_is_seen() {
    let (router, document) = routes().split_for_parts();
    let router = router.route("/hidden", axum::routing::get(async || "x"));
    let documented: BTreeSet<String> = document.paths.paths.keys().cloned().collect();
    let extra: Vec<_> = paths(&router).difference(&documented).cloned().collect();
    assert_eq!(extra, ["/hidden"]);
}

#[tokio::test]
async fn a_handler_that_panics_is_a_problem_that_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("signalbox.db"));
    let store: Arc<dyn Store> = Arc::new(SqlStore::open(&database).await.unwrap());
    let state = ApiState {
        workbench: Arc::default(),
        webhook_hosts: Arc::default(),
        access: Access::on_loopback(store.clone()),
        turns: Turns::default(),
        max_config_bytes: 0,
        store,
        snapshots: Arc::default(),
        metrics: Arc::default(),
        shutdown: CancellationToken::new(),
    };
    let (router, document) = routes().split_for_parts();
    let router = router.route(
        "/panic",
        axum::routing::get(async || -> () { panic!("secret") }),
    );
    let request = axum::extract::Request::get("/panic")
        .body(axum::body::Body::empty())
        .unwrap();
    let response = with_layers(router, &document, state)
        .oneshot(request)
        .await
        .unwrap();
    assert_eq!(response.status(), 500);
    let body = axum::body::to_bytes(response.into_body(), 4_096)
        .await
        .unwrap();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["type"], "urn:signalbox:problem:internal");
    assert!(problem.get("detail").is_none() && !problem.to_string().contains("secret"));
}

#[test]
fn every_operation_has_an_id_of_its_own_and_says_how_it_fails() {
    let document = serde_json::to_value(routes().into_openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["title"], "Signalbox admin API");
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{id}");
            let certain = ["/openapi.json", "/healthz"].contains(&path.as_str());
            assert!(
                certain || operation["responses"].get("default").is_some(),
                "{method} {path}"
            );
        }
    }
    assert!(ids.len() > 25, "the document was made");
}
