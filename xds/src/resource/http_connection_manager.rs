//! The HTTP connection manager: how HTTP on a listener is read, and where its routes come from.
//! `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.

use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::HttpProtocolOptions;
use envoy_types::pb::envoy::config::core::v3::http_protocol_options::HeadersWithUnderscoresAction;
use envoy_types::pb::envoy::extensions::filters::http::router::v3::Router;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::google::protobuf;
use hcm::http_connection_manager::{
    CodecType, PathWithEscapedSlashesAction, RouteSpecifier, StripPortMode,
};
use prost::Name;

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::Upgrades;

use super::route_configuration::{self, RouteConfiguration};
use super::{upgrades, value};

/// `stream_idle_timeout` if it is not set, as Envoy documents.
const DEFAULT_STREAM_IDLE_TIMEOUT: Duration = Duration::from_mins(5);
/// `common_http_protocol_options.idle_timeout` if it is not set, as Envoy documents.
const DEFAULT_IDLE_TIMEOUT: Duration = Duration::from_hours(1);

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
#[derive(Debug)]
pub struct HttpConnectionManager {
    /// Where its routes come from.
    pub routes: RouteSource,
    /// The peer's address is the client's: it is appended to `X-Forwarded-For`, and what an untrusted client says of
    /// itself is replaced. `false` (Envoy's default): a trusted proxy stands in front and its word is passed on.
    pub use_remote_address: bool,
    /// How many proxies in front may write `X-Forwarded-For`.
    pub xff_num_trusted_hops: u32,
    /// Longest pause within a request, in either direction; `None` = without limit. Envoy's default is 5 minutes.
    pub stream_idle_timeout: Option<Duration>,
    /// Longest time from a request's first byte to the end of its head; `None` = without limit.
    pub request_headers_timeout: Option<Duration>,
    /// Longest time a connection may stand without a request; `None` = without limit. Envoy's default is 1 hour.
    pub idle_timeout: Option<Duration>,
    /// Which protocols a request may switch to, where its route does not say otherwise.
    pub upgrades: Upgrades,
}

/// Where a listener's routes come from.
#[derive(Clone, Debug)]
pub enum RouteSource {
    /// They stand in the listener itself.
    Inline(Arc<RouteConfiguration>),
    /// They come as a `RouteConfiguration` of this name.
    Rds(Arc<str>),
}

