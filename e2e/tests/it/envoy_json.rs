//! Small resources as Envoy writes them, for control planes that a test plays.

use serde_json::{Value, json};

/// A listener on every address, with its routes from `main`.
pub(crate) fn listener(port: u16) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "web",
        "address": {"socket_address": {"address": "0.0.0.0", "port_value": port}},
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                "stat_prefix": "web",
                "rds": {"route_config_name": "main", "config_source": {"ads": {}, "resource_api_version": "V3"}},
                "http_filters": [{
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
                }],
            },
        }]}],
    })
}

/// The route configuration `main`: one host for everything, with one route.
pub(crate) fn route_configuration(route: Value) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "main",
        "virtual_hosts": [{"name": "vh", "domains": ["*"], "routes": [route]}],
    })
}
