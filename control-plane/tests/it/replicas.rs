//! Two control planes on one PostgreSQL, with clients that do what the test says.

use std::sync::Arc;
use std::time::{Duration, Instant};

use control_plane::app::App;
use control_plane::lookout::Lookout;
use control_plane::nodes::Nodes;
use control_plane::settings::Settings;
use control_plane::store::Store;
use control_plane::store::node_status::NodeStatus;
use control_plane::store::sql::{Database, SqlStore};
use e2e::client::{Answer, Connection, Request, send};
use e2e::postgres::Postgres;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Streaming;
use tonic::transport::Endpoint;
use xds::node::{ClientClass, Node};

use crate::settings::settings;

const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const SOON: Duration = Duration::from_secs(20);

/// A control plane.
struct Replica {
    app: App,
    _folder: TempDir,
}

impl Replica {
    async fn start(database: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            database: Some(database.to_owned()),
            ..settings(folder.path())
        };
        Self {
            app: App::start(&settings).await.unwrap(),
            _folder: folder,
        }
    }

    async fn send(&self, request: Request) -> Answer {
        send(self.app.admin, request).await.unwrap()
    }

    /// Puts a cluster, until it is stored.
    async fn put_cluster(&self, name: &str) {
        let path = format!("/v1/fleets/default/clusters/{name}");
        let put = || Request::put(path.clone()).json(&json!({"discovery": "api"}));
        while self.send(put()).await.status != 201 {}
    }

    /// Has nothing begin when something is stored.
    async fn move_by_hand(&self) {
        let settings = json!({"rollout": {"mode": "manual"}});
        let put = Request::put("/v1/fleets/default").header("if-match", "*");
        self.send(put.json(&settings)).await.success().unwrap();
    }

    /// Begins to roll out what is newest, whether or not the last rollout is over.
    async fn roll_out(&self) {
        let start = Request::post("/v1/fleets/default/rollouts");
        let start = start.json(&json!({"supersede": true}));
        self.send(start).await.success().unwrap();
    }

    async fn node(&self) -> Value {
        let answer = self
            .send(Request::get("/v1/fleets/default/nodes/edge"))
            .await;
        answer.json().unwrap()
    }

    /// Asks for the node again and again until it is as it should be.
    async fn wait_for_node(&self, is: impl Fn(&Value) -> bool) {
        let asked = async {
            while !is(&self.node().await) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(SOON, asked).await;
        assert!(found.is_ok(), "{}", self.node().await);
    }
}

/// A client that says what the test wants it to say.
struct Client {
    requests: mpsc::UnboundedSender<DeltaDiscoveryRequest>,
    responses: Streaming<DeltaDiscoveryResponse>,
}

impl Client {
    /// Asks a replica for all clusters.
    async fn connect(replica: &Replica) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{}", replica.app.xds)).unwrap();
        let (requests, queue) = mpsc::unbounded_channel();
        let node = core::Node {
            id: "edge".to_owned(),
            cluster: "default".to_owned(),
            ..core::Node::default()
        };
        let first = DeltaDiscoveryRequest {
            node: Some(node),
            type_url: CLUSTERS.to_owned(),
            ..DeltaDiscoveryRequest::default()
        };
        requests.send(first).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let mut client = AggregatedDiscoveryServiceClient::new(channel);
        let responses = client.delta_aggregated_resources(UnboundedReceiverStream::new(queue));
        Self {
            requests,
            responses: responses.await.unwrap().into_inner(),
        }
    }

    /// Waits for a response that has a cluster.
    async fn receive(&mut self, cluster: &str) -> DeltaDiscoveryResponse {
        loop {
            let next = tokio::time::timeout(SOON, self.responses.message()).await;
            let response = next.expect("something comes").unwrap().unwrap();
            let names = response.resources.iter().map(|resource| &resource.name);
            if names.clone().any(|name| name == cluster) {
                return response;
            }
            self.answer(&response, None);
        }
    }

    fn answer(&self, response: &DeltaDiscoveryResponse, refusal: Option<&str>) {
        let detail = |message: &str| RpcStatus {
            code: 3,
            message: message.to_owned(),
            ..RpcStatus::default()
        };
        let answer = DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            error_detail: refusal.map(detail),
            ..DeltaDiscoveryRequest::default()
        };
        self.requests.send(answer).unwrap();
    }
}

