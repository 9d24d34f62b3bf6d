use envoy_types::pb::envoy::config::cluster::v3 as cluster_v3;
use envoy_types::pb::envoy::config::cluster::v3::cluster::{
    ClusterDiscoveryType, DiscoveryType, EdsClusterConfig,
};
use envoy_types::pb::envoy::config::core::v3::config_source::ConfigSourceSpecifier;
use envoy_types::pb::envoy::config::core::v3::{AggregatedConfigSource, ApiVersion, ConfigSource};
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::google::protobuf::{Any, Duration};
use prost::Message;

use super::*;

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::ClusterLoadAssignment;

fn entry(name: &str, ty: ResourceType, message: &impl Message) -> ResourceEntry {
    let value = message.encode_to_vec();
    ResourceEntry {
        name: name.into(),
        version: Version::of(&value).to_string(),
        resource: Some(Any {
            type_url: ty.type_url().into(),
            value,
        }),
        ..Default::default()
    }
}

pub(super) fn cluster(name: &str) -> ResourceEntry {
    entry(
        name,
        CDS,
        &cluster_v3::Cluster {
            name: name.into(),
            ..Default::default()
        },
    )
}

pub(super) fn broken_cluster(name: &str) -> ResourceEntry {
    let negative = Some(Duration {
        seconds: -1,
        nanos: 0,
    });
    entry(
        name,
        CDS,
        &cluster_v3::Cluster {
            name: name.into(),
            connect_timeout: negative,
            ..Default::default()
        },
    )
}

pub(super) fn eds_cluster(name: &str) -> ResourceEntry {
    let ads = ConfigSource {
        resource_api_version: ApiVersion::V3 as i32,
        config_source_specifier: Some(ConfigSourceSpecifier::Ads(AggregatedConfigSource {})),
        ..Default::default()
    };
    let message = cluster_v3::Cluster {
        name: name.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Eds as i32)),
        eds_cluster_config: Some(EdsClusterConfig {
            eds_config: Some(ads),
            service_name: String::new(),
        }),
        ..Default::default()
    };
    entry(name, CDS, &message)
}

pub(super) fn endpoints(name: &str) -> ResourceEntry {
    entry(
        name,
        EDS,
        &ClusterLoadAssignment {
            cluster_name: name.into(),
            ..Default::default()
        },
    )
}

fn response(ty: ResourceType, resources: Vec<ResourceEntry>, removed: &[&str]) -> DeltaResponse {
    let entries = resources.iter().map(|entry| entry.encode_to_vec().into());
    DeltaResponse {
        type_url: ty.type_url().into(),
        nonce: "7".into(),
        resources: entries.collect(),
        removed_resources: removed.iter().map(|name| (*name).to_owned()).collect(),
        control_plane: None,
    }
}

fn opened() -> ClientState {
    let mut state = ClientState::default();
    state.open();
    state
}

fn nack(reply: &Reply) -> Option<&str> {
    reply.requests[0]
        .error_detail
        .as_ref()
        .map(|error| error.message.as_str())
}

#[test]
fn a_new_client_asks_for_clusters_and_listeners_and_nothing_else() {
    let types: Vec<String> = ClientState::default()
        .open()
        .into_iter()
        .map(|request| request.type_url)
        .collect();
    assert_eq!(types, [CDS.type_url(), ResourceType::Listener.type_url()]);
}

#[test]
fn a_response_is_acknowledged_with_its_nonce() {
    let mut state = opened();
    let reply = state.response(response(CDS, vec![cluster("a")], &[]));
    assert_eq!(
        (reply.requests[0].response_nonce.as_str(), nack(&reply)),
        ("7", None)
    );
    assert!(state.wire_set().get(CDS, "a").is_some());
}

#[test]
fn the_good_resources_of_a_mixed_response_are_taken_and_the_bad_one_is_named_with_its_field() {
    let mut state = opened();
    state.response(response(CDS, vec![cluster("bad")], &[]));
    let before = state.wire_set().get(CDS, "bad").unwrap().version().clone();
    let reply = state.response(response(
        CDS,
        vec![cluster("good"), broken_cluster("bad")],
        &[],
    ));
    let problems = nack(&reply).unwrap();
    assert!(
        problems.contains("Cluster \"bad\": connect_timeout: "),
        "{problems}"
    );
    assert!(state.wire_set().get(CDS, "good").is_some());
    assert_eq!(*state.wire_set().get(CDS, "bad").unwrap().version(), before);
}

