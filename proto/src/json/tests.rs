use envoy_types::pb::{
    envoy::{
        config::{
            cluster::v3::{Cluster, cluster::LbPolicy},
            core::v3::{Metadata, TypedExtensionConfig},
            listener::v3::{Filter, FilterChain, Listener, filter::ConfigType},
            route::v3::{Route, RouteConfiguration, VirtualHost},
        },
        extensions::filters::{
            http::router::v3::Router,
            network::http_connection_manager::v3::{
                HttpConnectionManager, HttpFilter, http_connection_manager, http_filter,
            },
        },
    },
    google::protobuf::{Any, Duration, Struct, UInt32Value, Value as StructValue, value},
};
use prost::{Message, Name};
use serde_json::json;

use super::*;

fn pack<M: Message + Name>(message: &M) -> Any {
    Any {
        type_url: M::type_url(),
        value: message.encode_to_vec(),
    }
}

fn json_of<M: Message + Name>(message: &M) -> Value {
    to_json(&M::type_url(), &message.encode_to_vec())
}

fn listener_with_router() -> Listener {
    let manager = HttpConnectionManager {
        stat_prefix: "ingress".to_owned(),
        http_filters: vec![HttpFilter {
            name: "envoy.filters.http.router".to_owned(),
            config_type: Some(http_filter::ConfigType::TypedConfig(pack(
                &Router::default(),
            ))),
            ..Default::default()
        }],
        route_specifier: Some(http_connection_manager::RouteSpecifier::RouteConfig(
            RouteConfiguration {
                name: "web".to_owned(),
                virtual_hosts: vec![VirtualHost {
                    name: "web/*".to_owned(),
                    domains: vec!["*".to_owned()],
                    routes: vec![Route {
                        name: "hello".to_owned(),
                        ..Default::default()
                    }],
                    ..Default::default()
                }],
                ..Default::default()
            },
        )),
        ..Default::default()
    };
    let filter = Filter {
        name: "hcm".to_owned(),
        config_type: Some(ConfigType::TypedConfig(pack(&manager))),
    };
    let chain = FilterChain {
        filters: vec![filter],
        ..Default::default()
    };
    Listener {
        name: "web".to_owned(),
        filter_chains: vec![chain],
        ..Default::default()
    }
}

#[test]
fn nested_messages_are_expanded_under_the_proto_field_names() {
    let json = json_of(&listener_with_router());
    let manager = &json["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(
        json["@type"],
        "type.googleapis.com/envoy.config.listener.v3.Listener"
    );
    assert_eq!(manager["stat_prefix"], "ingress");
    assert_eq!(
        manager["route_config"]["virtual_hosts"][0]["domains"],
        json!(["*"])
    );
    assert_eq!(
        manager["http_filters"][0]["typed_config"],
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"})
    );
}

#[test]
fn enums_durations_wrappers_and_structs_have_their_json_forms() {
    let number = StructValue {
        kind: Some(value::Kind::NumberValue(1.5)),
    };
    let labels = Struct {
        fields: [("ratio".to_owned(), number)].into(),
    };
    let cluster = Cluster {
        name: "catalog".to_owned(),
        lb_policy: LbPolicy::LeastRequest.into(),
        connect_timeout: Some(Duration {
            seconds: 1,
            nanos: 500_000_000,
        }),
        per_connection_buffer_limit_bytes: Some(UInt32Value { value: 32_768 }),
        metadata: Some(Metadata {
            filter_metadata: [("signalbox".to_owned(), labels)].into(),
            ..Default::default()
        }),
        ..Default::default()
    };
    assert_eq!(
        json_of(&cluster),
        json!({
            "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
            "name": "catalog",
            "lb_policy": "LEAST_REQUEST",
            "connect_timeout": "1.500s",
            "per_connection_buffer_limit_bytes": 32_768,
            "metadata": {"filter_metadata": {"signalbox": {"ratio": 1.5}}},
        })
    );
}

#[test]
fn an_unknown_type_is_shown_as_base64_and_the_rest_is_shown_as_ever() {
    let extension = Any {
        type_url: "example.com/acme.Unknown".to_owned(),
        value: b"\x01\x02\x03".to_vec(),
    };
    let config = TypedExtensionConfig {
        name: "acme".to_owned(),
        typed_config: Some(extension),
    };
    assert_eq!(
        json_of(&config),
        json!({
            "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
            "name": "acme",
            "typed_config": {"@type": "example.com/acme.Unknown", "value": "AQID"},
        })
    );
}

#[test]
fn bytes_that_do_not_fit_their_type_are_shown_as_base64() {
    let type_url = Cluster::type_url();
    assert_eq!(
        to_json(&type_url, b"\xff\xff\xff"),
        json!({"@type": type_url, "value": "////"})
    );
    assert_eq!(to_json("", b""), json!({"@type": "", "value": ""}));
}

#[test]
fn a_packed_well_known_type_keeps_its_form_under_value() {
    let duration = Duration {
        seconds: 3,
        nanos: 0,
    };
    assert_eq!(
        json_of(&duration),
        json!({"@type": "type.googleapis.com/google.protobuf.Duration", "value": "3s"})
    );
    let tall = Duration {
        seconds: i64::MAX,
        nanos: 0,
    };
    assert_eq!(
        json_of(&tall),
        json!({"@type": "type.googleapis.com/google.protobuf.Duration", "value": null})
    );
}

#[test]
fn a_message_packed_a_thousand_times_over_does_not_exhaust_the_stack() {
    let packed = (0..1_000).fold(pack(&Router::default()), |inner, _| pack(&inner));
    let mut json = &to_json(&packed.type_url, &packed.value);
    let mut levels = 0;
    while json["value"].is_object() {
        json = &json["value"];
        levels += 1;
    }
    assert!(
        levels < 100 && json["value"].is_string(),
        "{levels} levels, then {json}"
    );
}

#[test]
fn what_was_written_reads_back_as_the_same_message() {
    let listener = listener_with_router();
    let (type_url, bytes) = from_json(&json_of(&listener)).unwrap();
    assert_eq!(type_url, Listener::type_url());
    assert_eq!(Listener::decode(bytes.as_slice()).unwrap(), listener);
}

#[test]
fn a_value_that_is_no_message_is_refused_with_its_reason() {
    let refusal = |value: Value| from_json(&value).unwrap_err().to_string();
    let cluster = Cluster::type_url();
    assert!(refusal(json!({"@type": cluster, "nam": "x"})).contains("nam"));
    assert!(refusal(json!({"@type": cluster, "lb_policy": "NOPE"})).contains("NOPE"));
    assert!(refusal(json!({"@type": "example.com/acme.Unknown"})).contains("acme.Unknown"));
    assert!(refusal(json!({})).contains("@type"));
    assert!(from_json(&json!({"@type": ""})).is_err());
    assert!(from_json(&json!([1])).is_err());
}
