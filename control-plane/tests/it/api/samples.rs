//! `/v1/fleets/{fleet}/samples`, and the plans that are made with them.

use control_plane::samples::Samples;
use proto::session::{Sample, Samples as Report};
use serde_json::json;

use super::*;

const SAMPLES: &str = "/v1/fleets/default/samples";
const PLAN: &str = "/v1/fleets/default:plan";

fn sample(host: &str, path: &str, headers: &[&str], requests: u64) -> Sample {
    Sample {
        listener: "web".to_owned(),
        method: "GET".to_owned(),
        host: host.to_owned(),
        path: path.to_owned(),
        headers: headers.iter().map(ToString::to_string).collect(),
        query: Vec::new(),
        requests,
    }
}

/// What a proxy tells in one report.
async fn tell(api: &Api, samples: Vec<Sample>) {
    let told = Samples::default();
    told.take(
        "default",
        Some(&Report {
            samples,
            left_out: 0,
        }),
    );
    told.write(&*api.store).await;
}

async fn with_two_revisions() -> Api {
    let api = Api::new().await;
    let document = json!({
        "listeners": [{"name": "web", "address": "0.0.0.0", "port": 80}],
        "clusters": [{"name": "a", "discovery": "api"}, {"name": "b", "discovery": "api"}],
        "routes": [
            {"name": "api", "hosts": ["shop"], "match": {"path": {"prefix": "/api"}}, "timeout": "5s", "forward": {"cluster": "a"}},
            {"name": "beta", "hosts": ["shop"], "match": {"path": {"prefix": "/web"}, "headers": [{"name": "x-beta", "exact": "1"}]}, "forward": {"cluster": "b"}},
            {"name": "web", "hosts": ["shop"], "match": {"path": {"prefix": "/web"}}, "forward": {"cluster": "a"}},
        ],
    });
    api.put(CONFIG, &[], &document).await.expect(200);
    let samples = vec![
        sample("shop", "/api/1", &[], 412),
        sample("shop", "/web/1", &[], 550),
        sample("shop", "/web/1", &["x-beta"], 38),
    ];
    tell(&api, samples).await;
    api
}

#[tokio::test]
async fn what_proxies_have_seen_is_listed_with_what_it_stands_for() {
    let api = with_two_revisions().await;
    tell(&api, vec![sample("shop", "/api/1", &[], 88)]).await;
    let told = api
        .get(&format!("{SAMPLES}?top=2"))
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&told["kinds"], &told["requests"]),
        (&3.into(), &1088.into())
    );
    assert_eq!(told["samples"].as_array().unwrap().len(), 2);
    assert_eq!(told["samples"][1]["path"], "/api/1");
    assert_eq!(told["samples"][1]["requests"], 500);
    api.get(&format!("{SAMPLES}?top=10001"))
        .await
        .problem(400, "bad-request");
    api.get("/v1/fleets/nowhere/samples")
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_dry_run_tells_what_would_become_of_requests() {
    let api = with_two_revisions().await;
    // A typo in a prefix, and another cluster.
    let document = json!({"routes": [
        {"name": "api", "hosts": ["shop"], "match": {"path": {"prefix": "/apis"}}, "timeout": "9s", "forward": {"cluster": "a"}},
        {"name": "web", "hosts": ["shop"], "match": {"path": {"prefix": "/web"}}, "forward": {"cluster": "b"}},
    ]});
    let path = format!("{CONFIG}?dry_run=true");
    let planned = api
        .put(&path, &[("if-match", "*")], &document)
        .await
        .expect(200)
        .json();
    let plan = &planned["plan"];
    let impact = &plan["impact"];
    assert_eq!(
        (&impact["samples"], &impact["requests"]),
        (&3.into(), &1000.into())
    );
    assert_eq!(
        (&impact["changed"], &impact["changed_share"]),
        (&962.into(), &0.962.into())
    );
    assert_eq!(impact["not_known"], 38, "the value of x-beta decides");
    let groups = &impact["groups"];
    assert_eq!(groups[0]["kind"], "no-route");
    assert_eq!(
        (&groups[0]["before"], &groups[0]["requests"]),
        (&"api".into(), &412.into())
    );
    assert_eq!(
        groups[0]["examples"][0],
        json!({"method": "GET", "host": "shop", "path": "/api/1"})
    );
    assert_eq!(
        (&groups[1]["kind"], &groups[1]["requests"]),
        (&"cluster".into(), &550.into())
    );
    assert_eq!(groups[1]["detail"], "to cluster b, was: to cluster a");
    assert_eq!(groups[2]["kind"], "not-known");
    assert_eq!(
        plan["loosened"],
        json!([
            {"resource": "routes/api", "pointer": "/timeout", "detail": "9s instead of 5s"}
        ])
    );

    // The same by the verb, and of one resource alone.
    let verb = api.post(PLAN, &[], &document).await.expect(200).json();
    assert_eq!(verb["plan"]["impact"], *impact);
    let one = api
        .put(
            "/v1/fleets/default/routes/web?dry_run=true",
            &[("if-match", "*")],
            &document["routes"][1],
        )
        .await
        .expect(200)
        .json();
    assert_eq!(one["plan"]["impact"]["changed"], 550);
}

#[tokio::test]
async fn a_revision_is_planned_against_another() {
    let api = with_two_revisions().await;
    let pruned = format!("{CONFIG}?prune=true");
    let document = json!({"listeners": [{"name": "web", "address": "0.0.0.0", "port": 80}]});
    api.put(&pruned, &[("if-match", "*")], &document)
        .await
        .expect(200);
    let changed = async |query: &str| {
        let answer = api
            .send("POST", &format!("{PLAN}?{query}"), &[], "")
            .await
            .expect(200)
            .json();
        assert!(answer["plan"]["base_revision"].is_u64());
        answer["plan"]["impact"]["changed"].as_u64().unwrap()
    };
    assert_eq!(changed("revision=2&against=1").await, 1000);
    assert_eq!(changed("revision=1&against=2").await, 1000);
    assert_eq!(changed("revision=1&against=1").await, 0);
    api.send("POST", &format!("{PLAN}?revision=9"), &[], "")
        .await
        .problem(404, "not-found");
    api.post(&format!("{PLAN}?revision=1"), &[], &document)
        .await
        .problem(400, "bad-request");
    let wrong = json!({"routes": [{"name": "x", "forward": {"cluster": "nowhere"}}]});
    let problem = api.post(PLAN, &[], &wrong).await.problem(422, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "/routes/0/forward/cluster");
}
