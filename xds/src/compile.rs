//! `compile`: joins the resources of a snapshot. It cannot fail: where things do not fit together it returns the best
//! [`Config`] there is and every [`Problem`]. The proxy serves that config and answers 503 at the holes; the control
//! plane does not publish it.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use crate::config::{Config, ServedCluster, ServedListener};
use crate::problem::{Code, Problem, ResourceRef};
use crate::resource::cluster::{Cluster, Discovery};
use crate::resource::http_connection_manager::RouteSource;
use crate::resource::listener::Listener;
use crate::resource::route_configuration::RouteConfiguration;
use crate::resource::virtual_host::{Domain, VirtualHost};
use crate::resource::{Body, Resource};
use crate::route_table::RouteTable;
use crate::snapshot::Snapshot;
use crate::type_url::ResourceType;

/// A snapshot and what it was compiled to, without a problem; both but for endpoints.
#[derive(Clone, Copy, Debug)]
pub struct Before<'b> {
    /// As sent.
    pub snapshot: &'b Snapshot,
    /// As used.
    pub config: &'b Config,
}

/// Joins listeners with their routes and clusters with their endpoints.
pub fn compile(snapshot: &Snapshot) -> (Config, Vec<Problem>) {
    compile_after(snapshot, None)
}

/// As [`compile`], of what follows `before`. The result is the same; of virtual hosts that came by themselves only those are
/// looked at that differ.
pub fn compile_after(snapshot: &Snapshot, before: Option<Before<'_>>) -> (Config, Vec<Problem>) {
    let mut problems = Vec::new();
    let clusters: HashMap<_, _, _> = bodies(snapshot, ResourceType::Cluster, Body::as_cluster)
        .map(|cluster| serve_cluster(snapshot, cluster, &mut problems))
        .collect();
    let mut config = Config {
        listeners: Vec::new(),
        clusters,
    };
    let mut addresses = HashMap::new();
    for listener in bodies(snapshot, ResourceType::Listener, Body::as_listener) {
        let configuration = route_configuration(snapshot, listener, &mut problems);
        let edited = before.and_then(|before| {
            edit_routes(
                (snapshot, &config),
                before,
                (listener, configuration?),
                &mut problems,
            )
        });
        let routes =
            edited.unwrap_or_else(|| serve_routes(snapshot, configuration, &config, &mut problems));
        // One without a socket is for programs that do without a proxy: checked, not served.
        let Some(address) = listener.address else {
            continue;
        };
        if address_is_free(listener, address, &mut addresses, &mut problems) {
            config.listeners.push(Arc::new(ServedListener {
                listener: listener.clone(),
                address,
                configuration: configuration.cloned(),
                routes,
            }));
        }
    }
    (config, problems)
}

fn bodies<'s, T: 's>(
    snapshot: &'s Snapshot,
    ty: ResourceType,
    body: fn(&'s Body) -> Option<&'s T>,
) -> impl Iterator<Item = &'s T> {
    snapshot
        .set(ty)
        .values()
        .filter_map(move |resource| body(resource.body()))
}

fn serve_cluster(
    snapshot: &Snapshot,
    cluster: &Arc<Cluster>,
    problems: &mut Vec<Problem>,
) -> (Arc<str>, ServedCluster) {
    let endpoints = match &cluster.discovery {
        Discovery::Static(endpoints) => Some(endpoints.clone()),
        // Known when the names have been looked up; none of a snapshot's business.
        Discovery::Dns(_) => None,
        Discovery::Eds(service) => {
            let resource = snapshot.get(ResourceType::ClusterLoadAssignment, service);
            let endpoints = resource
                .and_then(|resource| resource.body().as_endpoints())
                .cloned();
            if endpoints.is_none() {
                problems.push(missing(
                    (ResourceType::Cluster, &cluster.name),
                    "eds_cluster_config.service_name",
                    format!("there are no endpoints for {service:?} yet"),
                ));
            }
            endpoints
        }
    };
    (
        cluster.name.clone(),
        ServedCluster {
            cluster: cluster.clone(),
            endpoints,
        },
    )
}

