//! Cluster → `envoy.config.cluster.v3.Cluster`: STATIC with its endpoints inside, EDS over the same stream, or STRICT_DNS.

use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy,
};
use envoy_types::pb::envoy::config::cluster::v3::{self as cluster_v3};

use crate::model::Cluster;
use crate::model::cluster::LoadBalancing;

use super::{endpoint, value};

pub(super) fn translate(cluster: &Cluster) -> cluster_v3::Cluster {
    let (discovery, load_assignment, eds_cluster_config) = if cluster.takes_endpoints() {
        let eds = EdsClusterConfig {
            eds_config: Some(value::ads()),
            ..Default::default()
        };
        (DiscoveryType::Eds, None, Some(eds))
    } else if let Some(dns) = &cluster.dns {
        let named = endpoint::named(&cluster.name, &dns.host, dns.port);
        (DiscoveryType::StrictDns, Some(named), None)
    } else {
        let endpoints = cluster.endpoints.as_deref().unwrap_or_default();
        (
            DiscoveryType::Static,
            Some(endpoint::translate(&cluster.name, endpoints)),
            None,
        )
    };
    cluster_v3::Cluster {
        name: cluster.name.clone(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(discovery as i32)),
        load_assignment,
        eds_cluster_config,
        dns_lookup_family: match discovery {
            // Envoy's own default asks for IPv6 first, and takes it where nothing but loopback has it.
            DiscoveryType::StrictDns => DnsLookupFamily::V4Preferred as i32,
            _ => 0,
        },
        lb_policy: lb_policy(cluster.load_balancing) as i32,
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
