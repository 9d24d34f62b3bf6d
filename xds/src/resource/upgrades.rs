//! Upgrades of a level: `HttpConnectionManager.UpgradeConfig` and `RouteAction.UpgradeConfig`, which say the same.

use envoy_types::pb::envoy::config::route::v3::route_action;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3::http_connection_manager;
use envoy_types::pb::google::protobuf::BoolValue;

use crate::problem::{Check, Code, refuse_if_set};
use crate::route::Upgrades;

use super::value;

/// Never switched to: CONNECT asks for a tunnel and not for a protocol, and h2c is dropped from requests, as Envoy does
/// (`ConnectionImpl::onHeadersCompleteImpl`).
const NEVER: [&str; 2] = ["CONNECT", "h2c"];

/// The upgrades of a listener.
pub(super) fn of_listener(
    check: &mut Check,
    configs: Vec<http_connection_manager::UpgradeConfig>,
) -> Upgrades {
    level(check, configs, |check, config| {
        let http_connection_manager::UpgradeConfig {
            upgrade_type,
            filters,
            enabled,
        } = config;
        refuse_if_set!(check, filters);
        (upgrade_type, enabled)
    })
}

/// The upgrades of a route.
pub(super) fn of_route(check: &mut Check, configs: Vec<route_action::UpgradeConfig>) -> Upgrades {
    level(check, configs, |check, config| {
        let route_action::UpgradeConfig {
            upgrade_type,
            enabled,
            connect_config,
        } = config;
        refuse_if_set!(check, connect_config);
        (upgrade_type, enabled)
    })
}

fn level<C>(
    check: &mut Check,
    configs: Vec<C>,
    read: impl Fn(&mut Check, C) -> (String, Option<BoolValue>),
) -> Upgrades {
    let mut protocols: Vec<(Box<str>, bool)> = Vec::with_capacity(configs.len());
    check.at("upgrade_configs", |check| {
        for (index, config) in configs.into_iter().enumerate() {
            check.at(index, |check| {
                let (protocol, enabled) = read(check, config);
                let is_known =
                    |(known, _): &(Box<str>, bool)| known.eq_ignore_ascii_case(&protocol);
                let is_twice = protocols.iter().any(is_known);
                check_protocol(check, &protocol, is_twice);
                let is_allowed = enabled.is_none_or(|enabled| enabled.value);
                protocols.push((protocol.into(), is_allowed));
            });
        }
    });
    Upgrades::new(protocols)
}

fn check_protocol(check: &mut Check, protocol: &str, is_twice: bool) {
    let (code, detail) = if protocol.is_empty() {
        (
            Code::Required,
            "an upgrade needs the name of a protocol, such as `websocket`".to_owned(),
        )
    } else if !value::is_header_value(protocol.as_bytes()) {
        (
            Code::Invalid,
            format!("{protocol:?} cannot stand in a header field"),
        )
    } else if NEVER
        .iter()
        .any(|never| never.eq_ignore_ascii_case(protocol))
    {
        (
            Code::Unsupported,
            format!("upgrades to {protocol} are not supported"),
        )
    } else if is_twice {
        (
            Code::Duplicate,
            format!("the upgrade to {protocol} stands twice"),
        )
    } else {
        return;
    };
    check.problem_at("upgrade_type", code, detail);
}
