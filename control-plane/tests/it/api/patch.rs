//! Merge patches.

use serde_json::json;

use super::{Api, errors};

const PRODUCTS: &str = "/v1/fleets/default/routes/products";
const ENDPOINTS: &str = "/v1/fleets/default/endpoints/accounts";
const ANY: [(&str, &str); 1] = [("if-match", "*")];

#[tokio::test]
async fn a_patch_changes_what_it_names_and_nothing_else() {
    let api = Api::with_shop().await;
    let before = api.get(PRODUCTS).await.expect(200);
    let patched = api
        .patch(
            PRODUCTS,
            &[("if-match", before.header("etag"))],
            &json!({"timeout": "9s", "rewrite": null, "match": {"methods": ["GET"]}}),
        )
        .await
        .expect(200);
    let mut expected = before.json();
    expected["timeout"] = json!("9s");
    expected["match"]["methods"] = json!(["GET"]);
    expected.as_object_mut().unwrap().remove("rewrite");
    assert_eq!(patched.json(), expected);
    assert_eq!(patched.header("config-revision"), "2");
    assert_eq!(
        api.get(PRODUCTS).await.header("etag"),
        patched.header("etag")
    );
    let again = api
        .patch(PRODUCTS, &ANY, &json!({"timeout": "9s"}))
        .await
        .expect(200);
    assert_eq!(again.header("config-revision"), "2");
}

#[tokio::test]
async fn every_kind_can_be_patched() {
    let api = Api::with_shop().await;
    for (path, patch) in [
        ("listeners/web", json!({"trusted_hops": 1})),
        ("clusters/catalog", json!({"connect_timeout": "2s"})),
        (
            "routes/hello",
            json!({"respond": {"status": 204, "body": null, "headers": null}}),
        ),
    ] {
        let path = format!("/v1/fleets/default/{path}");
        api.patch(&path, &[], &patch)
            .await
            .problem(428, "precondition-required");
        api.patch(&path, &[("if-match", "\"x\"")], &patch)
            .await
            .problem(412, "revision-conflict");
        api.patch(&path, &ANY, &patch).await.expect(200);
        api.patch(&format!("{path}-not"), &ANY, &patch)
            .await
            .problem(404, "not-found");
    }
}

#[tokio::test]
async fn the_result_of_a_patch_is_read_strictly() {
    let api = Api::with_shop().await;
    for (patch, expected) in [
        (json!({"tiemout": "9s"}), "/tiemout unsupported"),
        (json!({"timeout": 9}), "/timeout invalid"),
        (json!({"name": "other"}), "/name invalid"),
        (json!({"forward": null}), "routes/products required"),
        (
            json!({"forward": {"clusters": [{"name": "nope"}]}}),
            "/forward/clusters/0/name missing-reference",
        ),
    ] {
        let problem = api
            .patch(PRODUCTS, &ANY, &patch)
            .await
            .problem(422, "validation");
        let found = errors(&problem);
        assert!(
            found
                .iter()
                .any(|error| error == expected || error == " required"),
            "{patch}: {found:?}"
        );
    }
    api.patch(PRODUCTS, &ANY, &json!([1]))
        .await
        .problem(422, "validation");
}

#[tokio::test]
async fn a_patch_says_that_it_is_one() {
    let api = Api::with_shop().await;
    for media_type in ["application/json", "application/json-patch+json", ""] {
        let headers = [("if-match", "*"), ("content-type", media_type)];
        for path in [PRODUCTS, ENDPOINTS] {
            api.send("PATCH", path, &headers, "{}")
                .await
                .problem(415, "unsupported-media-type");
        }
    }
}

#[tokio::test]
async fn endpoints_can_be_patched_once_there_are_some() {
    let api = Api::with_shop().await;
    let list = json!({"endpoints": [{"address": "10.0.0.1", "port": 80}]});
    api.patch(ENDPOINTS, &ANY, &list)
        .await
        .problem(404, "not-found");
    api.put(ENDPOINTS, &[], &json!({"endpoints": []}))
        .await
        .expect(201);
    api.patch(ENDPOINTS, &[], &list)
        .await
        .problem(428, "precondition-required");
    let patched = api.patch(ENDPOINTS, &ANY, &list).await.expect(200);
    assert_eq!(patched.json(), list);
    api.patch(ENDPOINTS, &ANY, &json!({"endpoints": null}))
        .await
        .problem(422, "validation");
}