#[test]
fn a_resource_that_stands_twice_or_has_another_type_or_name_is_refused() {
    let twice = vec![cluster("a"), cluster("a")];
    assert!(
        nack(&opened().response(response(CDS, twice, &[])))
            .unwrap()
            .contains("twice")
    );
    let mut foreign = cluster("a");
    foreign.resource.as_mut().unwrap().type_url = EDS.type_url().into();
    assert!(
        nack(&opened().response(response(CDS, vec![foreign], &[])))
            .unwrap()
            .contains("has the type")
    );
    let mut renamed = cluster("a");
    renamed.name = "b".into();
    assert!(
        nack(&opened().response(response(CDS, vec![renamed], &[])))
            .unwrap()
            .contains("calls itself")
    );
    let mut empty = cluster("a");
    empty.resource = None;
    assert!(
        nack(&opened().response(response(CDS, vec![empty], &[])))
            .unwrap()
            .contains("no resource")
    );
}

#[test]
fn bytes_that_are_no_message_are_refused_by_the_name_of_their_entry() {
    let mut broken = cluster("a");
    broken.resource.as_mut().unwrap().value = vec![0xff; 3];
    let reply = opened().response(response(CDS, vec![broken], &[]));
    assert!(
        nack(&reply).unwrap().starts_with("Cluster \"a\": "),
        "{:?}",
        nack(&reply)
    );
}

#[test]
fn an_entry_that_cannot_be_read_is_named_by_its_place_and_its_neighbours_are_taken() {
    let mut state = opened();
    let mut mixed = response(CDS, vec![cluster("a"), cluster("b")], &[]);
    mixed.resources.insert(1, vec![0xff; 3].into());
    let reply = state.response(mixed);
    let problems = nack(&reply).unwrap();
    assert!(problems.contains("resources[1]"), "{problems}");
    for name in ["a", "b"] {
        assert!(state.wire_set().get(CDS, name).is_some(), "{name}");
    }
}

#[test]
fn a_response_of_envoys_is_read_with_every_field_that_this_client_uses() {
    let sent = envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse {
        system_version_info: "1".into(),
        resources: vec![cluster("a")],
        type_url: CDS.type_url().into(),
        removed_resources: vec!["b".into()],
        nonce: "7".into(),
        control_plane: Some(envoy_types::pb::envoy::config::core::v3::ControlPlane {
            identifier: "somebody".into(),
        }),
        ..Default::default()
    };
    let read = DeltaResponse::decode(&*sent.encode_to_vec()).unwrap();
    let wanted = DeltaResponse {
        control_plane: sent.control_plane,
        ..response(CDS, sent.resources, &["b"])
    };
    assert_eq!(read, wanted);
}

fn listener(name: &str, port: u32) -> ResourceEntry {
    let json = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "route_config": {"name": "inline"},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }}]}],
    });
    let (_, value) = proto::json::from_json(&json).unwrap();
    ResourceEntry {
        name: name.into(),
        version: Version::of(&value).to_string(),
        resource: Some(Any {
            type_url: ResourceType::Listener.type_url().into(),
            value,
        }),
        ..Default::default()
    }
}

#[test]
fn a_listener_at_the_address_of_another_is_refused_and_two_may_swap_theirs() {
    const LDS: ResourceType = ResourceType::Listener;
    let mut state = opened();
    state.response(response(LDS, vec![listener("a", 1), listener("b", 2)], &[]));
    let refused = state.response(response(LDS, vec![listener("b", 1)], &[]));
    assert!(nack(&refused).unwrap().contains("that of listener \"a\""));
    let kept = state
        .wire_set()
        .get(LDS, "b")
        .unwrap()
        .body()
        .as_listener()
        .unwrap();
    assert_eq!(kept.address.map(|address| address.port()), Some(2));
    let swapped = state.response(response(LDS, vec![listener("a", 2), listener("b", 1)], &[]));
    assert_eq!(nack(&swapped), None);
}

#[test]
fn endpoints_are_asked_for_while_a_cluster_wants_them() {
    let mut state = opened();
    let reply = state.response(response(CDS, vec![eds_cluster("a")], &[]));
    assert_eq!(reply.requests[1].type_url, EDS.type_url());
    assert_eq!(reply.requests[1].resource_names_subscribe, ["a"]);
    state.response(response(
        EDS,
        vec![endpoints("a"), endpoints("not asked for")],
        &[],
    ));
    assert!(state.wire_set().get(EDS, "a").is_some());
    assert!(state.wire_set().get(EDS, "not asked for").is_none());
    let reply = state.response(response(CDS, vec![], &["a"]));
    assert_eq!(reply.requests[1].resource_names_unsubscribe, ["a"]);
    assert!(state.wire_set().is_empty());
}

