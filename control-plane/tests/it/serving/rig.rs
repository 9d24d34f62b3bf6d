//! A control plane over a real store whose rollouts are driven by hand, and clients that remember what they hold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use control_plane::ads::{AdsService, StreamContext, Turnstile};
use control_plane::join::{Asks, JoinLayer};
use control_plane::metrics::Metrics;
use control_plane::model::document;
use control_plane::nodes::Nodes;
use control_plane::reconciler::Reconciler;
use control_plane::refusals::Refusals;
use control_plane::revision::Draft;
use control_plane::rollout::begin::Terms;
use control_plane::rollout::strategy::{
    Gates, Mode, OnFailure, RolloutSettings, Strategy, StrategyRef, Wave,
};
use control_plane::rollout::{Rollout, State};
use control_plane::session::SessionService;
use control_plane::snapshots::Snapshots;
use control_plane::store::rollout::{NewRollout, Step};
use control_plane::store::sql::{Database, SqlStore};
use control_plane::store::{By, Commit, FleetSettings, Store};
use control_plane::tls::Incoming;
use control_plane::tokens::Tokens;
use control_plane::traffic::Traffic;
use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::cluster::v3::cluster_discovery_service_client::ClusterDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc::Status as RpcStatus;
use proto::session::session_client::SessionClient;
use proto::session::{Status, Target};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

pub(super) const FLEET: &str = "default";
const SOON: Duration = Duration::from_secs(20);
const CLUSTERS: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
const ADA: By<'_> = By {
    actor: "ada",
    request_id: "request-1",
};

/// Clusters by name, as bytes.
pub(super) type Clusters = BTreeMap<String, Vec<u8>>;

pub(super) struct Rig {
    pub(super) store: Arc<dyn Store>,
    pub(super) snapshots: Arc<Snapshots>,
    pub(super) reconciler: Arc<Reconciler>,
    xds: SocketAddr,
    _shutdown: DropGuard,
    _folder: TempDir,
}

impl Rig {
    /// With two revisions, of which everybody is served the first.
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::Sqlite(folder.path().join("signalbox.db"));
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(&database).await.unwrap());
        let before = store.fleet(FLEET).await.unwrap().settings;
        let manual = FleetSettings {
            rollout: RolloutSettings {
                mode: Mode::Manual,
                strategy: StrategyRef::default(),
                ..RolloutSettings::default()
            },
            ..before.clone()
        };
        let changed = store.change_fleet(FLEET, &manual, &before, ADA);
        changed.await.unwrap();
        let snapshots = Arc::new(Snapshots::default());
        let reconciler = Arc::new(Reconciler::new(
            store.clone(),
            snapshots.clone(),
            Arc::default(),
        ));
        let shutdown = CancellationToken::new();
        let xds = serve(&store, &snapshots, &reconciler, &shutdown).await;
        let rig = Self {
            store,
            snapshots,
            reconciler,
            xds,
            _shutdown: shutdown.drop_guard(),
            _folder: folder,
        };
        let web = "listeners: [{name: web, address: 127.0.0.1, port: 8080}]\n";
        let both = "{name: b, discovery: api}";
        let first = format!("clusters: [{{name: a, discovery: api, connect_timeout: 1s}}, {both}]");
        let second = format!(
            "clusters: [{{name: a, discovery: api, connect_timeout: 2s}}, {both}, {{name: c, discovery: api}}]"
        );
        rig.commit(0, &format!("{web}{first}")).await;
        let rollout = rig.begin(1).await;
        rig.step(&rollout, |next| next.state = State::Completed)
            .await;
        rig.commit(1, &format!("{web}{second}")).await;
        rig
    }

    async fn commit(&self, base: u64, yaml: &str) {
        let document = document::yaml(yaml.as_bytes()).unwrap();
        let config = document::config(&document).unwrap().config;
        let commit = Commit {
            fleet: FLEET,
            base,
            by: ADA,
            message: "",
            config: &Draft::new(config).validate(None, &[]).unwrap(),
            release: false,
            not_before: None,
        };
        self.store.commit(commit).await.unwrap();
    }

    pub(super) async fn begin(&self, to: u64) -> Rollout {
        let everybody = Wave {
            percent: Some(100.0),
            ..Wave::default()
        };
        let strategy = Strategy {
            waves: vec![everybody],
            gates: Gates::default(),
            max_step: None,
            on_failure: OnFailure::default(),
        };
        let new = NewRollout {
            fleet: FLEET,
            to,
            strategy: &strategy,
            reason: "a test",
            supersede: false,
            terms: Terms::default(),
            by: ADA,
        };
        self.store.start_rollout(new).await.unwrap()
    }

    pub(super) async fn step(&self, was: &Rollout, change: impl FnOnce(&mut Rollout)) -> Rollout {
        let mut next = was.clone();
        change(&mut next);
        let step = Step {
            next: &next,
            events: &[],
            by: None,
        };
        self.store.step_rollout(step).await.unwrap()
    }

    /// When the store knows of so many refusals: its row.
    pub(super) async fn refused(&self, rollout: &Rollout, count: usize) -> Rollout {
        e2e::wait::until_true("the store knows of the refusal", SOON, async || {
            let refusals = self.store.rollout_refusals(&rollout.id).await.unwrap();
            refusals.len() == count
        })
        .await
        .unwrap();
        self.store.rollout(FLEET, &rollout.id).await.unwrap()
    }

    pub(super) async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.xds)).unwrap();
        endpoint.connect().await.unwrap()
    }
}

