//! What a program that is linked with gRPC's own xDS client is served, and what it has to do without.
//!
//! Such a program dials `xds:///HOST` and asks for a Listener of that name. So every host that routes name exactly has a
//! Listener with an `api_listener`, a `RouteConfiguration` of its own (one edit is one resource, and no response outgrows
//! the 4 MiB that gRPC takes), and every cluster is EDS or a name. A host none of whose routes forward is left out.
//!
//! A route that cannot be said whole still takes the requests it would have taken, and fails them: it leads to
//! [`LEFT_OUT`]. Left out of the list, it would hand them to the next route without a word (docs/adr/0015).

mod verdict;

use std::collections::BTreeMap;
use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3 as cluster_v3;
use envoy_types::pb::envoy::config::cluster::v3::cluster::DiscoveryType;
use envoy_types::pb::envoy::config::core::v3::Locality;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::listener::v3::{ApiListener, Listener};
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    self as route_v3, RouteAction, RouteConfiguration, VirtualHost,
};
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager::v3 as hcm;
use envoy_types::util::pack_any;
use hcm::http_connection_manager::RouteSpecifier;
use xds::node::ClientClass;
use xds::type_url::ResourceType;

use crate::model::cluster::LoadBalancing;
use crate::model::{Cluster, Config, Endpoint, Kind, ResourceId, Route};

use self::verdict::{Fate, Verdict};
use super::origin::{Host, Origin};
use super::warning::Warning;
use super::{Translated, cluster, endpoint, listener, matching, precedence, route, value};

/// The cluster without endpoints that routes lead to which gRPC cannot follow. A call that they match fails with
/// UNAVAILABLE, and its text names this. No operator's cluster has a colon in its name.
const LEFT_OUT: &str = "signalbox:left-out";

/// The zone of endpoints that name none: gRPC refuses endpoints without a locality.
const DEFAULT_ZONE: &str = "default";

/// A client has no listener: like a listener that no route names, it has the routes that are on all of them.
const NO_LISTENER: &str = "";

pub(super) fn slow_lane(config: &Config, translated: &mut Translated) {
    for cluster in config.clusters.values() {
        translated.add(
            ResourceType::Cluster,
            &cluster.name,
            &cluster_message(cluster),
            Origin::Cluster(cluster.clone()),
        );
    }
    let mut any_left_out = false;
    for (host, routes) in precedence::by_host(config, NO_LISTENER) {
        if !is_exact(host) {
            continue;
        }
        let routes: Vec<_> = routes
            .into_iter()
            .map(|route| (route, Verdict::of(route)))
            .collect();
        let has = |fate| routes.iter().any(|(_, verdict)| verdict.fate == fate);
        if has(Fate::Served) {
            any_left_out |= has(Fate::Failed);
            add_host(host, &routes, translated);
        }
    }
    if any_left_out {
        add_left_out(translated);
    }
}

/// gRPC refuses every algorithm but this, and names but as `LOGICAL_DNS`. It reports the load of clusters that say so (gRFC
/// A27), and only when it is asked.
fn cluster_message(cluster: &Cluster) -> cluster_v3::Cluster {
    let message = match &cluster.dns {
        Some(dns) => cluster::named(
            cluster,
            dns,
            DiscoveryType::LogicalDns,
            LoadBalancing::RoundRobin,
        ),
        None => cluster::eds(cluster, LoadBalancing::RoundRobin),
    };
    cluster_v3::Cluster {
        lrs_server: Some(value::to_self()),
        ..message
    }
}

/// The endpoints of a cluster. gRPC weighs localities but not the endpoints in them, so those of one zone with one
/// weight are a locality of their own.
pub(super) fn endpoints(cluster: &str, endpoints: &[Endpoint]) -> ClusterLoadAssignment {
    let mut localities: BTreeMap<(&str, u32), Vec<&Endpoint>> = BTreeMap::new();
    for endpoint in endpoints {
        let zone = match endpoint.zone.as_str() {
            "" => DEFAULT_ZONE,
            zone => zone,
        };
        localities
            .entry((zone, endpoint.weight))
            .or_default()
            .push(endpoint);
    }
    let localities = localities.into_iter().map(|((zone, weight), endpoints)| {
        let sub_zone = match weight {
            1 => String::new(),
            weight => format!("weight-{weight}"),
        };
        let place = Locality {
            zone: zone.to_owned(),
            sub_zone,
            ..Default::default()
        };
        endpoint::locality(place, endpoints.into_iter())
    });
    ClusterLoadAssignment {
        cluster_name: cluster.to_owned(),
        endpoints: localities.collect(),
        ..Default::default()
    }
}

