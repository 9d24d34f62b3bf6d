//! A snapshot compiled for use: what the request path reads. Immutable; built by `compile` alone.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use ahash::RandomState;

use crate::resource::cluster::dns::Query;
use crate::resource::cluster::{Cluster, Discovery};
use crate::resource::endpoint::ClusterLoadAssignment;
use crate::resource::listener::Listener;
use crate::resource::route_configuration::RouteConfiguration;
use crate::resource::virtual_host::VirtualHost;
use crate::route::{Action, EditLevels, HeaderEdits, Route, Upgrades, WeightedCluster};
use crate::route_table::RouteTable;

/// Everything a proxy serves.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The listeners, sorted by name.
    pub listeners: Vec<Arc<ServedListener>>,
    /// The clusters by name.
    pub clusters: HashMap<Arc<str>, ServedCluster, RandomState>,
}

impl Config {
    /// A listener by its name.
    pub fn listener(&self, name: &str) -> Option<&Arc<ServedListener>> {
        let listeners = &self.listeners;
        let index = listeners.binary_search_by(|served| (*served.listener.name).cmp(name));
        index.ok().map(|index| &listeners[index])
    }

    /// The names that must be looked up to have all endpoints; one that several clusters ask for comes several times.
    pub fn queries(&self) -> impl Iterator<Item = &Arc<Query>> {
        self.clusters
            .values()
            .filter_map(|served| match &served.cluster.discovery {
                Discovery::Dns(dns) => Some(dns.queries()),
                Discovery::Static(_) | Discovery::Eds(_) => None,
            })
            .flatten()
    }
}

/// A listener with the routes it answers by.
#[derive(Debug)]
pub struct ServedListener {
    /// The resource.
    pub listener: Arc<Listener>,
    /// Where it accepts connections.
    pub address: SocketAddr,
    /// What its routes came with; `None` while it is missing.
    pub configuration: Option<Arc<RouteConfiguration>>,
    /// Its routes; none while its route configuration is missing.
    pub routes: RouteTable,
}

impl ServedListener {
    /// Whether a request to one of its routes may switch to a protocol.
    pub fn allows_upgrade(&self, route: &Route, protocol: &[u8]) -> bool {
        let by_route = match &route.action {
            Action::Forward(forward) => forward.upgrades.as_deref(),
            Action::Redirect(_) | Action::Respond(_) => None,
        };
        Upgrades::allowed(&self.listener.http.upgrades, by_route, protocol)
    }

    /// The edits of requests by one of its routes, and by the weighted cluster that was drawn, in their order.
    pub fn request_edits<'c>(
        &'c self,
        host: &'c VirtualHost,
        route: &'c Route,
        cluster: Option<&'c WeightedCluster>,
    ) -> impl Iterator<Item = &'c HeaderEdits> {
        let table = self.configuration.as_deref();
        let levels = EditLevels {
            cluster: cluster.map(|cluster| &cluster.edits.request_headers),
            route: route.edits.as_ref().map(|edits| &edits.request_headers),
            virtual_host: host.edits.as_ref().map(|edits| &edits.request_headers),
            table: table.map(|table| &table.edits.request_headers),
        };
        levels.in_order(table.is_some_and(|table| table.most_specific_header_mutations_wins))
    }

    /// The same for responses.
    pub fn response_edits<'c>(
        &'c self,
        host: &'c VirtualHost,
        route: &'c Route,
        cluster: Option<&'c WeightedCluster>,
    ) -> impl Iterator<Item = &'c HeaderEdits> {
        let table = self.configuration.as_deref();
        let levels = EditLevels {
            cluster: cluster.map(|cluster| &cluster.edits.response_headers),
            route: route.edits.as_ref().map(|edits| &edits.response_headers),
            virtual_host: host.edits.as_ref().map(|edits| &edits.response_headers),
            table: table.map(|table| &table.edits.response_headers),
        };
        levels.in_order(table.is_some_and(|table| table.most_specific_header_mutations_wins))
    }
}

/// A cluster with its endpoints.
#[derive(Clone, Debug)]
pub struct ServedCluster {
    /// The resource.
    pub cluster: Arc<Cluster>,
    /// Its endpoints; `None` while a cluster waits for them: for its `ClusterLoadAssignment`, or the first answers for its
    /// names.
    pub endpoints: Option<Arc<ClusterLoadAssignment>>,
}
