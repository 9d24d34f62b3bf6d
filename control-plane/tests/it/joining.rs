//! Who may open xDS streams, over real sockets: join tokens, certificates, and fleets that never mix.

mod certificates;
mod separation;
mod streams;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use control_plane::app::App;
use control_plane::settings::Settings;
use e2e::certificates::Pair;
use e2e::client::{Answer, Request, send};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use http::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status, Streaming};

use self::streams::Caller;

const ROOT: &str = "the-secret-of-the-first-admin-token";
const SOON: Duration = Duration::from_secs(10);
const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";

struct Rig {
    app: App,
    folder: TempDir,
}

impl Rig {
    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = settings(folder.path());
        change(&mut settings);
        Self {
            app: App::start(&settings).await.unwrap(),
            folder,
        }
    }

    /// With TLS, the fleets `edge` and `core`, and a join token of `edge`. The client of the API here speaks no TLS, so all
    /// of them are made before.
    async fn start_with_tls(server: &Pair, change: impl FnOnce(&mut Settings)) -> (Self, String) {
        let open = Self::start(|_| {}).await;
        open.fleet("edge").await;
        open.fleet("core").await;
        let (secret, _) = open.join_token("edge").await;
        let Self { app, folder } = open;
        app.stop().await.unwrap();
        let mut settings = settings(folder.path());
        settings.tls_cert = Some(server.cert.clone());
        settings.tls_key = Some(server.key.clone());
        change(&mut settings);
        let app = App::start(&settings).await.unwrap();
        (Self { app, folder }, secret)
    }

    async fn send(&self, request: Request) -> Answer {
        let request = request.header("authorization", format!("Bearer {ROOT}"));
        send(self.app.admin, request).await.unwrap()
    }

    /// Puts something, over whatever is there.
    async fn put(&self, path: &str, body: &Value) {
        let request = Request::put(path).json(body);
        let mut answer = self.send(request.clone()).await;
        if answer.status == StatusCode::PRECONDITION_REQUIRED {
            answer = self.send(request.if_match_any()).await;
        }
        answer.success().unwrap();
    }

    /// Makes a token; its secret and id.
    async fn token(&self, wanted: &Value) -> (String, String) {
        let answer = self.send(Request::post("/v1/tokens").json(wanted)).await;
        let made = answer.success().unwrap().json().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["secret"]), text(&made["token"]["id"]))
    }

    async fn join_token(&self, fleet: &str) -> (String, String) {
        let wanted = json!({"name": format!("join-{fleet}"), "kind": "join", "fleets": [fleet]});
        self.token(&wanted).await
    }

    /// A fleet with one resource of each kind, named after it.
    async fn fleet(&self, name: &str) {
        self.put(&format!("/v1/fleets/{name}"), &json!({})).await;
        let own = format!("of-{name}");
        let config = json!({
            "listeners": [{"name": own, "address": "127.0.0.1", "port": 10_000}],
            "clusters": [{"name": own, "discovery": "api"}],
            "routes": [{"name": own, "forward": {"cluster": own}}],
        });
        self.put(&format!("/v1/fleets/{name}/config"), &config)
            .await;
        let ended = format!("/v1/fleets/{name}/rollouts/latest?wait=20s&until=completed");
        let rollout = self.send(Request::get(ended)).await.json().unwrap();
        assert_eq!(rollout["state"], "completed");
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.app.xds)).unwrap();
        endpoint.connect().await.unwrap()
    }
}

fn settings(folder: &Path) -> Settings {
    Settings {
        require_token: true,
        bootstrap_token: Some(ROOT.to_owned()),
        ..crate::settings::settings(folder)
    }
}

