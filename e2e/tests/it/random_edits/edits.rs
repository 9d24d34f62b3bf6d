//! A config that is edited at random and stays valid, and what a request is answered with under it. Pure: a seeded source of
//! chance goes in. What is expected is worked out here, from the rules that the API states, not from the code under test.
//!
//! Paths are such that a gRPC call can have them: a service is a prefix of one segment, a method the segment below.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fastrand::Rng;

const HOSTS: [&str; 2] = ["one.example", "two.example"];
/// A host that routes of the first one may name as well.
const ALSO: &str = "three.example";
/// A listener that stays, and one that comes and goes.
pub(crate) const LISTENERS: [&str; 2] = ["web", "extra"];
const SERVICES: usize = 4;
const UPSTREAMS: usize = 4;
const CLUSTERS_MAX: usize = 6;
const ROUTES_MIN: usize = 4;

/// Something that is asked: a host and a path, at a listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Probe {
    /// Which of [`LISTENERS`].
    pub(crate) listener: usize,
    pub(crate) host: String,
    pub(crate) path: String,
}

/// What may come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// From one of these upstreams.
    From(BTreeSet<String>),
    /// The proxy answers with 200 by itself.
    Local,
    /// No route: 404.
    Nothing,
    /// No answer for a program without a proxy.
    Unavailable,
    /// Nobody listens.
    Closed,
}

/// A valid config.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    clusters: BTreeMap<String, Cluster>,
    routes: BTreeMap<(usize, Place), Route>,
    trusted_hops: u32,
    /// Whether the second listener is there.
    extra: bool,
    created: usize,
}

#[derive(Clone, Debug)]
struct Cluster {
    /// Its endpoints come by the fast lane. This stays as it is.
    api: bool,
    upstreams: BTreeSet<usize>,
    balancing: &'static str,
    zone: bool,
    connect_timeout: bool,
}

/// Where a route stands within its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// `/serviceN/get` exactly: before the service.
    Method(usize),
    /// The prefix `/serviceN`.
    Service(usize),
}

#[derive(Clone, Debug)]
struct Route {
    target: Target,
    /// Whether it names the host that routes of the first may name as well.
    also: bool,
}

#[derive(Clone, Debug)]
enum Target {
    Clusters(BTreeMap<String, u32>),
    Respond,
}

/// Everything that is asked, whether there is a route for it or not: all of it at the first listener, a part at the second.
pub(crate) fn probes() -> Vec<Probe> {
    let paths = (0..SERVICES)
        .flat_map(|service| ["get", "put"].map(|method| format!("/service{service}/{method}")));
    let paths: Vec<_> = paths.collect();
    let of_host = |listener: usize, host: &str| {
        let probe = |path: &String| Probe {
            listener,
            host: host.to_owned(),
            path: path.clone(),
        };
        paths.iter().map(probe).collect::<Vec<_>>()
    };
    let hosts = [(0, HOSTS[0]), (0, HOSTS[1]), (0, ALSO), (1, HOSTS[0])];
    hosts
        .into_iter()
        .flat_map(|(listener, host)| of_host(listener, host))
        .collect()
}

