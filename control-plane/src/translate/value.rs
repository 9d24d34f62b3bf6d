//! Small values that many messages hold.

use envoy_types::pb::envoy::config::core::v3::address::Address as AddressKind;
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::socket_address::PortSpecifier;
use envoy_types::pb::envoy::config::core::v3::{
    Address, AggregatedConfigSource, ApiVersion, ConfigSource, SelfConfigSource, SocketAddress,
};
use envoy_types::pb::google::protobuf::{BoolValue, Duration, UInt32Value};

use crate::model;

/// "By the stream that this came on." Envoy refuses a source without its version.
pub(super) fn ads() -> ConfigSource {
    ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        resource_api_version: ApiVersion::V3 as i32,
        ..Default::default()
    }
}

/// "To the server that this came from."
pub(super) fn to_self() -> ConfigSource {
    ConfigSource {
        config_source_specifier: Some(ConfigSourceSpecifier::Self_(SelfConfigSource::default())),
        ..Default::default()
    }
}

/// An IP address or, where one is looked up, a name; with a port.
pub(super) fn address(host: impl ToString, port: u16) -> Address {
    Address {
        address: Some(AddressKind::SocketAddress(SocketAddress {
            address: host.to_string(),
            port_specifier: Some(PortSpecifier::PortValue(u32::from(port))),
            ..Default::default()
        })),
    }
}

pub(super) fn duration(duration: model::duration::Duration) -> Duration {
    let ms = duration.as_millis();
    Duration {
        seconds: (ms / 1_000) as i64,
        nanos: (ms % 1_000 * 1_000_000) as i32,
    }
}

pub(super) fn number(value: u32) -> UInt32Value {
    UInt32Value { value }
}

pub(super) const YES: BoolValue = BoolValue { value: true };