/// What gRPC clients do without: clusters first, then routes.
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let clusters = config
        .clusters
        .values()
        .flat_map(|cluster| of_resource(Kind::Cluster, &cluster.name, of_cluster(cluster)));
    let routes = config
        .routes
        .values()
        .flat_map(|route| of_resource(Kind::Route, &route.name, verdict::losses(route)));
    clusters.chain(routes).collect()
}

fn of_resource(
    kind: Kind,
    name: &str,
    losses: Vec<verdict::Loss>,
) -> impl Iterator<Item = Warning> {
    let resource = ResourceId::new(kind, name);
    losses.into_iter().map(move |loss| Warning {
        class: ClientClass::Grpc,
        resource: resource.clone(),
        pointer: loss.pointer,
        detail: loss.detail,
    })
}

fn of_cluster(cluster: &Cluster) -> Vec<verdict::Loss> {
    let balancing = (cluster.load_balancing != LoadBalancing::RoundRobin).then_some((
        "/load_balancing",
        "gRPC refuses this algorithm; it takes the endpoints in turn",
    ));
    let timeout = cluster.connect_timeout.map(|_| {
        (
            "/connect_timeout",
            "gRPC opens connections by a timeout of its own",
        )
    });
    let names = cluster.dns.as_ref().map(|_| {
        (
            "/dns",
            "gRPC uses one of the addresses at a time, and another when that fails",
        )
    });
    let losses = balancing.into_iter().chain(timeout).chain(names);
    losses.map(verdict::Loss::from).collect()
}

fn is_exact(pattern: &str) -> bool {
    !pattern.starts_with('*') && !pattern.ends_with('*')
}

fn add_host(host: &str, routes: &[(&Arc<Route>, Verdict)], translated: &mut Translated) {
    let mut origin = Host {
        pattern: host.to_owned(),
        routes: Vec::new(),
    };
    let mut messages = Vec::new();
    for (route, verdict) in routes {
        for message in route_messages(route, verdict) {
            messages.push(message);
            origin.routes.push((*route).clone());
        }
    }
    let message = RouteConfiguration {
        name: host.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: host.to_owned(),
            domains: vec![host.to_owned()],
            routes: messages,
            ..Default::default()
        }],
        ..Default::default()
    };
    let origin = Origin::RouteConfiguration(vec![origin]);
    translated.add(
        ResourceType::Listener,
        host,
        &api_listener(host),
        origin.clone(),
    );
    translated.add(ResourceType::RouteConfiguration, host, &message, origin);
}

/// gRPC refuses a manager that counts hops, and one that has no filters.
fn api_listener(host: &str) -> Listener {
    let manager = hcm::HttpConnectionManager {
        route_specifier: Some(RouteSpecifier::Rds(hcm::Rds {
            config_source: Some(value::ads()),
            route_config_name: host.to_owned(),
        })),
        http_filters: vec![listener::router()],
        ..Default::default()
    };
    Listener {
        name: host.to_owned(),
        api_listener: Some(ApiListener {
            api_listener: Some(pack_any(manager)),
        }),
        ..Default::default()
    }
}

fn route_messages(route: &Route, verdict: &Verdict) -> Vec<route_v3::Route> {
    let target = match (verdict.fate, &route.forward) {
        (Fate::Untaken, _) => return Vec::new(),
        (Fate::Served, Some(forward)) => route::cluster_specifier(forward),
        _ => ClusterSpecifier::Cluster(LEFT_OUT.to_owned()),
    };
    let paths = verdict.paths.iter();
    paths
        .map(|path| route_v3::Route {
            name: route.name.clone(),
            r#match: Some(matching::translate(&verdict.conditions, path.clone())),
            action: Some(Action::Route(RouteAction {
                cluster_specifier: Some(target.clone()),
                ..Default::default()
            })),
            ..Default::default()
        })
        .collect()
}

fn add_left_out(translated: &mut Translated) {
    let cluster = Cluster {
        name: LEFT_OUT.to_owned(),
        endpoints: None,
        dns: None,
        discovery: Some(crate::model::cluster::Discovery::Api),
        load_balancing: LoadBalancing::RoundRobin,
        connect_timeout: None,
    };
    translated.add(
        ResourceType::Cluster,
        LEFT_OUT,
        &cluster::eds(&cluster, LoadBalancing::RoundRobin),
        Origin::StandIn,
    );
    translated.add(
        ResourceType::ClusterLoadAssignment,
        LEFT_OUT,
        &endpoints(LEFT_OUT, &[]),
        Origin::StandIn,
    );
}

#[cfg(test)]
mod tests;
