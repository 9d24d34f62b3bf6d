//! Who is asking: the identity that an xDS client states in its first request.

use std::collections::BTreeMap;
use std::fmt;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::google::protobuf;
use thiserror::Error;

/// `user_agent_name` of our own proxy.
pub const SIGNALBOX_USER_AGENT: &str = "signalbox-proxy";

/// Longest name in an identity, in bytes.
const NAME_MAX: usize = 256;
/// Longest sum of all labels, in bytes.
const LABELS_MAX: usize = 16 * 1024;

/// What kind of client a stream belongs to; each accepts different things. From `Node.user_agent_name`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ClientClass {
    /// Our own proxy: virtual hosts come as resources of their own.
    Signalbox,
    /// Stock Envoy, and everybody who does not say who they are.
    Envoy,
    /// A program that is linked with gRPC's own xDS client and does without a proxy.
    Grpc,
}

impl ClientClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Signalbox, Self::Envoy, Self::Grpc];

    /// The class of a user agent; an unknown one is treated as Envoy. gRPC's clients begin alike: `gRPC C-core linux`,
    /// `gRPC Go`, `gRPC Java`, `gRPC Node Pure JS`.
    pub fn of_user_agent(name: &str) -> Self {
        let is_grpc = |begin: &str| begin.eq_ignore_ascii_case("grpc");
        if name == SIGNALBOX_USER_AGENT {
            Self::Signalbox
        } else if name.get(..4).is_some_and(is_grpc) {
            Self::Grpc
        } else {
            Self::Envoy
        }
    }

    /// The name as it stands in the API: `signalbox`, `envoy`, `grpc`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Signalbox => "signalbox",
            Self::Envoy => "envoy",
            Self::Grpc => "grpc",
        }
    }
}

impl fmt::Display for ClientClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One running client: a proxy, or another xDS client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// `Node.id`; never empty.
    pub id: String,
    /// `Node.cluster`: the fleet whose configuration it asks for; never empty.
    pub fleet: String,
    /// Text values of `Node.metadata`.
    pub labels: BTreeMap<String, String>,
    /// `Node.locality.zone`; empty if not stated.
    pub zone: String,
    /// `Node.user_agent_name`.
    pub user_agent: String,
    /// `Node.user_agent_version`; empty if not stated as text.
    pub user_agent_version: String,
}

/// Why a stated identity cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NodeError {
    /// The first request carried no node at all.
    #[error("the first request of a stream must carry `node`")]
    Missing,
    /// `Node.id` is empty.
    #[error("`node.id` must not be empty")]
    EmptyId,
    /// `Node.cluster` is empty.
    #[error("`node.cluster` must name a fleet")]
    EmptyFleet,
    /// A text is longer than anybody needs; it would be stored and shown.
    #[error("`node.{0}` is too long")]
    TooLong(&'static str),
}

impl Node {
    /// Reads the identity from the protocol's message.
    pub fn from_proto(message: Option<&core::Node>) -> Result<Self, NodeError> {
        let node = message.ok_or(NodeError::Missing)?;
        if node.id.is_empty() {
            return Err(NodeError::EmptyId);
        }
        if node.cluster.is_empty() {
            return Err(NodeError::EmptyFleet);
        }
        let labels = node.metadata.as_ref().map(text_fields).unwrap_or_default();
        let zone = node
            .locality
            .as_ref()
            .map(|locality| locality.zone.clone())
            .unwrap_or_default();
        let user_agent_version = match &node.user_agent_version_type {
            Some(core::node::UserAgentVersionType::UserAgentVersion(version)) => version.clone(),
            _ => String::new(),
        };
        let node = Self {
            id: node.id.clone(),
            fleet: node.cluster.clone(),
            labels,
            zone,
            user_agent: node.user_agent_name.clone(),
            user_agent_version,
        };
        node.check_lengths()?;
        Ok(node)
    }

