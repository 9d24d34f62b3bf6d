use super::step::Encoded;
use super::translation::tests::encoded;
use super::*;
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    RouteConfiguration, VirtualHost, route, route_action,
};

use xds::type_url::ResourceType;

use crate::model;
use crate::model::document::tests::config;

const SHOP: &str = include_str!("../../../examples/shop.yaml");

/// What one class is served, and what it was made from.
struct Translated {
    class: ClientClass,
    resources: Vec<Encoded>,
    attempt: Attempt,
}

impl Translated {
    fn resources(&self) -> &[Encoded] {
        &self.resources
    }
}

fn slow_lane(config: &Config, class: ClientClass) -> Translated {
    let nothing = Translation::of_nothing(&[class]);
    Translated {
        class,
        resources: encoded(config, &FastLane::new(), class),
        attempt: nothing.next(Arc::new(config.clone()), Arc::default(), &[]),
    }
}

fn names(translated: &Translated, ty: ResourceType) -> Vec<&str> {
    translated
        .resources()
        .iter()
        .filter(|one| one.ty == ty)
        .map(|one| one.name.as_str())
        .collect()
}

fn message<M: Message + Default>(translated: &Translated, ty: ResourceType, name: &str) -> M {
    let found = translated
        .resources()
        .iter()
        .find(|one| one.ty == ty && one.name == name)
        .unwrap();
    M::decode(found.bytes.clone()).unwrap()
}

fn host(yaml: &str, name: &str) -> VirtualHost {
    let translated = slow_lane(&config(yaml), ClientClass::Signalbox);
    message(&translated, ResourceType::VirtualHost, name)
}

const LISTENER: &str =
    "listeners: [{name: web, address: 0.0.0.0, port: 80}]\nclusters: [{name: c, discovery: api}]\n";

#[test]
fn our_proxy_gets_virtual_hosts_apart_and_envoy_gets_the_same_inside() {
    let config = config(SHOP);
    let ours = slow_lane(&config, ClientClass::Signalbox);
    let hosts = [
        "web/*",
        "web/*.shop.example",
        "web/old.example",
        "web/shop.example",
    ];
    assert_eq!(names(&ours, ResourceType::VirtualHost), hosts);
    let routes: RouteConfiguration = message(&ours, ResourceType::RouteConfiguration, "web");
    assert!(
        routes.vhds.is_some()
            && routes.virtual_hosts.is_empty()
            && routes.ignore_port_in_host_matching
    );

    let envoys = slow_lane(&config, ClientClass::Envoy);
    assert!(names(&envoys, ResourceType::VirtualHost).is_empty());
    let routes: RouteConfiguration = message(&envoys, ResourceType::RouteConfiguration, "web");
    assert!(routes.vhds.is_none());
    for (inside, name) in routes.virtual_hosts.iter().zip(hosts) {
        assert_eq!(
            *inside,
            message::<VirtualHost>(&ours, ResourceType::VirtualHost, name)
        );
    }
}

#[test]
fn the_same_config_has_the_same_bytes_whatever_the_order_it_was_written_in() {
    let one = config(
        "routes: [{name: a, respond: {status: 200}}, {name: b, respond: {status: 200}}]\nlisteners: [{name: web, address: 0.0.0.0, port: 80}]",
    );
    let other = config(
        "listeners: [{name: web, port: 80, address: 0.0.0.0}]\nroutes: [{respond: {status: 200}, name: b}, {name: a, respond: {status: 200}}]",
    );
    for class in ClientClass::ALL {
        let bytes = |config| {
            slow_lane(config, class)
                .resources()
                .iter()
                .map(|one| one.bytes.clone())
                .collect::<Vec<_>>()
        };
        assert_eq!(bytes(&one), bytes(&other));
    }
}

#[test]
fn routes_of_the_example_stand_in_the_order_that_its_comments_promise() {
    let shop = slow_lane(&config(SHOP), ClientClass::Signalbox);
    let order = |host: &str| {
        let host: VirtualHost = message(&shop, ResourceType::VirtualHost, host);
        host.routes
            .into_iter()
            .map(|route| route.name)
            .collect::<Vec<_>>()
    };
    assert_eq!(order("web/shop.example"), ["products-beta", "products"]);
    assert_eq!(order("web/*.shop.example"), ["products"]);
    assert_eq!(order("web/*"), ["hello", "account"]);
}

