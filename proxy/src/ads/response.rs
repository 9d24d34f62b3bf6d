//! A response in deltas as the client reads it: the message is taken apart, the resources in it are not yet. They are slices
//! of the frame that came, and are read one after the other, so that a response of a hundred thousand never lies in memory
//! as a hundred thousand messages: what is freed between things that stay is not given back to the system.

use bytes::Bytes;
use envoy_types::pb::envoy::config::core::v3::ControlPlane;

/// `envoy.service.discovery.v3.DeltaDiscoveryResponse`, without the fields that this client does not read.
#[derive(Clone, PartialEq, prost::Message)]
pub struct DeltaResponse {
    /// Each an `envoy.service.discovery.v3.Resource`.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub resources: Vec<Bytes>,
    /// The type of all its resources.
    #[prost(string, tag = "4")]
    pub type_url: String,
    /// Goes back with the ACK or NACK.
    #[prost(string, tag = "5")]
    pub nonce: String,
    /// Names of resources that are gone.
    #[prost(string, repeated, tag = "6")]
    pub removed_resources: Vec<String>,
    /// Who sent it.
    #[prost(message, optional, tag = "7")]
    pub control_plane: Option<ControlPlane>,
}
