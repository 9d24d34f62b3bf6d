//! ClusterLoadAssignment: the endpoints of a cluster. `envoy.config.endpoint.v3.ClusterLoadAssignment`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3 as core;
use envoy_types::pb::envoy::config::endpoint::v3::cluster_load_assignment::Policy;
use envoy_types::pb::envoy::config::endpoint::v3::lb_endpoint::HostIdentifier;
use envoy_types::pb::envoy::config::endpoint::v3::locality_lb_endpoints::LbConfig;
use envoy_types::pb::envoy::config::endpoint::v3::{
    ClusterLoadAssignment as ClusterLoadAssignmentMessage, Endpoint as EndpointMessage, LbEndpoint,
    LocalityLbEndpoints,
};

use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::type_url::ResourceType;

use super::value;

/// The validated endpoints of a cluster; may be empty.
#[derive(Debug, PartialEq)]
pub struct ClusterLoadAssignment {
    /// The name that clusters refer to.
    pub cluster_name: Arc<str>,
    /// The endpoints, in the order of the message.
    pub endpoints: Box<[Endpoint]>,
}

/// One endpoint; `A` is a name with a port where its addresses are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<A = SocketAddr> {
    /// Where it is reached.
    pub address: A,
    /// Its name, if it has one: what routes may send as the host.
    pub hostname: Option<Arc<str>>,
    /// Its share against the others, at least 1.
    pub weight: u32,
    /// The zone it is in; empty if not stated.
    pub zone: Arc<str>,
    /// What the control plane says of its health.
    pub health: HealthStatus,
}

/// `envoy.config.core.v3.HealthStatus`, as far as balancing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthStatus {
    /// `UNKNOWN`, `HEALTHY`: gets traffic.
    Healthy,
    /// `DEGRADED`: gets traffic when healthy ones are too few.
    Degraded,
    /// `UNHEALTHY`, `DRAINING`, `TIMEOUT`: gets none while enough others are healthy.
    Unhealthy,
}

impl<A> Endpoint<A> {
    /// The same endpoint at another address.
    pub(super) fn at<B>(&self, address: B) -> Endpoint<B> {
        Endpoint {
            address,
            hostname: self.hostname.clone(),
            weight: self.weight,
            zone: self.zone.clone(),
            health: self.health,
        }
    }
}

/// The endpoints that come first of those with one address: Envoy keeps one of them too.
pub(super) fn distinct(mut endpoints: Vec<Endpoint>) -> Box<[Endpoint]> {
    let mut seen = HashSet::new();
    endpoints.retain(|endpoint| seen.insert(endpoint.address));
    endpoints.into()
}

/// Reads endpoints that came as a resource of their own.
pub(super) fn convert(
    message: ClusterLoadAssignmentMessage,
) -> Result<ClusterLoadAssignment, Vec<Problem>> {
    let mut check = Check::new(ResourceType::ClusterLoadAssignment, &message.cluster_name);
    let assignment = convert_in(&mut check, message);
    check.finish(Some(assignment))
}

/// Reads endpoints where they stand; what is wrong is noted in `check`.
pub(super) fn convert_in(
    check: &mut Check,
    message: ClusterLoadAssignmentMessage,
) -> ClusterLoadAssignment {
    let (cluster_name, endpoints) = convert_list(check, message, value::socket_address);
    ClusterLoadAssignment {
        cluster_name: cluster_name.into(),
        endpoints: distinct(endpoints),
    }
}

/// Reads the name and the list; `address` reads where an endpoint is reached.
pub(super) fn convert_list<A>(
    check: &mut Check,
    message: ClusterLoadAssignmentMessage,
    address: impl Fn(&mut Check, Option<core::Address>) -> Option<A>,
) -> (String, Vec<Endpoint<A>>) {
    let ClusterLoadAssignmentMessage {
        cluster_name,
        endpoints,
        named_endpoints,
        policy,
    } = message;
    refuse_if_set!(check, named_endpoints);
    if let Some(policy) = policy {
        check.at("policy", |check| refuse_policy(check, policy));
    }
    let mut read = Vec::new();
    check.at("endpoints", |check| {
        for (index, locality) in endpoints.into_iter().enumerate() {
            check.at(index, |check| {
                convert_locality(check, locality, &address, &mut read);
            });
        }
    });
    (cluster_name, read)
}