#[test]
fn a_prefix_is_replaced_by_whole_segments() {
    let rules = |path: &str, new: &str| {
        let yaml = format!(
            "{LISTENER}routes: [{{name: r, match: {{path: {path}}}, forward: {{cluster: c}}, rewrite: {{path_prefix: {new}}}}}]"
        );
        let rule = |message: envoy_types::pb::envoy::config::route::v3::Route| {
            let Some(route::Action::Route(action)) = message.action else {
                panic!("the route forwards")
            };
            match message.r#match.unwrap().path_specifier.unwrap() {
                PathSpecifier::Prefix(text) => format!("prefix {text} → {}", action.prefix_rewrite),
                PathSpecifier::Path(text) => format!("path {text} → {}", action.prefix_rewrite),
                PathSpecifier::PathSeparatedPrefix(text) => {
                    format!("segments {text} → {}", action.prefix_rewrite)
                }
                other => panic!("{other:?}"),
            }
        };
        host(&yaml, "web/*")
            .routes
            .into_iter()
            .map(rule)
            .collect::<Vec<_>>()
    };
    assert_eq!(rules("{prefix: /api}", "/v2"), ["segments /api → /v2"]);
    assert_eq!(
        rules("{prefix: /api}", "/"),
        ["path /api → /", "prefix /api/ → /"]
    );
    assert_eq!(rules("{prefix: /}", "/v2"), ["prefix / → /v2/"]);
    assert_eq!(rules("{prefix: /}", "/"), ["prefix / → /"]);
    assert_eq!(rules("{exact: /a}", "/b"), ["path /a → /b"]);
    assert_eq!(rules("{string_prefix: /a/}", "/b/"), ["prefix /a/ → /b/"]);
}

#[test]
fn a_value_is_meant_literally_although_envoy_reads_commands_in_it() {
    let yaml = format!(
        "{LISTENER}routes: [{{name: r, respond: {{status: 200, headers: {{X-A: '100%REQ(:path)%'}}}}, response_headers: {{append: {{b: c}}, remove: [D]}}}}]"
    );
    let route = host(&yaml, "web/*").routes.remove(0);
    let added: Vec<_> = route
        .response_headers_to_add
        .into_iter()
        .map(|option| option.header.unwrap())
        .collect();
    assert_eq!(
        (added[0].key.as_str(), added[0].value.as_str()),
        ("x-a", "100%%REQ(:path)%%")
    );
    assert_eq!(added[1].key, "b");
    assert_eq!(route.response_headers_to_remove, ["d"]);
}

#[test]
fn a_timeout_that_is_not_given_is_left_to_the_client_s_default() {
    let action = |fields: &str| {
        let route = host(
            &format!("{LISTENER}routes: [{{name: r, forward: {{cluster: c}}{fields}}}]"),
            "web/*",
        )
        .routes
        .remove(0);
        let Some(route::Action::Route(action)) = route.action else {
            panic!("the route forwards")
        };
        assert_eq!(
            action.cluster_specifier,
            Some(route_action::ClusterSpecifier::Cluster("c".into()))
        );
        action
            .timeout
            .map(|timeout| (timeout.seconds, timeout.nanos))
    };
    assert_eq!(action(""), None);
    assert_eq!(action(", timeout: 1s250ms"), Some((1, 250_000_000)));
}

#[test]
fn endpoints_are_grouped_by_zone_and_a_zone_weighs_what_they_weigh() {
    let translated = slow_lane(&config(SHOP), ClientClass::Envoy);
    let cluster: Cluster = message(&translated, ResourceType::Cluster, "catalog");
    let zones = cluster.load_assignment.unwrap().endpoints;
    let zone = |index: usize| {
        let zone = &zones[index];
        (
            zone.locality.as_ref().unwrap().zone.clone(),
            zone.load_balancing_weight.unwrap().value,
        )
    };
    assert_eq!((zone(0), zone(1)), (("a".into(), 1), ("b".into(), 2)));
}

#[test]
fn a_cluster_that_was_given_no_endpoints_has_an_empty_list() {
    let config = Arc::new(config(SHOP));
    let snapshot = snapshot(&config, &FastLane::new(), ClientClass::Envoy, &[]).unwrap();
    let resource = snapshot
        .get(ResourceType::ClusterLoadAssignment, "accounts")
        .unwrap();
    assert!(
        ClusterLoadAssignment::decode(resource.bytes().clone())
            .unwrap()
            .endpoints
            .is_empty()
    );
    assert_eq!(snapshot.set(ResourceType::ClusterLoadAssignment).len(), 1);
    assert_eq!(
        *resource.bytes(),
        endpoints("accounts", &Endpoints::default())
    );
}

#[test]
fn what_did_not_change_is_shared_with_earlier_snapshots() {
    let before = config(SHOP);
    let mut after = before.clone();
    after.remove::<model::Route>("old-shop");
    let served = |config, earlier: &[Snapshot]| {
        snapshot(
            &Arc::new(config),
            &FastLane::new(),
            ClientClass::Signalbox,
            earlier,
        )
        .unwrap()
    };
    let first = served(before, &[]);
    let second = served(after, std::slice::from_ref(&first));
    let shared = |name| {
        let get = |snapshot: &Snapshot| snapshot.get(ResourceType::VirtualHost, name).cloned();
        get(&first)
            .zip(get(&second))
            .is_some_and(|(a, b)| Arc::ptr_eq(&a, &b))
    };
    assert!(shared("web/shop.example"));
    assert!(
        second
            .get(ResourceType::VirtualHost, "web/old.example")
            .is_none()
    );
}

