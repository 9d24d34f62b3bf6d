//! Small values that many messages share: durations, names of header fields, sources of config, any of a type.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::{PortSpecifier, Protocol};
use envoy_types::pb::envoy::config::core::v3::{
    Address, ApiVersion, ConfigSource, SocketAddress, address,
};
use envoy_types::pb::google::protobuf;
use prost::{Message, Name};

use crate::problem::{Check, Code, refuse_if_set};

/// A duration as protobuf carries it; `None` if the field is not set or not a duration.
pub(super) fn duration(
    check: &mut Check,
    field: &'static str,
    value: Option<protobuf::Duration>,
) -> Option<Duration> {
    let value = value?;
    let (seconds, nanos) = (u64::try_from(value.seconds), u32::try_from(value.nanos));
    match (seconds, nanos) {
        (Ok(seconds), Ok(nanos)) if nanos < 1_000_000_000 => Some(Duration::new(seconds, nanos)),
        _ => {
            check.problem_at(field, Code::Invalid, "not a duration of zero or more");
            None
        }
    }
}

/// A time limit for which zero means "without limit" and absence means `default`.
pub(super) fn limit(
    check: &mut Check,
    field: &'static str,
    value: Option<protobuf::Duration>,
    default: Option<Duration>,
) -> Option<Duration> {
    match value {
        None => default,
        Some(_) => duration(check, field, value).filter(|limit| !limit.is_zero()),
    }
}

/// A header field name in lower case.
pub(super) fn header_name(check: &mut Check, field: &'static str, name: &str) -> Option<Box<str>> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || !name.bytes().all(is_token) {
        check.problem_at(
            field,
            Code::Invalid,
            format!("{name:?} is not the name of a header field"),
        );
        return None;
    }
    Some(name.to_ascii_lowercase().into())
}

/// Whether the bytes may stand in a header value: no control bytes but tab (RFC 9110, section 5.5).
pub(super) fn is_header_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|byte| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f))
}

/// Accepts `ads` with version 3 of the API: resources come on the stream that the client has anyway.
pub(super) fn ads_source(check: &mut Check, field: &'static str, source: Option<ConfigSource>) {
    let Some(source) = source else {
        check.problem_at(
            field,
            Code::Required,
            "where the resource comes from must be said: `ads: {}`",
        );
        return;
    };
    let ConfigSource {
        authorities,
        initial_fetch_timeout,
        resource_api_version,
        config_source_specifier,
    } = source;
    check.at(field, |check| {
        refuse_if_set!(check, authorities, initial_fetch_timeout);
        if resource_api_version != ApiVersion::V3 as i32 {
            check.problem_at("resource_api_version", Code::Invalid, "must be V3");
        }
        match config_source_specifier {
            Some(ConfigSourceSpecifier::Ads(_)) => {}
            None => check.problem_at(
                "ads",
                Code::Required,
                "where the resource comes from must be said: `ads: {}`",
            ),
            Some(other) => check.problem_at(
                source_field(&other),
                Code::Unsupported,
                "only `ads` is supported as a source of config",
            ),
        }
    });
}

#[expect(
    deprecated,
    reason = "the older form is refused by its name like the others"
)]
fn source_field(source: &ConfigSourceSpecifier) -> &'static str {
    match source {
        ConfigSourceSpecifier::Path(_) => "path",
        ConfigSourceSpecifier::PathConfigSource(_) => "path_config_source",
        ConfigSourceSpecifier::ApiConfigSource(_) => "api_config_source",
        ConfigSourceSpecifier::Ads(_) => "ads",
        ConfigSourceSpecifier::Self_(_) => "self",
    }
}

/// What may stand in a host with a port.
pub(super) fn is_authority(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte)
}

/// An IP address with a port; names are refused, as Envoy does ("malformed IP address").
pub(super) fn socket_address(check: &mut Check, message: Option<Address>) -> Option<SocketAddr> {
    let ip = |check: &mut Check, text: &str| {
        let ip = text.parse::<IpAddr>();
        if ip.is_err() {
            check.problem(Code::Invalid, format!("{text:?} is not an IP address"));
        }
        ip.ok()
    };
    let (ip, port) = host_and_port(check, message, ip)?;
    Some(SocketAddr::new(ip, port))
}

/// A host with a port; `host` reads what stands in the place of the address.
pub(super) fn host_and_port<H>(
    check: &mut Check,
    message: Option<Address>,
    host: impl FnOnce(&mut Check, &str) -> Option<H>,
) -> Option<(H, u16)> {
    let socket = match message.and_then(|message| message.address) {
        Some(address::Address::SocketAddress(message)) => Ok(message),
        Some(address::Address::Pipe(_)) => Err(("pipe", Code::Unsupported)),
        Some(address::Address::EnvoyInternalAddress(_)) => {
            Err(("envoy_internal_address", Code::Unsupported))
        }
        None => Err(("socket_address", Code::Required)),
    };
    let message = match socket {
        Ok(message) => message,
        Err((field, code)) => {
            check.problem_at(field, code, "an address with a port is needed");
            return None;
        }
    };
    let SocketAddress {
        protocol,
        address,
        resolver_name,
        ipv4_compat,
        network_namespace_filepath,
        port_specifier,
    } = message;
    check.at("socket_address", |check| {
        refuse_if_set!(
            check,
            resolver_name,
            ipv4_compat,
            network_namespace_filepath
        );
        if protocol != Protocol::Tcp as i32 {
            check.problem_at("protocol", Code::Unsupported, "only TCP is supported");
        }
        let host = check.at("address", |check| host(check, &address));
        let port = port(check, port_specifier);
        Some((host?, port?))
    })
}

fn port(check: &mut Check, specifier: Option<PortSpecifier>) -> Option<u16> {
    let (field, number) = match specifier {
        Some(PortSpecifier::PortValue(port)) => ("port_value", u16::try_from(port).ok()),
        Some(PortSpecifier::NamedPort(_)) => ("named_port", None),
        None => ("port_value", None),
    };
    let port = number.filter(|port| *port > 0);
    if port.is_none() {
        check.problem_at(field, Code::Invalid, "a port between 1 and 65535 is needed");
    }
    port
}

/// Refuses a switch that is turned off, and says why it is always on.
pub(super) fn refuse_false(
    check: &mut Check,
    field: &'static str,
    value: Option<protobuf::BoolValue>,
    why: &str,
) {
    if value.is_some_and(|value| !value.value) {
        check.problem_at(field, Code::Unsupported, why);
    }
}

/// The message in an `Any` of the type that is asked for.
pub(super) fn unpack<M: Message + Name + Default>(
    check: &mut Check,
    any: &protobuf::Any,
) -> Option<M> {
    if any.type_url != M::type_url() {
        check.problem(
            Code::Unsupported,
            format!(
                "{:?} is not supported here; {} is",
                any.type_url,
                M::type_url()
            ),
        );
        return None;
    }
    match M::decode(&*any.value) {
        Ok(message) => Some(message),
        Err(error) => {
            check.problem(
                Code::Undecodable,
                format!("not a message of type {}: {error}", any.type_url),
            );
            None
        }
    }
}
