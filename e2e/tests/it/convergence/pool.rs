//! The resources that targets are drawn from: few names, several contents of each, so that everything that may happen to
//! a name happens often. Decoded once.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use xds::resource::Resource;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::envoy_json::{listener, route_configuration};

/// What is served: for every name a content, or that it is not there.
pub(super) type Target = Vec<Option<usize>>;

/// The contents of every name.
static POOL: LazyLock<Vec<Vec<Arc<Resource>>>> = LazyLock::new(|| {
    let mut pool = Vec::new();
    for name in ["a", "b", "c"] {
        let contents = [
            static_cluster(name, 1),
            eds_cluster(name, 1),
            eds_cluster(name, 2),
        ];
        pool.push(contents.iter().map(decode).collect());
        let endpoints = [endpoints(name, 1), endpoints(name, 2)];
        pool.push(endpoints.iter().map(decode).collect());
    }
    for name in ["web", "shop"] {
        // Two listeners may come to have one address, which the client refuses.
        let contents = [(1, "main"), (2, "main"), (3, "other")];
        let contents = contents.map(|(port, routes)| named_listener(name, port, routes));
        pool.push(contents.iter().map(decode).collect());
    }
    for name in ["main", "other"] {
        let contents = [routes(name, 200), routes(name, 201), on_demand(name)];
        pool.push(contents.iter().map(decode).collect());
    }
    for name in ["main/x", "main/y"] {
        let contents = [host(name, 200), host(name, 201)];
        pool.push(contents.iter().map(decode).collect());
    }
    pool
});

/// Any target.
pub(super) fn target() -> impl Strategy<Value = Target> {
    let content = |contents: &Vec<_>| proptest::option::weighted(0.7, 0..contents.len());
    POOL.iter().map(content).collect::<Vec<_>>()
}

/// The resources of a target.
pub(super) fn snapshot(target: &Target) -> Snapshot {
    let chosen = POOL.iter().zip(target);
    chosen
        .filter_map(|(contents, content)| Some(contents[(*content)?].clone()))
        .collect()
}

/// The target without what a client refuses: no two listeners at one address.
pub(super) fn mended(target: &Target) -> Snapshot {
    let mut snapshot = snapshot(target);
    let mut owners = BTreeMap::new();
    for (name, resource) in snapshot.clone().set(ResourceType::Listener).iter() {
        let address = resource
            .body()
            .as_listener()
            .and_then(|listener| listener.address);
        if owners.insert(address, name.clone()).is_some() {
            snapshot.remove(ResourceType::Listener, name);
        }
    }
    snapshot
}

fn decode(json: &Value) -> Arc<Resource> {
    let (type_url, value) = proto::json::from_json(json).unwrap();
    let ty = ResourceType::from_type_url(&type_url).unwrap();
    Arc::new(Resource::decode(ty, Bytes::from(value), None).unwrap())
}

fn static_cluster(name: &str, content: u32) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "connect_timeout": format!("{content}s"),
    })
}

fn eds_cluster(name: &str, content: u32) -> Value {
    let mut cluster = static_cluster(name, content);
    cluster["type"] = json!("EDS");
    cluster["eds_cluster_config"] =
        json!({"eds_config": {"ads": {}, "resource_api_version": "V3"}});
    cluster
}

fn endpoints(name: &str, port: u16) -> Value {
    let address = json!({"socket_address": {"address": "127.0.0.1", "port_value": port}});
    json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    })
}

fn named_listener(name: &str, port: u16, routes: &str) -> Value {
    let mut listener = listener(port);
    listener["name"] = json!(name);
    let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
    manager["rds"]["route_config_name"] = json!(routes);
    listener
}

fn routes(name: &str, status: u16) -> Value {
    let mut routes = route_configuration(
        json!({"name": "r", "match": {"prefix": "/"}, "direct_response": {"status": status}}),
    );
    routes["name"] = json!(name);
    routes
}

/// Routes whose virtual hosts come as resources of their own.
fn on_demand(name: &str) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": name,
        "vhds": {"config_source": {"ads": {}, "resource_api_version": "V3"}},
    })
}

fn host(name: &str, status: u16) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.VirtualHost",
        "name": name,
        "domains": [format!("{}.example", &name[5..])],
        "routes": [{"name": "r", "match": {"prefix": "/"}, "direct_response": {"status": status}}],
    })
}
