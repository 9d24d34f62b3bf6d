//! The xDS stream in the variant that was chosen: requests go in, responses come out, and what they mean is in `state`.

use envoy_types::pb::envoy::service::discovery::v3::aggregated_discovery_service_client::AggregatedDiscoveryServiceClient;
use envoy_types::pb::envoy::service::discovery::v3::{
    DeltaDiscoveryRequest, DiscoveryRequest, DiscoveryResponse,
};
use envoy_types::pb::google::rpc;
use http::uri::PathAndQuery;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::client::Grpc;
use tonic::{IntoStreamingRequest as _, Status, Streaming};
use tonic_prost::ProstCodec;
use xds::node::Node;

use crate::bootstrap::XdsMode;

use super::credentials::Authorized;
use super::response::DeltaResponse;
use super::state::ClientState;
use super::stream::describe;

/// Largest response; a foreign server may send all its clusters at once.
const RESPONSE_SIZE: usize = 256 * 1024 * 1024;

/// The method of the stream in deltas: our own reading of its responses is not in the generated client.
const DELTA_PATH: &str =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

/// A stream.
pub(super) enum Wire {
    Delta(
        mpsc::UnboundedSender<DeltaDiscoveryRequest>,
        Box<Streaming<DeltaResponse>>,
    ),
    Sotw(
        mpsc::UnboundedSender<DiscoveryRequest>,
        Box<Streaming<DiscoveryResponse>>,
    ),
}

/// What came.
#[derive(Debug)]
pub(super) enum Incoming {
    Delta(DeltaResponse),
    Sotw(DiscoveryResponse),
}

/// What a response led to.
#[derive(Debug)]
pub(super) struct Taken {
    /// Whether the wire set, or what is known of it, changed.
    pub(super) changed: bool,
    /// Why it was refused, if it was.
    pub(super) refusal: Option<rpc::Status>,
}

impl Wire {
    /// Opens a stream with the first requests.
    pub(super) async fn open(
        channel: Authorized,
        mode: XdsMode,
        state: &mut ClientState,
        node: &Node,
    ) -> Result<Self, Status> {
        let node = Some(node.to_proto());
        // Both queues are bounded by what the server sends: a few small requests for each response.
        match mode {
            XdsMode::Delta => {
                let (requests, queue) = mpsc::unbounded_channel();
                let mut first = state.open();
                if let Some(first) = first.first_mut() {
                    first.node = node;
                }
                send(&requests, first);
                let mut client = Grpc::new(channel).max_decoding_message_size(RESPONSE_SIZE);
                client.ready().await.map_err(|error| {
                    Status::unavailable(format!(
                        "the connection is not ready: {}",
                        describe(&error)
                    ))
                })?;
                let requests_to_come = UnboundedReceiverStream::new(queue).into_streaming_request();
                let path = PathAndQuery::from_static(DELTA_PATH);
                let codec = ProstCodec::<DeltaDiscoveryRequest, DeltaResponse>::default();
                let responses = client.streaming(requests_to_come, path, codec).await?;
                Ok(Self::Delta(requests, Box::new(responses.into_inner())))
            }
            XdsMode::Sotw => {
                let (requests, queue) = mpsc::unbounded_channel();
                let mut first = state.open_sotw();
                if let Some(first) = first.first_mut() {
                    first.node = node;
                }
                send(&requests, first);
                let mut client = AggregatedDiscoveryServiceClient::new(channel)
                    .max_decoding_message_size(RESPONSE_SIZE);
                let responses = client
                    .stream_aggregated_resources(UnboundedReceiverStream::new(queue))
                    .await?;
                Ok(Self::Sotw(requests, Box::new(responses.into_inner())))
            }
        }
    }

    /// Sends a request that answers nothing. There are such in deltas alone.
    pub(super) fn ask(&self, request: DeltaDiscoveryRequest) {
        if let Self::Delta(requests, _) = self {
            send(requests, vec![request]);
        }
    }

    /// The next response; `None` at the end. Cancel-safe.
    pub(super) async fn message(&mut self) -> Result<Option<Incoming>, Status> {
        Ok(match self {
            Self::Delta(_, responses) => responses.message().await?.map(Incoming::Delta),
            Self::Sotw(_, responses) => responses.message().await?.map(Incoming::Sotw),
        })
    }

    /// Lets `state` take a response in, and answers it.
    pub(super) fn answer(&self, state: &mut ClientState, response: Incoming) -> Taken {
        match (self, response) {
            (Self::Delta(requests, _), Incoming::Delta(response)) => {
                let reply = state.response(response);
                let refusal = reply
                    .requests
                    .iter()
                    .find_map(|request| request.error_detail.clone());
                send(requests, reply.requests);
                Taken {
                    changed: reply.changed,
                    refusal,
                }
            }
            (Self::Sotw(requests, _), Incoming::Sotw(response)) => {
                let reply = state.response_sotw(response);
                let refusal = reply
                    .requests
                    .iter()
                    .find_map(|request| request.error_detail.clone());
                send(requests, reply.requests);
                Taken {
                    changed: reply.changed,
                    refusal,
                }
            }
            // A stream gives responses of its own variant only.
            (Self::Delta(..), Incoming::Sotw(_)) | (Self::Sotw(..), Incoming::Delta(_)) => Taken {
                changed: false,
                refusal: None,
            },
        }
    }
}

impl Incoming {
    /// What the control plane calls itself, if it says.
    pub(super) fn control_plane(&self) -> Option<&str> {
        let control_plane = match self {
            Self::Delta(response) => response.control_plane.as_ref(),
            Self::Sotw(response) => response.control_plane.as_ref(),
        };
        control_plane.map(|control_plane| control_plane.identifier.as_str())
    }
}

fn send<R>(queue: &mpsc::UnboundedSender<R>, requests: Vec<R>) {
    for request in requests {
        // The other end is gone if the stream broke; its end is seen by the reader.
        let _ = queue.send(request);
    }
}
