//! The xDS server: the aggregated discovery service in its incremental variant (delta ADS). In: streams of clients.
//! Out: what `snapshots` holds for their fleet and class, and to `nodes` what they make of it.
//!
//! The service is written by hand, not generated, for one reason: its responses are encoded already (`wire`).

mod delta;
mod held;
mod stream;
mod subscription;
#[cfg(test)]
mod testing;
mod wire;

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryRequest;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::{Request, Response, Status, Streaming};

use crate::join::Joined;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::reconciler::Reconciler;
use crate::snapshots::Snapshots;

use self::wire::{DeltaCodec, Encoded};

const SERVICE: &str = "envoy.service.discovery.v3.AggregatedDiscoveryService";
const DELTA_METHOD: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// Largest request. A client that comes back names all it holds in one message: 50,000 names are several MiB.
const REQUEST_SIZE: usize = 64 * 1024 * 1024;

/// The service.
#[derive(Clone, Debug)]
pub struct AdsService {
    context: Arc<StreamContext>,
}

/// What every stream needs.
#[derive(Debug)]
pub struct StreamContext {
    /// Asked to read the store again before a new stream is served.
    pub reconciler: Arc<Reconciler>,
    /// What is served.
    pub snapshots: Arc<Snapshots>,
    /// Told what clients say.
    pub nodes: Arc<Nodes>,
    /// Counts.
    pub metrics: Arc<Metrics>,
    /// Named in every response, so that a client's operator sees which replica serves it.
    pub control_plane: String,
}

impl AdsService {
    /// The service over what its streams need.
    pub fn new(context: StreamContext) -> Self {
        Self {
            context: Arc::new(context),
        }
    }
}

impl NamedService for AdsService {
    const NAME: &'static str = SERVICE;
}

impl tower::Service<http::Request<Body>> for AdsService {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let context = self.context.clone();
        Box::pin(async move {
            if request.uri().path() != DELTA_METHOD {
                return Ok(
                    Status::unimplemented("only DeltaAggregatedResources is served").into_http(),
                );
            }
            let mut grpc =
                Grpc::new(DeltaCodec).apply_max_message_size_config(Some(REQUEST_SIZE), None);
            Ok(grpc.streaming(DeltaMethod(context), request).await)
        })
    }
}

struct DeltaMethod(Arc<StreamContext>);

impl StreamingService<DeltaDiscoveryRequest> for DeltaMethod {
    type Response = Encoded;
    type ResponseStream = ReceiverStream<Result<Encoded, Status>>;
    type Future = BoxFuture<'static, Result<Response<Self::ResponseStream>, Status>>;

    fn call(&mut self, request: Request<Streaming<DeltaDiscoveryRequest>>) -> Self::Future {
        let context = self.0.clone();
        Box::pin(async move {
            let joined = Joined::of(request.extensions())?;
            // One response waits at most: a slow client gets the newest state when it can take it, not a queue.
            let (responses, receiver) = mpsc::channel(1);
            tokio::spawn(stream::run(
                context,
                joined,
                request.into_inner(),
                responses,
            ));
            Ok(Response::new(ReceiverStream::new(receiver)))
        })
    }
}
