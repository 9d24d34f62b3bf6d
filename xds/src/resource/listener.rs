//! Listener: an address and how HTTP on it is read. `envoy.config.listener.v3.Listener` with one filter chain that
//! holds one HTTP connection manager.

use std::net::SocketAddr;
use std::sync::Arc;

use envoy_types::pb::envoy::config::listener::v3::filter::ConfigType;
use envoy_types::pb::envoy::config::listener::v3::listener::ListenerSpecifier;
use envoy_types::pb::envoy::config::listener::v3::{
    ApiListener, Filter, FilterChain, Listener as ListenerMessage,
};

use crate::problem::{Check, Code, Problem, refuse_if_set};
use crate::type_url::ResourceType;

use super::http_connection_manager::{self, HttpConnectionManager};
use super::value;

/// A validated listener.
#[derive(Debug)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// Where it accepts connections; `None` if it is for programs that do without a proxy (`api_listener` alone).
    pub address: Option<SocketAddr>,
    /// How it reads HTTP.
    pub http: HttpConnectionManager,
}

/// Reads a listener.
#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert(message: ListenerMessage) -> Result<Listener, Vec<Problem>> {
    let mut check = Check::new(ResourceType::Listener, &message.name);
    let ListenerMessage {
        name,
        address,
        additional_addresses,
        // Prefixes of statistics: ours carry the listener's name as a label.
        stat_prefix: _,
        stats_matcher,
        filter_chains,
        fcds_config,
        filter_chain_matcher,
        use_original_dst,
        default_filter_chain,
        per_connection_buffer_limit_bytes,
        per_connection_buffer_high_watermark_timeout,
        // Opaque to a proxy whose filters do not read it.
        metadata: _,
        deprecated_v1,
        drain_type,
        listener_filters,
        listener_filters_timeout,
        continue_on_listener_filters_timeout,
        transparent,
        freebind,
        socket_options,
        tcp_fast_open_queue_length,
        // Informational, as its documentation says.
        traffic_direction: _,
        udp_listener_config,
        api_listener,
        connection_balance_config,
        reuse_port,
        enable_reuse_port,
        access_log,
        tcp_backlog_size,
        max_connections_to_accept_per_socket_event,
        bind_to_port,
        enable_mptcp,
        ignore_global_conn_limit,
        bypass_overload_manager,
        tcp_keepalive,
        listener_specifier,
    } = message;
    refuse_if_set!(
        check,
        additional_addresses,
        stats_matcher,
        fcds_config,
        filter_chain_matcher,
        use_original_dst
    );
    refuse_if_set!(
        check,
        default_filter_chain,
        per_connection_buffer_limit_bytes,
        deprecated_v1,
        drain_type
    );
    refuse_if_set!(
        check,
        per_connection_buffer_high_watermark_timeout,
        listener_filters,
        listener_filters_timeout
    );
    refuse_if_set!(
        check,
        continue_on_listener_filters_timeout,
        transparent,
        freebind,
        socket_options
    );
    refuse_if_set!(
        check,
        tcp_fast_open_queue_length,
        udp_listener_config,
        connection_balance_config
    );
    refuse_if_set!(
        check,
        access_log,
        tcp_backlog_size,
        max_connections_to_accept_per_socket_event,
        enable_mptcp
    );
    refuse_if_set!(
        check,
        ignore_global_conn_limit,
        bypass_overload_manager,
        tcp_keepalive,
        reuse_port
    );
    if let Some(ListenerSpecifier::InternalListener(_)) = listener_specifier {
        check.refuse("internal_listener");
    }
    value::refuse_false(
        &mut check,
        "enable_reuse_port",
        enable_reuse_port,
        "every core has its own socket",
    );
    value::refuse_false(
        &mut check,
        "bind_to_port",
        bind_to_port,
        "a listener without a port is not supported",
    );
    let api = api_listener
        .map(|message| check.at("api_listener", |check| convert_api_listener(check, message)));
    // Without a socket of its own it is what its `api_listener` says; with one the `api_listener` stands beside.
    let (address, http) = match api {
        Some(http) if address.is_none() && filter_chains.is_empty() => (None, http),
        _ => (
            check.at("address", |check| value::socket_address(check, address)),
            check.at("filter_chains", |check| {
                convert_chains(check, filter_chains)
            }),
        ),
    };
    let listener = http.map(|http| Listener {
        name: name.into(),
        address,
        http,
    });
    check.finish(listener)
}

/// What clients that are linked with their own xDS client listen to: the same HTTP connection manager without a socket.
fn convert_api_listener(check: &mut Check, message: ApiListener) -> Option<HttpConnectionManager> {
    let ApiListener { api_listener } = message;
    check.at("api_listener", |check| {
        let message = value::unpack(check, &api_listener.unwrap_or_default())?;
        http_connection_manager::convert(check, message)
    })
}

fn convert_chains(
    check: &mut Check,
    mut chains: Vec<FilterChain>,
) -> Option<HttpConnectionManager> {
    let (Some(chain), true) = (chains.pop(), chains.is_empty()) else {
        check.problem(
            Code::Unsupported,
            "a listener must have exactly one filter chain",
        );
        return None;
    };
    check.at(0, |check| convert_chain(check, chain))
}

#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
fn convert_chain(check: &mut Check, chain: FilterChain) -> Option<HttpConnectionManager> {
    let FilterChain {
        filter_chain_match,
        mut filters,
        use_proxy_proto,
        metadata: _,
        transport_socket,
        transport_socket_connect_timeout,
        // A name for people.
        name: _,
    } = chain;
    refuse_if_set!(
        check,
        filter_chain_match,
        use_proxy_proto,
        transport_socket,
        transport_socket_connect_timeout
    );
    check.at("filters", |check| {
        let (Some(filter), true) = (filters.pop(), filters.is_empty()) else {
            check.problem(
                Code::Unsupported,
                "a filter chain must have exactly one filter: the HTTP connection manager",
            );
            return None;
        };
        check.at(0, |check| convert_network_filter(check, filter))
    })
}

fn convert_network_filter(check: &mut Check, filter: Filter) -> Option<HttpConnectionManager> {
    let Filter {
        name: _,
        config_type,
    } = filter;
    match config_type {
        Some(ConfigType::TypedConfig(any)) => check.at("typed_config", |check| {
            let message = value::unpack(check, &any)?;
            http_connection_manager::convert(check, message)
        }),
        Some(ConfigType::ConfigDiscovery(_)) => {
            check.problem_at(
                "config_discovery",
                Code::Unsupported,
                "filters by ECDS are not supported",
            );
            None
        }
        None => {
            check.problem_at("typed_config", Code::Required, "a filter needs its config");
            None
        }
    }
}
