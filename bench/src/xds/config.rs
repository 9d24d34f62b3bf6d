//! The config that the simulated fleet is served: one listener, and clusters and hosts in equal numbers, a route each. Pure.

use serde_json::{Value, json};
use xds::type_url::ResourceType;

use super::kind::{Kind, LISTENER};

/// A config of so many resources, counted as our own proxy is served them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    clusters: usize,
    routes: usize,
}

impl Size {
    /// The listener and its route configuration count as well.
    pub(crate) fn of_resources(resources: usize) -> Self {
        let clusters = (resources.saturating_sub(2) / 2).max(1);
        let routes = resources.saturating_sub(2 + clusters).max(1);
        Self { clusters, routes }
    }

    /// How many resources of each type a client of this kind is served.
    pub(crate) fn served(self, kind: Kind) -> [usize; ResourceType::ALL.len()] {
        ResourceType::ALL.map(|ty| match ty {
            ResourceType::Cluster => self.clusters,
            ResourceType::Listener | ResourceType::RouteConfiguration => 1,
            ResourceType::VirtualHost if kind.is_ours() => self.routes,
            ResourceType::ClusterLoadAssignment | ResourceType::VirtualHost => 0,
        })
    }

    /// The whole config as the admin API takes it.
    pub(crate) fn config(self) -> Value {
        let clusters = (0..self.clusters).map(|number| {
            json!({
                "name": cluster(number),
                "endpoints": [
                    {"address": "10.0.0.1", "port": 8080},
                    {"address": "10.0.0.2", "port": 8080},
                ],
            })
        });
        let routes = (0..self.routes).map(|number| self.route(number, 15));
        json!({
            "listeners": [{"name": LISTENER, "address": "127.0.0.1", "port": 10_000}],
            "clusters": clusters.collect::<Vec<_>>(),
            "routes": routes.collect::<Vec<_>>(),
        })
    }

    /// The route that a commit changes, and what it becomes: no commit is the same as one before.
    pub(crate) fn change(self, commit: usize) -> (String, Value) {
        let number = commit % self.routes;
        let route = self.route(number, 16 + commit);
        (name(number), route)
    }

    fn route(self, number: usize, timeout_seconds: usize) -> Value {
        json!({
            "name": name(number),
            "hosts": [format!("host-{number:05}.example")],
            "match": {"path": {"prefix": "/"}},
            "forward": {"cluster": cluster(number % self.clusters)},
            "timeout": format!("{timeout_seconds}s"),
        })
    }
}

fn name(route: usize) -> String {
    format!("route-{route:05}")
}

fn cluster(number: usize) -> String {
    format!("cluster-{number:05}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xds::kind::{UserAgent, Variant};

    #[test]
    fn resources_are_counted_as_ours_are_served() {
        let ours = Kind::of(Variant::Delta, UserAgent::SignalboxProxy);
        for resources in [4, 5, 2_000] {
            let size = Size::of_resources(resources);
            assert_eq!(size.served(ours).iter().sum::<usize>(), resources);
        }
    }
}
