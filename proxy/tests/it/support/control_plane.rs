//! Our own control plane, as much of it as one proxy needs: the config that the test says, and the proxy's statuses.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use futures_util::Stream;
use proto::session::session_server::{Session, SessionServer};
use proto::session::{Phase, ReportTaken, Status, Target, TypeSum};
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Streaming};
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use super::PATIENCE;
use super::config::snapshot;

/// A running control plane. It ends with its runtime.
pub(crate) struct ControlPlane {
    /// Where it serves xDS.
    pub(crate) address: SocketAddr,
    said: watch::Sender<Said>,
    statuses: Mutex<Receiver<Status>>,
}

/// What the proxy is to do with a revision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Word {
    pub(crate) assignment: u64,
    pub(crate) revision: u64,
    pub(crate) phase: Phase,
    /// How long it is to be live; zero: for good.
    pub(crate) lease: Duration,
}

/// What the test says.
#[derive(Clone)]
struct Said {
    is_open: bool,
    is_ours: bool,
    /// All there were: a session that stands says each of them, a new one begins with the last.
    targets: Vec<Target>,
    snapshot: Snapshot,
}

impl Word {
    /// To serve a revision for good, by an assignment of the same number.
    pub(crate) fn serve(revision: u64) -> Self {
        Self {
            assignment: revision,
            revision,
            phase: Phase::Activate,
            lease: Duration::ZERO,
        }
    }
}

impl ControlPlane {
    /// One that serves this; `is_ours`: with sessions.
    pub(crate) fn start(
        runtime: &Runtime,
        is_ours: bool,
        revision: u64,
        resources: &[Value],
    ) -> Self {
        let said = watch::Sender::new(Said {
            is_open: true,
            is_ours,
            targets: vec![target(Word::serve(revision), &snapshot(resources))],
            snapshot: snapshot(resources),
        });
        let (told, statuses) = channel();
        let service = Service {
            said: said.clone(),
            told,
        };
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"));
        let listener = listener.unwrap();
        let address = listener.local_addr().unwrap();
        let server = tonic::transport::Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(service.clone()))
            .add_service(SessionServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        runtime.spawn(async move { server.await.unwrap() });
        Self {
            address,
            said,
            statuses: Mutex::new(statuses),
        }
    }

    /// Serves this from now on.
    pub(crate) fn serve(&self, revision: u64, resources: &[Value]) {
        self.say(Word::serve(revision), resources);
    }

    /// Has the proxy do this with these resources, also if that was said before.
    pub(crate) fn say(&self, word: Word, resources: &[Value]) {
        self.said.send_modify(|said| {
            said.snapshot = snapshot(resources);
            said.targets.push(target(word, &said.snapshot));
        });
    }

    /// Ends all streams and refuses new ones, or takes them again.
    pub(crate) fn set_open(&self, is_open: bool) {
        self.said.send_modify(|said| said.is_open = is_open);
    }

    /// The next status of the proxy.
    pub(crate) fn status(&self) -> Status {
        let statuses = self.statuses.lock().unwrap();
        statuses.recv_timeout(PATIENCE).expect("a status")
    }

    /// A status that has come already.
    pub(crate) fn status_at_hand(&self) -> Option<Status> {
        self.statuses.lock().unwrap().try_recv().ok()
    }
}

#[derive(Clone)]
struct Service {
    said: watch::Sender<Said>,
    told: Sender<Status>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, tonic::Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, tonic::Status> {
        Err(tonic::Status::unimplemented("only deltas"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, tonic::Status> {
        let mut said = self.said.subscribe();
        if !said.borrow_and_update().is_open {
            return Err(tonic::Status::unavailable("closed"));
        }
        let mut requests = request.into_inner();
        let (responses, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            // The names that were sent, by type that was asked for.
            let mut sent: BTreeMap<String, Vec<String>> = BTreeMap::new();
            loop {
                tokio::select! {
                    request = requests.message() => {
                        let Ok(Some(request)) = request else { return };
                        if sent.contains_key(&request.type_url) {
                            continue;
                        }
                        sent.insert(request.type_url, Vec::new());
                    }
                    changed = said.changed() => {
                        if changed.is_err() || !said.borrow_and_update().is_open {
                            return;
                        }
                    }
                }
                let snapshot = said.borrow().snapshot.clone();
                for (type_url, before) in &mut sent {
                    let response = response(&snapshot, type_url, before);
                    if responses.send(Ok(response)).await.is_err() {
                        return;
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

/// All there is of a type, and what is no more.
fn response(snapshot: &Snapshot, type_url: &str, sent: &mut Vec<String>) -> DeltaDiscoveryResponse {
    let ty = ResourceType::from_type_url(type_url).unwrap();
    let resources = snapshot.set(ty).values();
    let resources: Vec<Resource> = resources
        .map(|resource| Resource {
            name: resource.name().to_string(),
            version: resource.version().to_string(),
            resource: Some(Any {
                type_url: type_url.to_owned(),
                value: resource.bytes().to_vec(),
            }),
            ..Resource::default()
        })
        .collect();
    let now: Vec<String> = resources.iter().map(|entry| entry.name.clone()).collect();
    let before = std::mem::replace(sent, now);
    DeltaDiscoveryResponse {
        type_url: type_url.to_owned(),
        nonce: "n".to_owned(),
        removed_resources: before
            .into_iter()
            .filter(|name| !sent.contains(name))
            .collect(),
        resources,
        ..DeltaDiscoveryResponse::default()
    }
}

#[tonic::async_trait]
impl Session for Service {
    type FollowStream = Responses<Target>;

    async fn follow(
        &self,
        request: Request<Streaming<Status>>,
    ) -> Result<Response<Self::FollowStream>, tonic::Status> {
        let (mut said, told) = (self.said.subscribe(), self.told.clone());
        if !said.borrow().is_ours {
            return Err(tonic::Status::unimplemented("no sessions"));
        }
        said.mark_changed();
        let mut statuses = request.into_inner();
        let (targets, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let Ok(Some(first)) = statuses.message().await else {
                return;
            };
            assert!(first.reporter > 0);
            let _ = told.send(first);
            if targets.send(Ok(is_taken(0))).await.is_err() {
                return;
            }
            let mut sent = said.borrow().targets.len() - 1;
            loop {
                tokio::select! {
                    status = statuses.message() => {
                        let Ok(Some(status)) = status else { return };
                        if let Some(traffic) = &status.traffic {
                            let _ = targets.send(Ok(is_taken(traffic.sequence))).await;
                        }
                        // The test may be over.
                        let _ = told.send(status);
                    }
                    changed = said.changed() => {
                        let now = said.borrow_and_update().clone();
                        if changed.is_err() || !now.is_open {
                            return;
                        }
                        for target in &now.targets[sent..] {
                            if targets.send(Ok(target.clone())).await.is_err() {
                                return;
                            }
                        }
                        sent = now.targets.len();
                    }
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

fn is_taken(sequence: u64) -> Target {
    Target {
        report_taken: Some(ReportTaken { sequence }),
        ..Target::default()
    }
}

fn target(word: Word, snapshot: &Snapshot) -> Target {
    let sums = snapshot.revision_sums();
    let sums = sums.iter().map(|(ty, sum)| TypeSum {
        type_url: ty.type_url().to_owned(),
        count: snapshot.set(ty).len() as u64,
        sum: sum.to_bytes().to_vec(),
    });
    let Word {
        assignment,
        revision,
        phase,
        lease,
    } = word;
    Target {
        assignment,
        revision,
        phase: phase.into(),
        lease_ms: lease.as_millis() as u64,
        sums: sums.collect(),
        ..Target::default()
    }
}
