//! One resource: bytes → message → validated body. Bad input comes back as [`Problem`]s that name the field; what is
//! accepted is honoured. The server sends the very bytes that were checked, so a [`Resource`] keeps them.
//!
//! One file a kind: the validated struct, its conversion, its tests. References to other resources are not followed
//! here; `compile` does that.

pub mod cluster;
pub mod endpoint;
pub mod http_connection_manager;
pub mod listener;
pub mod route_configuration;
pub mod virtual_host;

mod header_edits;
mod matcher;
mod route;
mod upgrades;
mod value;

use std::fmt::Display;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use envoy_types::pb::envoy::config::cluster::v3 as cluster_v3;
use envoy_types::pb::envoy::config::endpoint::v3 as endpoint_v3;
use envoy_types::pb::envoy::config::listener::v3 as listener_v3;
use envoy_types::pb::envoy::config::route::v3 as route_v3;
use envoy_types::pb::envoy::service::discovery::v3 as discovery_v3;
use envoy_types::pb::google::protobuf::Any;
use prost::Message;

use crate::names::Names;
use crate::problem::{Check, Code, Problem, ResourceRef};
use crate::type_url::ResourceType;
use crate::version::Version;

use self::cluster::Cluster;
use self::endpoint::ClusterLoadAssignment;
use self::listener::Listener;
use self::route_configuration::{Known, RouteConfiguration};
use self::virtual_host::{Content, Parts, VirtualHost};

/// The tag of `DeltaDiscoveryResponse.resources`.
const RESOURCES_TAG: u32 = 2;

/// A validated resource with its name, its version and the bytes it came from.
#[derive(Clone, Debug)]
pub struct Resource {
    version: Version,
    body: Body,
    bytes: Bytes,
    /// Made by who serves it.
    delta_entry: OnceLock<Box<Bytes>>,
}

/// The validated content.
#[derive(Clone, Debug)]
pub enum Body {
    /// By CDS.
    Cluster(Arc<Cluster>),
    /// By EDS.
    ClusterLoadAssignment(Arc<ClusterLoadAssignment>),
    /// By LDS.
    Listener(Arc<Listener>),
    /// By RDS.
    RouteConfiguration(Arc<RouteConfiguration>),
    /// By VHDS.
    VirtualHost(Arc<VirtualHost>),
}

impl Body {
    /// The name of the resource, unique within its type.
    pub fn name(&self) -> &Arc<str> {
        match self {
            Self::Cluster(cluster) => &cluster.name,
            Self::ClusterLoadAssignment(endpoints) => &endpoints.cluster_name,
            Self::Listener(listener) => &listener.name,
            Self::RouteConfiguration(routes) => &routes.name,
            Self::VirtualHost(host) => &host.name,
        }
    }

    /// The cluster, if it is one.
    pub fn as_cluster(&self) -> Option<&Arc<Cluster>> {
        if let Self::Cluster(cluster) = self {
            Some(cluster)
        } else {
            None
        }
    }

    /// The endpoints, if it is such.
    pub fn as_endpoints(&self) -> Option<&Arc<ClusterLoadAssignment>> {
        if let Self::ClusterLoadAssignment(endpoints) = self {
            Some(endpoints)
        } else {
            None
        }
    }

    /// The listener, if it is one.
    pub fn as_listener(&self) -> Option<&Arc<Listener>> {
        if let Self::Listener(listener) = self {
            Some(listener)
        } else {
            None
        }
    }

    /// The route configuration, if it is one.
    pub fn as_route_configuration(&self) -> Option<&Arc<RouteConfiguration>> {
        if let Self::RouteConfiguration(routes) = self {
            Some(routes)
        } else {
            None
        }
    }

    /// The virtual host, if it is one.
    pub fn as_virtual_host(&self) -> Option<&Arc<VirtualHost>> {
        if let Self::VirtualHost(host) = self {
            Some(host)
        } else {
            None
        }
    }
}

impl Resource {
    /// Decodes and validates one resource. `version` is what the server stated; `None` takes the hash of the bytes.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with the path of its field.
    pub fn decode(
        ty: ResourceType,
        bytes: Bytes,
        version: Option<Version>,
    ) -> Result<Self, Vec<Problem>> {
        Self::decode_after(ty, bytes, version, None)
    }