#[test]
fn a_field_of_a_message_is_told_as_the_field_that_the_operator_wrote() {
    use xds::problem::{Code, Problem, ResourceRef};
    let yaml = "
        listeners: [{name: web, address: 0.0.0.0, port: 80}]
        clusters: [{name: c, endpoints: [{address: 127.0.0.1, port: 1, zone: b}, {address: 127.0.0.1, port: 2, zone: a}]}]
        routes:
          - name: r
            hosts: [x, y]
            match: {path: {prefix: /a}, methods: [GET], headers: [{name: h, regex: a}], query: [{name: q, exact: b}]}
            forward: {clusters: [{name: c}]}
            rewrite: {path_prefix: /}
            request_headers: {set: {a: b}, append: {c: d}}";
    let ours = slow_lane(&config(yaml), ClientClass::Signalbox);
    let envoys = slow_lane(&config(yaml), ClientClass::Envoy);
    let told = |translated: &Translated, ty, name: &str, path: &str| {
        let resource = Some(ResourceRef {
            ty,
            name: name.into(),
        });
        let problem = Problem {
            resource,
            path: path.into(),
            code: Code::Invalid,
            detail: "no".into(),
        };
        let told = translated
            .attempt
            .explain(translated.class, [&problem])
            .remove(0);
        assert!(
            told.detail.starts_with("no (xDS: ") && told.detail.contains(path),
            "{}",
            told.detail
        );
        format!(
            "{}{}",
            told.resource.map(|id| id.to_string()).unwrap_or_default(),
            told.pointer
        )
    };
    for (path, pointer) in [
        ("routes[0].match.path", "routes/r/match/path/prefix"),
        ("routes[1].match.prefix", "routes/r/match/path/prefix"),
        (
            "routes[1].match.headers[0].string_match",
            "routes/r/match/methods",
        ),
        (
            "routes[1].match.headers[1].string_match.safe_regex.regex",
            "routes/r/match/headers/0/regex",
        ),
        (
            "routes[0].match.headers[1].name",
            "routes/r/match/headers/0/name",
        ),
        (
            "routes[0].match.query_parameters[0].string_match.exact",
            "routes/r/match/query/0/exact",
        ),
        (
            "routes[0].route.weighted_clusters.clusters[0].name",
            "routes/r/forward/clusters/0",
        ),
        (
            "routes[0].route.prefix_rewrite",
            "routes/r/rewrite/path_prefix",
        ),
        ("routes[0].route", "routes/r/forward"),
        (
            "routes[0].request_headers_to_add[1].header.key",
            "routes/r/request_headers/append/c",
        ),
        ("domains[0]", "routes/r/hosts/1"),
        ("routes[7]", ""),
    ] {
        assert_eq!(
            told(&ours, ResourceType::VirtualHost, "web/y", path),
            pointer,
            "{path}"
        );
        let inside = format!("virtual_hosts[1].{path}");
        assert_eq!(
            told(&envoys, ResourceType::RouteConfiguration, "web", &inside),
            pointer,
            "{path}"
        );
    }
    let cluster = |path| told(&ours, ResourceType::Cluster, "c", path);
    assert_eq!(
        cluster("load_assignment.endpoints[0].lb_endpoints[0].endpoint"),
        "clusters/c/endpoints/1"
    );
    assert_eq!(cluster("lb_policy"), "clusters/c/load_balancing");
    let listener = |path| told(&ours, ResourceType::Listener, "web", path);
    assert_eq!(
        listener("address.socket_address.port_value"),
        "listeners/web/port"
    );
    assert_eq!(told(&ours, ResourceType::Listener, "nobody", "x"), "");
}

#[test]
fn a_name_goes_to_both_classes_as_strict_dns() {
    let yaml = "clusters: [{name: a, dns: {host: a.example, port: 80}}]";
    let of = |class| -> Cluster {
        message(&slow_lane(&config(yaml), class), ResourceType::Cluster, "a")
    };
    let (ours, envoys) = (of(ClientClass::Signalbox), of(ClientClass::Envoy));
    assert_eq!(ours, envoys);
    let bytes = ours.encode_to_vec().into();
    let decoded = xds::resource::Resource::decode(ResourceType::Cluster, bytes, None).unwrap();
    let text = format!("{:?}", decoded.body());
    assert!(
        text.contains("Strict") && text.contains("a.example"),
        "{text}"
    );
}
