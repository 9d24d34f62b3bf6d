//! What a resource was made from: turns the path of a field in Envoy's message into a pointer into the operator's
//! resource. The way back from what the other files of `translate` do, walked only when something is wrong.

mod route;

use std::sync::Arc;

use crate::model::problem::{Problem, Step};
use crate::model::{Cluster, Kind, Listener, ResourceId, Route};

use self::route::route_steps;
use super::endpoint;
use super::host::Host;

/// What a resource was made from.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Listener(Arc<Listener>),
    Cluster(Arc<Cluster>),
    RouteConfiguration(Vec<Arc<Host>>),
    VirtualHost(Arc<Host>),
}

/// One step of an xDS path: `routes[3]` is a field with an index.
type Part<'p> = (&'p str, Option<usize>);

/// Says to the operator what `xds` found in a resource with this origin.
pub(super) fn explain(problem: &xds::problem::Problem, origin: Option<&Origin>) -> Problem {
    let parts: Vec<Part<'_>> = parse(&problem.path);
    let (resource, steps) = match origin {
        None => (None, Vec::new()),
        Some(Origin::Listener(listener)) => (
            Some((Kind::Listener, listener.name.as_str())),
            listener_steps(&parts),
        ),
        Some(Origin::Cluster(cluster)) => (
            Some((Kind::Cluster, cluster.name.as_str())),
            cluster_steps(cluster, &parts),
        ),
        Some(Origin::VirtualHost(host)) => host_steps(host, &parts),
        Some(Origin::RouteConfiguration(hosts)) => match parts.as_slice() {
            [("virtual_hosts", Some(index)), rest @ ..] => hosts
                .get(*index)
                .map_or((None, Vec::new()), |host| host_steps(host, rest)),
            _ => (None, Vec::new()),
        },
    };
    let mut pointer = String::new();
    for step in steps {
        step.push_to(&mut pointer);
    }
    Problem {
        resource: resource.map(|(kind, name)| ResourceId::new(kind, name)),
        pointer,
        code: problem.code,
        detail: format!("{} (xDS: {})", problem.detail, place(problem)),
    }
}

fn place(problem: &xds::problem::Problem) -> String {
    let resource = problem
        .resource
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    if problem.path.is_empty() {
        resource
    } else {
        format!("{resource} / {}", problem.path)
    }
}

/// Reads `virtual_hosts[2].routes[0].match`.
fn parse(path: &str) -> Vec<Part<'_>> {
    let part = |text| match str::split_once(text, '[') {
        Some((field, index)) => (field, index.trim_end_matches(']').parse().ok()),
        None => (text, None),
    };
    let texts = path.split('.').filter(|text| !text.is_empty());
    texts.map(part).collect()
}

fn steps<const N: usize>(keys: [&str; N]) -> Vec<Step> {
    keys.into_iter().map(Step::from).collect()
}

fn listener_steps(parts: &[Part<'_>]) -> Vec<Step> {
    match parts {
        [("address", _), .., ("port_value", _)] => steps(["port"]),
        [("address", _), ..] => steps(["address"]),
        [.., ("xff_num_trusted_hops", _)] => steps(["trusted_hops"]),
        _ => Vec::new(),
    }
}

fn cluster_steps(cluster: &Cluster, parts: &[Part<'_>]) -> Vec<Step> {
    match parts {
        [
            ("load_assignment" | "type" | "dns_lookup_family", _),
            rest @ ..,
        ] if cluster.dns.is_some() => match rest.last() {
            Some(("address", _)) => steps(["dns", "host"]),
            Some(("port_value", _)) => steps(["dns", "port"]),
            _ => steps(["dns"]),
        },
        [("load_assignment", _), rest @ ..] => cluster_steps(cluster, rest),
        [("endpoints", zone), rest @ ..] => {
            let at = rest.first().and_then(|(_, index)| *index);
            let position = zone
                .zip(at)
                .and_then(|(zone, at)| endpoint_position(cluster, zone, at));
            let list = steps(["endpoints"]).into_iter();
            list.chain(position.map(Step::from)).collect()
        }
        [("lb_policy", _), ..] => steps(["load_balancing"]),
        [("connect_timeout", _), ..] => steps(["connect_timeout"]),
        [("eds_cluster_config" | "type", _), ..] => steps(["discovery"]),
        [("name", _), ..] => steps(["name"]),
        _ => Vec::new(),
    }
}

/// Where in the operator's list the endpoint stands that is number `at` of a zone.
fn endpoint_position(cluster: &Cluster, zone: usize, at: usize) -> Option<usize> {
    let zones = endpoint::by_zone(cluster.endpoints.as_deref()?);
    let (position, _) = *zones.into_values().nth(zone)?.get(at)?;
    Some(position)
}

fn host_steps<'h>(host: &'h Host, parts: &[Part<'_>]) -> (Option<(Kind, &'h str)>, Vec<Step>) {
    let (route, steps) = match parts {
        [("routes", Some(index)), rest @ ..] => {
            let route = host.routes.get(*index);
            let steps = route.map(|route| route_steps(route, rest));
            (route, steps)
        }
        // Something is wrong with the host itself: any route that names it can say so.
        _ => {
            let route = host.routes.first();
            let named =
                |route: &Arc<Route>| route.hosts.iter().position(|name| *name == host.pattern);
            let position = route.and_then(named);
            let steps = position.map(|position| vec![Step::from("hosts"), Step::from(position)]);
            (route, steps)
        }
    };
    let resource = route.map(|route| (Kind::Route, route.name.as_str()));
    (resource, steps.unwrap_or_default())
}
