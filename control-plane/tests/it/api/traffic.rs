//! `/v1/fleets/{fleet}/traffic`, from what replicas have written.

use control_plane::sketch::Sketch;
use control_plane::traffic::Traffic;
use control_plane::traffic::numbered::Reporter;
use proto::session::{
    CauseCount, ClusterTraffic, Outcomes, RevisionTraffic, RouteTraffic, Traffic as Report,
};

use super::*;

const TRAFFIC: &str = "/v1/fleets/default/traffic";

fn outcomes(requests: u64, errors: u64, ms: u64) -> Outcomes {
    let mut latencies = Sketch::default();
    for _ in 0..requests {
        latencies.record(std::time::Duration::from_millis(ms));
    }
    Outcomes {
        requests,
        classes: vec![0, requests - errors - 1, 0, 0, errors],
        causes: vec![CauseCount {
            cause: "UC".to_owned(),
            count: errors,
        }],
        latencies: latencies.to_proto(),
        unanswered: 1,
    }
}

fn report(revision: u64, outcomes: &Outcomes) -> Report {
    let route = |name: &str| RouteTraffic {
        route_configuration: "web".to_owned(),
        virtual_host: "*".to_owned(),
        route: name.to_owned(),
        outcomes: Some(outcomes.clone()),
    };
    let cluster = ClusterTraffic {
        cluster: "c".to_owned(),
        outcomes: Some(outcomes.clone()),
    };
    Report {
        window_us: 5_000_000,
        sequence: 0,
        revisions: vec![RevisionTraffic {
            revision,
            total: Some(outcomes.clone()),
            no_route: 2,
            routes: vec![route("r"), route("s")],
            other_routes: None,
            clusters: vec![cluster],
            other_clusters: None,
        }],
    }
}

#[tokio::test]
async fn what_two_replicas_have_written_is_one_fleets_traffic() {
    let api = Api::new().await;
    for replica in ["a", "b"] {
        let traffic = Traffic::new(replica.to_owned());
        let node = Reporter::new("default", "n", 0);
        traffic.report(&node, Some(&report(1, &outcomes(100, 4, 10))));
        traffic.report(&node, Some(&report(2, &outcomes(10, 0, 80))));
        traffic.write(&*api.store).await;
        // It is written once.
        traffic.write(&*api.store).await;
    }
    let answer = api.get(TRAFFIC).await.expect(200).json();
    let revisions = answer["revisions"].as_array().unwrap();
    let [new, old] = &revisions[..] else {
        panic!("{answer}");
    };
    assert_eq!((&new["revision"], &old["revision"]), (&2.into(), &1.into()));
    assert_eq!(old["requests"], 200);
    assert_eq!(
        (&old["errors"], &old["error_ratio"]),
        (&8.into(), &0.04.into())
    );
    assert_eq!(
        (&old["no_route"], &old["no_route_ratio"]),
        (&4.into(), &0.02.into())
    );
    assert_eq!(
        (&old["unanswered"], &old["causes"]["UC"]),
        (&2.into(), &8.into())
    );
    assert_eq!(
        (&old["classes"]["2xx"], &old["classes"]["5xx"]),
        (&190.into(), &8.into())
    );
    for quantile in ["p50", "p95", "p99"] {
        let old = old["latency_ms"][quantile].as_f64().unwrap();
        let new = new["latency_ms"][quantile].as_f64().unwrap();
        assert!(
            (7.5..=12.5).contains(&old) && (60.0..=100.0).contains(&new),
            "{old} {new}"
        );
    }
    assert_eq!(old["routes"][1]["route"], "s");
    assert_eq!(old["routes"][1]["requests"], 200);
    assert_eq!(old["clusters"][0]["cluster"], "c");

    let answer = api
        .get(&format!("{TRAFFIC}?revision=1&top=1&window=1h"))
        .await;
    let answer = answer.expect(200).json();
    let revision = &answer["revisions"][0];
    assert_eq!(answer["revisions"].as_array().unwrap().len(), 1);
    assert_eq!(revision["routes"].as_array().unwrap().len(), 1);
    assert_eq!(revision["other_routes"]["requests"], 200);
    assert!(revision["other_clusters"]["latency_ms"].is_null());
}

#[tokio::test]
async fn a_window_that_the_store_cannot_answer_is_refused() {
    let api = Api::new().await;
    for query in [
        "window=2h",
        "window=0s",
        "window=x",
        "top=101",
        "revision=-1",
        "since=1",
    ] {
        let answer = api.get(&format!("{TRAFFIC}?{query}")).await;
        answer.problem(400, "bad-request");
    }
    let answer = api.get("/v1/fleets/nowhere/traffic").await;
    answer.problem(404, "not-found");
}
