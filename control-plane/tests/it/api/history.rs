//! Old revisions: read, compared, gone back to.

use serde_json::json;

use super::{Api, CONFIG, errors};

const REVISIONS: &str = "/v1/fleets/default/revisions";
const ANY: [(&str, &str); 1] = [("if-match", "*")];

#[tokio::test]
async fn an_old_revision_is_read_as_it_was() {
    let api = Api::with_shop().await;
    let before = api.get(CONFIG).await.text;
    api.delete("/v1/fleets/default/routes/hello", &ANY)
        .await
        .expect(204);
    let old = api.get(&format!("{REVISIONS}/1/config")).await.expect(200);
    assert_eq!((old.header("etag"), &old.text), ("\"1\"", &before));
    let has = [("if-none-match", "\"1\"")];
    api.send("GET", &format!("{REVISIONS}/1/config"), &has, "")
        .await
        .expect(304);
    let empty = api.get(&format!("{REVISIONS}/0/config")).await.expect(200);
    assert_eq!(empty.json()["routes"], json!([]));
    api.get(&format!("{REVISIONS}/3/config"))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn any_two_revisions_are_compared_in_either_direction() {
    let api = Api::with_shop().await;
    api.patch(
        "/v1/fleets/default/routes/hello",
        &ANY,
        &json!({"priority": 3}),
    )
    .await
    .expect(200);
    let diff = api.get(&format!("{REVISIONS}/1/diff/2")).await.expect(200);
    assert_eq!(
        diff.json(),
        json!({"from": 1, "to": 2, "changes": [{
            "resource": "routes/hello", "change": "updated",
            "fields": [{"pointer": "/priority", "new": 3}]
        }]})
    );
    let back = api.get(&format!("{REVISIONS}/2/diff/1")).await.json();
    assert_eq!(
        back["changes"][0]["fields"],
        json!([{"pointer": "/priority", "old": 3}])
    );
    let all = api.get(&format!("{REVISIONS}/0/diff/1")).await.json();
    assert_eq!(all["changes"].as_array().unwrap().len(), 9);
    let none = api.get(&format!("{REVISIONS}/2/diff/2")).await.json();
    assert_eq!(none["changes"], json!([]));
}

#[tokio::test]
async fn going_back_is_a_new_revision_equal_to_the_old() {
    let api = Api::with_shop().await;
    api.delete("/v1/fleets/default/routes/hello", &ANY)
        .await
        .expect(204);
    let revert = format!("{REVISIONS}/1:revert");
    api.send("POST", &revert, &[], "")
        .await
        .problem(428, "precondition-required");
    api.send("POST", &revert, &[("if-match", "\"1\"")], "")
        .await
        .problem(412, "revision-conflict");
    let planned = api
        .send("POST", &format!("{revert}?dry_run=true"), &ANY, "")
        .await
        .expect(200);
    assert_eq!(planned.json()["plan"]["changes"][0]["change"], "created");
    let done = api
        .send("POST", &revert, &[("if-match", "\"2\"")], "")
        .await
        .expect(200);
    let latest = api.get("/v1/fleets/default/rollouts/latest").await.json();
    assert_eq!(
        done.json(),
        json!({
            "revision": 3, "created": ["routes/hello"], "updated": [], "deleted": [],
            "delivery": {"state": "waiting", "rollout": latest["id"]}
        })
    );
    let (first, third) = (
        api.get(&format!("{REVISIONS}/1")).await.json(),
        api.get(&format!("{REVISIONS}/3")).await.json(),
    );
    assert_eq!(first["hash"], third["hash"]);
    assert_eq!(third["message"], "revert to revision 1");
    let again = api.send("POST", &revert, &ANY, "").await.expect(200);
    assert_eq!(again.json()["revision"], 3);
    api.send("POST", &format!("{REVISIONS}/9:revert"), &ANY, "")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn endpoints_stay_as_they_are_when_a_fleet_goes_back() {
    let api = Api::new().await;
    let document = json!({"clusters": [{"name": "c", "discovery": "api"}]});
    api.put(CONFIG, &[], &document).await.expect(200);
    api.delete("/v1/fleets/default/clusters/c", &ANY)
        .await
        .expect(204);
    let endpoints = json!({"endpoints": [{"address": "10.0.0.1", "port": 80}]});
    let path = "/v1/fleets/default/endpoints/c";
    api.put(path, &[], &endpoints).await.expect(201);
    api.send("POST", &format!("{REVISIONS}/1:revert"), &ANY, "")
        .await
        .expect(200);
    assert_eq!(api.get(path).await.expect(200).json(), endpoints);
    let fixed = json!({"clusters": [{"name": "c", "endpoints": []}]});
    // A cluster with endpoints of its own beside endpoints that were put for it.
    let problem = api
        .put(
            CONFIG,
            &ANY,
            &json!({"routes": [{"name": "r", "forward": {"cluster": "d"}}]}),
        )
        .await
        .problem(422, "validation");
    assert_eq!(
        errors(&problem),
        ["/routes/0/forward/cluster missing-reference"]
    );
    api.put(CONFIG, &ANY, &fixed).await.expect(200);
}
