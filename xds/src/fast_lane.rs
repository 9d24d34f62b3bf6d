//! Endpoints come and go by themselves: they are put into a config that is already compiled, whatever revision it is of,
//! and nothing else of it is built again.

use crate::config::Config;
use crate::resource::cluster::Discovery;
use crate::snapshot::Snapshot;
use crate::type_url::ResourceType;

/// The config with the endpoints of a newer snapshot; `None` if that changes nothing. Endpoints that the snapshot does not
/// have stay as they are.
pub fn with_endpoints(config: &Config, snapshot: &Snapshot) -> Option<Config> {
    let mut fresh = None;
    for (name, served) in &config.clusters {
        let Discovery::Eds(service) = &served.cluster.discovery else {
            continue;
        };
        let resource = snapshot.get(ResourceType::ClusterLoadAssignment, service);
        let Some(endpoints) = resource.and_then(|resource| resource.body().as_endpoints()) else {
            continue;
        };
        if served.endpoints.as_ref() != Some(endpoints) {
            let fresh = fresh.get_or_insert_with(|| config.clone());
            if let Some(served) = fresh.clusters.get_mut(name) {
                served.endpoints = Some(endpoints.clone());
            }
        }
    }
    fresh
}