impl Model {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut model = Self {
            clusters: BTreeMap::new(),
            routes: BTreeMap::new(),
            trusted_hops: 0,
            extra: false,
            created: 0,
        };
        for _ in 0..3 {
            model.create_cluster(rng);
        }
        for host in 0..HOSTS.len() {
            for service in 0..SERVICES {
                let target = model.forward(rng);
                model.put(rng, (host, Place::Service(service)), target);
            }
        }
        model.keep_hosts(rng);
        model
    }

    /// The next config, and what was done.
    pub(crate) fn edit(&mut self, rng: &mut Rng) -> &'static str {
        let what = self.edit_at_random(rng);
        self.keep_hosts(rng);
        what
    }

    fn edit_at_random(&mut self, rng: &mut Rng) -> &'static str {
        match rng.u8(0..16) {
            0 | 1 => self.put_route(rng),
            2 => self.put_method(rng),
            3 => self.delete_route(rng),
            4 | 5 => self.change_endpoints(rng),
            6 => self.change_settings(rng),
            7 => self.add_cluster(rng),
            8 => self.delete_cluster(rng),
            9 => self.replace_cluster(rng),
            10 | 11 => self.change_hosts(rng),
            12 | 13 => self.move_endpoints(rng),
            14 => {
                self.extra = !self.extra;
                if self.extra {
                    "add a listener"
                } else {
                    "remove a listener"
                }
            }
            _ => {
                self.trusted_hops = 1 - self.trusted_hops;
                "change the listener"
            }
        }
    }

    /// What a probe is answered with.
    pub(crate) fn answer(&self, probe: &Probe) -> Answer {
        if probe.listener > 0 && !self.extra {
            return Answer::Closed;
        }
        let also = probe.host == ALSO;
        let Some(host) = HOSTS.iter().position(|host| *host == probe.host || also) else {
            return Answer::Nothing;
        };
        let at = |place| {
            let route = self.routes.get(&(host, place));
            route.filter(|route| route.also || !also)
        };
        let find = |service| {
            let is_get = probe.path.ends_with("/get");
            let exact = is_get.then(|| at(Place::Method(service)));
            exact.flatten().or_else(|| at(Place::Service(service)))
        };
        let service =
            (0..SERVICES).find(|service| probe.path.starts_with(&format!("/service{service}/")));
        match service.and_then(find).map(|route| &route.target) {
            None => Answer::Nothing,
            Some(Target::Respond) => Answer::Local,
            Some(Target::Clusters(weights)) => Answer::From(
                weights
                    .iter()
                    .filter(|(_, weight)| **weight > 0)
                    .flat_map(|(name, _)| &self.clusters[name].upstreams)
                    .map(|upstream| upstream_name(*upstream))
                    .collect(),
            ),
        }
    }

    /// What a probe is answered with where there is no proxy that could answer by itself.
    pub(crate) fn answer_without_a_proxy(&self, probe: &Probe) -> Answer {
        match self.answer(probe) {
            Answer::From(upstreams) => Answer::From(upstreams),
            _ => Answer::Unavailable,
        }
    }

    /// What is put by the fast lane: the endpoints of each cluster that has them from there, by its name.
    pub(crate) fn fast_lane(&self, upstream_ports: &[u16]) -> BTreeMap<String, String> {
        let clusters = self.clusters.iter().filter(|(_, cluster)| cluster.api);
        clusters
            .map(|(name, cluster)| {
                let endpoints = cluster.endpoints(upstream_ports);
                (name.clone(), format!("endpoints: [{endpoints}]"))
            })
            .collect()
    }

    /// The document.
    pub(crate) fn yaml(&self, ports: [u16; 2], upstream_ports: &[u16]) -> String {
        let mut yaml = "listeners:\n".to_owned();
        let there = if self.extra { 2 } else { 1 };
        for (name, port) in LISTENERS.iter().zip(ports).take(there) {
            let hops = self.trusted_hops;
            let _ = writeln!(
                yaml,
                "  - {{name: {name}, address: 0.0.0.0, port: {port}, trusted_hops: {hops}}}"
            );
        }
        yaml.push_str("clusters:\n");
        for (name, cluster) in &self.clusters {
            let _ = writeln!(yaml, "  - {}", cluster.yaml(name, upstream_ports));
        }
        yaml.push_str("routes:\n");
        for ((host, place), route) in &self.routes {
            let (name, path) = match place {
                Place::Method(service) => (
                    format!("method{service}"),
                    format!("exact: /service{service}/get"),
                ),
                Place::Service(service) => (
                    format!("service{service}"),
                    format!("prefix: /service{service}"),
                ),
            };
            let also = if route.also {
                format!(", {ALSO}")
            } else {
                String::new()
            };
            let _ = writeln!(
                yaml,
                "  - {{name: h{host}-{name}, hosts: [{}{also}], match: {{path: {{{path}}}}}, {}}}",
                HOSTS[*host],
                route.target.yaml()
            );
        }
        yaml
    }

    /// To one cluster, or to two by weight.
    fn forward(&self, rng: &mut Rng) -> Target {
        let names: Vec<_> = self.clusters.keys().collect();
        let weights = (0..=rng.usize(0..2)).map(|_| {
            let name = names[rng.usize(0..names.len())];
            (name.clone(), rng.u32(1..100))
        });
        Target::Clusters(weights.collect())
    }

    fn random_place(rng: &mut Rng, place: fn(usize) -> Place) -> (usize, Place) {
        (rng.usize(0..HOSTS.len()), place(rng.usize(0..SERVICES)))
    }

    /// Of two hosts, so that there is one route for each path of the one they share.
    fn put(&mut self, rng: &mut Rng, at: (usize, Place), target: Target) {
        let also = at.0 == 0 && rng.bool();
        self.routes.insert(at, Route { target, also });
    }

    /// Every host keeps a route that forwards. A host without one has no Listener for gRPC, and grpc-js-xds 1.14.1 never
    /// uses a Listener again that goes and comes back as it was: it keeps what it had parsed, and tells only what differs
    /// from that (`cachedResource` in its `xds-client.ts`).
    fn keep_hosts(&mut self, rng: &mut Rng) {
        for host in 0..HOSTS.len() {
            if !self.forwards(host).any(|_| true) {
                let target = self.forward(rng);
                self.put(rng, (host, Place::Service(0)), target);
            }
        }
        if !self.forwards(0).any(|route| route.also)
            && let Some(route) = self.forwards(0).next()
        {
            route.also = true;
        }
    }

    fn forwards(&mut self, of: usize) -> impl Iterator<Item = &mut Route> {
        let routes = self.routes.iter_mut();
        routes.filter_map(move |((host, _), route)| {
            let forwards = matches!(route.target, Target::Clusters(_));
            (*host == of && forwards).then_some(route)
        })
    }

    fn put_route(&mut self, rng: &mut Rng) -> &'static str {
        let target = self.forward(rng);
        let at = Self::random_place(rng, Place::Service);
        self.put(rng, at, target);
        "put a route"
    }

    /// A route gets or loses a host, and keeps the other.
    fn change_hosts(&mut self, rng: &mut Rng) -> &'static str {
        let of_first = self.routes.iter_mut().filter(|((host, _), _)| *host == 0);
        let mut of_first: Vec<_> = of_first.map(|(_, route)| route).collect();
        if of_first.is_empty() {
            return self.put_route(rng);
        }
        let index = rng.usize(0..of_first.len());
        of_first[index].also = !of_first[index].also;
        if of_first[index].also {
            "a route gets a host"
        } else {
            "a route loses a host"
        }
    }

    /// By the fast lane alone.
    fn move_endpoints(&mut self, rng: &mut Rng) -> &'static str {
        let of_api = self.clusters.values_mut().filter(|cluster| cluster.api);
        let mut of_api: Vec<_> = of_api.collect();
        if of_api.is_empty() {
            return self.replace_cluster(rng);
        }
        let index = rng.usize(0..of_api.len());
        of_api[index].upstreams = some_upstreams(rng);
        "move endpoints by the fast lane"
    }

    fn put_method(&mut self, rng: &mut Rng) -> &'static str {
        let target = if rng.u8(0..4) == 0 {
            Target::Respond
        } else {
            self.forward(rng)
        };
        let at = Self::random_place(rng, Place::Method);
        self.put(rng, at, target);
        "put a route before another"
    }

    fn delete_route(&mut self, rng: &mut Rng) -> &'static str {
        if self.routes.len() <= ROUTES_MIN {
            return self.put_route(rng);
        }
        let index = rng.usize(0..self.routes.len());
        let place = self.routes.keys().nth(index).copied();
        self.routes.retain(|at, _| Some(*at) != place);
        "delete a route"
    }

    fn some_cluster(&self, rng: &mut Rng) -> String {
        let index = rng.usize(0..self.clusters.len());
        let name = self.clusters.keys().nth(index);
        name.cloned().unwrap()
    }

    fn change_endpoints(&mut self, rng: &mut Rng) -> &'static str {
        let name = self.some_cluster(rng);
        self.clusters.get_mut(&name).unwrap().upstreams = some_upstreams(rng);
        "change endpoints"
    }

    fn change_settings(&mut self, rng: &mut Rng) -> &'static str {
        let name = self.some_cluster(rng);
        let cluster = self.clusters.get_mut(&name).unwrap();
        let upstreams = std::mem::take(&mut cluster.upstreams);
        *cluster = Cluster {
            api: cluster.api,
            upstreams,
            ..Cluster::random(rng)
        };
        "change a cluster's settings"
    }

    fn create_cluster(&mut self, rng: &mut Rng) -> String {
        self.created += 1;
        let name = format!("c{}", self.created);
        self.clusters.insert(name.clone(), Cluster::random(rng));
        name
    }

    fn add_cluster(&mut self, rng: &mut Rng) -> &'static str {
        if self.clusters.len() >= CLUSTERS_MAX {
            return self.delete_cluster(rng);
        }
        let name = self.create_cluster(rng);
        let at = Self::random_place(rng, Place::Service);
        self.put(rng, at, Target::Clusters(BTreeMap::from([(name, 1)])));
        "create a cluster and lead a route to it"
    }

    /// Its routes lead to another in the same revision.
    fn delete_cluster(&mut self, rng: &mut Rng) -> &'static str {
        if self.clusters.len() < 2 {
            return self.put_route(rng);
        }
        let gone = self.some_cluster(rng);
        self.clusters.remove(&gone);
        let heir = self.some_cluster(rng);
        self.inherit(&gone, &heir);
        "delete a cluster and lead its routes to another"
    }

    /// Another name, and everything that led to the old one leads to the new one.
    fn replace_cluster(&mut self, rng: &mut Rng) -> &'static str {
        let gone = self.some_cluster(rng);
        let heir = self.create_cluster(rng);
        self.clusters.remove(&gone);
        self.inherit(&gone, &heir);
        "replace a cluster"
    }

    fn inherit(&mut self, gone: &str, heir: &str) {
        for route in self.routes.values_mut() {
            if let Target::Clusters(weights) = &mut route.target
                && let Some(weight) = weights.remove(gone)
            {
                *weights.entry(heir.to_owned()).or_insert(0) += weight;
            }
        }
    }
}

