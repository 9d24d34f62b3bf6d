//! Load reports over a real socket, as a client sees them: what it is asked for, when, and by whom.

use std::time::Duration;

use e2e::client::Request;
use e2e::programs::ControlPlane;
use e2e::wait;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::{ClusterStats, UpstreamLocalityStats};
use envoy_types::pb::envoy::service::load_stats::v3::load_reporting_service_client::LoadReportingServiceClient;
use envoy_types::pb::envoy::service::load_stats::v3::{LoadStatsRequest, LoadStatsResponse};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Endpoint;
use tonic::{Code, Status, Streaming};

const SOON: Duration = Duration::from_secs(20);

struct Stream {
    reports: mpsc::UnboundedSender<LoadStatsRequest>,
    questions: Streaming<LoadStatsResponse>,
}

impl Stream {
    async fn open(control_plane: &ControlPlane, node: core::Node) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", control_plane.xds())).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let (reports, queue) = mpsc::unbounded_channel();
        let first = LoadStatsRequest {
            node: Some(node),
            cluster_stats: Vec::new(),
        };
        reports.send(first).unwrap();
        let questions = LoadReportingServiceClient::new(channel)
            .stream_load_stats(UnboundedReceiverStream::new(queue))
            .await
            .unwrap();
        Self {
            reports,
            questions: questions.into_inner(),
        }
    }

    async fn next(&mut self) -> Result<LoadStatsResponse, Status> {
        let next = tokio::time::timeout(SOON, self.questions.message()).await;
        Ok(next.expect("something comes")?.unwrap())
    }

    fn report(&self, cluster: &str, successes: u64, errors: u64) {
        let locality = UpstreamLocalityStats {
            total_successful_requests: successes,
            total_error_requests: errors,
            ..UpstreamLocalityStats::default()
        };
        let stats = ClusterStats {
            cluster_name: cluster.to_owned(),
            upstream_locality_stats: vec![locality],
            ..ClusterStats::default()
        };
        let report = LoadStatsRequest {
            node: None,
            cluster_stats: vec![stats],
        };
        self.reports.send(report).unwrap();
    }
}

fn node(id: &str) -> core::Node {
    core::Node {
        id: id.to_owned(),
        cluster: "default".to_owned(),
        ..core::Node::default()
    }
}

fn seconds(question: &LoadStatsResponse) -> i64 {
    question.load_reporting_interval.as_ref().unwrap().seconds
}

#[tokio::test]
async fn reports_are_asked_for_when_a_rollout_is_judged_by_requests() {
    let control_plane = ControlPlane::start().await.unwrap();
    let mut stream = Stream::open(&control_plane, node("n")).await;
    let idle = stream.next().await.unwrap();
    assert!(idle.clusters.is_empty() && !idle.send_all_clusters);
    assert_eq!(seconds(&idle), 60);

    // What nobody has asked for counts for nothing.
    stream.report("a", 1_000, 1_000);
    let fleet = json!({"rollout": {"strategy": {
        "waves": [{"percent": 100, "bake": "1h", "min_requests": 1_000_000}],
    }}});
    let put = Request::put("/v1/fleets/default").json(&fleet);
    let answer = control_plane.send(put.if_match_any()).await.unwrap();
    answer.success().unwrap();
    let config = "clusters: [{name: b, discovery: api}, {name: a, discovery: api}]";
    control_plane.apply(config).await.unwrap();
    let asked = stream.next().await.unwrap();
    assert_eq!(asked.clusters, ["a", "b"]);
    assert!(!asked.send_all_clusters && !asked.report_endpoint_granularity);
    assert_eq!(seconds(&asked), 5);

    // The node has no xDS stream: it is not known what it has.
    stream.report("a", 10, 1);
    stream.report("stranger", 5, 5);
    stream.report("b", 2, 0);
    let known = async || {
        let page = control_plane.get("/v1/fleets/default/traffic").await;
        let page = page.map_err(|error| format!("{error:#}"))?;
        match page["revisions"][0]["requests"].as_u64() {
            Some(13) => Ok(page["revisions"].clone()),
            _ => Err(page.to_string()),
        }
    };
    let revisions = wait::until("the reports are known", SOON, known)
        .await
        .unwrap();
    assert_eq!(revisions.as_array().unwrap().len(), 1);
    let revision = &revisions[0];
    assert_eq!(
        (&revision["revision"], &revision["errors"]),
        (&json!(0), &json!(1))
    );
    let names = revision["clusters"].as_array().unwrap().iter();
    let names: Vec<&Value> = names.map(|cluster| &cluster["cluster"]).collect();
    assert_eq!(names, ["a", "b"]);
}

#[tokio::test]
async fn a_stream_that_does_not_say_whose_reports_it_brings_is_refused() {
    let control_plane = ControlPlane::start().await.unwrap();
    let mut stream = Stream::open(&control_plane, node("")).await;
    let refused = stream.next().await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
}
