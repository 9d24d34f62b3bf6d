//! Entity tags and conditions: nobody overwrites what they have not seen.

use control_plane::rollout::begin::Terms;
use control_plane::rollout::built_in::built_in;
use control_plane::rollout::strategy::{ALL_AT_ONCE, Mode, RolloutSettings};
use control_plane::rollout::{Rollout, State};
use control_plane::store::rollout::{NewRollout, Step};
use control_plane::store::{By, FleetSettings};
use serde_json::json;

use super::{Api, CONFIG};

const BY: By<'_> = By {
    actor: "ada",
    request_id: "request-1",
};

const CATALOG: &str = "/v1/fleets/default/clusters/catalog-next";

#[tokio::test]
async fn a_resource_is_created_replaced_and_deleted_by_its_etag() {
    let api = Api::new().await;
    let body = json!({"discovery": "api"});
    let created = api.put(CATALOG, &[], &body).await.expect(201);
    assert_eq!(created.header("location"), CATALOG);
    assert_eq!(created.header("config-revision"), "1");
    assert_eq!(
        created.json(),
        json!({"name": "catalog-next", "discovery": "api"})
    );
    let etag = created.header("etag").to_owned();
    assert_eq!(api.get(CATALOG).await.expect(200).header("etag"), etag);

    let other = json!({"name": "catalog-next", "endpoints": []});
    let refused = api.put(CATALOG, &[], &other).await;
    assert_eq!(refused.header("etag"), etag);
    refused.problem(428, "precondition-required");
    let replaced = api
        .put(CATALOG, &[("if-match", &etag)], &other)
        .await
        .expect(200);
    assert_ne!(replaced.header("etag"), etag);
    let refused = api.put(CATALOG, &[("if-match", &etag)], &body).await;
    assert_eq!(refused.header("etag"), replaced.header("etag"));
    refused.problem(412, "revision-conflict");
    api.put(CATALOG, &[("if-none-match", "*")], &body)
        .await
        .problem(412, "revision-conflict");

    api.delete(CATALOG, &[])
        .await
        .problem(428, "precondition-required");
    api.delete(CATALOG, &[("if-match", &etag)])
        .await
        .problem(412, "revision-conflict");
    let gone = api
        .delete(CATALOG, &[("if-match", replaced.header("etag"))])
        .await
        .expect(204);
    assert_eq!(
        (gone.header("config-revision"), gone.text.as_str()),
        ("3", "")
    );
    api.delete(CATALOG, &[("if-match", "*")])
        .await
        .problem(404, "not-found");
    api.put(CATALOG, &[("if-match", "*")], &body)
        .await
        .problem(412, "revision-conflict");
}

#[tokio::test]
async fn a_config_is_replaced_only_by_those_who_know_its_revision() {
    let api = Api::new().await;
    let document = json!({"clusters": [{"name": "a", "discovery": "api"}]});
    api.put(CONFIG, &[("if-match", "\"0\"")], &document)
        .await
        .problem(412, "revision-conflict");
    api.put(CONFIG, &[("if-none-match", "*")], &document)
        .await
        .expect(200);
    api.put(CONFIG, &[], &document)
        .await
        .problem(428, "precondition-required");
    api.put(CONFIG, &[("if-none-match", "*")], &document)
        .await
        .problem(412, "revision-conflict");
    api.put(CONFIG, &[("if-match", "\"2\"")], &document)
        .await
        .problem(412, "revision-conflict");
    api.put(CONFIG, &[("if-match", "\"1\"")], &document)
        .await
        .expect(200);
}

#[tokio::test]
async fn equal_content_makes_no_revision() {
    let api = Api::new().await;
    let body = json!({"discovery": "api"});
    let first = api.put(CATALOG, &[], &body).await.expect(201);
    let same = json!({"name": "catalog-next", "discovery": "api", "load_balancing": "round_robin"});
    let again = api
        .put(CATALOG, &[("if-match", "*")], &same)
        .await
        .expect(200);
    assert_eq!(again.header("config-revision"), "1");
    assert_eq!(again.header("etag"), first.header("etag"));
}