#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
pub(super) fn convert(
    check: &mut Check,
    message: hcm::HttpConnectionManager,
) -> Option<HttpConnectionManager> {
    let hcm::HttpConnectionManager {
        codec_type,
        // Prefixes of statistics: ours carry the listener's name as a label.
        stat_prefix: _,
        http_filters,
        add_user_agent,
        tracing,
        common_http_protocol_options,
        http1_safe_max_connection_duration,
        http_protocol_options,
        http2_protocol_options,
        http3_protocol_options,
        server_name,
        server_header_transformation,
        scheme_header_transformation,
        max_request_headers_kb,
        stream_idle_timeout,
        stream_flush_timeout,
        request_timeout,
        request_headers_timeout,
        drain_timeout,
        drain_timeout_jitter,
        delayed_close_timeout,
        access_log,
        access_log_flush_interval,
        flush_access_log_on_new_request,
        access_log_options,
        use_remote_address,
        xff_num_trusted_hops,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config,
        skip_xff_append,
        via,
        generate_request_id,
        preserve_external_request_id,
        always_set_request_id_in_response,
        forward_client_cert_details,
        set_current_client_cert_details,
        forward_client_cert_matcher,
        proxy_100_continue,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        upgrade_configs,
        normalize_path,
        // Slashes are always merged: one reading of a request for everybody.
        merge_slashes: _,
        path_with_escaped_slashes_action,
        request_id_extension,
        local_reply_config,
        // Hosts are always matched without their port.
        strip_matching_host_port,
        stream_error_on_invalid_http_message,
        path_normalization_options,
        strip_trailing_host_dot,
        proxy_status_config,
        typed_header_validation_config,
        append_x_forwarded_port,
        append_local_overload,
        add_proxy_protocol_connection_state,
        forward_proto_config,
        route_specifier,
        strip_port_mode,
    } = message;
    refuse_if_set!(
        check,
        add_user_agent,
        tracing,
        http1_safe_max_connection_duration,
        http_protocol_options
    );
    refuse_if_set!(
        check,
        http2_protocol_options,
        http3_protocol_options,
        server_name,
        server_header_transformation
    );
    refuse_if_set!(
        check,
        scheme_header_transformation,
        max_request_headers_kb,
        stream_flush_timeout,
        request_timeout
    );
    refuse_if_set!(
        check,
        drain_timeout,
        drain_timeout_jitter,
        delayed_close_timeout,
        access_log
    );
    refuse_if_set!(
        check,
        access_log_flush_interval,
        flush_access_log_on_new_request,
        access_log_options
    );
    refuse_if_set!(
        check,
        original_ip_detection_extensions,
        early_header_mutation_extensions,
        internal_address_config
    );
    refuse_if_set!(
        check,
        skip_xff_append,
        via,
        generate_request_id,
        preserve_external_request_id
    );
    refuse_if_set!(
        check,
        always_set_request_id_in_response,
        forward_client_cert_details
    );
    refuse_if_set!(
        check,
        set_current_client_cert_details,
        forward_client_cert_matcher,
        proxy_100_continue
    );
    refuse_if_set!(
        check,
        represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        request_id_extension
    );
    refuse_if_set!(
        check,
        local_reply_config,
        strip_matching_host_port,
        stream_error_on_invalid_http_message
    );
    refuse_if_set!(
        check,
        path_normalization_options,
        strip_trailing_host_dot,
        proxy_status_config
    );
    refuse_if_set!(
        check,
        typed_header_validation_config,
        append_x_forwarded_port,
        append_local_overload
    );
    refuse_if_set!(
        check,
        add_proxy_protocol_connection_state,
        forward_proto_config
    );
    if let Some(StripPortMode::StripAnyHostPort(true)) = strip_port_mode {
        check.refuse("strip_any_host_port");
    }
    if !matches!(
        CodecType::try_from(codec_type),
        Ok(CodecType::Auto | CodecType::Http1)
    ) {
        check.problem_at(
            "codec_type",
            Code::Unsupported,
            "only AUTO and HTTP1 are supported",
        );
    }
    value::refuse_false(
        check,
        "normalize_path",
        normalize_path,
        "paths are always normalised",
    );
    let escaped_slashes = PathWithEscapedSlashesAction::try_from(path_with_escaped_slashes_action);
    if !matches!(
        escaped_slashes,
        Ok(PathWithEscapedSlashesAction::ImplementationSpecificDefault
            | PathWithEscapedSlashesAction::RejectRequest)
    ) {
        check.problem_at(
            "path_with_escaped_slashes_action",
            Code::Unsupported,
            "a path with an escaped slash is always refused",
        );
    }
    check.at("http_filters", |check| {
        convert_http_filters(check, http_filters);
    });
    let stream_idle_timeout = value::limit(
        check,
        "stream_idle_timeout",
        stream_idle_timeout,
        Some(DEFAULT_STREAM_IDLE_TIMEOUT),
    );
    let request_headers_timeout = value::limit(
        check,
        "request_headers_timeout",
        request_headers_timeout,
        None,
    );
    let idle_timeout = check.at("common_http_protocol_options", |check| {
        convert_protocol_options(check, common_http_protocol_options.unwrap_or_default())
    });
    let upgrades = upgrades::of_listener(check, upgrade_configs);
    let routes = convert_route_source(check, route_specifier)?;
    Some(HttpConnectionManager {
        routes,
        use_remote_address: use_remote_address.is_some_and(|value| value.value),
        xff_num_trusted_hops,
        stream_idle_timeout,
        request_headers_timeout,
        idle_timeout,
        upgrades,
    })
}

fn convert_protocol_options(check: &mut Check, options: HttpProtocolOptions) -> Option<Duration> {
    let HttpProtocolOptions {
        idle_timeout,
        max_connection_duration,
        max_connection_duration_jitter,
        max_headers_count,
        max_response_headers_kb,
        max_stream_duration,
        headers_with_underscores_action,
        max_requests_per_connection,
    } = options;
    refuse_if_set!(
        check,
        max_connection_duration,
        max_connection_duration_jitter,
        max_headers_count
    );
    refuse_if_set!(
        check,
        max_response_headers_kb,
        max_stream_duration,
        max_requests_per_connection
    );
    if headers_with_underscores_action != HeadersWithUnderscoresAction::Allow as i32 {
        check.problem_at(
            "headers_with_underscores_action",
            Code::Unsupported,
            "only ALLOW is supported",
        );
    }
    value::limit(
        check,
        "idle_timeout",
        idle_timeout,
        Some(DEFAULT_IDLE_TIMEOUT),
    )
}

