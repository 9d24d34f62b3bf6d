//! A foreign control plane that knows no deltas: our proxy follows it with `--xds-mode sotw`.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Result;
use e2e::client::Request;
use e2e::wait;
use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_server::{
    AggregatedDiscoveryService, AggregatedDiscoveryServiceServer,
};
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::protobuf::Any;
use futures_util::Stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Response, Status, Streaming};

use crate::envoy_json::{listener, route_configuration};
use crate::fleet::Fleet;

const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_proxy_follows_a_control_plane_that_sends_the_state_of_the_world() -> Result<()> {
    let port = Fleet::port()?;
    let server = World::start(&[listener(port), cluster("a"), routes("first")]).await?;
    let settings = Fleet::proxy(0, server.address).arguments(["--xds-mode", "sotw"]);
    let fleet = Fleet::of(port, vec![settings]).await?;
    fleet.wait_for_hello(0, "first", WITHIN).await?;

    server.serve(&[listener(port), cluster("b"), routes("second")])?;
    fleet.wait_for_hello(0, "second", WITHIN).await?;
    let dump = fleet.proxies[0].config_dump().await?;
    let clusters: Vec<&str> = dump["resources"]["Cluster"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cluster| cluster["name"].as_str().unwrap())
        .collect();
    assert_eq!(clusters, ["b"], "what a response does not name is gone");

    let mut broken = routes("third");
    broken["virtual_hosts"][0]["domains"] = json!([]);
    server.serve(&[listener(port), cluster("b"), broken])?;
    wait::until("a NACK", WITHIN, async || {
        let refusals = server.refusals.lock().unwrap().clone();
        let named = refusals
            .iter()
            .any(|text| text.contains("virtual_hosts[0].domains"));
        if named {
            Ok(())
        } else {
            Err(format!("{refusals:?}"))
        }
    })
    .await?;
    assert_eq!(
        fleet.send(0, Request::get("/hello")).await?.text(),
        "second"
    );
    server.serve(&[listener(port), cluster("b"), routes("mended")])?;
    fleet.wait_for_hello(0, "mended", WITHIN).await
}

/// The server: everything to everybody, in full.
struct World {
    address: SocketAddr,
    resources: watch::Sender<Arc<Vec<Any>>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

impl World {
    async fn start(resources: &[Value]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let world = Self {
            address: listener.local_addr()?,
            resources: watch::Sender::new(Arc::new(encode(resources)?)),
            refusals: Arc::default(),
        };
        let service = Service {
            resources: world.resources.clone(),
            refusals: world.refusals.clone(),
        };
        let server = tonic::transport::Server::builder()
            .add_service(AggregatedDiscoveryServiceServer::new(service))
            .serve_with_incoming(TcpListenerStream::new(listener));
        tokio::spawn(async move { server.await.unwrap() });
        Ok(world)
    }

    fn serve(&self, resources: &[Value]) -> Result<()> {
        self.resources.send_replace(Arc::new(encode(resources)?));
        Ok(())
    }
}

fn encode(resources: &[Value]) -> Result<Vec<Any>> {
    let any = |resource: &Value| {
        let (type_url, value) = proto::json::from_json(resource)?;
        Ok(Any { type_url, value })
    };
    resources.iter().map(any).collect()
}

struct Service {
    resources: watch::Sender<Arc<Vec<Any>>>,
    refusals: Arc<Mutex<Vec<String>>>,
}

type Responses<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl AggregatedDiscoveryService for Service {
    type StreamAggregatedResourcesStream = Responses<DiscoveryResponse>;
    type DeltaAggregatedResourcesStream = Responses<DeltaDiscoveryResponse>;

    async fn stream_aggregated_resources(
        &self,
        request: tonic::Request<Streaming<DiscoveryRequest>>,
    ) -> Result<Response<Self::StreamAggregatedResourcesStream>, Status> {
        let (responses, receiver) = mpsc::channel(16);
        let world = (self.resources.subscribe(), self.refusals.clone());
        tokio::spawn(serve(request.into_inner(), world.0, world.1, responses));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn delta_aggregated_resources(
        &self,
        _: tonic::Request<Streaming<DeltaDiscoveryRequest>>,
    ) -> Result<Response<Self::DeltaAggregatedResourcesStream>, Status> {
        Err(Status::unimplemented("only the state of the world"))
    }
}

/// Sends a type when it is first asked for, when other names are, and when anything changed.
async fn serve(
    mut requests: Streaming<DiscoveryRequest>,
    mut resources: watch::Receiver<Arc<Vec<Any>>>,
    refusals: Arc<Mutex<Vec<String>>>,
    responses: mpsc::Sender<Result<DiscoveryResponse, Status>>,
) {
    let mut asked: HashMap<String, Vec<String>> = HashMap::new();
    let mut version = 0;
    loop {
        let due: Vec<String> = tokio::select! {
            request = requests.message() => {
                let Ok(Some(request)) = request else { return };
                if let Some(error) = request.error_detail {
                    refusals.lock().unwrap().push(error.message);
                }
                let before = asked.insert(request.type_url.clone(), request.resource_names.clone());
                let is_news = before.as_ref() != Some(&request.resource_names);
                Some(request.type_url).filter(|_| is_news).into_iter().collect()
            }
            changed = resources.changed() => {
                if changed.is_err() {
                    return;
                }
                asked.keys().cloned().collect()
            }
        };
        for type_url in due {
            version += 1;
            let of_type = resources.borrow_and_update().clone();
            let of_type = of_type
                .iter()
                .filter(|any| any.type_url == type_url)
                .cloned()
                .collect();
            let response = DiscoveryResponse {
                version_info: version.to_string(),
                nonce: version.to_string(),
                resources: of_type,
                type_url,
                ..Default::default()
            };
            let _ = responses.send(Ok(response)).await;
        }
    }
}

fn cluster(name: &str) -> Value {
    json!({"@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster", "name": name})
}

fn routes(text: &str) -> Value {
    let body = json!({"inline_string": text});
    let answer = json!({"status": 200, "body": body});
    route_configuration(
        json!({"name": "hello", "match": {"path": "/hello"}, "direct_response": answer}),
    )
}
