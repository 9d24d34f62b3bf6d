//! A snapshot compiled for use: what the request path reads. Immutable; built by `compile` alone.

use std::collections::HashMap;
use std::sync::Arc;

use ahash::RandomState;

use crate::resource::cluster::Cluster;
use crate::resource::endpoint::ClusterLoadAssignment;
use crate::resource::listener::Listener;
use crate::route_table::RouteTable;

/// Everything a proxy serves.
#[derive(Debug, Default)]
pub struct Config {
    /// The listeners, sorted by name.
    pub listeners: Vec<Arc<ServedListener>>,
    /// The clusters by name.
    pub clusters: HashMap<Arc<str>, ServedCluster, RandomState>,
}

/// A listener with the routes it answers by.
#[derive(Debug)]
pub struct ServedListener {
    /// The resource.
    pub listener: Arc<Listener>,
    /// Its routes; none while its route configuration is missing.
    pub routes: RouteTable,
}

/// A cluster with its endpoints.
#[derive(Clone, Debug)]
pub struct ServedCluster {
    /// The resource.
    pub cluster: Arc<Cluster>,
    /// Its endpoints; `None` while an EDS cluster waits for them.
    pub endpoints: Option<Arc<ClusterLoadAssignment>>,
}
