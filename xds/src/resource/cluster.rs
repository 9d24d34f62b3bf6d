//! Cluster: where requests go, and how one endpoint among many is chosen. `envoy.config.cluster.v3.Cluster`.
//! What a cluster says of names that are looked up is in `dns`.

pub mod dns;

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::cluster::v3::Cluster as ClusterMessage;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    self, ClusterDiscoveryType, CustomClusterType, DiscoveryType, EdsClusterConfig, LbConfig,
};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{ApiVersion, ConfigSource, SelfConfigSource};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment as ClusterLoadAssignmentMessage;

use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::type_url::ResourceType;

use self::dns::{Dns, DnsFields, Kind};
use super::endpoint::{self, ClusterLoadAssignment};
use super::value;

/// `connect_timeout` if it is not set, as Envoy documents.
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A validated cluster.
#[derive(Debug)]
pub struct Cluster {
    /// Its name; routes refer to it.
    pub name: Arc<str>,
    /// Where its endpoints come from.
    pub discovery: Discovery,
    /// How one of them is chosen.
    pub lb_policy: LbPolicy,
    /// Longest time to open a connection; Envoy's default is 5 s.
    pub connect_timeout: Duration,
}

/// Where endpoints come from.
#[derive(Debug)]
pub enum Discovery {
    /// They stand in the cluster itself (`STATIC`).
    Static(Arc<ClusterLoadAssignment>),
    /// They come as a `ClusterLoadAssignment` of this name (`EDS`).
    Eds(Arc<str>),
    /// They are what names stand for (`STRICT_DNS`, `LOGICAL_DNS`).
    Dns(Dns),
}

/// The load-balancing algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LbPolicy {
    /// In turn, by weight.
    RoundRobin,
    /// The less loaded of two drawn at random.
    LeastRequest,
    /// At random, by weight.
    Random,
}

/// Reads a cluster.
#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert(message: ClusterMessage) -> Result<Cluster, Vec<Problem>> {
    let mut check = Check::new(ResourceType::Cluster, &message.name);
    let ClusterMessage {
        transport_socket_matches,
        transport_socket_matcher,
        name,
        // A name for people: ours carry the cluster's name as a label.
        alt_stat_name: _,
        stats_matcher,
        eds_cluster_config,
        connect_timeout,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        lb_policy,
        load_assignment,
        health_checks,
        max_requests_per_connection,
        circuit_breakers,
        upstream_http_protocol_options,
        common_http_protocol_options,
        http_protocol_options,
        http2_protocol_options,
        typed_extension_protocol_options,
        dns_refresh_rate,
        dns_jitter,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_lookup_family,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config,
        wait_for_warm_on_init,
        outlier_detection,
        cleanup_interval,
        upstream_bind_config,
        lb_subset_config,
        common_lb_config,
        transport_socket,
        // Opaque to a proxy whose filters do not read it.
        metadata: _,
        protocol_selection,
        upstream_connection_options,
        close_connections_on_host_health_failure,
        ignore_health_on_host_removal,
        filters,
        load_balancing_policy,
        lrs_server,
        lrs_report_endpoint_metrics,
        track_timeout_budgets,
        upstream_config,
        track_cluster_stats,
        preconnect_policy,
        connection_pool_per_downstream_connection,
        queuing_policies,
        cluster_discovery_type,
        lb_config,
    } = message;
    refuse_if_set!(
        check,
        transport_socket_matches,
        transport_socket_matcher,
        stats_matcher
    );
    refuse_if_set!(
        check,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout
    );
    refuse_if_set!(
        check,
        health_checks,
        max_requests_per_connection,
        circuit_breakers,
        upstream_http_protocol_options
    );
    refuse_if_set!(
        check,
        common_http_protocol_options,
        http_protocol_options,
        http2_protocol_options
    );
    refuse_if_set!(
        check,
        typed_extension_protocol_options,
        wait_for_warm_on_init,
        outlier_detection
    );
    refuse_if_set!(
        check,
        dns_resolvers,
        use_tcp_for_dns_lookups,
        dns_resolution_config,
        typed_dns_resolver_config
    );
    let dns = DnsFields {
        dns_refresh_rate,
        dns_jitter,
        dns_failure_refresh_rate,
        respect_dns_ttl,
        dns_lookup_family,
    };
    refuse_if_set!(
        check,
        cleanup_interval,
        upstream_bind_config,
        lb_subset_config,
        common_lb_config
    );
    refuse_if_set!(
        check,
        transport_socket,
        protocol_selection,
        upstream_connection_options,
        filters
    );
    refuse_if_set!(
        check,
        close_connections_on_host_health_failure,
        ignore_health_on_host_removal
    );
    refuse_if_set!(
        check,
        load_balancing_policy,
        lrs_report_endpoint_metrics,
        track_timeout_budgets
    );
    if lrs_server.is_some_and(|server| !is_self(&server)) {
        check.refuse("lrs_server");
    }
    refuse_if_set!(
        check,
        upstream_config,
        track_cluster_stats,
        preconnect_policy
    );
    if let Some(config) = &lb_config {
        check.refuse(lb_config_field(config));
    }
    refuse_if_set!(
        check,
        connection_pool_per_downstream_connection,
        queuing_policies
    );
    let lb_policy = convert_lb_policy(&mut check, lb_policy);
    let connect_timeout = convert_connect_timeout(&mut check, connect_timeout);
    let discovery = convert_discovery(
        &mut check,
        &name,
        cluster_discovery_type,
        load_assignment,
        eds_cluster_config,
        dns,
    );
    let cluster = discovery.map(|discovery| Cluster {
        name: name.into(),
        discovery,
        lb_policy,
        connect_timeout,
    });
    check.finish(cluster)
}

