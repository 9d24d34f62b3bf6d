//! What stands in a response for one resource: as it should be, or broken in a way that JSON cannot say.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Result;
use envoy_types::pb::envoy::service::discovery::v3::Resource;
use envoy_types::pb::google::protobuf::Any;
use serde_json::Value;

/// The types that are served.
pub(crate) mod type_url {
    pub(crate) const CLUSTER: &str = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    pub(crate) const ENDPOINTS: &str =
        "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";
    pub(crate) const LISTENER: &str = "type.googleapis.com/envoy.config.listener.v3.Listener";
    pub(crate) const ROUTES: &str = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
    pub(crate) const VIRTUAL_HOST: &str = "type.googleapis.com/envoy.config.route.v3.VirtualHost";
}

/// A varint field that no message of Envoy's has: number 1999, value 1.
const UNKNOWN_FIELD: [u8; 3] = [0xf8, 0x7c, 0x01];

/// One resource, and the type of the response that it is sent in.
#[derive(Clone)]
pub(crate) struct Entry {
    type_url: String,
    resource: Resource,
}

impl Entry {
    /// A resource as Envoy writes it in JSON.
    pub(crate) fn json(resource: &Value) -> Result<Self> {
        let (type_url, value) = proto::json::from_json(resource)?;
        let name = resource["name"]
            .as_str()
            .or(resource["cluster_name"].as_str());
        Ok(Self::bytes(&type_url, name.unwrap_or_default(), value))
    }

    /// A resource as bytes, whatever they are.
    pub(crate) fn bytes(type_url: &str, name: &str, value: Vec<u8>) -> Self {
        let type_url = type_url.to_owned();
        let resource = Resource {
            name: name.to_owned(),
            version: version(&value),
            resource: Some(Any {
                type_url: type_url.clone(),
                value,
            }),
            ..Default::default()
        };
        Self { type_url, resource }
    }

    /// The same with a field that nobody knows.
    pub(crate) fn with_unknown_field(mut self) -> Self {
        if let Some(any) = &mut self.resource.resource {
            any.value.extend(UNKNOWN_FIELD);
            self.resource.version = version(&any.value);
        }
        self
    }

    /// The same in a response of another type.
    pub(crate) fn sent_as(mut self, type_url: &str) -> Self {
        type_url.clone_into(&mut self.type_url);
        self
    }

    /// The bytes of the resource.
    pub(crate) fn size(&self) -> u64 {
        let any = self.resource.resource.as_ref();
        any.map_or(0, |any| any.value.len() as u64)
    }

    /// The resource, if it stands in responses of this type.
    pub(super) fn sent_in(&self, type_url: &str) -> Option<&Resource> {
        (self.type_url == type_url).then_some(&self.resource)
    }

    pub(crate) fn is(&self, type_url: &str, name: &str) -> bool {
        self.type_url == type_url && self.resource.name == name
    }

    pub(crate) fn type_url(&self) -> &str {
        &self.type_url
    }

    pub(crate) fn name(&self) -> &str {
        &self.resource.name
    }
}

/// The content is its own version.
fn version(value: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
