//! What a foreign control plane has to say to one client: resources by type and name, changed step by step.

use std::net::Ipv4Addr;

use serde_json::{Value, json};

use crate::scripted::{Entry, type_url};

/// The resources of one client, whose listeners are at an address of its own.
pub(super) struct World {
    pub(super) ip: Ipv4Addr,
    /// The ports for listeners.
    pub(super) ports: [u16; 2],
    /// The ports of the sample upstreams `a` and `b`.
    pub(super) upstreams: [u16; 2],
    entries: Vec<Entry>,
}

impl World {
    /// One listener, its routes to the cluster `a`, and the clusters `a` and `b`.
    pub(super) fn new(ip: Ipv4Addr, ports: [u16; 2], upstreams: [u16; 2]) -> Self {
        let mut world = Self {
            ip,
            ports,
            upstreams,
            entries: Vec::new(),
        };
        for (index, name) in ["a", "b"].into_iter().enumerate() {
            world.put(&eds_cluster(name));
            world.endpoints(name, json!([world.endpoint(index)]));
        }
        world.listener("web", 0);
        world.routes(json!([forward("/", "a")]));
        world
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        self.entries.clone()
    }

    /// Puts a resource in the place of the one with its name, or beside the others.
    pub(super) fn put(&mut self, resource: &Value) {
        self.put_entry(Entry::json(resource).unwrap());
    }

    pub(super) fn put_entry(&mut self, entry: Entry) {
        let place = self
            .entries
            .iter()
            .position(|other| other.is(entry.type_url(), entry.name()));
        match place {
            Some(place) => self.entries[place] = entry,
            None => self.entries.push(entry),
        }
    }

    /// Adds an entry beside one that may have its name.
    pub(super) fn add_entry(&mut self, entry: Entry) {
        self.entries.push(entry);
    }

    pub(super) fn remove(&mut self, type_url: &str, name: &str) {
        self.entries.retain(|entry| !entry.is(type_url, name));
    }

    /// A listener of this name with the routes `main`, at one of the ports.
    pub(super) fn listener(&mut self, name: &str, port: usize) {
        let listener = self.listener_with(name, port, |_| ());
        self.put(&listener);
    }

    /// The same, with something else about its HTTP connection manager.
    pub(super) fn listener_with(
        &self,
        name: &str,
        port: usize,
        change: impl FnOnce(&mut Value),
    ) -> Value {
        let mut manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": name,
            "rds": {"route_config_name": "main", "config_source": ads()},
            "http_filters": [router()],
        });
        change(&mut manager);
        json!({
            "@type": type_url::LISTENER,
            "name": name,
            "address": {"socket_address": {"address": self.ip.to_string(), "port_value": self.ports[port]}},
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": manager,
            }]}],
        })
    }

    /// The routes of the one virtual host of `main`.
    pub(super) fn routes(&mut self, routes: Value) {
        self.virtual_hosts(json!([virtual_host("all", "*", routes)]));
    }

    pub(super) fn virtual_hosts(&mut self, virtual_hosts: Value) {
        self.put(&route_configuration(virtual_hosts));
    }

    pub(super) fn endpoints(&mut self, cluster: &str, endpoints: Value) {
        self.put(&assignment(cluster, endpoints));
    }

    /// One of the sample upstreams as an endpoint.
    pub(super) fn endpoint(&self, upstream: usize) -> Value {
        endpoint("127.0.0.1", self.upstreams[upstream])
    }
}

pub(super) fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
    })
}

/// An HTTP filter that nobody has.
pub(super) fn unknown_filter(optional: bool) -> Value {
    json!({
        "name": "acme.unknown",
        "is_optional": optional,
        "typed_config": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "x"},
    })
}

pub(super) fn route_configuration(virtual_hosts: Value) -> Value {
    json!({"@type": type_url::ROUTES, "name": "main", "virtual_hosts": virtual_hosts})
}

pub(super) fn virtual_host(name: &str, domain: &str, routes: Value) -> Value {
    json!({"name": name, "domains": [domain], "routes": routes})
}

/// A route for everything below a prefix.
pub(super) fn forward(prefix: &str, cluster: &str) -> Value {
    json!({"match": {"prefix": prefix}, "route": {"cluster": cluster}})
}

/// A route that answers by itself.
pub(super) fn respond(prefix: &str, text: &str) -> Value {
    json!({"match": {"prefix": prefix}, "direct_response": {"status": 200, "body": {"inline_string": text}}})
}

pub(super) fn eds_cluster(name: &str) -> Value {
    json!({
        "@type": type_url::CLUSTER,
        "name": name,
        "type": "EDS",
        "connect_timeout": "1s",
        "eds_cluster_config": {"eds_config": ads()},
    })
}

/// A cluster with one endpoint inside.
pub(super) fn static_cluster(name: &str, endpoint: Value) -> Value {
    json!({
        "@type": type_url::CLUSTER,
        "name": name,
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    })
}

pub(super) fn assignment(cluster: &str, endpoints: Value) -> Value {
    json!({
        "@type": type_url::ENDPOINTS,
        "cluster_name": cluster,
        "endpoints": [{"locality": {"region": "r"}, "load_balancing_weight": 1, "lb_endpoints": endpoints}],
    })
}

pub(super) fn endpoint(address: &str, port: u16) -> Value {
    json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}})
}

fn ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3"})
}
