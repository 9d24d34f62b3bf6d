//! A start from disk is fast: decoding and compiling is all it takes.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use xds::compile::compile;

use super::*;

/// Routes of one host: 6 by prefix, 2 exact, 1 by regular expression, 1 by a header.
const PER_HOST: usize = 10;

fn resource_of(message: &Value, version: &str) -> Arc<Resource> {
    let (type_url, bytes) = proto::json::from_json(message).unwrap();
    let ty = ResourceType::from_type_url(&type_url).unwrap();
    Arc::new(Resource::decode(ty, bytes.into(), Some(Version::stated(version))).unwrap())
}

/// A listener whose virtual hosts come as resources of their own.
fn listener() -> [Arc<Resource>; 2] {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": {"route_config_name": "main", "config_source": ads},
        "http_filters": [{
            "name": "router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let listener = json!({
        "@type": ResourceType::Listener.type_url(),
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 10000}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    });
    let routes = json!({
        "@type": ResourceType::RouteConfiguration.type_url(),
        "name": "main",
        "vhds": {"config_source": ads},
    });
    [listener, routes].map(|message| resource_of(&message, "1"))
}

fn virtual_host(number: usize) -> Arc<Resource> {
    let route = |index: usize| {
        let matched = match index {
            6 | 7 => json!({"path": format!("/exact/{number}/{index}")}),
            8 => json!({"safe_regex": {"regex": format!("/items/{number}/[0-9]+")}}),
            9 => json!({"prefix": "/", "headers": [{"name": "x", "string_match": {"exact": "1"}}]}),
            _ => json!({"prefix": format!("/prefix/{number}/{index}")}),
        };
        json!({"name": format!("route-{index}"), "match": matched, "direct_response": {"status": 204}})
    };
    let host = json!({
        "@type": ResourceType::VirtualHost.type_url(),
        "name": format!("main/host-{number}"),
        "domains": [format!("host-{number}.example")],
        "routes": (0..PER_HOST).map(route).collect::<Vec<_>>(),
    });
    resource_of(&host, &format!("version of {number}"))
}

/// Stores so many routes, then does what a start does; returns how long that took.
fn start_with(routes: usize) -> Duration {
    let folder = tempfile::tempdir().unwrap();
    let hosts = (0..routes / PER_HOST).map(virtual_host);
    let set: Snapshot = hosts.chain(listener()).collect();
    let mut disk = Disk::open(folder.path()).unwrap();
    disk.store_tentative("large", &set).unwrap();
    disk.confirm().unwrap();
    drop(disk);
    let start = Instant::now();
    let (_, loaded) = Disk::open(folder.path()).unwrap().load().revision.unwrap();
    let (config, problems) = compile(&loaded);
    let taken = start.elapsed();
    assert_eq!(
        (loaded.len(), config.listeners.len(), problems.len()),
        (set.len(), 1, 0)
    );
    taken
}

#[test]
fn a_start_with_a_thousand_routes_takes_a_moment() {
    let taken = start_with(1_000);
    println!("from disk to a config of 1,000 routes: {taken:?}");
    // 100 ms in a release build. This is not one, and other tests run beside it.
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}