/// A listener to the events of a replica.
struct Listener {
    body: hyper::body::Incoming,
    _connection: Connection,
    text: String,
}

impl Listener {
    async fn start(replica: &Replica) -> Self {
        let mut connection = Connection::open(replica.app.admin).await.unwrap();
        let stream = connection.stream(Request::get("/v1/events")).await.unwrap();
        Self {
            body: stream.into_body(),
            _connection: connection,
            text: String::new(),
        }
    }

    /// Waits until an event was told that has a text.
    async fn wait_for(&mut self, part: &str) {
        let heard = async {
            while !self.text.contains(part) {
                let frame = self.body.frame().await.unwrap().unwrap();
                let data = frame.into_data().unwrap();
                self.text.push_str(std::str::from_utf8(&data).unwrap());
            }
        };
        let heard = tokio::time::timeout(SOON, heard).await;
        assert!(heard.is_ok(), "{}", self.text);
    }
}

/// How long something takes, from a moment that may be in the past.
async fn timed(since: Instant, what: impl Future<Output = ()>) -> Duration {
    what.await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_at_one_replica_is_shown_by_every_replica_within_a_second() {
    let postgres = Postgres::start().await.unwrap();
    let url = postgres.database().unwrap();
    let (one, other) = (Replica::start(&url).await, Replica::start(&url).await);
    let mut client = Client::connect(&one).await;
    let mut listeners = [Listener::start(&one).await, Listener::start(&other).await];
    // Each round begins a rollout, which the refusal turns back; a fleet that moves by itself would be held after the first.
    one.move_by_hand().await;
    for round in 0..5 {
        let (cluster, message) = (format!("c{round}"), format!("refused in round {round}"));
        one.put_cluster(&cluster).await;
        one.roll_out().await;
        let response = client.receive(&cluster).await;
        client.answer(&response, Some(&message));
        let refused = Instant::now();
        let is_shown = |node: &Value| node["refused"]["message"] == json!(message);
        let [here, there] = &mut listeners;
        let times = tokio::join!(
            timed(refused, one.wait_for_node(is_shown)),
            timed(refused, other.wait_for_node(is_shown)),
            timed(refused, here.wait_for(&message)),
            timed(refused, there.wait_for(&message)),
        );
        println!("shown at both replicas, and told by the events of both, after {times:?}");
        let slowest = times.0.max(times.1).max(times.2).max(times.3);
        assert!(slowest < Duration::from_secs(1), "{times:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_postgres_is_away_streams_go_on_and_soon_after_it_is_back_all_is_well() {
    let mut postgres = Postgres::start().await.unwrap();
    let url = postgres.database().unwrap();
    let (one, other) = (Replica::start(&url).await, Replica::start(&url).await);
    one.put_cluster("before").await;
    let mut client = Client::connect(&one).await;
    let response = client.receive("before").await;
    client.answer(&response, None);
    other
        .wait_for_node(|node| node["acked_revision"] == 1)
        .await;
    postgres.kill().unwrap();
    // A stream that begins now is served from what is known.
    drop(client);
    let mut client = Client::connect(&other).await;
    let response = client.receive("before").await;
    client.answer(&response, None);
    postgres.restart().await.unwrap();
    let back = Instant::now();
    one.put_cluster("after").await;
    let written = back.elapsed();
    let response = client.receive("after").await;
    client.answer(&response, None);
    let received = back.elapsed();
    for replica in [&one, &other] {
        let has_it = |node: &Value| node["acked_revision"] == 2 && node["connected"] == true;
        replica.wait_for_node(has_it).await;
    }
    let shown = back.elapsed();
    println!("after it was back: written {written:?}, received {received:?}, shown {shown:?}");
    assert!(shown < Duration::from_secs(5), "{shown:?}");
}

/// The part of a replica that knows its nodes.
struct NodesOf {
    nodes: Arc<Nodes>,
    lookout: Lookout,
    store: Arc<dyn Store>,
    shutdown: CancellationToken,
}

impl NodesOf {
    async fn start(name: &str, database: &Database) -> Self {
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(database).await.unwrap());
        let nodes = Nodes::new(name.to_owned(), Arc::default());
        let shutdown = CancellationToken::new();
        store.heartbeat(name).await.unwrap();
        tokio::spawn(nodes.clone().run(store.clone(), shutdown.clone()));
        Self {
            lookout: Lookout::new(store.clone(), nodes.clone()),
            nodes,
            store,
            shutdown,
        }
    }

    async fn status(&self) -> Option<NodeStatus> {
        self.store.node("default", "edge").await.unwrap()
    }

    /// Waits until the node is as it should be.
    async fn wait_for(&self, is: impl Fn(&NodeStatus) -> bool) {
        let asked = async {
            while !self.status().await.is_some_and(|status| is(&status)) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = tokio::time::timeout(SOON, asked).await;
        assert!(found.is_ok(), "{:?}", self.status().await);
    }
}

#[tokio::test]
async fn two_live_streams_with_one_id_at_two_replicas_are_a_problem_until_one_ends() {
    let postgres = Postgres::start().await.unwrap();
    let database = Database::Postgres(postgres.database().unwrap());
    let mut a = NodesOf::start("a", &database).await;
    let mut b = NodesOf::start("b", &database).await;
    let edge = Node {
        id: "edge".to_owned(),
        fleet: "default".to_owned(),
        labels: std::collections::BTreeMap::new(),
        zone: String::new(),
        user_agent: "envoy".to_owned(),
        user_agent_version: String::new(),
    };
    let start = tokio::time::Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let at_a = a.nodes.connect(&edge, ClientClass::Envoy, None, 0);
    a.wait_for(|status| status.replica == "a").await;

    // It moves: the old stream is seen to end a little later, and nothing is wrong.
    let at_b = b.nodes.connect(&edge, ClientClass::Envoy, None, 0);
    a.wait_for(|status| status.replica == "b").await;
    a.lookout.round(at(0)).await.unwrap();
    b.lookout.round(at(0)).await.unwrap();
    drop(at_a);
    a.lookout.round(at(5)).await.unwrap();
    b.lookout.round(at(5)).await.unwrap();
    assert!(a.status().await.unwrap().problems.is_empty());

    // A second client with its id stays at the other replica: both go on.
    let at_a = a.nodes.connect(&edge, ClientClass::Envoy, None, 0);
    a.wait_for(|status| status.replica == "a").await;
    for seconds in [10, 15] {
        a.lookout.round(at(seconds)).await.unwrap();
        b.lookout.round(at(seconds)).await.unwrap();
    }
    let told = b.status().await.unwrap().problems;
    assert!(
        told.len() == 1 && told[0].contains("live stream"),
        "{told:?}"
    );
    // Whoever writes next does not make it look well.
    at_b.sent(1);
    a.wait_for(|status| status.replica == "b" && !status.problems.is_empty())
        .await;

    // The second client ends.
    drop(at_a);
    a.lookout.round(at(20)).await.unwrap();
    b.lookout.round(at(20)).await.unwrap();
    a.wait_for(|status| status.replica == "b" && status.problems.is_empty())
        .await;

    // One that was overwritten by a stream that has ended is written down again.
    let at_a = a.nodes.connect(&edge, ClientClass::Envoy, None, 0);
    b.wait_for(|status| status.replica == "a").await;
    drop(at_a);
    b.wait_for(|status| !status.connected).await;
    b.lookout.round(at(25)).await.unwrap();
    a.wait_for(|status| status.replica == "b" && status.connected)
        .await;
    a.shutdown.cancel();
    b.shutdown.cancel();
}
