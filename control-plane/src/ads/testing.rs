//! Small resources and snapshots for the tests of the stream's state.

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3 as cluster_v3;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion, ConfigSource};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::RouteConfiguration;
use envoy_types::pb::google::protobuf;
use prost::Message;
use xds::resource::Resource;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::snapshots::Served;

pub(super) fn served(resources: impl IntoIterator<Item = Arc<Resource>>) -> Arc<Served> {
    Served::new(1, resources.into_iter().collect::<Snapshot>())
}

/// A static cluster; `content` makes its version.
pub(super) fn cluster(name: &str, content: u8) -> Arc<Resource> {
    decode(
        ResourceType::Cluster,
        &cluster_v3::Cluster {
            name: name.into(),
            connect_timeout: Some(seconds(content)),
            ..Default::default()
        },
    )
}

/// A cluster whose endpoints come by EDS.
pub(super) fn eds_cluster(name: &str, content: u8) -> Arc<Resource> {
    let ads = ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    };
    let message = cluster_v3::Cluster {
        name: name.into(),
        connect_timeout: Some(seconds(content)),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads),
            service_name: String::new(),
        }),
        ..Default::default()
    };
    decode(ResourceType::Cluster, &message)
}

/// No endpoints for a cluster.
pub(super) fn endpoints(name: &str) -> Arc<Resource> {
    let message = ClusterLoadAssignment {
        cluster_name: name.into(),
        ..Default::default()
    };
    decode(ResourceType::ClusterLoadAssignment, &message)
}

/// No routes for a listener.
pub(super) fn routes(name: &str) -> Arc<Resource> {
    let message = RouteConfiguration {
        name: name.into(),
        ..Default::default()
    };
    decode(ResourceType::RouteConfiguration, &message)
}

fn seconds(content: u8) -> protobuf::Duration {
    protobuf::Duration {
        seconds: i64::from(content) + 1,
        nanos: 0,
    }
}

fn decode(ty: ResourceType, message: &impl Message) -> Arc<Resource> {
    Arc::new(Resource::decode(ty, message.encode_to_vec().into(), None).unwrap())
}