impl Cluster {
    fn random(rng: &mut Rng) -> Self {
        let balancings = ["round_robin", "least_request", "random"];
        Self {
            api: rng.bool(),
            upstreams: some_upstreams(rng),
            balancing: balancings[rng.usize(0..balancings.len())],
            zone: rng.bool(),
            connect_timeout: rng.bool(),
        }
    }

    fn endpoints(&self, ports: &[u16]) -> String {
        let zone = if self.zone { ", zone: a" } else { "" };
        let endpoints = self
            .upstreams
            .iter()
            .map(|upstream| format!("{{address: 127.0.0.1, port: {}{zone}}}", ports[*upstream]));
        endpoints.collect::<Vec<_>>().join(", ")
    }

    fn yaml(&self, name: &str, ports: &[u16]) -> String {
        let timeout = if self.connect_timeout {
            ", connect_timeout: 3s"
        } else {
            ""
        };
        let from = if self.api {
            "discovery: api".to_owned()
        } else {
            format!("endpoints: [{}]", self.endpoints(ports))
        };
        format!(
            "{{name: {name}, load_balancing: {}{timeout}, {from}}}",
            self.balancing
        )
    }
}

impl Target {
    fn yaml(&self) -> String {
        match self {
            Self::Respond => "respond: {status: 200, body: local}".to_owned(),
            Self::Clusters(weights) => {
                let weights = weights
                    .iter()
                    .map(|(name, weight)| format!("{{name: {name}, weight: {weight}}}"));
                let weights = weights.collect::<Vec<_>>().join(", ");
                format!("forward: {{clusters: [{weights}]}}")
            }
        }
    }
}

/// The names of the upstreams that endpoints are taken from.
pub(crate) fn upstream_names() -> impl Iterator<Item = String> {
    (0..UPSTREAMS).map(upstream_name)
}

fn upstream_name(index: usize) -> String {
    format!("u{index}")
}

fn some_upstreams(rng: &mut Rng) -> BTreeSet<usize> {
    (0..=rng.usize(0..3))
        .map(|_| rng.usize(0..UPSTREAMS))
        .collect()
}
