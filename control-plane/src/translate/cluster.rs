//! Cluster → `envoy.config.cluster.v3.Cluster`: STATIC with its endpoints inside, EDS over the same stream, or STRICT_DNS.

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{self as cluster_v3};

use crate::model::Cluster;
use crate::model::cluster::LoadBalancing;

use super::{endpoint, value};

pub(super) fn translate(cluster: &Cluster) -> cluster_v3::Cluster {
    if cluster.takes_endpoints() {
        return eds(cluster, cluster.load_balancing);
    }
    if cluster.dns.is_some() {
        return by_name(cluster, DiscoveryType::StrictDns, cluster.load_balancing);
    }
    let endpoints = cluster.endpoints.as_deref().unwrap_or_default();
    cluster_v3::Cluster {
        name: cluster.name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32)),
        load_assignment: Some(endpoint::translate(&cluster.name, endpoints)),
        lb_policy: lb_policy(cluster.load_balancing) as i32,
        connect_timeout: cluster.connect_timeout.map(value::duration),
        ..Default::default()
    }
}

/// A cluster whose endpoints come over the stream, wherever the operator wrote them.
pub(super) fn eds(cluster: &Cluster, balancing: LoadBalancing) -> cluster_v3::Cluster {
    cluster_v3::Cluster {
        name: cluster.name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(value::ads()),
            ..Default::default()
        }),
        lb_policy: lb_policy(balancing) as i32,
        connect_timeout: cluster.connect_timeout.map(value::duration),
        ..Default::default()
    }
}

/// A cluster whose endpoints the client finds by name.
pub(super) fn by_name(
    cluster: &Cluster,
    discovery: DiscoveryType,
    balancing: LoadBalancing,
) -> cluster_v3::Cluster {
    let named = cluster
        .dns
        .as_ref()
        .map(|dns| endpoint::named(&cluster.name, &dns.host, dns.port));
    cluster_v3::Cluster {
        name: cluster.name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        load_assignment: named,
        // Envoy's own default asks for IPv6 first, and takes it where nothing but loopback has it.
        dns_lookup_family: DnsLookupFamily::V4Preferred as i32,
        lb_policy: lb_policy(balancing) as i32,
        connect_timeout: cluster.connect_timeout.map(value::duration),
        ..Default::default()
    }
}

fn lb_policy(balancing: LoadBalancing) -> LbPolicy {
    match balancing {
        LoadBalancing::RoundRobin => LbPolicy::RoundRobin,
        LoadBalancing::LeastRequest => LbPolicy::LeastRequest,
        LoadBalancing::Random => LbPolicy::Random,
        LoadBalancing::RingHash => LbPolicy::RingHash,
        LoadBalancing::Maglev => LbPolicy::Maglev,
    }
}
