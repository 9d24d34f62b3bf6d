use super::*;
use envoy_types::pb::envoy::config::cluster::v3::Cluster as ClusterMessage;
use envoy_types::pb::envoy::config::cluster::v3::cluster::ClusterDiscoveryType;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use prost::Message;

use crate::model::Endpoints;
use crate::model::document::tests::config;
use crate::translate::translation::tests::encoded;
use crate::translate::{FastLane, snapshot};

const SHOP: &str = include_str!("../../../../examples/shop.yaml");

fn message<M: Message + Default>(config: &Config, ty: ResourceType, name: &str) -> Option<M> {
    let translated = encoded(config, &FastLane::new(), ClientClass::Grpc);
    let found = translated
        .iter()
        .find(|one| one.ty == ty && one.name == name)?;
    Some(M::decode(found.bytes.clone()).unwrap())
}

/// The routes of the host `h`: what each matches by path, and the cluster it leads to.
fn routes(yaml: &str) -> Vec<(String, String)> {
    let config = config(&format!(
        "clusters: [{{name: c, endpoints: []}}]\nroutes: [{yaml}]"
    ));
    let found: Option<RouteConfiguration> = message(&config, ResourceType::RouteConfiguration, "h");
    let hosts = found.map(|mut found| found.virtual_hosts.remove(0));
    let routes = hosts.map(|host| host.routes).unwrap_or_default();
    routes
        .into_iter()
        .map(|route| {
            let path = match route.r#match.unwrap().path_specifier.unwrap() {
                PathSpecifier::Path(path) => path,
                PathSpecifier::Prefix(prefix) => format!("{prefix}*"),
                PathSpecifier::SafeRegex(regex) => regex.regex,
                other => panic!("gRPC refuses {other:?}"),
            };
            let Some(Action::Route(action)) = route.action else {
                panic!("gRPC only forwards");
            };
            let Some(ClusterSpecifier::Cluster(cluster)) = action.cluster_specifier else {
                panic!("one cluster");
            };
            (path, cluster)
        })
        .collect()
}

fn pointers(yaml: &str) -> Vec<String> {
    let warnings = warnings(&config(yaml));
    warnings
        .into_iter()
        .map(|warning| format!("{}{}", warning.resource.name, warning.pointer))
        .collect()
}

#[track_caller]
fn check(yaml: &str, wanted: &[(&str, &str)]) {
    let found = routes(yaml);
    let found: Vec<_> = found
        .iter()
        .map(|(path, cluster)| (path.as_str(), cluster.as_str()))
        .collect();
    assert_eq!(found, wanted, "{yaml}");
}

const FORWARD: &str = "hosts: [h], forward: {cluster: c}";

#[test]
fn a_host_that_is_named_exactly_is_a_listener_and_a_pattern_is_none() {
    let shop = config(SHOP);
    let translated = encoded(&shop, &FastLane::new(), ClientClass::Grpc);
    let names: Vec<_> = translated
        .iter()
        .filter(|one| one.ty == ResourceType::Listener)
        .map(|one| one.name.as_str())
        .collect();
    // `old.example` only redirects; the routes of `shop.example` are for GET or a query, or rewrite.
    assert!(names.is_empty(), "{names:?}");

    let config = config(&format!(
        "clusters: [{{name: c, endpoints: []}}]\nroutes: [{{name: a, {FORWARD}}}, {{name: b, hosts: ['*.h', 'h.*', '*'], forward: {{cluster: c}}}}]"
    ));
    let listener: Listener = message(&config, ResourceType::Listener, "h").unwrap();
    assert!(listener.address.is_none() && listener.api_listener.is_some());
    for pattern in ["*.h", "h.*", "*"] {
        assert!(message::<Listener>(&config, ResourceType::Listener, pattern).is_none());
    }
}

#[test]
fn a_prefix_of_segments_is_written_with_what_grpc_knows() {
    check(&format!("{{name: a, {FORWARD}}}"), &[("/*", "c")]);
    check(
        &format!("{{name: a, match: {{path: {{prefix: /shop.Catalog}}}}, {FORWARD}}}"),
        &[("/shop.Catalog/*", "c")],
    );
    check(
        &format!("{{name: a, match: {{path: {{prefix: /shop.Catalog/Get}}}}, {FORWARD}}}"),
        &[("/shop.Catalog/Get", "c")],
    );
    check(
        &format!("{{name: a, match: {{path: {{string_prefix: /shop.Catalog/G}}}}, {FORWARD}}}"),
        &[("/shop.Catalog/G*", "c")],
    );
}

#[test]
fn a_route_that_no_call_matches_is_left_out_and_its_neighbours_stay() {
    let untaken = [
        "match: {methods: [GET, HEAD]}",
        "match: {query: [{name: q, exact: '1'}]}",
        "match: {path: {exact: /hello}}",
        "match: {path: {prefix: /a/b/c}}",
    ];
    for conditions in untaken {
        let yaml =
            format!("{{name: a, priority: 1, {conditions}, {FORWARD}}}, {{name: z, {FORWARD}}}");
        check(&yaml, &[("/*", "c")]);
    }
}

#[test]
fn conditions_that_hold_for_every_call_are_left_away() {
    let yaml = format!(
        "{{name: a, match: {{methods: [GET, POST], query: [{{name: q, present: false}}]}}, {FORWARD}}}"
    );
    check(&yaml, &[("/*", "c")]);
}

