//! Endpoints come and go by themselves, as resources or as what names stand for: they are put into a config that is already compiled, whatever revision it is of,
//! and nothing else of it is built again.

use std::net::IpAddr;
use std::sync::Arc;

use crate::config::Config;
use crate::resource::cluster::Discovery;
use crate::resource::cluster::dns::Query;
use crate::resource::endpoint::ClusterLoadAssignment;
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

/// The config with the endpoints that names stand for; `None` if that changes nothing. `answer` gives the addresses of a name
/// as far as they are known. Endpoints of clusters none of whose names has an address stay as they are.
pub fn with_answers<'a>(
    config: &Config,
    answer: impl Fn(&Query) -> Option<&'a [IpAddr]>,
) -> Option<Config> {
    let mut fresh = None;
    for (name, served) in &config.clusters {
        let Discovery::Dns(dns) = &served.cluster.discovery else {
            continue;
        };
        let endpoints = dns.endpoints(&answer);
        let is_known = served
            .endpoints
            .as_ref()
            .is_some_and(|known| known.endpoints == endpoints);
        if is_known || endpoints.is_empty() {
            continue;
        }
        let fresh = fresh.get_or_insert_with(|| config.clone());
        if let Some(served) = fresh.clusters.get_mut(name) {
            served.endpoints = Some(Arc::new(ClusterLoadAssignment {
                cluster_name: name.clone(),
                endpoints,
            }));
        }
    }
    fresh
}
