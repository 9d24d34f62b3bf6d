//! Cluster → `envoy.config.cluster.v3.Cluster`: STATIC with its endpoints inside, EDS over the same stream, or STRICT_DNS.

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{self as cluster_v3};

use crate::model::Cluster;
use crate::model::cluster::{Dns, LoadBalancing};

use super::{endpoint, value};

pub(super) fn translate(cluster: &Cluster) -> cluster_v3::Cluster {
    if cluster.takes_endpoints() {
        return eds(cluster, cluster.load_balancing);
    }
    if let Some(dns) = &cluster.dns {
        return named(
            cluster,
            dns,
            DiscoveryType::StrictDns,
            cluster.load_balancing,
        );
    }
    let endpoints = cluster.endpoints.as_deref().unwrap_or_default();
    cluster_v3::Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static as i32)),
        load_assignment: Some(endpoint::translate(&cluster.name, endpoints)),
        ..common(cluster, cluster.load_balancing)
    }
}

/// A cluster whose endpoints come over the stream, wherever the operator wrote them.
pub(super) fn eds(cluster: &Cluster, balancing: LoadBalancing) -> cluster_v3::Cluster {
    cluster_v3::Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(value::ads()),
            ..Default::default()
        }),
        ..common(cluster, balancing)
    }
}

/// A cluster whose endpoints are what a name stands for.
pub(super) fn named(
    cluster: &Cluster,
    dns: &Dns,
    kind: DiscoveryType,
    balancing: LoadBalancing,
) -> cluster_v3::Cluster {
    cluster_v3::Cluster {
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(kind as i32)),
        load_assignment: Some(endpoint::named(&cluster.name, &dns.host, dns.port)),
        // Envoy's own default asks for IPv6 first, and takes it where nothing but loopback has it.
        dns_lookup_family: DnsLookupFamily::V4Preferred as i32,
        ..common(cluster, balancing)
    }
}

fn common(cluster: &Cluster, balancing: LoadBalancing) -> cluster_v3::Cluster {
    cluster_v3::Cluster {
        name: cluster.name.clone(),
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
