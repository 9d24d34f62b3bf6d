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
            .map(|(zone, endpoints)| {
                let place = Locality {
                    zone: zone.to_owned(),
                    ..Default::default()
                };
                locality(place, endpoints.into_iter().map(|(_, endpoint)| endpoint))
            })
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

/// A locality weighs what its endpoints weigh together: a client that balances over localities first then still gives
/// each endpoint its own share.
pub(super) fn locality<'e>(
    place: Locality,
    endpoints: impl Iterator<Item = &'e Endpoint> + Clone,
) -> LocalityLbEndpoints {
    let weight = endpoints
        .clone()
        .fold(0u32, |sum, endpoint| sum.saturating_add(endpoint.weight));
    LocalityLbEndpoints {
        locality: Some(place),
        lb_endpoints: endpoints.map(lb_endpoint).collect(),
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
