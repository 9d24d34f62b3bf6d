//! Which route a request gets: the operator's config, through translation and the proxy's own compiler, for both classes
//! of client.

use std::borrow::Cow;

use control_plane::model::Config;
use control_plane::model::document;
use control_plane::translate::{FastLane, snapshot};
use xds::matcher::RequestView;
use xds::node::ClientClass;
use xds::route_table::Lookup;

/// `METHOD host/path?query name=value …`
struct Request<'r> {
    method: &'r str,
    host: &'r str,
    path: &'r str,
    query: Option<&'r str>,
    headers: Vec<(&'r str, &'r str)>,
}

impl<'r> Request<'r> {
    fn parse(text: &'r str) -> Self {
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (target, query) = target
            .split_once('?')
            .map_or((target, None), |(target, query)| (target, Some(query)));
        let (host, path) = target.split_at(target.find('/').unwrap());
        let headers = words.map(|word| word.split_once('=').unwrap()).collect();
        Self {
            method,
            host,
            path,
            query,
            headers,
        }
    }
}

impl RequestView for Request<'_> {
    fn host(&self) -> &str {
        self.host
    }

    fn method(&self) -> &str {
        self.method
    }

    fn path(&self) -> &str {
        self.path
    }

    fn query(&self) -> Option<&str> {
        self.query
    }

    fn header(&self, name: &str) -> Option<Cow<'_, [u8]>> {
        let (_, value) = self.headers.iter().find(|(key, _)| *key == name)?;
        Some(Cow::Borrowed(value.as_bytes()))
    }
}

fn config(yaml: &str) -> Config {
    let document = document::yaml(yaml.as_bytes()).unwrap();
    document::config(&document).unwrap().config
}

#[track_caller]
fn check(config: &Config, table: &[(&str, &str)]) {
    for class in [ClientClass::Signalbox, ClientClass::Envoy] {
        let config = std::sync::Arc::new(config.clone());
        let snapshot = snapshot(&config, &FastLane::new(), class, &[]).unwrap();
        let (compiled, problems) = xds::compile::compile(&snapshot);
        assert!(problems.is_empty(), "{problems:?}");
        for (request, winner) in table {
            let found = match compiled.listeners[0].routes.find(&Request::parse(request)) {
                Lookup::Found { route, .. } => route.name.to_string(),
                Lookup::NoRoute(_) => "(no route)".to_owned(),
                Lookup::NoHost => "(no host)".to_owned(),
            };
            assert_eq!(found, *winner, "{class}: {request}");
        }
    }
}

#[test]
fn requests_to_the_example_get_the_routes_that_its_comments_promise() {
    let shop = config(include_str!("../../../examples/shop.yaml"));
    check(
        &shop,
        &[
            ("GET shop.example/products", "products"),
            ("HEAD shop.example/products/1", "products"),
            ("POST shop.example/products", "(no route)"),
            ("GET shop.example/productsx", "(no route)"),
            ("GET eu.shop.example/products", "products"),
            ("GET a.b.shop.example/products", "products"),
            (
                "GET shop.example/products?lang=en x-beta=1",
                "products-beta",
            ),
            (
                "POST shop.example/products?lang=en x-beta=1",
                "products-beta",
            ),
            ("GET shop.example/products?lang=eng x-beta=1", "products"),
            ("GET shop.example/products x-beta=1", "products"),
            ("GET eu.shop.example/products?lang=en x-beta=1", "products"),
            ("GET old.example/anything", "old-shop"),
            ("GET elsewhere.example/accounts/17", "account"),
            ("GET elsewhere.example/accounts/x", "(no route)"),
            ("GET elsewhere.example/hello", "hello"),
            ("GET shop.example/hello", "(no route)"),
            ("GET shop.example/accounts/17", "(no route)"),
        ],
    );
}

#[test]
fn the_most_specific_host_wins_and_there_is_no_way_back() {
    let config = config(
        "
        listeners: [{name: web, address: 0.0.0.0, port: 80}]
        routes:
          - {name: exact, hosts: [a.b.example], match: {path: {prefix: /x}}, respond: {status: 200}}
          - {name: long-suffix, hosts: ['*.b.example'], match: {path: {prefix: /x}}, respond: {status: 200}}
          - {name: suffix, hosts: ['*.example'], respond: {status: 200}}
          - {name: prefix, hosts: ['www.*'], respond: {status: 200}}
          - {name: any, priority: 100, respond: {status: 200}}",
    );
    check(
        &config,
        &[
            ("GET a.b.example/x", "exact"),
            ("GET a.b.example/y", "(no route)"),
            ("GET c.b.example/x", "long-suffix"),
            ("GET c.b.example/y", "(no route)"),
            ("GET c.example/y", "suffix"),
            ("GET www.example/y", "suffix"),
            ("GET www.other/y", "prefix"),
            ("GET example/y", "any"),
        ],
    );
}

#[test]
fn within_a_host_the_rules_of_precedence_decide() {
    let config = config(
        "
        listeners: [{name: web, address: 0.0.0.0, port: 80}]
        routes:
          - {name: urgent, priority: 1, match: {headers: [{name: urgent, present: true}]}, respond: {status: 200}}
          - {name: exact, match: {path: {exact: /a/b}}, respond: {status: 200}}
          - {name: exact-get, match: {path: {exact: /a/b}, methods: [GET, HEAD]}, respond: {status: 200}}
          - {name: long-regex, match: {path: {regex: '/a/[a-z]+'}}, respond: {status: 200}}
          - {name: short-regex, match: {path: {regex: '/a/.+'}}, respond: {status: 200}}
          - {name: segments, match: {path: {prefix: /ab}}, respond: {status: 200}}
          - {name: text, match: {path: {string_prefix: /ab}}, respond: {status: 200}}
          - {name: not-a, match: {path: {prefix: /h}, headers: [{name: x, exact: A, ignore_case: true, invert: true}]}, respond: {status: 200}}
          - {name: absent, match: {path: {prefix: /h}, headers: [{name: x, present: false}]}, respond: {status: 200}}
          - {name: rest, respond: {status: 200}}",
    );
    check(
        &config,
        &[
            ("GET x/a/b urgent=1", "urgent"),
            ("GET x/a/b", "exact-get"),
            ("PUT x/a/b", "exact"),
            ("GET x/a/c", "long-regex"),
            ("GET x/a/1", "short-regex"),
            ("GET x/ab", "segments"),
            ("GET x/ab/c", "segments"),
            ("GET x/abc", "text"),
            ("GET x/h x=b", "not-a"),
            ("GET x/h x=a", "rest"),
            ("GET x/h", "absent"),
            ("GET x/", "rest"),
        ],
    );
}

#[test]
fn a_prefix_that_is_replaced_by_the_root_matches_what_it_matched_before() {
    let config = config(
        "
        listeners: [{name: web, address: 0.0.0.0, port: 80}]
        clusters: [{name: c, discovery: api}]
        routes:
          - {name: api, match: {path: {prefix: /api}}, forward: {cluster: c}, rewrite: {path_prefix: /}}
          - {name: rest, respond: {status: 404}}",
    );
    check(
        &config,
        &[
            ("GET x/api", "api"),
            ("GET x/api/", "api"),
            ("GET x/api/v1", "api"),
            ("GET x/apis", "rest"),
        ],
    );
}