struct Stream {
    requests: mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

/// Asks for all clusters of a fleet.
async fn open(channel: Channel, fleet: &str, secret: Option<&str>) -> Result<Stream, Status> {
    let (requests, queue) = mpsc::unbounded_channel();
    let node = core::Node {
        id: "n".to_owned(),
        cluster: fleet.to_owned(),
        ..core::Node::default()
    };
    let first = DeltaDiscoveryRequest {
        node: Some(node),
        type_url: CLUSTERS.to_owned(),
        ..DeltaDiscoveryRequest::default()
    };
    requests.send(first).unwrap();
    let mut request = tonic::Request::new(UnboundedReceiverStream::new(queue));
    if let Some(secret) = secret {
        let field = format!("Bearer {secret}").parse().unwrap();
        request.metadata_mut().insert("authorization", field);
    }
    let mut client = AggregatedDiscoveryServiceClient::new(channel);
    let responses = client.delta_aggregated_resources(request).await?;
    Ok(Stream {
        requests,
        responses: responses.into_inner(),
    })
}

impl Stream {
    /// The next response, acknowledged.
    async fn next(&mut self) -> Result<DeltaDiscoveryResponse, Status> {
        let next = tokio::time::timeout(SOON, self.responses.message()).await;
        let response = next.expect("something comes")?.unwrap();
        let ack = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(ack).ok();
        Ok(response)
    }
}

/// How a stream of a fleet fails.
async fn refusal(channel: Channel, fleet: &str, secret: Option<&str>) -> Code {
    match open(channel, fleet, secret).await {
        Err(status) => status.code(),
        Ok(mut stream) => stream.next().await.expect_err("it is refused").code(),
    }
}

fn names(response: &DeltaDiscoveryResponse) -> BTreeSet<&str> {
    let resources = response.resources.iter();
    resources.map(|resource| resource.name.as_str()).collect()
}

#[tokio::test]
async fn a_stream_is_opened_by_a_join_token_of_its_fleet_alone() {
    let rig = Rig::start(|_| {}).await;
    rig.fleet("edge").await;
    rig.fleet("core").await;
    let (edge, _) = rig.join_token("edge").await;
    let (core, _) = rig.join_token("core").await;
    let channel = rig.channel().await;
    let refused = async |fleet: &str, secret| refusal(channel.clone(), fleet, secret).await;
    assert_eq!(refused("edge", None).await, Code::Unauthenticated);
    assert_eq!(
        refused("edge", Some("sbxjoin_wrong")).await,
        Code::Unauthenticated
    );
    // A token of the API, even of its admin, is not one for proxies.
    assert_eq!(refused("edge", Some(ROOT)).await, Code::PermissionDenied);
    assert_eq!(refused("edge", Some(&core)).await, Code::PermissionDenied);
    // Whether a fleet exists is not told to those of another.
    assert_eq!(refused("nope", Some(&core)).await, Code::PermissionDenied);

    let mut stream = open(channel.clone(), "edge", Some(&edge)).await.unwrap();
    assert_eq!(names(&stream.next().await.unwrap()), ["of-edge"].into());
}

#[tokio::test]
async fn a_session_is_opened_by_a_join_token_of_its_fleet_alone() {
    let rig = Rig::start(|_| {}).await;
    rig.fleet("edge").await;
    let (edge, _) = rig.join_token("edge").await;
    let channel = rig.channel().await;
    let target = async |fleet, secret| {
        let caller = Caller {
            fleet,
            node: "n",
            secret,
        };
        let target = streams::next(&mut streams::follow(channel.clone(), caller)).await;
        target.map_err(|status| status.code())
    };
    let refused = target("edge", None).await.unwrap_err();
    assert_eq!(refused, Code::Unauthenticated);
    let refused = target("default", Some(&edge)).await.unwrap_err();
    assert_eq!(refused, Code::PermissionDenied);
    assert_eq!(target("edge", Some(&edge)).await.unwrap().revision, 1);
}

#[tokio::test]
async fn a_stream_ends_within_a_second_when_its_token_is_revoked() {
    let rig = Rig::start(|_| {}).await;
    rig.fleet("edge").await;
    let (secret, id) = rig.join_token("edge").await;
    let mut stream = open(rig.channel().await, "edge", Some(&secret))
        .await
        .unwrap();
    stream.next().await.unwrap();
    rig.send(Request::delete(format!("/v1/tokens/{id}")))
        .await
        .success()
        .unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(1), stream.next()).await;
    let status = ended.expect("it ends in time").expect_err("it ends");
    assert_eq!(status.code(), Code::Unauthenticated);
    assert_eq!(
        refusal(rig.channel().await, "edge", Some(&secret)).await,
        Code::Unauthenticated
    );
}

#[tokio::test]
async fn a_drawn_first_token_is_in_a_file_that_only_its_owner_reads() {
    use std::os::unix::fs::PermissionsExt as _;
    let rig = Rig::start(|settings| settings.bootstrap_token = None).await;
    let path = rig.folder.path().join("admin-token");
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let secret = std::fs::read_to_string(&path).unwrap();
    let request =
        Request::get("/v1/tokens").header("authorization", format!("Bearer {}", secret.trim()));
    let tokens = send(rig.app.admin, request).await.unwrap();
    let tokens = tokens.success().unwrap().json().unwrap();
    assert_eq!(tokens["items"][0]["name"], "bootstrap");
    assert_eq!(tokens["items"].as_array().unwrap().len(), 1);
}