#[tokio::test]
async fn a_reader_who_has_the_state_is_told_so() {
    let api = Api::with_shop().await;
    for path in [CONFIG, CATALOG] {
        let etag = api.get(path).await.expect(200).header("etag").to_owned();
        let answer = api
            .send(
                "GET",
                path,
                &[("if-none-match", &format!("W/{etag}, \"x\""))],
                "",
            )
            .await
            .expect(304);
        assert_eq!(
            (answer.header("etag"), answer.text.as_str()),
            (etag.as_str(), "")
        );
        api.send("GET", path, &[("if-none-match", "\"x\"")], "")
            .await
            .expect(200);
    }
}

#[tokio::test]
async fn of_writers_who_have_read_the_same_one_wins_and_none_is_lost() {
    let api = Api::new().await;
    let counter = "/v1/fleets/default/routes/counter";
    let body = |count: u64| json!({"respond": {"status": 200, "body": count.to_string()}});
    api.put(counter, &[], &body(0)).await.expect(201);
    let writer = async || {
        for _ in 0..5 {
            loop {
                let read = api.get(counter).await.expect(200);
                let count: u64 = read.json()["respond"]["body"]
                    .as_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                let answer = api
                    .put(
                        counter,
                        &[("if-match", read.header("etag"))],
                        &body(count + 1),
                    )
                    .await;
                if answer.status == 200 {
                    break;
                }
                answer.problem(412, "revision-conflict");
            }
        }
    };
    tokio::join!(writer(), writer(), writer(), writer());
    assert_eq!(api.get(counter).await.json()["respond"]["body"], "20");
    assert_eq!(api.store.fleet("default").await.unwrap().head, 21);
}

#[tokio::test]
async fn writes_of_different_resources_do_not_hinder_each_other() {
    let api = Api::new().await;
    let write = async |name: String| {
        api.put(
            &format!("/v1/fleets/default/clusters/{name}"),
            &[],
            &json!({"discovery": "api"}),
        )
        .await
        .expect(201);
    };
    let names = (0..8).map(|n| write(format!("c{n}")));
    futures_util::future::join_all(names).await;
    assert_eq!(
        api.get("/v1/fleets/default/clusters").await.names().len(),
        8
    );
    assert_eq!(api.store.fleet("default").await.unwrap().head, 8);
}

#[tokio::test]
async fn endpoints_are_put_beside_revisions_and_kept_while_they_are_used() {
    let api = Api::with_shop().await;
    let path = "/v1/fleets/default/endpoints/accounts";
    api.get(path).await.problem(404, "not-found");
    let one = json!({"endpoints": [{"address": "127.0.0.1", "port": 9004}]});
    let created = api.put(path, &[], &one).await.expect(201);
    assert_eq!(
        (
            created.header("config-revision"),
            created.header("location")
        ),
        ("1", path)
    );
    api.put(path, &[], &json!({"endpoints": []}))
        .await
        .problem(428, "precondition-required");
    let etag = created.header("etag").to_owned();
    api.put(path, &[("if-match", &etag)], &json!({"endpoints": []}))
        .await
        .expect(200);
    // The commit, the first step of its rollout, and each change of endpoints.
    assert_eq!(api.store.fleet("default").await.unwrap().change_seq, 4);
    let same = api
        .put(path, &[("if-match", "*")], &json!({"endpoints": []}))
        .await
        .expect(200);
    assert_eq!(same.json(), json!({"endpoints": []}));
    assert_eq!(
        api.store.fleet("default").await.unwrap().change_seq,
        4,
        "equal content is no change"
    );

    let problem = api
        .delete(path, &[("if-match", "*")])
        .await
        .problem(409, "in-use");
    assert_eq!(problem["errors"][0]["resource"], "clusters/accounts");
    let problem = api
        .put("/v1/fleets/default/endpoints/catalog", &[], &one)
        .await
        .problem(422, "validation");
    assert_eq!(problem["errors"][0]["resource"], "clusters/catalog");
    let early = "/v1/fleets/default/endpoints/not-yet";
    api.put(early, &[], &one).await.expect(201);
    let listed = api.get("/v1/fleets/default/endpoints").await.json();
    assert_eq!(
        listed["items"][1],
        json!({"cluster": "not-yet", "endpoints": one["endpoints"]})
    );
    api.delete(early, &[("if-match", "*")]).await.expect(204);

    let bad = json!({"endpoints": [{"address": "name", "port": 1}, {"address": "::1", "port": 0, "weight": 0}]});
    let problem = api
        .put(path, &[("if-match", "*")], &bad)
        .await
        .problem(422, "validation");
    assert_eq!(super::errors(&problem), ["/endpoints/0/address invalid"]);
    let bad = json!({"endpoints": [{"address": "::1", "port": 0, "weight": 0}]});
    let problem = api
        .put(path, &[("if-match", "*")], &bad)
        .await
        .problem(422, "validation");
    assert_eq!(
        super::errors(&problem),
        ["/endpoints/0/port invalid", "/endpoints/0/weight invalid"]
    );
}

