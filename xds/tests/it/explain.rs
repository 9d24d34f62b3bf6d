//! `explain` gives the reasons of the lookup: the same winner, and of every route before it the first condition that
//! fails.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use envoy_types::pb::envoy::config::route::v3::VirtualHost as VirtualHostMessage;
use proptest::prelude::*;
use prost::Message;
use serde_json::{Value, json};
use xds::compile::compile;
use xds::config::Config;
use xds::explain::{Condition, Effect, Explanation, Outcome, PASSED_OVER_MAX, Share, explain};
use xds::matcher::RequestView;
use xds::resource::Resource;
use xds::route_table::Lookup;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::tables;

/// A request to `shop.example`.
#[derive(Clone, Debug)]
struct Request {
    method: &'static str,
    path: String,
    query: Option<String>,
    beta: Option<&'static str>,
}

impl RequestView for Request {
    fn host(&self) -> &'static str {
        "shop.example"
    }
    fn method(&self) -> &str {
        self.method
    }
    fn path(&self) -> &str {
        &self.path
    }
    fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let value = (name == "x-beta").then_some(self.beta)?;
        value.map(|value| Cow::Borrowed(value.as_bytes()))
    }
}

fn request(method: &'static str, target: &str, beta: Option<&'static str>) -> Request {
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query.to_owned())),
        None => (target, None),
    };
    Request {
        method,
        path: path.to_owned(),
        query,
        beta,
    }
}

/// A config of one listener whose routes are these.
fn config(virtual_host: &Value) -> Config {
    let routes = json!({"name": "main", "virtual_hosts": [virtual_host]});
    let router =
        json!({"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "stream_idle_timeout": "7s",
        "route_config": routes,
        "http_filters": [{"name": "envoy.filters.http.router", "typed_config": router}],
    });
    let listener = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager},
        ]}],
    });
    let cluster = json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "known",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "known"},
    });
    let decoded = [listener, cluster].map(|resource| {
        let (type_url, bytes) = proto::json::from_json(&resource).unwrap();
        let ty = ResourceType::from_type_url(&type_url).unwrap();
        Arc::new(Resource::decode(ty, bytes.into(), None).unwrap())
    });
    compile(&Snapshot::from_iter(decoded)).0
}

fn explained(config: &Config, request: &Request) -> Explanation {
    explain(config, &config.listeners[0], request)
}

fn shop() -> Config {
    let beta = json!([{"name": "x-beta", "string_match": {"exact": "on"}}]);
    let post = json!([{"name": ":method", "string_match": {"exact": "POST"}}]);
    let lang = json!([{"name": "lang", "string_match": {"exact": "de"}}]);
    config(&json!({
        "name": "shop",
        "domains": ["shop.example"],
        "routes": [
            {"name": "old", "match": {"path": "/old"}, "redirect": {"path_redirect": "/new"}},
            {"name": "post", "match": {"prefix": "/api", "headers": post}, "direct_response": {"status": 204}},
            {"name": "beta", "match": {"prefix": "/api", "headers": beta}, "direct_response": {"status": 202}},
            {"name": "lang", "match": {"prefix": "/api", "query_parameters": lang}, "direct_response": {"status": 203}},
            {"name": "split", "match": {"prefix": "/api"}, "route": {
                "weighted_clusters": {"clusters": [{"name": "known", "weight": 3}, {"name": "gone", "weight": 1}]},
                "timeout": "3s",
            }},
        ],
    }))
}

#[test]
fn each_route_before_the_winner_says_its_first_failing_condition() {
    let explanation = explained(&shop(), &request("GET", "/api?lang=en", None));
    assert_eq!(explanation.virtual_host.as_deref(), Some("shop"));
    let failed: Vec<_> = explanation
        .passed_over
        .iter()
        .map(|passed| (&*passed.route, passed.failed.clone()))
        .collect();
    assert_eq!(
        failed,
        [
            ("old", Condition::Path),
            ("post", Condition::Method),
            ("beta", Condition::Header("x-beta".into())),
            ("lang", Condition::Query("lang".into())),
        ]
    );
}

