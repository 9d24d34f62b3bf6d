//! What a newer Envoy API may hold: fields without a name here are passed over, as protobuf has it; extensions of unknown
//! types are refused unless they are optional.

use envoy_types::pb::envoy::config::listener::v3::{self as listener_v3, filter};
use envoy_types::pb::envoy::config::route::v3 as route_v3;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::pb::google::protobuf::Any;
use hcm::http_connection_manager::RouteSpecifier;
use prost::{Message, Name};
use serde_json::json;
use xds::problem::{Code, Problem};
use xds::resource::Resource;
use xds::type_url::ResourceType;

/// Field 5000 of some message, with a varint and with a text.
const UNKNOWN_FIELDS: [&[u8]; 2] = [b"\xc0\xb8\x02\x01", b"\xc2\xb8\x02\x03abc"];

#[test]
fn unknown_field_numbers_are_accepted_at_every_depth() {
    for (ty, resource) in [
        (
            ResourceType::Cluster,
            json!({"@type": ResourceType::Cluster.type_url(), "name": "c"}),
        ),
        (
            ResourceType::RouteConfiguration,
            json!({"@type": ResourceType::RouteConfiguration.type_url(), "name": "r"}),
        ),
    ] {
        let (_, bytes) = proto::json::from_json(&resource).unwrap();
        for unknown in UNKNOWN_FIELDS {
            let bytes = [&*bytes, unknown].concat();
            assert!(Resource::decode(ty, bytes.into(), None).is_ok());
        }
    }
    for unknown in UNKNOWN_FIELDS {
        // A virtual host with a domain, a name and the unknown field, in a route configuration.
        let host = [b"\x0a\x01a\x12\x01*", unknown].concat();
        let length = [0x12, u8::try_from(host.len()).unwrap()];
        let bytes = [b"\x0a\x01r", &length[..], &host].concat();
        let decoded =
            Resource::decode(ResourceType::RouteConfiguration, bytes.into(), None).unwrap();
        let configuration = decoded.body().as_route_configuration().unwrap();
        assert_eq!(configuration.virtual_hosts.len(), 1);
    }
}

#[test]
fn an_extension_of_an_unknown_type_is_refused_unless_it_is_optional() {
    assert_eq!(decode_with(true), []);
    let problems = decode_with(false);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].code, Code::Unsupported);
    assert_eq!(
        problems[0].path,
        "filter_chains[0].filters[0].typed_config.http_filters[0].typed_config"
    );
    assert!(problems[0].detail.contains("example.v9.Unheard"));
}

/// A listener with an HTTP filter that nobody has heard of.
fn decode_with(is_optional: bool) -> Vec<Problem> {
    let filter = |type_url: &str, is_optional| hcm::HttpFilter {
        name: type_url.to_owned(),
        is_optional,
        config_type: Some(hcm::http_filter::ConfigType::TypedConfig(Any {
            type_url: type_url.to_owned(),
            value: Vec::new(),
        })),
        ..Default::default()
    };
    let manager = hcm::HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::RouteConfig(
            route_v3::RouteConfiguration::default(),
        )),
        http_filters: vec![
            filter("type.googleapis.com/example.v9.Unheard", is_optional),
            filter(
                "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
                false,
            ),
        ],
        ..Default::default()
    };
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": 10000}});
    let listener =
        json!({"@type": ResourceType::Listener.type_url(), "name": "web", "address": address});
    let (_, bytes) = proto::json::from_json(&listener).unwrap();
    let mut listener = listener_v3::Listener::decode(&*bytes).unwrap();
    listener.filter_chains = vec![listener_v3::FilterChain {
        filters: vec![listener_v3::Filter {
            name: "http".to_owned(),
            config_type: Some(filter::ConfigType::TypedConfig(Any {
                type_url: hcm::HttpConnectionManager::type_url(),
                value: manager.encode_to_vec(),
            })),
        }],
        ..Default::default()
    }];
    Resource::decode(
        ResourceType::Listener,
        listener.encode_to_vec().into(),
        None,
    )
    .err()
    .unwrap_or_default()
}
