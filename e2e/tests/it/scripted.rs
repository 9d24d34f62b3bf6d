//! A foreign control plane that says what the test tells it to say, and remembers what it was answered.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use e2e::wait;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse, Resource,
};
use envoy_types::pb::google::protobuf::Any;
use futures_util::Stream;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming};

const WITHIN: Duration = Duration::from_secs(10);

/// A running server; dropping it ends it.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    resources: watch::Sender<Arc<Vec<Resource>>>,
    refusals: Arc<Mutex<Vec<String>>>,
    server: JoinHandle<()>,
}

impl Scripted {
    /// Serves these resources, each as Envoy writes it in JSON, to everybody.
    pub(crate) async fn start(resources: &[Value]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let resources = watch::Sender::new(Arc::new(entries(resources)?));
        let refusals = Arc::<Mutex<Vec<String>>>::default();
        let service = Service {
            resources: resources.clone(),
            refusals: refusals.clone(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let server = tokio::spawn(async move { server.await.unwrap() });
        Ok(Self {
            address,
            resources,
            refusals,
            server,
        })
    }

    /// Serves these resources from now on.
    pub(crate) fn serve(&self, resources: &[Value]) -> Result<()> {
        self.resources.send_replace(Arc::new(entries(resources)?));
        Ok(())
    }

    /// The text of the first NACK that holds `part`.
    pub(crate) async fn refusal(&self, part: &str) -> Result<String> {
        wait::until("a NACK", WITHIN, async || {
            let refusals = self.refusals.lock().unwrap();
            refusals
                .iter()
                .find(|text| text.contains(part))
                .cloned()
                .ok_or_else(|| format!("{refusals:?}"))
        })
        .await
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn entries(resources: &[Value]) -> Result<Vec<Resource>> {
    let entry = |resource: &Value| {
        let (type_url, value) = proto::json::from_json(resource)?;
        let name = resource["name"]
            .as_str()
            .or(resource["cluster_name"].as_str())
            .unwrap_or_default()
            .to_owned();
        // The content is its own version.
        let version = format!("{value:x?}");
        Ok(Resource {
            name,
            version,
            resource: Some(Any { type_url, value }),
            ..Default::default()
        })
    };
    resources.iter().map(entry).collect()
}

struct Service {
    resources: watch::Sender<Arc<Vec<Resource>>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        _: Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only delta"))
    }

    async fn delta_aggregated_resources(
        &self,
        request: Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        let (responses, receiver) = mpsc::channel(16);
        let stream = OneStream {
            types: HashMap::new(),
            nonce: 0,
            refusals: self.refusals.clone(),
            responses,
        };
        tokio::spawn(stream.run(request.into_inner(), self.resources.subscribe()));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }
}

struct OneStream {
    /// What each type was sent, by name, once it was asked for.
    types: HashMap<String, HashMap<String, String>>,
    nonce: u64,
    refusals: Arc<Mutex<Vec<String>>>,
    responses: mpsc::Sender<Result<DeltaDiscoveryResponse, Status>>,
}

impl OneStream {
    async fn run(
        mut self,
        mut requests: Streaming<DeltaDiscoveryRequest>,
        mut resources: watch::Receiver<Arc<Vec<Resource>>>,
    ) {
        loop {
            tokio::select! {
                request = requests.message() => match request {
                    Ok(Some(request)) => self.request(request, &resources).await,
                    _ => return,
                },
                changed = resources.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let asked: Vec<String> = self.types.keys().cloned().collect();
                    for type_url in asked {
                        self.send(&type_url, &resources).await;
                    }
                }
            }
        }
    }

    async fn request(
        &mut self,
        request: DeltaDiscoveryRequest,
        resources: &watch::Receiver<Arc<Vec<Resource>>>,
    ) {
        if let Some(error) = request.error_detail {
            self.refusals.lock().unwrap().push(error.message);
        }
        if request.response_nonce.is_empty() {
            self.types.entry(request.type_url.clone()).or_default();
            self.send(&request.type_url, resources).await;
        }
    }

    /// Sends what differs from what was sent, or nothing at all as the first answer.
    async fn send(&mut self, type_url: &str, resources: &watch::Receiver<Arc<Vec<Resource>>>) {
        let resources = resources.borrow().clone();
        let of_type = |resource: &&Resource| {
            resource
                .resource
                .as_ref()
                .is_some_and(|any| any.type_url == type_url)
        };
        let sent = self.types.entry(type_url.to_owned()).or_default();
        let now: HashMap<String, String> = resources
            .iter()
            .filter(of_type)
            .map(|resource| (resource.name.clone(), resource.version.clone()))
            .collect();
        let changed = resources
            .iter()
            .filter(of_type)
            .filter(|resource| sent.get(&resource.name) != Some(&resource.version));
        let removed = sent.keys().filter(|name| !now.contains_key(*name));
        self.nonce += 1;
        let response = DeltaDiscoveryResponse {
            type_url: type_url.to_owned(),
            nonce: self.nonce.to_string(),
            resources: changed.cloned().collect(),
            removed_resources: removed.cloned().collect(),
            ..Default::default()
        };
        *sent = now;
        let _ = self.responses.send(Ok(response)).await;
    }
}