#[test]
fn the_winner_comes_with_clusters_shares_and_timeouts() {
    let Outcome::Route(winner) = explained(&shop(), &request("GET", "/api", None)).outcome else {
        panic!("a route takes it");
    };
    let share = |cluster: &str, weight, exists| Share {
        cluster: cluster.into(),
        weight,
        total: 4,
        exists,
    };
    assert_eq!((winner.position, &*winner.route), (4, "split"));
    assert_eq!(
        winner.effect,
        Effect::Forward {
            clusters: vec![share("known", 3, true), share("gone", 1, false)],
            cluster_not_found_status: 503,
            timeout: Some(Duration::from_secs(3)),
            idle_timeout: Some(Duration::from_secs(7)),
        }
    );
}

#[test]
fn what_answers_by_itself_says_its_status() {
    let effect = |request| match explained(&shop(), &request).outcome {
        Outcome::Route(winner) => winner.effect,
        other => panic!("{other:?}"),
    };
    assert_eq!(
        effect(request("GET", "/old", None)),
        Effect::Redirect { status: 301 }
    );
    assert_eq!(
        effect(request("POST", "/api", None)),
        Effect::Respond { status: 204 }
    );
}

#[test]
fn what_nobody_takes_says_how_far_it_came() {
    let none = explained(&shop(), &request("GET", "/else", None));
    assert_eq!(
        (none.outcome, none.passed_over.len()),
        (Outcome::NoRoute, 5)
    );
    let other = config(&json!({"name": "other", "domains": ["other.example"]}));
    let none = explained(&other, &request("GET", "/", None));
    assert_eq!((none.outcome, none.virtual_host), (Outcome::NoHost, None));
}

#[test]
fn of_many_routes_those_for_other_paths_are_counted_only() {
    let message = VirtualHostMessage {
        domains: vec!["shop.example".into()],
        ..tables::paths(PASSED_OVER_MAX + 10)
    };
    let type_url = ResourceType::VirtualHost.type_url();
    let mut host = proto::json::to_json(type_url, &message.encode_to_vec());
    host.as_object_mut().unwrap().remove("@type");
    let explanation = explained(&config(&host), &request("GET", "/none", None));
    assert_eq!(
        (explanation.passed_over.len(), explanation.omitted),
        (PASSED_OVER_MAX, 10)
    );
}

/// A route as JSON: any kind of path, and conditions that half of the requests satisfy.
fn route() -> impl Strategy<Value = Value> {
    let path = prop_oneof![
        "/[ab]{0,2}".prop_map(|path| json!({"path": path})),
        "/[ab]{0,2}".prop_map(|prefix| json!({"prefix": prefix})),
        "/[ab]{1,2}".prop_map(|prefix| json!({"path_separated_prefix": prefix})),
        "/[ab.]{0,2}\\*?".prop_map(|regex| json!({"safe_regex": {"regex": regex}})),
    ];
    let headers = prop_oneof![
        2 => Just(json!([])),
        1 => Just(json!([{"name": ":method", "string_match": {"exact": "POST"}}])),
        1 => Just(json!([{"name": "x-beta", "present_match": true}])),
    ];
    let query = prop_oneof![
        2 => Just(json!([])),
        1 => Just(json!([{"name": "q", "string_match": {"exact": "1"}}])),
    ];
    (path, headers, query).prop_map(|(mut matched, headers, query)| {
        matched["headers"] = headers;
        matched["query_parameters"] = query;
        json!({"match": matched, "direct_response": {"status": 200}})
    })
}

fn any_request() -> impl Strategy<Value = Request> {
    let target = ("/[ab]{0,2}(/[ab])?", prop_oneof!["", "\\?q=[12]"]);
    let beta = proptest::sample::select(&[None, Some("on")][..]);
    (proptest::sample::select(&["GET", "POST"][..]), target, beta)
        .prop_map(|(method, (path, query), beta)| request(method, &(path + &query), beta))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn the_explained_winner_is_the_one_that_the_lookup_finds(
        routes in proptest::collection::vec(route(), 0..20),
        requests in proptest::collection::vec(any_request(), 1..20),
    ) {
        let config = config(&json!({"name": "shop", "domains": ["*"], "routes": routes}));
        for request in &requests {
            let found = match config.listeners[0].routes.find(request) {
                Lookup::Found { virtual_host, route } => {
                    virtual_host.routes.routes().iter().position(|other| Arc::ptr_eq(other, route))
                }
                Lookup::NoRoute(_) | Lookup::NoHost => None,
            };
            let winner = match explained(&config, request).outcome {
                Outcome::Route(winner) => Some(winner.position),
                Outcome::NoRoute | Outcome::NoHost => None,
            };
            prop_assert_eq!(winner, found, "{:?}", request);
        }
    }
}
