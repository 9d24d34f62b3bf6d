//! The whole config as one document.

use serde_json::{Value, json};

use super::{Api, CONFIG, SHOP, errors};

#[tokio::test]
async fn the_example_applies_as_it_stands_and_is_read_back_in_both_formats() {
    let api = Api::new().await;
    let answer = api
        .send(
            "PUT",
            CONFIG,
            &[("content-type", "application/yaml; charset=utf-8")],
            SHOP,
        )
        .await
        .expect(200);
    assert_eq!(
        (answer.header("etag"), answer.header("config-revision")),
        ("\"1\"", "1")
    );
    let applied = answer.json();
    assert_eq!(applied["revision"], 1);
    assert_eq!(applied["created"].as_array().unwrap().len(), 9);
    assert_eq!(
        (&applied["updated"], &applied["deleted"]),
        (&json!([]), &json!([]))
    );

    let of_json = api.get(CONFIG).await.expect(200);
    assert_eq!(
        (of_json.header("etag"), of_json.header("content-type")),
        ("\"1\"", "application/json")
    );
    let of_yaml = api
        .send("GET", CONFIG, &[("accept", "application/yaml")], "")
        .await
        .expect(200);
    assert_eq!(of_yaml.header("content-type"), "application/yaml");
    for (text, format) in [
        (of_json.text, "application/json"),
        (of_yaml.text, "application/yaml"),
    ] {
        // What was read is what is there: sending it back changes nothing.
        let headers = [("content-type", format), ("if-match", "\"1\"")];
        let again = api
            .send("PUT", &format!("{CONFIG}?prune=true"), &headers, text)
            .await
            .expect(200);
        assert_eq!(
            again.json(),
            json!({"revision": 1, "created": [], "updated": [], "deleted": []})
        );
    }
}

#[tokio::test]
async fn what_a_document_does_not_name_stays_unless_it_is_pruned() {
    let api = Api::with_shop().await;
    let one = json!({"clusters": [{"name": "extra", "discovery": "api"}]});
    let answer = api
        .put(CONFIG, &[("if-match", "\"1\"")], &one)
        .await
        .expect(200);
    let latest = api.get("/v1/fleets/default/rollouts/latest").await.json();
    assert_eq!(
        answer.json(),
        json!({
            "revision": 2, "created": ["clusters/extra"], "updated": [], "deleted": [],
            "delivery": {"state": "waiting", "rollout": latest["id"]}
        })
    );
    let answer = api
        .put(
            &format!("{CONFIG}?prune=true&message=only%20this"),
            &[("if-match", "*")],
            &one,
        )
        .await
        .expect(200);
    assert_eq!(answer.json()["deleted"].as_array().unwrap().len(), 9);
    assert_eq!(
        api.get(CONFIG).await.json(),
        json!({"listeners": [], "routes": [], "clusters": one["clusters"]})
    );
    assert_eq!(
        api.get("/v1/fleets/default/revisions/3").await.json()["message"],
        "only this"
    );
}

#[tokio::test]
async fn every_problem_is_told_at_once_and_nothing_is_stored() {
    let api = Api::new().await;
    let bad = "
        listeners:
          - {name: web, address: 0.0.0.0, port: 80}
          - {name: web2, address: 0.0.0.0, port: 80}
        clusters:
          - {name: A_B, discovery: api, load_balancing: maglev}
        routes:
          - {name: one, match: {path: {regex: '/('}}, forward: {cluster: nope}}
          - {name: two, hosts: ['a.*.b'], match: {path: {prefix: /a/}}, timeout: 1s}";
    let answer = api
        .send("PUT", CONFIG, &[("content-type", "application/yaml")], bad)
        .await;
    let problem = answer.problem(422, "validation");
    assert_eq!(
        errors(&problem),
        [
            "/clusters/0/load_balancing unsupported",
            "/clusters/0/name invalid",
            "/listeners/1/port duplicate",
            "/routes/0/forward/cluster missing-reference",
            "/routes/0/match/path/regex invalid",
            "/routes/1 required",
            "/routes/1/hosts/0 invalid",
            "/routes/1/match/path/prefix invalid",
        ]
    );
    let regex = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .find(|error| error["pointer"] == "/routes/0/match/path/regex");
    let detail = regex.unwrap()["detail"].as_str().unwrap();
    assert!(
        detail.contains("xDS: VirtualHost \"web/*\" / routes["),
        "{detail}"
    );
    assert_eq!(api.store.fleet("default").await.unwrap().head, 0);
}

#[tokio::test]
async fn a_problem_of_a_resource_that_was_not_sent_has_no_pointer_but_names_it() {
    let api = Api::with_shop().await;
    // `catalog` stays, and the new listener takes the address of `web`, which stands after it.
    let document = json!({"listeners": [{"name": "a", "address": "0.0.0.0", "port": 10000}]});
    let problem = api
        .put(CONFIG, &[("if-match", "*")], &document)
        .await
        .problem(422, "validation");
    let error = &problem["errors"][0];
    assert_eq!(error["pointer"], Value::Null);
    assert_eq!(
        (&error["resource"], &error["code"]),
        (&json!("listeners/web"), &json!("duplicate"))
    );
    assert!(error["detail"].as_str().unwrap().starts_with("/port: "));
}

#[tokio::test]
async fn faults_of_form_are_told_with_pointers_too() {
    let api = Api::new().await;
    let document = json!({"clusters": [{"name": "a", "discovery": "api", "colour": 1}, {"name": 5}], "policies": []});
    let problem = api
        .put(CONFIG, &[], &document)
        .await
        .problem(422, "validation");
    assert_eq!(
        errors(&problem),
        [
            "/clusters/0/colour unsupported",
            "/clusters/1/name invalid",
            "/policies unsupported"
        ]
    );
    api.send("PUT", CONFIG, &[], "{")
        .await
        .problem(400, "bad-request");
    api.send("PUT", CONFIG, &[("content-type", "text/html")], "{}")
        .await
        .problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn an_older_revision_can_be_read() {
    let api = Api::with_shop().await;
    api.delete("/v1/fleets/default/routes/hello", &[("if-match", "*")])
        .await
        .expect(204);
    let routes = async |query: &str| {
        api.get(&format!("{CONFIG}{query}")).await.json()["routes"]
            .as_array()
            .unwrap()
            .len()
    };
    assert_eq!(
        (
            routes("?revision=1").await,
            routes("?revision=2").await,
            routes("").await
        ),
        (5, 4, 4)
    );
    api.get(&format!("{CONFIG}?revision=3"))
        .await
        .problem(404, "not-found");
}