    fn check_lengths(&self) -> Result<(), NodeError> {
        let labels = self
            .labels
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let lengths = [
            ("id", self.id.len(), NAME_MAX),
            ("cluster", self.fleet.len(), NAME_MAX),
            ("locality.zone", self.zone.len(), NAME_MAX),
            ("user_agent_name", self.user_agent.len(), NAME_MAX),
            (
                "user_agent_version",
                self.user_agent_version.len(),
                NAME_MAX,
            ),
            ("metadata", labels, LABELS_MAX),
        ];
        match lengths.into_iter().find(|(_, len, max)| len > max) {
            Some((field, _, _)) => Err(NodeError::TooLong(field)),
            None => Ok(()),
        }
    }

    /// The protocol's message for this identity.
    pub fn to_proto(&self) -> core::Node {
        let fields = self
            .labels
            .iter()
            .map(|(key, value)| (key.clone(), text_value(value)))
            .collect();
        core::Node {
            id: self.id.clone(),
            cluster: self.fleet.clone(),
            metadata: Some(protobuf::Struct { fields }),
            locality: Some(core::Locality {
                zone: self.zone.clone(),
                ..Default::default()
            }),
            user_agent_name: self.user_agent.clone(),
            user_agent_version_type: Some(core::node::UserAgentVersionType::UserAgentVersion(
                self.user_agent_version.clone(),
            )),
            ..Default::default()
        }
    }

    /// The class of this client.
    pub fn class(&self) -> ClientClass {
        ClientClass::of_user_agent(&self.user_agent)
    }
}

fn text_fields(metadata: &protobuf::Struct) -> BTreeMap<String, String> {
    metadata
        .fields
        .iter()
        .filter_map(|(key, value)| match &value.kind {
            Some(protobuf::value::Kind::StringValue(text)) => Some((key.clone(), text.clone())),
            _ => None,
        })
        .collect()
}

fn text_value(text: &str) -> protobuf::Value {
    protobuf::Value {
        kind: Some(protobuf::value::Kind::StringValue(text.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_survives_the_wire() {
        let node = Node {
            id: "edge-1".into(),
            fleet: "default".into(),
            labels: BTreeMap::from([("role".into(), "canary".into())]),
            zone: "a".into(),
            user_agent: SIGNALBOX_USER_AGENT.into(),
            user_agent_version: "0.1.0".into(),
        };
        assert_eq!(Node::from_proto(Some(&node.to_proto())), Ok(node));
    }

    #[test]
    fn an_identity_without_id_or_fleet_is_refused() {
        assert_eq!(Node::from_proto(None), Err(NodeError::Missing));
        let nameless = core::Node {
            cluster: "default".into(),
            ..Default::default()
        };
        assert_eq!(Node::from_proto(Some(&nameless)), Err(NodeError::EmptyId));
        let homeless = core::Node {
            id: "a".into(),
            ..Default::default()
        };
        assert_eq!(
            Node::from_proto(Some(&homeless)),
            Err(NodeError::EmptyFleet)
        );
    }

    #[test]
    fn an_identity_that_is_too_long_is_refused_with_its_field() {
        let long = core::Node {
            id: "a".repeat(NAME_MAX + 1),
            cluster: "default".into(),
            ..Default::default()
        };
        assert_eq!(Node::from_proto(Some(&long)), Err(NodeError::TooLong("id")));
    }

    #[test]
    fn an_unknown_user_agent_is_treated_as_envoy() {
        assert_eq!(
            ClientClass::of_user_agent("signalbox-proxy"),
            ClientClass::Signalbox
        );
        assert_eq!(ClientClass::of_user_agent("envoy"), ClientClass::Envoy);
        assert_eq!(ClientClass::of_user_agent(""), ClientClass::Envoy);
    }

    #[test]
    fn every_language_of_grpc_is_one_class() {
        for name in [
            "gRPC C-core linux",
            "gRPC Go",
            "gRPC Java",
            "gRPC Node Pure JS",
            "grpc-java",
        ] {
            assert_eq!(
                ClientClass::of_user_agent(name),
                ClientClass::Grpc,
                "{name}"
            );
        }
        assert_eq!(ClientClass::of_user_agent("grp"), ClientClass::Envoy);
        assert_eq!(ClientClass::of_user_agent("gräpc"), ClientClass::Envoy);
    }
}
