//! A config that is edited at random and stays valid, and what a request is answered with under it. Pure: a seeded source of
//! chance goes in. What is expected is worked out here, from the rules that the API states, not from the code under test.
//!
//! Paths are such that a gRPC call can have them: a service is a prefix of one segment, a method the segment below.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use fastrand::Rng;

pub(crate) const HOSTS: [&str; 2] = ["one.example", "two.example"];
const SERVICES: usize = 4;
const UPSTREAMS: usize = 4;
const CLUSTERS_MAX: usize = 6;
const ROUTES_MIN: usize = 4;

/// Something that is asked: a host and a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Probe {
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
}

/// A valid config.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    clusters: BTreeMap<String, Cluster>,
    routes: BTreeMap<(usize, Place), Target>,
    trusted_hops: u32,
    created: usize,
}

#[derive(Clone, Debug)]
struct Cluster {
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
enum Target {
    Clusters(BTreeMap<String, u32>),
    Respond,
}

/// Everything that is asked, whether there is a route for it or not.
pub(crate) fn probes() -> Vec<Probe> {
    let paths = (0..SERVICES)
        .flat_map(|service| ["get", "put"].map(|method| format!("/service{service}/{method}")));
    let paths: Vec<_> = paths.collect();
    let of_host = |host: &str| {
        let probe = |path: &String| Probe {
            host: host.to_owned(),
            path: path.clone(),
        };
        paths.iter().map(probe).collect::<Vec<_>>()
    };
    HOSTS.iter().flat_map(|host| of_host(host)).collect()
}

impl Model {
    pub(crate) fn new(rng: &mut Rng) -> Self {
        let mut model = Self {
            clusters: BTreeMap::new(),
            routes: BTreeMap::new(),
            trusted_hops: 0,
            created: 0,
        };
        for _ in 0..3 {
            model.create_cluster(rng);
        }
        for host in 0..HOSTS.len() {
            for service in 0..SERVICES {
                let target = model.forward(rng);
                model.routes.insert((host, Place::Service(service)), target);
            }
        }
        model
    }

    /// The next config, and what was done.
    pub(crate) fn edit(&mut self, rng: &mut Rng) -> &'static str {
        match rng.u8(0..11) {
            0 | 1 => self.put_route(rng),
            2 => self.put_method(rng),
            3 => self.delete_route(rng),
            4 | 5 => self.change_endpoints(rng),
            6 => self.change_settings(rng),
            7 => self.add_cluster(rng),
            8 => self.delete_cluster(rng),
            9 => self.replace_cluster(rng),
            _ => {
                self.trusted_hops = 1 - self.trusted_hops;
                "change the listener"
            }
        }
    }

    /// What a probe is answered with.
    pub(crate) fn answer(&self, probe: &Probe) -> Answer {
        let Some(host) = HOSTS.iter().position(|host| *host == probe.host) else {
            return Answer::Nothing;
        };
        let find = |service| {
            let exact = (host, Place::Method(service));
            let exact = probe
                .path
                .ends_with("/get")
                .then(|| self.routes.get(&exact));
            exact
                .flatten()
                .or_else(|| self.routes.get(&(host, Place::Service(service))))
        };
        let service =
            (0..SERVICES).find(|service| probe.path.starts_with(&format!("/service{service}/")));
        match service.and_then(find) {
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

    /// The document.
    pub(crate) fn yaml(&self, port: u16, upstream_ports: &[u16]) -> String {
        let mut yaml = format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}, trusted_hops: {}}}]\nclusters:\n",
            self.trusted_hops
        );
        for (name, cluster) in &self.clusters {
            let _ = writeln!(yaml, "  - {}", cluster.yaml(name, upstream_ports));
        }
        yaml.push_str("routes:\n");
        for ((host, place), target) in &self.routes {
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
            let _ = writeln!(
                yaml,
                "  - {{name: h{host}-{name}, hosts: [{}], match: {{path: {{{path}}}}}, {}}}",
                HOSTS[*host],
                target.yaml()
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

    fn put_route(&mut self, rng: &mut Rng) -> &'static str {
        let target = self.forward(rng);
        self.routes
            .insert(Self::random_place(rng, Place::Service), target);
        "put a route"
    }

    fn put_method(&mut self, rng: &mut Rng) -> &'static str {
        let target = if rng.u8(0..4) == 0 {
            Target::Respond
        } else {
            self.forward(rng)
        };
        self.routes
            .insert(Self::random_place(rng, Place::Method), target);
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
        let place = Self::random_place(rng, Place::Service);
        self.routes
            .insert(place, Target::Clusters(BTreeMap::from([(name, 1)])));
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
        for target in self.routes.values_mut() {
            if let Target::Clusters(weights) = target
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
            upstreams: some_upstreams(rng),
            balancing: balancings[rng.usize(0..balancings.len())],
            zone: rng.bool(),
            connect_timeout: rng.bool(),
        }
    }

    fn yaml(&self, name: &str, ports: &[u16]) -> String {
        let zone = if self.zone { ", zone: a" } else { "" };
        let timeout = if self.connect_timeout {
            ", connect_timeout: 3s"
        } else {
            ""
        };
        let endpoints = self
            .upstreams
            .iter()
            .map(|upstream| format!("{{address: 127.0.0.1, port: {}{zone}}}", ports[*upstream]));
        let endpoints = endpoints.collect::<Vec<_>>().join(", ");
        format!(
            "{{name: {name}, load_balancing: {}{timeout}, endpoints: [{endpoints}]}}",
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
