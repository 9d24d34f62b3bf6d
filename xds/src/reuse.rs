//! What one snapshot shares with the one before: a virtual host whose content did not change keeps its compiled form,
//! index and all. A count, for tests and metrics; nothing is decided by it.

use std::collections::HashSet;
use std::sync::Arc;

use crate::resource::http_connection_manager::RouteSource;
use crate::resource::virtual_host::VirtualHost;
use crate::resource::{Body, Resource};
use crate::snapshot::Snapshot;
use crate::type_url::ResourceType;

/// The types of resources that virtual hosts stand in.
const HOLDERS: [ResourceType; 3] = [
    ResourceType::VirtualHost,
    ResourceType::RouteConfiguration,
    ResourceType::Listener,
];

/// How many virtual hosts of `after` were compiled anew since `before`: those that it does not share with it.
pub fn recompiled(before: &Snapshot, after: &Snapshot) -> usize {
    let known: HashSet<*const VirtualHost> = virtual_hosts(before).map(Arc::as_ptr).collect();
    virtual_hosts(after)
        .filter(|host| !known.contains(&Arc::as_ptr(host)))
        .count()
}

/// Virtual hosts that came, as they came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Compiled: they were new or had changed.
    pub compiled: u64,
    /// Taken over with their compiled form.
    pub reused: u64,
}

impl Tally {
    /// Counts the virtual hosts of a resource that takes the place of `before`.
    pub fn count(&mut self, before: Option<&Resource>, after: &Resource) {
        let known: HashSet<*const VirtualHost> = before
            .map(virtual_hosts_in)
            .unwrap_or_default()
            .iter()
            .map(Arc::as_ptr)
            .collect();
        for host in virtual_hosts_in(after) {
            if known.contains(&Arc::as_ptr(host)) {
                self.reused += 1;
            } else {
                self.compiled += 1;
            }
        }
    }
}

fn virtual_hosts(snapshot: &Snapshot) -> impl Iterator<Item = &Arc<VirtualHost>> {
    HOLDERS
        .into_iter()
        .flat_map(|ty| snapshot.set(ty).values())
        .flat_map(|resource| virtual_hosts_in(resource))
}

/// The virtual hosts that stand in one resource.
pub fn virtual_hosts_in(resource: &Resource) -> &[Arc<VirtualHost>] {
    match resource.body() {
        Body::VirtualHost(host) => std::slice::from_ref(host),
        Body::RouteConfiguration(routes) => &routes.virtual_hosts,
        Body::Listener(listener) => match &listener.http.routes {
            RouteSource::Inline(routes) => &routes.virtual_hosts,
            RouteSource::Rds(_) => &[],
        },
        Body::Cluster(_) | Body::ClusterLoadAssignment(_) => &[],
    }
}