#[test]
fn a_route_that_cannot_be_said_fails_its_calls_and_gives_none_to_the_next() {
    let unsaid = [
        "redirect: {host: x}",
        "respond: {status: 200}",
        "forward: {cluster: c}, rewrite: {path_prefix: /x}",
        "forward: {cluster: c}, request_headers: {set: {x-a: b}}",
        "forward: {cluster: c}, response_headers: {remove: [x-a]}",
        "forward: {cluster: c}, match: {path: {prefix: /}, headers: [{name: trace-bin}]}",
    ];
    for action in unsaid {
        let yaml =
            format!("{{name: a, priority: 1, hosts: [h], {action}}}, {{name: z, {FORWARD}}}");
        check(&yaml, &[("/*", LEFT_OUT), ("/*", "c")]);
    }
    // Limits of time are the caller's own.
    let yaml = format!("{{name: a, timeout: 1s, idle_timeout: 1s, {FORWARD}}}");
    check(&yaml, &[("/*", "c")]);
}

#[test]
fn a_host_without_a_route_that_forwards_is_left_out() {
    check("{name: a, hosts: [h], redirect: {host: x}}", &[]);
}

#[test]
fn a_route_of_one_listener_is_not_for_a_client_that_has_none() {
    let yaml =
        format!("{{name: a, priority: 1, listeners: [web], {FORWARD}}}, {{name: z, {FORWARD}}}");
    check(&yaml, &[("/*", "c")]);
}

#[test]
fn every_cluster_is_eds_in_turn_and_every_endpoint_has_a_locality_and_its_share() {
    let config = config(
        "clusters:
  - {name: a, load_balancing: random, endpoints: [{address: 127.0.0.1, port: 1}, {address: 127.0.0.1, port: 2, zone: default}, {address: 127.0.0.1, port: 3, weight: 4}, {address: 127.0.0.1, port: 4, weight: 4}]}
  - {name: b, discovery: api}",
    );
    for name in ["a", "b"] {
        let cluster: ClusterMessage = message(&config, ResourceType::Cluster, name).unwrap();
        assert!(cluster.eds_cluster_config.is_some() && cluster.load_assignment.is_none());
        assert_eq!(cluster.lb_policy, 0, "ROUND_ROBIN");
    }
    let given: ClusterLoadAssignment =
        message(&config, ResourceType::ClusterLoadAssignment, "a").unwrap();
    let localities: Vec<_> = given
        .endpoints
        .iter()
        .map(|one| {
            let place = one.locality.clone().unwrap();
            let weight = one.load_balancing_weight.unwrap().value;
            (place.zone, place.sub_zone, weight, one.lb_endpoints.len())
        })
        .collect();
    let wanted = [("default", "", 2, 2), ("default", "weight-4", 8, 2)];
    let wanted = wanted.map(|(zone, sub, weight, len)| (zone.into(), sub.into(), weight, len));
    assert_eq!(localities, wanted);
    let none: ClusterLoadAssignment =
        message(&config, ResourceType::ClusterLoadAssignment, "b").unwrap();
    assert!(none.endpoints.is_empty());

    let put: Endpoints =
        serde_json::from_str(r#"{"endpoints":[{"address":"127.0.0.1","port":9}]}"#).unwrap();
    let fast_lane = FastLane::from([("b".into(), Arc::new(put))]);
    let served = snapshot(&Arc::new(config), &fast_lane, ClientClass::Grpc, &[]).unwrap();
    let given = served
        .get(ResourceType::ClusterLoadAssignment, "b")
        .unwrap();
    assert_eq!(given.body().as_endpoints().unwrap().endpoints.len(), 1);
}

#[test]
fn a_name_is_looked_up_by_the_client_itself() {
    let config = config("clusters: [{name: a, dns: {host: b.example, port: 1}}]");
    let cluster: ClusterMessage = message(&config, ResourceType::Cluster, "a").unwrap();
    assert_eq!(
        cluster.cluster_discovery_type,
        Some(ClusterDiscoveryType::Type(DiscoveryType::LogicalDns as i32))
    );
    let endpoints =
        message::<ClusterLoadAssignment>(&config, ResourceType::ClusterLoadAssignment, "a");
    assert!(endpoints.is_none());
    let served = snapshot(&Arc::new(config), &FastLane::new(), ClientClass::Grpc, &[]);
    assert!(served.is_ok(), "{served:?}");
}

#[test]
fn what_grpc_is_served_is_what_we_accept_ourselves() {
    let yaml = format!(
        "clusters: [{{name: c, endpoints: []}}]\nroutes: [{{name: a, priority: 1, hosts: [h], redirect: {{host: x}}}}, {{name: z, match: {{headers: [{{name: x-a, prefix: b, ignore_case: true}}]}}, {FORWARD}}}]"
    );
    let served = snapshot(
        &Arc::new(config(&yaml)),
        &FastLane::new(),
        ClientClass::Grpc,
        &[],
    )
    .unwrap();
    let (_, problems) = xds::compile::compile(&served);
    assert!(problems.is_empty(), "{problems:?}");
}

#[test]
fn what_is_lost_is_told_with_its_place() {
    assert_eq!(
        pointers(SHOP),
        [
            "catalog/load_balancing",
            "catalog/connect_timeout",
            "account/hosts",
            "hello/hosts",
            "old-shop/redirect",
            "products/hosts/1",
            "products/match/methods",
            "products-beta/match/query/0",
        ]
    );
}
