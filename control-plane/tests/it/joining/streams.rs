//! Streams of every xDS method there is, as tonic's own client opens them, and the session beside them. Out: what comes,
//! each response acknowledged.

use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DeltaDiscoveryResponse, DiscoveryRequest, DiscoveryResponse,
};
use http::uri::PathAndQuery;
use prost::Message;
use proto::session::session_client::SessionClient;
use proto::session::{self, Target};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use xds::type_url::ResourceType;

const SOON: Duration = Duration::from_secs(20);

/// A method, and who calls it for what.
#[derive(Clone, Debug)]
pub(crate) struct Method {
    pub(crate) path: String,
    delta: bool,
    user_agent: &'static str,
    pub(crate) types: Vec<ResourceType>,
}

/// Who opens a stream: the node, and a join token if it has one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) fleet: &'a str,
    pub(crate) node: &'a str,
    pub(crate) secret: Option<&'a str>,
}

/// A response: its type, and its resources as they are encoded.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) type_url: String,
    pub(crate) resources: Vec<Vec<u8>>,
}

pub(crate) type Stream<T> = mpsc::UnboundedReceiver<Result<T, Status>>;

/// A variant of the protocol.
trait Variant {
    type Request: Message + Default + Send + 'static;
    type Response: Message + Default + Send + 'static;

    fn ask(node: &core::Node, type_url: &str, names: &[String]) -> Self::Request;
    fn ack(response: &Self::Response, names: &[String]) -> Self::Request;
    fn told(response: &Self::Response) -> Told;
}

struct Delta;
struct Sotw;

/// All methods of all services; the aggregated ones as every class of client that uses them.
pub(crate) fn methods() -> Vec<Method> {
    use ResourceType::{Cluster, ClusterLoadAssignment, Listener, RouteConfiguration, VirtualHost};
    let discovery = "envoy.service.discovery.v3.AggregatedDiscoveryService";
    let all = [Cluster, ClusterLoadAssignment, Listener, RouteConfiguration];
    let of_our_own = [&all[..], &[VirtualHost]].concat();
    let mut methods = Vec::new();
    let mut add = |service: &str, method: &str, user_agent, types: &[ResourceType]| {
        methods.push(Method {
            path: format!("/{service}/{method}"),
            delta: method.starts_with("Delta"),
            user_agent,
            types: types.to_vec(),
        });
    };
    add(discovery, "DeltaAggregatedResources", "envoy", &all);
    add(discovery, "StreamAggregatedResources", "envoy", &all);
    add(
        discovery,
        "DeltaAggregatedResources",
        "signalbox-proxy",
        &of_our_own,
    );
    add(
        discovery,
        "StreamAggregatedResources",
        "signalbox-proxy",
        &all,
    );
    add(discovery, "StreamAggregatedResources", "gRPC C-core", &all);
    for (package, name, methods, ty) in [
        ("cluster", "Cluster", "Clusters", Cluster),
        ("endpoint", "Endpoint", "Endpoints", ClusterLoadAssignment),
        ("listener", "Listener", "Listeners", Listener),
        ("route", "Route", "Routes", RouteConfiguration),
    ] {
        let service = format!("envoy.service.{package}.v3.{name}DiscoveryService");
        add(&service, &format!("Delta{methods}"), "envoy", &[ty]);
        add(&service, &format!("Stream{methods}"), "envoy", &[ty]);
    }
    add(
        "envoy.service.route.v3.VirtualHostDiscoveryService",
        "DeltaVirtualHosts",
        "signalbox-proxy",
        &[VirtualHost],
    );
    methods
}

impl Method {
    /// Asks for everything, and for these names of each type.
    pub(crate) fn open(
        &self,
        channel: Channel,
        caller: Caller<'_>,
        names: &[String],
    ) -> Stream<Told> {
        if self.delta {
            self.open_as::<Delta>(channel, caller, names)
        } else {
            self.open_as::<Sotw>(channel, caller, names)
        }
    }

    /// How a stream that asks for everything begins: with a response, or not at all.
    pub(crate) async fn first(&self, channel: Channel, caller: Caller<'_>) -> Result<(), Code> {
        next(&mut self.open(channel, caller, &[]))
            .await
            .map(drop)
            .map_err(|status| status.code())
    }