/// Sends the whole fleet to a revision.
async fn roll_out(api: &Api, to: u64) {
    let strategy = built_in(ALL_AT_ONCE).unwrap();
    let start = NewRollout {
        fleet: "default",
        to,
        strategy: &strategy,
        reason: "",
        supersede: false,
        terms: Terms::default(),
        by: BY,
    };
    let begun = api.store.start_rollout(start).await.unwrap();
    let next = Rollout {
        state: State::Completed,
        ..begun
    };
    let step = Step {
        next: &next,
        events: &[],
        by: None,
    };
    api.store.step_rollout(step).await.unwrap();
}

#[tokio::test]
async fn endpoints_are_taken_and_kept_while_nodes_serve_a_revision_that_uses_them() {
    let api = Api::new().await;
    let before = api.store.fleet("default").await.unwrap().settings;
    let manual = FleetSettings {
        rollout: RolloutSettings {
            mode: Mode::Manual,
            ..RolloutSettings::default()
        },
        ..FleetSettings::default()
    };
    let change = api.store.change_fleet("default", &manual, &before, BY);
    change.await.unwrap();
    let (cluster, path) = (
        "/v1/fleets/default/clusters/a",
        "/v1/fleets/default/endpoints/a",
    );
    let any = [("if-match", "*")];
    let one = json!({"endpoints": [{"address": "127.0.0.1", "port": 9004}]});
    api.put(cluster, &[], &json!({"discovery": "api"}))
        .await
        .expect(201);
    roll_out(&api, 1).await;
    api.put(cluster, &any, &json!({"endpoints": []}))
        .await
        .expect(200);
    // The newest revision has no use for them, but nobody serves it.
    api.put(path, &[], &one).await.expect(201);
    let problem = api.delete(path, &any).await.problem(409, "in-use");
    let error = &problem["errors"][0];
    assert_eq!(error["resource"], "clusters/a");
    assert!(
        error["detail"].as_str().unwrap().contains("revision 1"),
        "{error}"
    );
    roll_out(&api, 2).await;
    api.put(path, &any, &json!({"endpoints": []}))
        .await
        .problem(422, "validation");
    api.delete(path, &any).await.expect(204);
}

#[tokio::test]
async fn what_is_used_is_not_deleted() {
    let api = Api::with_shop().await;
    let problem = api
        .delete(
            "/v1/fleets/default/clusters/catalog-next",
            &[("if-match", "*")],
        )
        .await
        .problem(409, "in-use");
    let users: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["resource"].clone())
        .collect();
    assert_eq!(users, ["routes/products", "routes/products-beta"]);
    let pinned = json!({"listeners": ["web"], "respond": {"status": 200}});
    api.put("/v1/fleets/default/routes/pinned", &[], &pinned)
        .await
        .expect(201);
    let problem = api
        .delete("/v1/fleets/default/listeners/web", &[("if-match", "*")])
        .await
        .problem(409, "in-use");
    assert_eq!(problem["errors"][0]["resource"], "routes/pinned");
}
