//! What a class of client cannot have of a config. Not a fault: other classes have it, and what is left out is left out
//! whole. Told where somebody decides (the dry run) and where somebody wonders (the node).

use xds::node::ClientClass;

use crate::model::{Config, ResourceId};

use super::grpc;

/// One thing that clients of a class do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Who does without.
    pub class: ClientClass,
    /// The resource that asks for it.
    pub resource: ResourceId,
    /// JSON pointer (RFC 6901) from the resource to the field; empty if the whole is meant.
    pub pointer: String,
    /// A sentence for people: what it is, and what happens instead.
    pub detail: &'static str,
}

/// Everything of a config that a class of client cannot have, by resource. Our own proxy and Envoy have all of it.
pub fn warnings(config: &Config, class: ClientClass) -> Vec<Warning> {
    match class {
        ClientClass::Signalbox | ClientClass::Envoy => Vec::new(),
        ClientClass::Grpc => grpc::warnings(config),
    }
}
