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
use prost::Message as _;
use xds::node::ClientClass;
use xds::type_url::ResourceType;

use crate::model::cluster::LoadBalancing;
use crate::model::{Cluster, Config, Endpoint, Kind, ResourceId, Route};

use self::verdict::{Fate, Verdict};
use super::change::Change;
use super::host::{Host, Hosts};
use super::step::Step;
use super::warning::Warning;
use super::{cluster, endpoint, listener, matching, route, value};

/// The cluster without endpoints that routes lead to which gRPC cannot follow. A call that they match fails with
/// UNAVAILABLE, and its text names this. No operator's cluster has a colon in its name.
const LEFT_OUT: &str = "signalbox:left-out";

/// The zone of endpoints that name none: gRPC refuses endpoints without a locality.
const DEFAULT_ZONE: &str = "default";

/// A client has no listener: like a listener that no route names, it has the routes that are on all of them.
const NO_LISTENER: &str = "";

/// Brings the resources of gRPC clients up to date, and what is kept of their hosts; how many routes were translated for it.
pub(super) fn step(change: &Change<'_>, hosts: &mut Hosts) -> (Step, usize) {
    let (mut step, mut translated) = (Step::default(), 0);
    for changed in &change.clusters {
        match changed.after {
            Some(cluster) => {
                step.put(
                    ResourceType::Cluster,
                    &cluster.name,
                    &cluster_message(cluster),
                );
            }
            None => step.remove(ResourceType::Cluster, changed.name),
        }
    }
    let had_stand_in = hosts.values().any(|host| host.has_stand_in);
    let touched = change.hosts(NO_LISTENER).into_iter();
    for (pattern, routes) in touched.filter(|(pattern, _)| is_exact(pattern)) {
        translated += routes.len();
        match host(pattern, &routes) {
            Some(host) => {
                let (ty, bytes) = (ResourceType::RouteConfiguration, host.bytes.clone());
                step.put(ResourceType::Listener, pattern, &api_listener(pattern));
                step.put_bytes(ty, pattern, bytes);
                hosts.insert(pattern.into(), Arc::new(host));
            }
            None => {
                step.remove(ResourceType::Listener, pattern);
                step.remove(ResourceType::RouteConfiguration, pattern);
                hosts.remove(pattern);
            }
        }
    }
    match (had_stand_in, hosts.values().any(|host| host.has_stand_in)) {
        (false, true) => put_stand_in(&mut step),
        (true, false) => {
            step.remove(ResourceType::Cluster, LEFT_OUT);
            step.remove(ResourceType::ClusterLoadAssignment, LEFT_OUT);
        }
        _ => {}
    }
    for &name in &change.endpoints {
        let cluster = change.after.clusters.get(name);
        match cluster.filter(|cluster| cluster.dns.is_none()) {
            Some(cluster) => {
                let message = endpoints(name, change.endpoints_of(cluster));
                step.put(ResourceType::ClusterLoadAssignment, name, &message);
            }
            None => step.remove(ResourceType::ClusterLoadAssignment, name),
        }
    }
    (step, translated)
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

/// What is said of a host; nothing if no call to it can be served.
fn host(pattern: &str, routes: &[&Arc<Route>]) -> Option<Host> {
    let verdicts: Vec<_> = routes.iter().map(|route| Verdict::of(route)).collect();
    let has = |fate| verdicts.iter().any(|verdict| verdict.fate == fate);
    if !has(Fate::Served) {
        return None;
    }
    let (mut origins, mut messages) = (Vec::new(), Vec::new());
    for (&route, verdict) in routes.iter().zip(&verdicts) {
        for message in route_messages(route, verdict) {
            messages.push(message);
            origins.push(route.clone());
        }
    }
    let message = RouteConfiguration {
        name: pattern.to_owned(),
        virtual_hosts: vec![VirtualHost {
            name: pattern.to_owned(),
            domains: vec![pattern.to_owned()],
            routes: messages,
            ..Default::default()
        }],
        ..Default::default()
    };
    Some(Host {
        pattern: pattern.to_owned(),
        routes: origins,
        bytes: message.encode_to_vec().into(),
        has_stand_in: has(Fate::Failed),
    })
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

fn put_stand_in(step: &mut Step) {
    let cluster = Cluster {
        name: LEFT_OUT.to_owned(),
        endpoints: None,
        dns: None,
        discovery: Some(crate::model::cluster::Discovery::Api),
        load_balancing: LoadBalancing::RoundRobin,
        connect_timeout: None,
    };
    let message = cluster::eds(&cluster, LoadBalancing::RoundRobin);
    step.put(ResourceType::Cluster, LEFT_OUT, &message);
    let none = endpoints(LEFT_OUT, &[]);
    step.put(ResourceType::ClusterLoadAssignment, LEFT_OUT, &none);
}

#[cfg(test)]
mod tests;