/// Two listeners cannot share an address; the first by name keeps it.
fn address_is_free<'s>(
    listener: &'s Listener,
    address: SocketAddr,
    addresses: &mut HashMap<SocketAddr, &'s Arc<str>>,
    problems: &mut Vec<Problem>,
) -> bool {
    if let Some(owner) = addresses.get(&address) {
        problems.push(Problem {
            resource: Some(ResourceRef {
                ty: ResourceType::Listener,
                name: listener.name.clone(),
            }),
            path: "address".into(),
            code: Code::Duplicate,
            detail: format!("{address} is the address of listener {owner:?}"),
        });
        return false;
    }
    addresses.insert(address, &listener.name);
    true
}

fn serve_routes(
    snapshot: &Snapshot,
    configuration: Option<&Arc<RouteConfiguration>>,
    config: &Config,
    problems: &mut Vec<Problem>,
) -> RouteTable {
    let Some(configuration) = configuration else {
        return RouteTable::new([]).0;
    };
    // Asked for twice rather than kept: they are many, and a list of them would be the largest thing in memory for a moment.
    let hosts = || virtual_hosts(snapshot, configuration);
    let (table, refused) = RouteTable::new(hosts().map(|found| found.host));
    problems.extend(
        refused
            .into_iter()
            .map(|(domain, host)| domain_taken(&domain, &host)),
    );
    for found in hosts() {
        check_host(&found, configuration, config, problems);
    }
    table
}

fn check_host(
    found: &FoundHost<'_>,
    configuration: &RouteConfiguration,
    config: &Config,
    problems: &mut Vec<Problem>,
) {
    problems.extend(unknown_clusters(found, config));
    problems.extend(oversized_bodies(found, configuration));
}

/// The routes of a listener as those of the listener before it, but for the virtual hosts that differ. `None` where more than
/// that must be looked at: its route configuration is another, a cluster is gone, or the table says so.
fn edit_routes<'s>(
    (snapshot, config): (&'s Snapshot, &Config),
    before: Before<'s>,
    (listener, configuration): (&Listener, &Arc<RouteConfiguration>),
    problems: &mut Vec<Problem>,
) -> Option<RouteTable> {
    let served = before.config.listener(&listener.name)?;
    let same = served.configuration.as_ref();
    same.filter(|same| Arc::ptr_eq(same, configuration))?;
    let mut clusters = before.config.clusters.keys();
    if !clusters.all(|name| config.clusters.contains_key(name)) {
        return None;
    }
    let (mut removed, mut added) = (Vec::new(), Vec::new());
    if configuration.vhds {
        let (ty, prefix) = (ResourceType::VirtualHost, hosts_prefix(configuration));
        let here = |resource: &&Arc<Resource>| resource.name().starts_with(&prefix);
        let (new, old) = (snapshot.set(ty), before.snapshot.set(ty));
        new.for_each_change(old, |new, old| {
            let new = new.filter(here).and_then(|new| FoundHost::apart(new));
            let old = old
                .filter(here)
                .and_then(|old| old.body().as_virtual_host());
            let shared =
                matches!((&new, old), (Some(new), Some(old)) if Arc::ptr_eq(new.host, old));
            if !shared {
                added.extend(new);
                removed.extend(old);
            }
        });
    }
    let hosts: Vec<_> = added.iter().map(|found| found.host).collect();
    let table = served.routes.edited(&removed, &hosts)?;
    for found in &added {
        check_host(found, configuration, config, problems);
    }
    Some(table)
}

/// With what the names of the virtual hosts of a route configuration begin that come as resources of their own.
fn hosts_prefix(routes: &RouteConfiguration) -> String {
    format!("{}/", routes.name)
}

