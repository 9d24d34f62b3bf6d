//! Listener → `envoy.config.listener.v3.Listener` with one HTTP connection manager, set so that a stock Envoy reads
//! requests as our proxy does: paths normalised, escaped slashes refused, the peer's address as the last hop.

use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::{self as listener_v3, Filter, FilterChain};
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::google::protobuf;
use envoy_types::util::pack_any;
use hcm::http_connection_manager::{PathWithEscapedSlashesAction, RouteSpecifier, UpgradeConfig};

use crate::model::Listener;

use super::value;

/// How long a client may take to send the head of a request. Without it a client that sends a byte now and then keeps a
/// connection for ever; Envoy's guide for edge proxies says 10 s.
const REQUEST_HEADERS_TIMEOUT: protobuf::Duration = protobuf::Duration {
    seconds: 10,
    nanos: 0,
};

pub(super) fn translate(listener: &Listener) -> listener_v3::Listener {
    let manager = Filter {
        name: "envoy.filters.network.http_connection_manager".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pack_any(connection_manager(
            listener,
        )))),
    };
    listener_v3::Listener {
        name: listener.name.clone(),
        address: Some(value::address(listener.address, listener.port)),
        filter_chains: vec![FilterChain {
            filters: vec![manager],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn connection_manager(listener: &Listener) -> hcm::HttpConnectionManager {
    hcm::HttpConnectionManager {
        stat_prefix: listener.name.clone(),
        route_specifier: Some(RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(value::ads()),
            route_config_name: listener.name.clone(),
        })),
        http_filters: vec![router()],
        use_remote_address: Some(value::YES),
        xff_num_trusted_hops: listener.trusted_hops,
        normalize_path: Some(value::YES),
        merge_slashes: true,
        path_with_escaped_slashes_action: PathWithEscapedSlashesAction::RejectRequest as i32,
        request_headers_timeout: Some(REQUEST_HEADERS_TIMEOUT),
        upgrade_configs: vec![websocket()],
        ..Default::default()
    }
}

/// WebSocket is allowed everywhere: the upstream decides, as behind any other gateway.
fn websocket() -> UpgradeConfig {
    UpgradeConfig {
        upgrade_type: "websocket".to_owned(),
        ..Default::default()
    }
}

fn router() -> hcm::HttpFilter {
    hcm::HttpFilter {
        name: "envoy.filters.http.router".to_owned(),
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(pack_any(
            // Neither upstreams nor clients are told in fields of Envoy's own what only Envoy would tell them.
            Router {
                suppress_envoy_headers: true,
                ..Default::default()
            },
        ))),
        ..Default::default()
    }
}
