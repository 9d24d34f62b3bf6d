//! Configs as resources of Envoy's API, written as JSON and read by the proxy's own decoder.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Value, json};
use xds::compile::compile;
use xds::config::Config;
use xds::resource::Resource;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

const HCM: &str = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
const ROUTER: &str = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router";

/// The config of some resources, which must be valid.
pub(crate) fn config(resources: &[Value]) -> Config {
    compile(&snapshot(resources)).0
}

/// The resources as a set.
pub(crate) fn snapshot(resources: &[Value]) -> Snapshot {
    let resources = resources.iter();
    resources
        .map(|resource| Arc::new(decode(resource)))
        .collect()
}

fn decode(resource: &Value) -> Resource {
    let (type_url, bytes) = proto::json::from_json(resource).expect("a message of Envoy's API");
    let ty = ResourceType::from_type_url(&type_url).expect("a type that the proxy knows");
    Resource::decode(ty, bytes.into(), None).expect("a valid resource")
}

/// A listener for all hosts with these routes.
pub(crate) fn listener(name: &str, address: SocketAddr, routes: Vec<Value>) -> Value {
    listener_with(name, address, routes, json!({}))
}

/// The same with more fields of its connection manager.
pub(crate) fn listener_with(
    name: &str,
    address: SocketAddr,
    routes: Vec<Value>,
    more: Value,
) -> Value {
    let mut manager = json!({
        "@type": HCM,
        "stat_prefix": name,
        "use_remote_address": true,
        "http_filters": [{"name": "router", "typed_config": {"@type": ROUTER}}],
        "route_config": {
            "name": name,
            "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}],
        },
    });
    merge(&mut manager, more);
    json!({
        "@type": ResourceType::Listener.type_url(),
        "name": name,
        "address": {"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}},
        "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
    })
}

/// A cluster of these endpoints.
pub(crate) fn cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    let endpoints: Vec<Value> = endpoints.iter().map(endpoint).collect();
    json!({
        "@type": ResourceType::Cluster.type_url(),
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]},
    })
}

fn endpoint(address: &SocketAddr) -> Value {
    let socket = json!({"address": address.ip().to_string(), "port_value": address.port()});
    json!({"endpoint": {"address": {"socket_address": socket}}})
}

/// A route for paths that begin with `prefix`, forwarded to a cluster.
pub(crate) fn forward(prefix: &str, cluster: &str) -> Value {
    forward_with(prefix, cluster, json!({}))
}

/// The same with more fields of its action.
pub(crate) fn forward_with(prefix: &str, cluster: &str, more: Value) -> Value {
    let mut action = json!({"cluster": cluster});
    merge(&mut action, more);
    json!({"match": {"prefix": prefix}, "route": action})
}

/// Adds fields to a message.
pub(crate) fn merge(message: &mut Value, more: Value) {
    if let (Some(message), Value::Object(more)) = (message.as_object_mut(), more) {
        message.extend(more);
    }
}
