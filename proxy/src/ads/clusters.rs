//! Route tables that ask for it (`validate_clusters`) are refused while they name clusters that are not there. Each is right in
//! itself, so it takes a look at the clusters to see it. Pure. Not here: what other tables get at such a route, which is
//! the route's `cluster_not_found_response_code`.

use xds::problem::{Code, Problem};
use xds::resource::Resource;
use xds::resource::http_connection_manager::RouteSource;
use xds::resource::route_configuration::RouteConfiguration;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

/// One problem for each route to a cluster that is not in the wire set, if the resource is or holds a route table that must not
/// have such routes.
pub(super) fn unknown(resource: &Resource, wire_set: &Snapshot) -> Vec<Problem> {
    let Some((table, prefix)) = table(resource).filter(|(table, _)| table.validates_clusters)
    else {
        return Vec::new();
    };
    let hosts = table.virtual_hosts.iter().enumerate();
    let routes = hosts.flat_map(|(host, virtual_host)| {
        let routes = virtual_host.routes.routes().iter().enumerate();
        routes.map(move |(index, route)| (host, index, route))
    });
    let clusters = routes.flat_map(|(host, index, route)| {
        let clusters = route.clusters();
        clusters.map(move |cluster| (host, index, cluster))
    });
    let is_unknown = |cluster: &str| wire_set.get(ResourceType::Cluster, cluster).is_none();
    clusters
        .filter(|(_, _, cluster)| is_unknown(cluster))
        .map(|(host, index, cluster)| Problem {
            resource: Some(resource.reference()),
            path: format!("{prefix}virtual_hosts[{host}].routes[{index}].route"),
            code: Code::MissingReference,
            detail: format!("there is no cluster {cluster:?}"),
        })
        .collect()
}

fn table(resource: &Resource) -> Option<(&RouteConfiguration, &'static str)> {
    if let Some(table) = resource.body().as_route_configuration() {
        return Some((table, ""));
    }
    match &resource.body().as_listener()?.http.routes {
        RouteSource::Inline(table) => Some((table, "route_config.")),
        RouteSource::Rds(_) => None,
    }
}