/// The router must stand last. Others must be optional or disabled, else leaving them out would change what is served.
fn convert_http_filters(check: &mut Check, filters: Vec<hcm::HttpFilter>) {
    let last = filters.len().checked_sub(1);
    if last.is_none() {
        check.problem(
            Code::Required,
            "the router must be among the HTTP filters, at their end",
        );
    }
    for (index, filter) in filters.into_iter().enumerate() {
        check.at(index, |check| {
            convert_http_filter(check, filter, Some(index) == last);
        });
    }
}

fn convert_http_filter(check: &mut Check, filter: hcm::HttpFilter, is_last: bool) {
    let hcm::HttpFilter {
        name: _,
        is_optional,
        disabled,
        config_type,
    } = filter;
    let any = match config_type {
        Some(hcm::http_filter::ConfigType::TypedConfig(any)) => any,
        Some(hcm::http_filter::ConfigType::ConfigDiscovery(_)) => {
            check.problem_at(
                "config_discovery",
                Code::Unsupported,
                "filters by ECDS are not supported",
            );
            return;
        }
        None => {
            check.problem_at("typed_config", Code::Required, "a filter needs its config");
            return;
        }
    };
    let is_router = any.type_url == Router::type_url();
    match (is_router, is_last) {
        (true, true) => {
            refuse_if_set!(check, disabled);
            check.at("typed_config", |check| convert_router(check, &any));
        }
        (true, false) | (false, true) => check.problem_at(
            "typed_config",
            Code::Invalid,
            "the router must be the last HTTP filter, and only there",
        ),
        (false, false) if is_optional || disabled => {}
        (false, false) => {
            check.problem_at(
                "typed_config",
                Code::Unsupported,
                format!("the HTTP filter {:?} is not supported", any.type_url),
            );
        }
    }
}

#[expect(
    deprecated,
    reason = "the whole message is read; deprecated fields are refused if set"
)]
fn convert_router(check: &mut Check, any: &protobuf::Any) {
    let Some(message) = value::unpack::<Router>(check, any) else {
        return;
    };
    let Router {
        // About Envoy's own statistics.
        dynamic_stats: _,
        start_child_span,
        upstream_log,
        upstream_log_options,
        // Our proxy never adds headers of Envoy's.
        suppress_envoy_headers: _,
        strict_check_headers,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats,
        upstream_http_filters,
        reject_connect_request_early_data,
    } = message;
    refuse_if_set!(
        check,
        start_child_span,
        upstream_log,
        upstream_log_options,
        strict_check_headers
    );
    refuse_if_set!(
        check,
        respect_expected_rq_timeout,
        suppress_grpc_request_failure_code_stats
    );
    refuse_if_set!(
        check,
        upstream_http_filters,
        reject_connect_request_early_data
    );
}

fn convert_route_source(
    check: &mut Check,
    specifier: Option<RouteSpecifier>,
) -> Option<RouteSource> {
    match specifier {
        Some(RouteSpecifier::Rds(hcm::Rds {
            config_source,
            route_config_name,
        })) => check.at("rds", |check| {
            value::ads_source(check, "config_source", config_source);
            if route_config_name.is_empty() {
                check.problem_at(
                    "route_config_name",
                    Code::Required,
                    "a route configuration must be named",
                );
            }
            Some(RouteSource::Rds(route_config_name.into()))
        }),
        Some(RouteSpecifier::RouteConfig(message)) => check.at("route_config", |check| {
            Some(RouteSource::Inline(Arc::new(
                route_configuration::convert_in(check, message),
            )))
        }),
        Some(RouteSpecifier::ScopedRoutes(_)) => {
            check.problem_at(
                "scoped_routes",
                Code::Unsupported,
                "scoped routes are not supported",
            );
            None
        }
        None => {
            check.problem_at(
                "rds",
                Code::Required,
                "where the routes come from must be said",
            );
            None
        }
    }
}