#[test]
fn endpoints_that_somebody_needs_are_asked_for_until_nobody_does_whatever_the_clusters_say() {
    let mut state = opened();
    let both = vec![eds_cluster("a"), eds_cluster("b")];
    state.response(response(CDS, both, &[]));
    let came = vec![endpoints("a"), endpoints("b")];
    state.response(response(EDS, came, &[]));
    let names = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect();
    assert!(state.need_endpoints(names(&["a"])).is_none());
    let reply = state.response(response(CDS, vec![], &["a", "b"]));
    assert_eq!(reply.requests[1].resource_names_unsubscribe, ["b"]);
    assert!(state.wire_set().get(EDS, "a").is_some());
    // On another stream, too.
    let first = state.open();
    let asked = first
        .iter()
        .find(|request| request.type_url == EDS.type_url());
    assert_eq!(asked.unwrap().resource_names_subscribe, ["a"]);
    let left = state.need_endpoints(names(&[])).unwrap();
    assert_eq!(left.resource_names_unsubscribe, ["a"]);
    assert!(state.wire_set().get(EDS, "a").is_none());
}

#[test]
fn endpoints_that_are_removed_stay_in_use_while_a_cluster_wants_them() {
    let mut state = opened();
    state.response(response(CDS, vec![eds_cluster("a")], &[]));
    state.response(response(EDS, vec![endpoints("a")], &[]));
    assert_eq!(nack(&state.response(response(EDS, vec![], &["a"]))), None);
    assert!(state.wire_set().get(EDS, "a").is_some());
}

#[test]
fn a_new_stream_names_what_is_held_and_carries_no_nonce() {
    let mut state = opened();
    state.response(response(CDS, vec![eds_cluster("a"), cluster("b")], &[]));
    state.response(response(EDS, vec![endpoints("a")], &[]));
    let requests = state.open();
    let held = |ty: ResourceType| -> BTreeSet<&str> {
        let request = requests
            .iter()
            .find(|request| request.type_url == ty.type_url())
            .unwrap();
        assert!(request.response_nonce.is_empty());
        request
            .initial_resource_versions
            .keys()
            .map(String::as_str)
            .collect()
    };
    assert_eq!(held(CDS), BTreeSet::from(["a", "b"]));
    assert_eq!(held(EDS), BTreeSet::from(["a"]));
}

#[test]
fn nothing_is_answered_before_clusters_and_listeners_are() {
    let mut state = opened();
    assert!(!state.is_answered());
    state.response(response(CDS, vec![], &[]));
    assert!(!state.is_answered());
    state.response(response(ResourceType::Listener, vec![], &[]));
    assert!(state.is_answered());
}

#[test]
fn a_response_of_an_unknown_type_is_acknowledged_and_ignored() {
    let mut unknown = response(CDS, vec![], &[]);
    unknown.type_url = "type.googleapis.com/acme.Unknown".into();
    let reply = opened().response(unknown);
    assert_eq!(
        (reply.requests.len(), nack(&reply), reply.changed),
        (1, None, false)
    );
}

fn json_entry(name: &str, ty: ResourceType, mut message: serde_json::Value) -> ResourceEntry {
    message["@type"] = ty.type_url().into();
    let (type_url, bytes) = proto::json::from_json(&message).unwrap();
    let value = bytes.clone();
    ResourceEntry {
        name: name.into(),
        version: Version::of(&bytes).to_string(),
        resource: Some(Any { type_url, value }),
        ..Default::default()
    }
}

#[test]
fn a_route_table_that_asks_for_it_is_refused_while_it_names_a_cluster_that_is_not_there() {
    let router = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";
    let listener = serde_json::json!({
        "name": "web",
        "api_listener": {"api_listener": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "rds": {"route_config_name": "main", "config_source": {"ads": {}, "resource_api_version": "V3"}},
            "http_filters": [{"name": "router", "typed_config": {"@type": router}}],
        }},
    });
    let table = |validates: bool| {
        let routes = serde_json::json!([{"match": {"prefix": "/"}, "route": {"cluster": "a"}}]);
        let message = serde_json::json!({
            "name": "main",
            "validate_clusters": validates,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        });
        let (lds, rds) = (ResourceType::Listener, ResourceType::RouteConfiguration);
        let listener = response(lds, vec![json_entry("web", lds, listener.clone())], &[]);
        let table = response(rds, vec![json_entry("main", rds, message)], &[]);
        (listener, table)
    };
    let mut state = opened();
    let (listener, strict) = table(true);
    state.response(listener);
    let reply = state.response(strict.clone());
    let refused = nack(&reply).unwrap();
    assert!(
        refused.contains("virtual_hosts[0].routes[0].route: there is no cluster \"a\""),
        "{refused}"
    );
    let rds = ResourceType::RouteConfiguration;
    assert!(state.wire_set().get(rds, "main").is_none());
    state.response(response(CDS, vec![cluster("a")], &[]));
    assert_eq!(nack(&state.response(strict)), None);
    assert!(state.wire_set().get(rds, "main").is_some());

    let mut lenient = opened();
    let (listener, table) = table(false);
    lenient.response(listener);
    assert_eq!(nack(&lenient.response(table)), None);
}