fn route_configuration<'s>(
    snapshot: &'s Snapshot,
    listener: &'s Listener,
    problems: &mut Vec<Problem>,
) -> Option<&'s Arc<RouteConfiguration>> {
    match &listener.http.routes {
        RouteSource::Inline(routes) => Some(routes),
        RouteSource::Rds(name) => {
            let resource = snapshot.get(ResourceType::RouteConfiguration, name);
            let routes = resource.and_then(|resource| resource.body().as_route_configuration());
            if routes.is_none() {
                let manager = if listener.address.is_some() {
                    "filter_chains[0].filters[0].typed_config"
                } else {
                    "api_listener.api_listener"
                };
                problems.push(missing(
                    (ResourceType::Listener, &listener.name),
                    &format!("{manager}.rds.route_config_name"),
                    format!("there is no route configuration {name:?} yet"),
                ));
            }
            routes
        }
    }
}

/// A virtual host with the resource that it stands in.
struct FoundHost<'s> {
    host: &'s Arc<VirtualHost>,
    resource: (ResourceType, &'s Arc<str>),
    /// Its place, if it stands in a list.
    index: Option<usize>,
}

impl<'s> FoundHost<'s> {
    /// One that came as a resource of its own.
    fn apart(resource: &'s Resource) -> Option<Self> {
        Some(Self {
            host: resource.body().as_virtual_host()?,
            resource: (ResourceType::VirtualHost, resource.name()),
            index: None,
        })
    }

    /// What stands before the path of a field.
    fn path(&self) -> String {
        self.index
            .map(|index| format!("virtual_hosts[{index}]."))
            .unwrap_or_default()
    }
}

/// The virtual hosts of a route configuration: those in it, then those that came as resources of their own.
fn virtual_hosts<'s>(
    snapshot: &'s Snapshot,
    routes: &'s RouteConfiguration,
) -> impl Iterator<Item = FoundHost<'s>> {
    let inline = routes
        .virtual_hosts
        .iter()
        .enumerate()
        .map(|(index, host)| FoundHost {
            host,
            resource: (ResourceType::RouteConfiguration, &routes.name),
            index: Some(index),
        });
    let prefix = hosts_prefix(routes);
    let named = routes.vhds.then(|| {
        let set = snapshot.set(ResourceType::VirtualHost);
        let named = set.beginning_with(prefix);
        named.filter_map(|resource| FoundHost::apart(resource))
    });
    inline.chain(named.into_iter().flatten())
}

fn domain_taken(domain: &Domain, host: &VirtualHost) -> Problem {
    Problem {
        resource: Some(ResourceRef {
            ty: ResourceType::VirtualHost,
            name: host.name.clone(),
        }),
        path: "domains".into(),
        code: Code::Duplicate,
        detail: format!("the domain {domain} belongs to another virtual host"),
    }
}

fn unknown_clusters(found: &FoundHost<'_>, config: &Config) -> impl Iterator<Item = Problem> {
    let mut unknown = BTreeMap::new();
    for (index, route) in found.host.routes.routes().iter().enumerate() {
        for name in route.clusters() {
            if !config.clusters.contains_key(name) {
                unknown.entry(name).or_insert(index);
            }
        }
    }
    unknown.into_iter().map(|(name, index)| {
        missing(
            found.resource,
            &format!("{}routes[{index}].route", found.path()),
            format!("there is no cluster {name:?} yet"),
        )
    })
}

/// Bodies of hosts that came as resources of their own: what stands in the route configuration itself was judged there.
fn oversized_bodies(
    found: &FoundHost<'_>,
    routes: &RouteConfiguration,
) -> impl Iterator<Item = Problem> {
    let (ty, name) = found.resource;
    let host = (ty == ResourceType::VirtualHost).then_some(found.host);
    let oversized = host
        .into_iter()
        .flat_map(|host| routes.oversized_bodies(host));
    oversized.map(move |(index, detail)| Problem {
        resource: Some(ResourceRef {
            ty,
            name: name.clone(),
        }),
        path: format!("routes[{index}].direct_response"),
        code: Code::Invalid,
        detail,
    })
}

fn missing((ty, name): (ResourceType, &Arc<str>), path: &str, detail: String) -> Problem {
    Problem {
        resource: Some(ResourceRef {
            ty,
            name: name.clone(),
        }),
        path: path.into(),
        code: Code::MissingReference,
        detail,
    }
}
