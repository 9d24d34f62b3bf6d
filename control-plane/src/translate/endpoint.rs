//! Endpoints → `ClusterLoadAssignment`, grouped by zone.

use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::core::v3::Locality;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::{self as endpoint_v3, ClusterLoadAssignment};
use envoy_types::pb::envoy::config::endpoint::v3::{LbEndpoint, LocalityLbEndpoints};

use crate::model::Endpoint;

use super::value;

/// The endpoints of each zone with their positions in the operator's list.
pub(super) fn by_zone(endpoints: &[Endpoint]) -> BTreeMap<&str, Vec<(usize, &Endpoint)>> {
    let mut zones: BTreeMap<&str, Vec<_>> = BTreeMap::new();
    for (position, endpoint) in endpoints.iter().enumerate() {
        zones
            .entry(&endpoint.zone)
            .or_default()
            .push((position, endpoint));
    }
    zones
}

pub(super) fn translate(cluster: &str, endpoints: &[Endpoint]) -> ClusterLoadAssignment {
    let zones = by_zone(endpoints).into_iter();
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: zones
            .map(|(zone, endpoints)| locality(zone, &endpoints))
            .collect(),
        ..Default::default()
    }
}

/// A name in the place of an address.
pub(super) fn named(cluster: &str, host: &str, port: u16) -> ClusterLoadAssignment {
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(endpoint_v3::Endpoint {
            address: Some(value::address(host, port)),
            ..Default::default()
        })),
        ..Default::default()
    };
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: vec![LocalityLbEndpoints {
            lb_endpoints: vec![endpoint],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// A zone weighs what its endpoints weigh together: a client that balances over localities first then still gives each
/// endpoint its own share.
fn locality(zone: &str, endpoints: &[(usize, &Endpoint)]) -> LocalityLbEndpoints {
    let weight = endpoints.iter().fold(0u32, |sum, (_, endpoint)| {
        sum.saturating_add(endpoint.weight)
    });
    LocalityLbEndpoints {
        locality: Some(Locality {
            zone: zone.to_owned(),
            ..Default::default()
        }),
        lb_endpoints: endpoints
            .iter()
            .map(|(_, endpoint)| lb_endpoint(endpoint))
            .collect(),
        load_balancing_weight: Some(value::number(weight.max(1))),
        ..Default::default()
    }
}

fn lb_endpoint(endpoint: &Endpoint) -> LbEndpoint {
    LbEndpoint {
        load_balancing_weight: Some(value::number(endpoint.weight)),
        host_identifier: Some(HostIdentifier::Endpoint(endpoint_v3::Endpoint {
            address: Some(value::address(endpoint.address, endpoint.port)),
            ..Default::default()
        })),
        ..Default::default()
    }
}
