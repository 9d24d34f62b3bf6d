//! What a simulated client says, as bytes of a gRPC stream. What all clients say alike is encoded once. Pure.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use envoy_types::pb::envoy::config::core::v3::Node;
use envoy_types::pb::envoy::config::core::v3::node::UserAgentVersionType;
use envoy_types::pb::envoy::service::discovery::v3::{DeltaDiscoveryRequest, DiscoveryRequest};
use prost::Message;
use proto::session::{State, Status};
use xds::type_url::ResourceType;

use super::kind::{Kind, Variant};

/// The fleet that the clients belong to.
const FLEET: &str = "default";

/// What a client holds of one type, by name, with the version; in the state of the world all have one version, under no name.
pub(crate) type Versions = HashMap<String, String>;

/// What clients of one kind say to ask for types.
#[derive(Clone, Debug)]
pub(crate) struct Speech {
    kind: Kind,
    requests: [Bytes; ResourceType::ALL.len()],
}

impl Speech {
    /// Of clients that hold this; nothing if they are new.
    pub(crate) fn holding(kind: Kind, held: &[Versions; ResourceType::ALL.len()]) -> Self {
        let requests = ResourceType::ALL.map(|ty| request(kind, ty, &held[ty.index()]));
        Self { kind, requests }
    }

    /// The request for a type, in parts. The first one on a stream names the `node`: messages one after another are one
    /// message with the fields of both (Protocol Buffers, "Last One Wins").
    pub(crate) fn ask(&self, ty: ResourceType, node: Option<&str>) -> [Bytes; 2] {
        let shared = self.requests[ty.index()].clone();
        let node = node.map(|id| introduction(self.kind, id));
        let node = node.unwrap_or_default();
        let mut own = BytesMut::with_capacity(5 + node.len());
        prefix(&mut own, node.len() + shared.len());
        own.extend_from_slice(&node);
        [own.freeze(), shared]
    }
}

/// The ACK of a response. In the state of the world it says again what is wanted, and the version.
pub(crate) fn acknowledge(kind: Kind, ty: ResourceType, nonce: &str, version: &str) -> Bytes {
    match kind.variant {
        Variant::Delta => framed(&DeltaDiscoveryRequest {
            type_url: ty.type_url().into(),
            response_nonce: nonce.into(),
            ..Default::default()
        }),
        Variant::Sotw => framed(&DiscoveryRequest {
            type_url: ty.type_url().into(),
            response_nonce: nonce.into(),
            version_info: version.into(),
            resource_names: names(ty),
            ..Default::default()
        }),
    }
}

/// What one of ours says on its session.
pub(crate) fn status(node: &str, state: State, assignment: u64, live: u64) -> Bytes {
    framed(&Status {
        fleet: FLEET.into(),
        node_id: node.into(),
        assignment,
        state: state.into(),
        live_revision: live,
        staged_revision: live,
        ..Default::default()
    })
}

fn request(kind: Kind, ty: ResourceType, held: &Versions) -> Bytes {
    let type_url = ty.type_url().to_owned();
    let bytes = match kind.variant {
        Variant::Delta => DeltaDiscoveryRequest {
            type_url,
            resource_names_subscribe: match names(ty) {
                names if names.is_empty() => vec!["*".into()],
                names => names,
            },
            initial_resource_versions: held.clone(),
            ..Default::default()
        }
        .encode_to_vec(),
        Variant::Sotw => DiscoveryRequest {
            type_url,
            resource_names: names(ty),
            version_info: held.get("").cloned().unwrap_or_default(),
            ..Default::default()
        }
        .encode_to_vec(),
    };
    bytes.into()
}

fn introduction(kind: Kind, id: &str) -> Vec<u8> {
    let node = Some(Node {
        id: id.into(),
        cluster: FLEET.into(),
        user_agent_name: kind.user_agent_name().into(),
        user_agent_version_type: Some(UserAgentVersionType::UserAgentVersion("0.1.0".into())),
        ..Default::default()
    });
    match kind.variant {
        Variant::Delta => DeltaDiscoveryRequest {
            node,
            ..Default::default()
        }
        .encode_to_vec(),
        Variant::Sotw => DiscoveryRequest {
            node,
            ..Default::default()
        }
        .encode_to_vec(),
    }
}

fn names(ty: ResourceType) -> Vec<String> {
    let names = Kind::names(ty).iter();
    names.map(|name| (*name).to_owned()).collect()
}

fn framed(message: &impl Message) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.encoded_len());
    prefix(&mut bytes, message.encoded_len());
    message.encode_raw(&mut bytes);
    bytes.freeze()
}

fn prefix(bytes: &mut BytesMut, length: usize) {
    bytes.put_u8(0);
    bytes.put_u32(length as u32);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::kind::UserAgent;

    #[test]
    fn a_first_request_names_the_node_and_what_is_held() {
        let kind = Kind::of(Variant::Delta, UserAgent::SignalboxProxy);
        let mut held: [Versions; ResourceType::ALL.len()] = Default::default();
        held[ResourceType::Cluster.index()].insert("c".into(), "1".into());
        let parts = Speech::holding(kind, &held).ask(ResourceType::Cluster, Some("p-1"));
        let bytes = parts.concat();
        let request = DeltaDiscoveryRequest::decode(&bytes[5..]).unwrap();
        assert_eq!(request.node.unwrap().id, "p-1");
        assert_eq!(request.initial_resource_versions["c"], "1");
        assert_eq!(request.resource_names_subscribe, ["*"]);
        assert_eq!(
            usize::from(bytes[4]) + usize::from(bytes[3]) * 256,
            bytes.len() - 5
        );
    }
}