fn convert_lb_policy(check: &mut Check, value: i32) -> LbPolicy {
    match cluster::LbPolicy::try_from(value) {
        Ok(cluster::LbPolicy::RoundRobin) => LbPolicy::RoundRobin,
        Ok(cluster::LbPolicy::LeastRequest) => LbPolicy::LeastRequest,
        Ok(cluster::LbPolicy::Random) => LbPolicy::Random,
        _ => {
            check.problem_at(
                "lb_policy",
                Code::Unsupported,
                "only ROUND_ROBIN, LEAST_REQUEST and RANDOM are supported",
            );
            LbPolicy::RoundRobin
        }
    }
}

/// "Report load to the server that this cluster came from." It is for programs with gRPC's xDS client, whose clusters are
/// checked here as well. As Envoy, our proxy goes by what it was told at its start: it reports beside xDS, to the same server.
/// Another server would wait for reports in vain (`config/cluster/v3/cluster.proto`, `lrs_server`).
fn is_self(server: &ConfigSource) -> bool {
    let to_self = ConfigSourceSpecifier::Self_(SelfConfigSource {
        transport_api_version: ApiVersion::Auto as i32,
    });
    *server
        == ConfigSource {
            config_source_specifier: Some(to_self),
            ..ConfigSource::default()
        }
}

fn lb_config_field(config: &LbConfig) -> &'static str {
    match config {
        LbConfig::RingHashLbConfig(_) => "ring_hash_lb_config",
        LbConfig::MaglevLbConfig(_) => "maglev_lb_config",
        LbConfig::OriginalDstLbConfig(_) => "original_dst_lb_config",
        LbConfig::LeastRequestLbConfig(_) => "least_request_lb_config",
        LbConfig::RoundRobinLbConfig(_) => "round_robin_lb_config",
    }
}

fn convert_connect_timeout(
    check: &mut Check,
    value: Option<envoy_types::pb::google::protobuf::Duration>,
) -> Duration {
    if value.is_none() {
        return DEFAULT_CONNECT_TIMEOUT;
    }
    let timeout =
        value::duration(check, "connect_timeout", value).unwrap_or(DEFAULT_CONNECT_TIMEOUT);
    if timeout.is_zero() {
        check.problem_at("connect_timeout", Code::Invalid, "must be more than zero");
    }
    timeout
}

fn convert_discovery(
    check: &mut Check,
    name: &str,
    discovery_type: Option<ClusterDiscoveryType>,
    load_assignment: Option<ClusterLoadAssignmentMessage>,
    eds_cluster_config: Option<EdsClusterConfig>,
    dns: DnsFields,
) -> Option<Discovery> {
    let kind = match discovery_type {
        None => Ok(DiscoveryType::Static),
        Some(ClusterDiscoveryType::Type(kind)) => DiscoveryType::try_from(kind),
        Some(ClusterDiscoveryType::ClusterType(custom)) => {
            refuse_if_set!(check, eds_cluster_config);
            dns.refuse(check);
            let dns = check.at("cluster_type", |check| custom_type(check, custom));
            let (kind, lookup) = dns?;
            return Some(Discovery::Dns(Dns::convert(
                check,
                kind,
                lookup,
                load_assignment,
            )));
        }
    };
    match kind {
        Ok(DiscoveryType::StrictDns | DiscoveryType::LogicalDns) => {
            refuse_if_set!(check, eds_cluster_config);
            let kind = if kind == Ok(DiscoveryType::LogicalDns) {
                Kind::Logical
            } else {
                Kind::Strict
            };
            let lookup = dns.convert(check, kind);
            Some(Discovery::Dns(Dns::convert(
                check,
                kind,
                lookup,
                load_assignment,
            )))
        }
        Ok(DiscoveryType::Static) => {
            refuse_if_set!(check, eds_cluster_config);
            dns.refuse(check);
            let assignment = load_assignment.unwrap_or_default();
            let assignment = check.at("load_assignment", |check| {
                endpoint::convert_in(check, assignment)
            });
            Some(Discovery::Static(Arc::new(assignment)))
        }
        Ok(DiscoveryType::Eds) => {
            refuse_if_set!(check, load_assignment);
            dns.refuse(check);
            let EdsClusterConfig {
                eds_config,
                service_name,
            } = eds_cluster_config.unwrap_or_default();
            check.at("eds_cluster_config", |check| {
                value::ads_source(check, "eds_config", eds_config);
            });
            Some(Discovery::Eds(if service_name.is_empty() {
                name.into()
            } else {
                service_name.into()
            }))
        }
        _ => {
            check.problem_at(
                "type",
                Code::Unsupported,
                "only STATIC, EDS, STRICT_DNS and LOGICAL_DNS are supported",
            );
            None
        }
    }
}

/// The one cluster that is an extension: names again, in newer words.
fn custom_type(check: &mut Check, message: CustomClusterType) -> Option<(Kind, dns::Lookup)> {
    let CustomClusterType {
        // A name for people: the type of the config decides.
        name: _,
        typed_config,
    } = message;
    check.at("typed_config", |check| {
        let message = value::unpack(check, &typed_config.unwrap_or_default())?;
        Some(dns::convert_extension(check, message))
    })
}