async fn serve(
    store: &Arc<dyn Store>,
    snapshots: &Arc<Snapshots>,
    reconciler: &Arc<Reconciler>,
    shutdown: &CancellationToken,
) -> SocketAddr {
    let metrics = Arc::new(Metrics::default());
    let nodes = Nodes::new("replica".to_owned(), metrics.clone());
    let refusals = Refusals::new(snapshots.clone());
    let ads = AdsService::new(StreamContext {
        reconciler: reconciler.clone(),
        snapshots: snapshots.clone(),
        nodes: nodes.clone(),
        refusals: refusals.clone(),
        metrics,
        turnstile: Turnstile::per_second(NonZeroU32::MAX),
        control_plane: "replica".to_owned(),
    });
    let session = SessionService::new(
        reconciler.clone(),
        snapshots.clone(),
        nodes,
        refusals.clone(),
        Traffic::new("replica".to_owned()),
        Arc::default(),
    );
    let (mut hints, hinted) = (store.hints(), reconciler.clone());
    let follow =
        async move { while hinted.refresh().await.is_ok() && hints.changed().await.is_ok() {} };
    tokio::spawn(shutdown.clone().run_until_cancelled_owned(follow));
    tokio::spawn(refusals.run(store.clone(), shutdown.clone()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let asks = Asks {
        token: false,
        any_fleet: false,
    };
    let server = tonic::transport::Server::builder()
        .layer(JoinLayer::new(Tokens::new(store.clone()), asks))
        .add_routes(ads.routes())
        .add_service(session.into_server())
        .serve_with_incoming(Incoming::new(listener, None).unwrap());
    let until = shutdown.clone();
    tokio::spawn(async move { until.run_until_cancelled(server).await });
    address
}

/// How a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Delta,
    DeltaOfType,
    Sotw,
    SotwOfType,
}

impl Kind {
    pub(super) const ALL: [Self; 4] =
        [Self::Delta, Self::DeltaOfType, Self::Sotw, Self::SotwOfType];
}

/// A client that asks for all clusters.
pub(super) struct Client {
    link: Link,
    pub(super) holds: Clusters,
}

enum Link {
    Delta(
        mpsc::UnboundedSender<DeltaDiscoveryRequest>,
        Box<Streaming<DeltaDiscoveryResponse>>,
    ),
    Sotw(
        mpsc::UnboundedSender<DiscoveryRequest>,
        Box<Streaming<DiscoveryResponse>>,
    ),
}

impl Client {
    pub(super) async fn open(channel: &Channel, kind: Kind, id: &str, zone: &str) -> Self {
        let node = core::Node {
            id: id.to_owned(),
            cluster: FLEET.to_owned(),
            locality: Some(core::Locality {
                zone: zone.to_owned(),
                ..core::Locality::default()
            }),
            ..core::Node::default()
        };
        let aggregated = || AggregatedDiscoveryServiceClient::new(channel.clone());
        let of_type = || ClusterDiscoveryServiceClient::new(channel.clone());
        let link = match kind {
            Kind::Delta | Kind::DeltaOfType => {
                let (requests, queue) = mpsc::unbounded_channel();
                let first = DeltaDiscoveryRequest {
                    node: Some(node),
                    type_url: CLUSTERS.to_owned(),
                    ..DeltaDiscoveryRequest::default()
                };
                requests.send(first).unwrap();
                let queue = UnboundedReceiverStream::new(queue);
                let responses = if kind == Kind::Delta {
                    aggregated().delta_aggregated_resources(queue).await
                } else {
                    of_type().delta_clusters(queue).await
                };
                Link::Delta(requests, Box::new(responses.unwrap().into_inner()))
            }
            Kind::Sotw | Kind::SotwOfType => {
                let (requests, queue) = mpsc::unbounded_channel();
                let first = DiscoveryRequest {
                    node: Some(node),
                    type_url: CLUSTERS.to_owned(),
                    ..DiscoveryRequest::default()
                };
                requests.send(first).unwrap();
                let queue = UnboundedReceiverStream::new(queue);
                let responses = if kind == Kind::Sotw {
                    aggregated().stream_aggregated_resources(queue).await
                } else {
                    of_type().stream_clusters(queue).await
                };
                Link::Sotw(requests, Box::new(responses.unwrap().into_inner()))
            }
        };
        let mut client = Self {
            link,
            holds: Clusters::new(),
        };
        client.take(None).await;
        client
    }

    /// Takes the next response, and answers that it is good, or why not.
    pub(super) async fn take(&mut self, refusal: Option<&str>) {
        let error_detail = refusal.map(|message| RpcStatus {
            message: message.to_owned(),
            ..RpcStatus::default()
        });
        let next = tokio::time::timeout(SOON, async {
            match &mut self.link {
                Link::Delta(requests, responses) => {
                    let response = responses.message().await.unwrap().unwrap();
                    if error_detail.is_none() {
                        let resources = response.resources.into_iter();
                        let named = resources
                            .map(|resource| (resource.name, resource.resource.unwrap().value));
                        self.holds.extend(named);
                        for name in &response.removed_resources {
                            self.holds.remove(name);
                        }
                    }
                    let answer = DeltaDiscoveryRequest {
                        type_url: response.type_url,
                        response_nonce: response.nonce,
                        error_detail,
                        ..DeltaDiscoveryRequest::default()
                    };
                    requests.send(answer).unwrap();
                }
                Link::Sotw(requests, responses) => {
                    let response = responses.message().await.unwrap().unwrap();
                    if error_detail.is_none() {
                        let resources = response.resources.into_iter();
                        let named = resources.map(|any| (name(&any.value), any.value));
                        self.holds = named.collect();
                    }
                    let answer = DiscoveryRequest {
                        version_info: response.version_info,
                        type_url: response.type_url,
                        response_nonce: response.nonce,
                        error_detail,
                        ..DiscoveryRequest::default()
                    };
                    requests.send(answer).unwrap();
                }
            }
        });
        next.await.expect("a response comes");
    }

    /// Takes what comes until it holds this, byte for byte.
    pub(super) async fn comes_to_hold(&mut self, wanted: &Clusters) {
        while self.holds != *wanted {
            self.take(None).await;
        }
    }
}

fn name(cluster: &[u8]) -> String {
    use envoy_types::pb::envoy::config::cluster::v3::Cluster;
    use prost::Message as _;
    Cluster::decode(cluster).unwrap().name
}

/// What our own proxy does beside its xDS stream.
pub(super) struct Follower {
    node: String,
    statuses: mpsc::UnboundedSender<Status>,
    targets: Streaming<Target>,
}

impl Follower {
    pub(super) async fn open(channel: &Channel, id: &str, zone: &str) -> Self {
        let (statuses, queue) = mpsc::unbounded_channel();
        let first = Status {
            fleet: FLEET.to_owned(),
            node_id: id.to_owned(),
            zone: zone.to_owned(),
            ..Status::default()
        };
        statuses.send(first).unwrap();
        let mut client = SessionClient::new(channel.clone());
        let targets = client.follow(UnboundedReceiverStream::new(queue)).await;
        Self {
            node: id.to_owned(),
            statuses,
            targets: targets.unwrap().into_inner(),
        }
    }

    /// Assignment and revision of the next target.
    pub(super) async fn target(&mut self) -> (u64, u64) {
        let target = tokio::time::timeout(SOON, self.targets.message()).await;
        let target = target.expect("a target comes").unwrap().unwrap();
        (target.assignment, target.revision)
    }

    pub(super) fn refuse(&self, assignment: u64) {
        let status = Status {
            fleet: FLEET.to_owned(),
            node_id: self.node.clone(),
            assignment,
            state: proto::session::State::Refused.into(),
            transient: true,
            ..Status::default()
        };
        self.statuses.send(status).unwrap();
    }
}
