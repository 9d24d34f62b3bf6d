//! The settings that are accepted and change nothing, each with the reason why that is no lie; and those that need another
//! field beside them, which the problem names instead.

/// `Message.field`, or `Message.field=VALUE` for one value of an enumeration.
pub(super) const WITHOUT_EFFECT: &[(&str, &str)] = &[
    // Names for people and statistics.
    ("Cluster.alt_stat_name", NAME),
    ("CustomClusterType.name", NAME),
    ("Endpoint.observability_name", NAME),
    ("Filter.name", NAME),
    ("FilterChain.name", NAME),
    ("HttpConnectionManager.stat_prefix", NAME),
    ("HttpFilter.name", NAME),
    ("Listener.stat_prefix", NAME),
    ("Listener.traffic_direction=INBOUND", NAME),
    ("Listener.traffic_direction=OUTBOUND", NAME),
    ("Router.dynamic_stats", NAME),
    // What only filters and load balancers read that are refused themselves.
    ("Cluster.metadata", UNREAD),
    ("FilterChain.metadata", UNREAD),
    ("LbEndpoint.metadata", UNREAD),
    ("Listener.metadata", UNREAD),
    ("Locality.region", UNREAD),
    ("Locality.sub_zone", UNREAD),
    ("LocalityLbEndpoints.load_balancing_weight", UNREAD),
    ("LocalityLbEndpoints.metadata", UNREAD),
    ("Route.metadata", UNREAD),
    ("RouteConfiguration.metadata", UNREAD),
    ("VirtualHost.metadata", UNREAD),
    // The proxy does so in any case.
    ("HttpConnectionManager.codec_type=HTTP1", ALWAYS),
    ("HttpConnectionManager.merge_slashes", ALWAYS),
    (
        "HttpConnectionManager.path_with_escaped_slashes_action=REJECT_REQUEST",
        ALWAYS,
    ),
    ("RegexMatcher.google_re2", ALWAYS),
    ("RouteConfiguration.ignore_port_in_host_matching", ALWAYS),
    ("Router.suppress_envoy_headers", ALWAYS),
    // Another word for the same.
    (
        "DnsCluster.dns_lookup_family=AUTO",
        "UNSPECIFIED means AUTO",
    ),
    (
        "LbEndpoint.health_status=HEALTHY",
        "UNKNOWN gets traffic too",
    ),
    (
        "HttpFilter.is_optional",
        "the router is known; what an unknown filter becomes is in the goldens",
    ),
];

const NAME: &str = "a name for people, or Envoy's own statistics";
const UNREAD: &str = "read by what is refused itself";
const ALWAYS: &str = "the proxy does so in any case";

/// The setting, and the field that the problem names.
pub(super) const NAMES_ANOTHER: &[(&str, &str)] = &[
    ("Cluster.type=EDS", "load_assignment, which must not be set"),
    (
        "Cluster.type=STATIC",
        "eds_cluster_config, which must not be set",
    ),
];
