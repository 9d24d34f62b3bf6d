//! What is to be done to the resources of one class of client, so that they are those of the next config.

use bytes::Bytes;
use prost::Message;
use xds::type_url::ResourceType;

/// One resource in Envoy's words.
#[derive(Clone, Debug)]
pub(super) struct Encoded {
    pub(super) ty: ResourceType,
    /// Its name, unique within the type.
    pub(super) name: String,
    /// The encoded message.
    pub(super) bytes: Bytes,
}

/// The resources that come and go, in a stable order.
#[derive(Clone, Debug, Default)]
pub(super) struct Step {
    pub(super) put: Vec<Encoded>,
    pub(super) removed: Vec<(ResourceType, String)>,
}

impl Step {
    pub(super) fn put<M: Message>(&mut self, ty: ResourceType, name: &str, message: &M) {
        self.put_bytes(ty, name, message.encode_to_vec().into());
    }

    pub(super) fn put_bytes(&mut self, ty: ResourceType, name: &str, bytes: Bytes) {
        self.put.push(Encoded {
            ty,
            name: name.to_owned(),
            bytes,
        });
    }

    pub(super) fn remove(&mut self, ty: ResourceType, name: &str) {
        self.removed.push((ty, name.to_owned()));
    }
}