    fn open_as<V: Variant>(
        &self,
        channel: Channel,
        caller: Caller<'_>,
        names: &[String],
    ) -> Stream<Told> {
        let node = core::Node {
            id: caller.node.to_owned(),
            cluster: caller.fleet.to_owned(),
            user_agent_name: self.user_agent.to_owned(),
            ..core::Node::default()
        };
        let names = [&["*".to_owned()], names].concat();
        let (requests, queue) = mpsc::unbounded_channel();
        for ty in &self.types {
            requests
                .send(V::ask(&node, ty.type_url(), &names))
                .expect("the queue is there");
        }
        let request = with_secret(
            Request::new(UnboundedReceiverStream::new(queue)),
            caller.secret,
        );
        let path: PathAndQuery = self.path.parse().expect("a path");
        let (tell, told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            let outcome: Result<(), Status> = async {
                let mut grpc = Grpc::new(channel);
                grpc.ready()
                    .await
                    .map_err(|error| Status::unknown(error.to_string()))?;
                let codec = ProstCodec::<V::Request, V::Response>::default();
                let mut responses = grpc.streaming(request, path, codec).await?.into_inner();
                while let Some(response) = responses.message().await? {
                    requests.send(V::ack(&response, &names)).ok();
                    if tell.send(Ok(V::told(&response))).is_err() {
                        break;
                    }
                }
                Ok(())
            }
            .await;
            if let Err(status) = outcome {
                tell.send(Err(status)).ok();
            }
        });
        told
    }
}

/// Opens a session; its targets.
pub(crate) fn follow(channel: Channel, caller: Caller<'_>) -> Stream<Target> {
    let (statuses, queue) = mpsc::unbounded_channel();
    let status = session::Status {
        fleet: caller.fleet.to_owned(),
        node_id: caller.node.to_owned(),
        ..session::Status::default()
    };
    statuses.send(status).expect("the queue is there");
    let request = with_secret(
        Request::new(UnboundedReceiverStream::new(queue)),
        caller.secret,
    );
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let outcome: Result<(), Status> = async {
            let mut targets = SessionClient::new(channel)
                .follow(request)
                .await?
                .into_inner();
            while let Some(target) = targets.message().await? {
                if tell.send(Ok(target)).is_err() {
                    break;
                }
            }
            Ok(())
        }
        .await;
        // The session goes on for as long as somebody sends.
        drop(statuses);
        if let Err(status) = outcome {
            tell.send(Err(status)).ok();
        }
    });
    told
}

/// The next thing that comes.
pub(crate) async fn next<T>(stream: &mut Stream<T>) -> Result<T, Status> {
    let next = tokio::time::timeout(SOON, stream.recv()).await;
    next.expect("something comes")
        .unwrap_or_else(|| Err(Status::ok("the stream has ended")))
}

fn with_secret<T>(mut request: Request<T>, secret: Option<&str>) -> Request<T> {
    if let Some(secret) = secret {
        let field = format!("Bearer {secret}").parse().expect("a field");
        request.metadata_mut().insert("authorization", field);
    }
    request
}

impl Variant for Delta {
    type Request = DeltaDiscoveryRequest;
    type Response = DeltaDiscoveryResponse;

    fn ask(node: &core::Node, type_url: &str, names: &[String]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            node: Some(node.clone()),
            type_url: type_url.to_owned(),
            resource_names_subscribe: names.to_vec(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    fn ack(response: &DeltaDiscoveryResponse, _: &[String]) -> DeltaDiscoveryRequest {
        DeltaDiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            ..DeltaDiscoveryRequest::default()
        }
    }

    fn told(response: &DeltaDiscoveryResponse) -> Told {
        Told {
            type_url: response.type_url.clone(),
            resources: response
                .resources
                .iter()
                .map(Message::encode_to_vec)
                .collect(),
        }
    }
}

impl Variant for Sotw {
    type Request = DiscoveryRequest;
    type Response = DiscoveryResponse;

    fn ask(node: &core::Node, type_url: &str, names: &[String]) -> DiscoveryRequest {
        DiscoveryRequest {
            node: Some(node.clone()),
            type_url: type_url.to_owned(),
            resource_names: names.to_vec(),
            ..DiscoveryRequest::default()
        }
    }

    fn ack(response: &DiscoveryResponse, names: &[String]) -> DiscoveryRequest {
        DiscoveryRequest {
            type_url: response.type_url.clone(),
            response_nonce: response.nonce.clone(),
            version_info: response.version_info.clone(),
            resource_names: names.to_vec(),
            ..DiscoveryRequest::default()
        }
    }

    fn told(response: &DiscoveryResponse) -> Told {
        Told {
            type_url: response.type_url.clone(),
            resources: response
                .resources
                .iter()
                .map(Message::encode_to_vec)
                .collect(),
        }
    }
}