fn refuse_policy(check: &mut Check, policy: Policy) {
    let Policy {
        drop_overloads,
        overprovisioning_factor,
        endpoint_stale_after,
        weighted_priority_health,
    } = policy;
    refuse_if_set!(
        check,
        drop_overloads,
        overprovisioning_factor,
        endpoint_stale_after,
        weighted_priority_health
    );
}

#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
fn convert_locality<A>(
    check: &mut Check,
    message: LocalityLbEndpoints,
    address: &impl Fn(&mut Check, Option<core::Address>) -> Option<A>,
    read: &mut Vec<Endpoint<A>>,
) {
    let LocalityLbEndpoints {
        locality,
        metadata: _,
        lb_endpoints,
        // Counts only where a cluster asks for locality weights, and such a cluster is refused.
        load_balancing_weight: _,
        priority,
        proximity,
        lb_config,
    } = message;
    refuse_if_set!(check, proximity);
    match lb_config {
        None => {}
        Some(LbConfig::LoadBalancerEndpoints(_)) => check.refuse("load_balancer_endpoints"),
        Some(LbConfig::LedsClusterLocalityConfig(_)) => {
            check.refuse("leds_cluster_locality_config");
        }
    }
    if priority != 0 {
        check.problem_at(
            "priority",
            Code::Unsupported,
            "only priority 0 is supported",
        );
    }
    let zone: Arc<str> = locality
        .map(|core::Locality { zone, .. }| zone)
        .unwrap_or_default()
        .into();
    check.at("lb_endpoints", |check| {
        for (index, endpoint) in lb_endpoints.into_iter().enumerate() {
            read.extend(check.at(index, |check| {
                convert_endpoint(check, endpoint, &zone, address)
            }));
        }
    });
}

fn convert_endpoint<A>(
    check: &mut Check,
    message: LbEndpoint,
    zone: &Arc<str>,
    address: &impl Fn(&mut Check, Option<core::Address>) -> Option<A>,
) -> Option<Endpoint<A>> {
    let LbEndpoint {
        health_status,
        metadata: _,
        load_balancing_weight,
        host_identifier,
    } = message;
    let weight = load_balancing_weight.map_or(1, |weight| weight.value);
    if weight == 0 {
        check.problem_at(
            "load_balancing_weight",
            Code::Invalid,
            "an endpoint's weight must be at least 1",
        );
    }
    let health = match core::HealthStatus::try_from(health_status) {
        Ok(core::HealthStatus::Unknown | core::HealthStatus::Healthy) => HealthStatus::Healthy,
        Ok(core::HealthStatus::Degraded) => HealthStatus::Degraded,
        Ok(
            core::HealthStatus::Unhealthy
            | core::HealthStatus::Draining
            | core::HealthStatus::Timeout,
        ) => HealthStatus::Unhealthy,
        Err(_) => {
            check.problem_at(
                "health_status",
                Code::Invalid,
                format!("{health_status} is not a health status"),
            );
            HealthStatus::Unhealthy
        }
    };
    let found = match host_identifier {
        Some(HostIdentifier::Endpoint(endpoint)) => check.at("endpoint", |check| {
            convert_address(check, endpoint, address)
        }),
        Some(HostIdentifier::EndpointName(_)) => {
            check.problem_at(
                "endpoint_name",
                Code::Unsupported,
                "named endpoints are not supported",
            );
            None
        }
        None => {
            check.problem_at("endpoint", Code::Required, "an endpoint needs an address");
            None
        }
    };
    let (address, hostname) = found?;
    Some(Endpoint {
        address,
        hostname,
        weight,
        zone: zone.clone(),
        health,
    })
}

fn convert_address<A>(
    check: &mut Check,
    message: EndpointMessage,
    read: &impl Fn(&mut Check, Option<core::Address>) -> Option<A>,
) -> Option<(A, Option<Arc<str>>)> {
    let EndpointMessage {
        address,
        health_check_config,
        hostname,
        additional_addresses,
        // A name for people.
        observability_name: _,
    } = message;
    refuse_if_set!(check, health_check_config, additional_addresses);
    if !hostname.bytes().all(value::is_authority) {
        check.problem_at(
            "hostname",
            Code::Invalid,
            format!("{hostname:?} is not a host, with or without a port"),
        );
    }
    let hostname = Some(hostname).filter(|hostname| !hostname.is_empty());
    let address = check.at("address", |check| read(check, address))?;
    Some((address, hostname.map(Into::into)))
}
