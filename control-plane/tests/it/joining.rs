//! Who may open xDS streams, over real sockets: join tokens, certificates, and fleets that never mix.

use std::collections::BTreeSet;
use std::time::Duration;

use control_plane::app::App;
use control_plane::settings::{LogFormat, Settings};
use e2e::certificates::Authority;
use e2e::client::{Answer, Request, send};
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use proto::session;
use proto::session::session_client::SessionClient;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Code, Status, Streaming};

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
        let mut settings = Settings {
            data_dir: folder.path().to_owned(),
            admin: ([127, 0, 0, 1], 0).into(),
            xds: ([127, 0, 0, 1], 0).into(),
            new_streams_per_second: std::num::NonZeroU32::MAX,
            max_config_bytes: 64 * 1024 * 1024,
            database: None,
            require_token: true,
            bootstrap_token: Some(ROOT.to_owned()),
            tls_cert: None,
            tls_key: None,
            xds_client_ca: None,
            plaintext: false,
            log_format: LogFormat::Text,
        };
        change(&mut settings);
        Self {
            app: App::start(&settings).await.unwrap(),
            folder,
        }
    }

    async fn send(&self, request: Request) -> Answer {
        let request = request.header("authorization", format!("Bearer {ROOT}"));
        send(self.app.admin, request).await.unwrap()
    }

    async fn put(&self, path: &str, body: &Value) {
        let answer = self.send(Request::put(path).json(body)).await;
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

    /// A fleet with one cluster, named after it.
    async fn fleet(&self, name: &str) {
        self.put(&format!("/v1/fleets/{name}"), &json!({})).await;
        let cluster = format!("of-{name}");
        let config = json!({"clusters": [{"name": cluster, "discovery": "api"}]});
        self.put(&format!("/v1/fleets/{name}/config"), &config)
            .await;
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.app.xds)).unwrap();
        endpoint.connect().await.unwrap()
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
    let follow = async |fleet: &str, secret: Option<&str>| {
        let (statuses, queue) = mpsc::unbounded_channel();
        let status = session::Status {
            fleet: fleet.to_owned(),
            node_id: "n".to_owned(),
            ..session::Status::default()
        };
        statuses.send(status).unwrap();
        let mut request = tonic::Request::new(UnboundedReceiverStream::new(queue));
        if let Some(secret) = secret {
            let field = format!("Bearer {secret}").parse().unwrap();
            request.metadata_mut().insert("authorization", field);
        }
        let mut targets = SessionClient::new(channel.clone())
            .follow(request)
            .await?
            .into_inner();
        let target = tokio::time::timeout(SOON, targets.message()).await;
        drop(statuses);
        target.expect("something comes")
    };
    assert_eq!(
        follow("edge", None).await.unwrap_err().code(),
        Code::Unauthenticated
    );
    assert_eq!(
        follow("default", Some(&edge)).await.unwrap_err().code(),
        Code::PermissionDenied
    );
    assert_eq!(
        follow("edge", Some(&edge)).await.unwrap().unwrap().revision,
        1
    );
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
async fn nothing_of_one_fleet_is_ever_on_a_stream_of_another() {
    let rig = Rig::start(|_| {}).await;
    let mut streams = Vec::new();
    for fleet in ["edge", "core"] {
        rig.fleet(fleet).await;
        let (secret, _) = rig.join_token(fleet).await;
        let channel = rig.channel().await;
        let mut stream = open(channel, fleet, Some(&secret)).await.unwrap();
        stream.next().await.unwrap();
        streams.push((fleet, stream));
    }
    // In turns, so that each stream has every chance to see the other's.
    for round in 0..10 {
        for (fleet, stream) in &mut streams {
            let name = format!("of-{fleet}-{round}");
            let path = format!("/v1/fleets/{fleet}/clusters/{name}");
            rig.put(&path, &json!({"discovery": "api"})).await;
            let response = stream.next().await.unwrap();
            assert_eq!(names(&response), [name.as_str()].into());
            assert!(response.removed_resources.is_empty());
        }
    }
}

#[tokio::test]
async fn with_client_certificates_a_stream_without_one_is_refused() {
    let (authority, stranger) = (Authority::new().unwrap(), Authority::new().unwrap());
    let server = authority.issue("server").unwrap();
    let rig = Rig::start(|settings| {
        settings.tls_cert = Some(server.cert.clone());
        settings.tls_key = Some(server.key.clone());
        settings.xds_client_ca = Some(authority.root());
        settings.require_token = false;
    })
    .await;
    let pem = |path: &std::path::Path| std::fs::read(path).unwrap();
    let connect = async |identity: Option<&e2e::certificates::Pair>| {
        let roots = Certificate::from_pem(pem(&authority.root()));
        let mut tls = ClientTlsConfig::new()
            .ca_certificate(roots)
            .domain_name("localhost");
        if let Some(pair) = identity {
            tls = tls.identity(Identity::from_pem(pem(&pair.cert), pem(&pair.key)));
        }
        let endpoint = Endpoint::from_shared(format!("https://{}", rig.app.xds)).unwrap();
        endpoint.tls_config(tls).unwrap().connect().await
    };
    let known = authority.issue("proxy").unwrap();
    let channel = connect(Some(&known)).await.unwrap();
    let mut stream = open(channel, "default", None).await.unwrap();
    stream.next().await.unwrap();
    for identity in [None, Some(&stranger.issue("proxy").unwrap())] {
        // In TLS 1.3 the client is done before the server has looked: the first call fails at the latest.
        if let Ok(channel) = connect(identity).await {
            let opened = open(channel, "default", None).await;
            let refused = match opened {
                Err(_) => true,
                Ok(mut stream) => stream.next().await.is_err(),
            };
            assert!(refused, "{identity:?}");
        }
    }
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