    /// As [`Self::decode`], of what takes the place of `before`: what did not change keeps its compiled form, be it the whole
    /// or one of the virtual hosts in it.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_after(
        ty: ResourceType,
        bytes: Bytes,
        version: Option<Version>,
        before: Option<&Self>,
    ) -> Result<Self, Vec<Problem>> {
        Self::decode_knowing(ty, bytes, version, before, [])
    }

    /// As [`Self::decode_after`]; virtual hosts that are among `hosts` keep their compiled form as well.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_knowing<'h>(
        ty: ResourceType,
        bytes: Bytes,
        version: Option<Version>,
        before: Option<&'h Self>,
        hosts: impl IntoIterator<Item = &'h Arc<VirtualHost>>,
    ) -> Result<Self, Vec<Problem>> {
        Self::decode_with(ty, bytes, version, before, hosts, &mut Names::default())
    }

    /// As [`Self::decode_after`]; names that other resources were read with are shared with them.
    ///
    /// # Errors
    /// As [`Self::decode`].
    pub fn decode_sharing(
        ty: ResourceType,
        bytes: Bytes,
        version: Option<Version>,
        before: Option<&Self>,
        names: &mut Names,
    ) -> Result<Self, Vec<Problem>> {
        Self::decode_with(ty, bytes, version, before, [], names)
    }

    fn decode_with<'h>(
        ty: ResourceType,
        bytes: Bytes,
        version: Option<Version>,
        before: Option<&'h Self>,
        hosts: impl IntoIterator<Item = &'h Arc<VirtualHost>>,
        names: &mut Names,
    ) -> Result<Self, Vec<Problem>> {
        let body = match before {
            Some(before) if before.ty() == ty && before.bytes == bytes => before.body.clone(),
            _ => {
                let before = before.and_then(|before| before.body.as_route_configuration());
                let inside = before.iter().flat_map(|before| &before.virtual_hosts);
                decode(ty, &bytes, || inside.chain(hosts).collect(), names)?
            }
        };
        Ok(Self {
            version: version.unwrap_or_else(|| Version::of(&bytes)),
            body,
            bytes,
            delta_entry: OnceLock::new(),
        })
    }

    /// Its name, unique within its type.
    pub fn name(&self) -> &Arc<str> {
        self.body.name()
    }

    /// Its version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Its content.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// The encoded message, as it was checked and as it is sent.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The resource as an entry of a `DeltaDiscoveryResponse`, with its tag: encoded once, shared by every response.
    pub fn delta_entry(&self) -> &Bytes {
        self.delta_entry.get_or_init(|| {
            let any = Any {
                type_url: self.ty().type_url().to_owned(),
                value: self.bytes.to_vec(),
            };
            let entry = discovery_v3::Resource {
                name: (**self.name()).to_owned(),
                version: self.version.to_string(),
                resource: Some(any),
                ..Default::default()
            };
            let mut encoded = Vec::with_capacity(entry.encoded_len() + 8);
            prost::encoding::message::encode(RESOURCES_TAG, &entry, &mut encoded);
            Box::new(encoded.into())
        })
    }

    /// Its type.
    pub fn ty(&self) -> ResourceType {
        match self.body {
            Body::Cluster(_) => ResourceType::Cluster,
            Body::ClusterLoadAssignment(_) => ResourceType::ClusterLoadAssignment,
            Body::Listener(_) => ResourceType::Listener,
            Body::RouteConfiguration(_) => ResourceType::RouteConfiguration,
            Body::VirtualHost(_) => ResourceType::VirtualHost,
        }
    }

    /// Its name with its type.
    pub fn reference(&self) -> ResourceRef {
        ResourceRef {
            ty: self.ty(),
            name: self.name().clone(),
        }
    }
}

/// Decodes the content; `known` are virtual hosts that need not be compiled again.
fn decode<'h>(
    ty: ResourceType,
    bytes: &[u8],
    known: impl FnOnce() -> Known<'h>,
    names: &mut Names,
) -> Result<Body, Vec<Problem>> {
    match ty {
        ResourceType::Cluster => {
            let message: cluster_v3::Cluster = read(ty, bytes)?;
            let cluster = cluster::convert(message).map(Arc::new);
            named(ty, cluster.map(Body::Cluster))
        }
        ResourceType::ClusterLoadAssignment => {
            let message: endpoint_v3::ClusterLoadAssignment = read(ty, bytes)?;
            let endpoints = endpoint::convert(message).map(Arc::new);
            named(ty, endpoints.map(Body::ClusterLoadAssignment))
        }
        ResourceType::Listener => {
            let message: listener_v3::Listener = read(ty, bytes)?;
            let listener = listener::convert(message).map(Arc::new);
            named(ty, listener.map(Body::Listener))
        }
        ResourceType::RouteConfiguration => {
            let routes = match route_configuration::read(bytes, &known()) {
                Some((message, hosts)) => route_configuration::convert(message, hosts, names),
                // It says why.
                None => {
                    let message: route_v3::RouteConfiguration = read(ty, bytes)?;
                    route_configuration::convert_whole(message)
                }
            };
            named(ty, routes.map(Arc::new).map(Body::RouteConfiguration))
        }
        ResourceType::VirtualHost => {
            let Some(parts) = Parts::of(bytes) else {
                // It says why.
                let read = read::<route_v3::VirtualHost>(ty, bytes);
                let cut = || vec![undecodable(ty, "its fields cannot be told apart")];
                return Err(read.err().unwrap_or_else(cut));
            };
            let host = virtual_host::convert(parts, Content::of(bytes), names).map(Arc::new);
            named(ty, host.map(Body::VirtualHost))
        }
    }
}

fn read<M: Message + Default>(ty: ResourceType, bytes: &[u8]) -> Result<M, Vec<Problem>> {
    M::decode(bytes).map_err(|error| vec![undecodable(ty, error)])
}

fn undecodable(ty: ResourceType, why: impl Display) -> Problem {
    Problem {
        resource: None,
        path: String::new(),
        code: Code::Undecodable,
        detail: format!("not a message of type {}: {why}", ty.type_url()),
    }
}

fn named(ty: ResourceType, body: Result<Body, Vec<Problem>>) -> Result<Body, Vec<Problem>> {
    let body = body?;
    if body.name().is_empty() {
        let mut check = Check::new(ty, "");
        check.problem_at(name_field(ty), Code::Required, "a resource needs a name");
        return check.finish(None);
    }
    Ok(body)
}

fn name_field(ty: ResourceType) -> &'static str {
    match ty {
        ResourceType::ClusterLoadAssignment => "cluster_name",
        _ => "name",
    }
}
