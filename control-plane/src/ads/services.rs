//! The gRPC services: the aggregated one and one for each type, each with its methods in both variants, over one driver.
//! Written by hand, not generated: the responses are encoded already (`wire`), and an idle stream keeps no buffers (`requests`, `body`).

use std::convert::Infallible;
use std::marker::PhantomData;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tonic::Status;
use tonic::body::Body;
use tonic::metadata::GRPC_CONTENT_TYPE;
use tonic::server::NamedService;
use tonic::service::Routes;
use xds::type_url::ResourceType;

use crate::join::Joined;

use super::StreamContext;
use super::body::ResponseBody;
use super::delta::DeltaState;
use super::requests::Requests;
use super::sotw::SotwState;
use super::stream;
use super::variant::Variant;

/// A service with its methods. Sources: `envoy/service/*/v3/*.proto`.
struct Discovery {
    name: &'static str,
    /// The method of the state of the world; virtual hosts have none.
    sotw: Option<&'static str>,
    delta: &'static str,
    /// The one type that it serves; the aggregated service serves all.
    only: Option<ResourceType>,
}

const SERVICES: [Discovery; 6] = [
    Discovery {
        name: "envoy.service.discovery.v3.AggregatedDiscoveryService",
        sotw: Some("StreamAggregatedResources"),
        delta: "DeltaAggregatedResources",
        only: None,
    },
    Discovery {
        name: "envoy.service.cluster.v3.ClusterDiscoveryService",
        sotw: Some("StreamClusters"),
        delta: "DeltaClusters",
        only: Some(ResourceType::Cluster),
    },
    Discovery {
        name: "envoy.service.endpoint.v3.EndpointDiscoveryService",
        sotw: Some("StreamEndpoints"),
        delta: "DeltaEndpoints",
        only: Some(ResourceType::ClusterLoadAssignment),
    },
    Discovery {
        name: "envoy.service.listener.v3.ListenerDiscoveryService",
        sotw: Some("StreamListeners"),
        delta: "DeltaListeners",
        only: Some(ResourceType::Listener),
    },
    Discovery {
        name: "envoy.service.route.v3.RouteDiscoveryService",
        sotw: Some("StreamRoutes"),
        delta: "DeltaRoutes",
        only: Some(ResourceType::RouteConfiguration),
    },
    Discovery {
        name: "envoy.service.route.v3.VirtualHostDiscoveryService",
        sotw: None,
        delta: "DeltaVirtualHosts",
        only: Some(ResourceType::VirtualHost),
    },
];

/// All services over what their streams need.
pub(super) fn routes(context: &Arc<StreamContext>) -> Routes {
    let routes = Routes::new(Service::<0>(context.clone()))
        .add_service(Service::<1>(context.clone()))
        .add_service(Service::<2>(context.clone()));
    routes
        .add_service(Service::<3>(context.clone()))
        .add_service(Service::<4>(context.clone()))
        .add_service(Service::<5>(context.clone()))
}

/// One of [`SERVICES`], by its index: tonic wants the name of a service as a constant of its type.
#[derive(Clone, Debug)]
struct Service<const INDEX: usize>(Arc<StreamContext>);

impl<const INDEX: usize> NamedService for Service<INDEX> {
    const NAME: &'static str = SERVICES[INDEX].name;
}

impl<const INDEX: usize> tower::Service<http::Request<Body>> for Service<INDEX> {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let context = self.0.clone();
        let service = &SERVICES[INDEX];
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next();
            let answer = if method == Some(service.delta) {
                Method::<DeltaState>::new(context, service.only).answer(request)
            } else if method.is_some() && method == service.sotw {
                Method::<SotwState>::new(context, service.only).answer(request)
            } else {
                let (name, delta) = (service.name, service.delta);
                let served = service
                    .sotw
                    .map_or_else(String::new, |sotw| format!("{sotw} and "));
                let served = format!("{name} serves {served}{delta}");
                Err(Status::unimplemented(served))
            };
            Ok(answer.unwrap_or_else(Status::into_http))
        })
    }
}

/// A method: one variant, for all types or one.
struct Method<V> {
    context: Arc<StreamContext>,
    only: Option<ResourceType>,
    variant: PhantomData<fn() -> V>,
}

impl<V: Variant> Method<V> {
    fn new(context: Arc<StreamContext>, only: Option<ResourceType>) -> Self {
        Self {
            context,
            only,
            variant: PhantomData,
        }
    }

    fn answer(self, request: http::Request<Body>) -> Result<http::Response<Body>, Status> {
        let joined = Joined::of(request.extensions())?;
        let requests = Requests::new(request.into_body());
        // One response waits at most: a slow client gets the newest state when it can take it, not a queue.
        let (responses, receiver) = mpsc::channel(1);
        let (context, only) = (self.context, self.only);
        tokio::spawn(stream::run::<V>(context, joined, only, requests, responses));
        let mut response = http::Response::new(Body::new(ResponseBody::new(receiver)));
        response
            .headers_mut()
            .insert(http::header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
        Ok(response)
    }
}
