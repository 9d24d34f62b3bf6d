mod fast_lane;
mod foreign;
mod leases;
mod staging;
mod targets;
mod walk;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::Duration as ProtoDuration;
use prost::Message;
use xds::config::Config;
use xds::problem::Code;
use xds::resource::Resource;
use xds::type_url::ResourceType;

use super::*;

const PATIENCE: Duration = Duration::from_secs(15);

/// Remembers what it was told: how many clusters each config has is enough to tell them apart.
#[derive(Debug, Default)]
struct Recorder {
    staged: Vec<usize>,
    active: Vec<usize>,
    refreshed: Vec<usize>,
    /// The addresses of the live config whenever its names came to stand for others.
    readdressed: Vec<Vec<String>>,
    renumbered: Vec<u64>,
    refuse: bool,
    /// How often what was staged was forgotten without going live.
    unstaged: usize,
    /// What is live, and what a restart would find: what it is to serve, and what it is not to take again.
    live: Option<Held>,
    kept: Option<Held>,
    marked: Option<Assigned>,
    /// What was left, and what was live then.
    ran_out: Vec<(Assigned, u64)>,
}

impl Recorder {
    fn keep(&mut self, held: &Held, lasting: bool) {
        self.live = Some(held.clone());
        if lasting {
            self.kept.clone_from(&self.live);
        }
    }
}

impl Switch for Recorder {
    fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem> {
        if self.refuse {
            let detail = "the port is taken".to_owned();
            return vec![Problem {
                resource: None,
                path: "address".into(),
                code: Code::Invalid,
                detail,
            }];
        }
        self.staged.push(config.clusters.len());
        Vec::new()
    }

    fn unstage(&mut self) {
        self.unstaged += 1;
    }

    fn activate(&mut self, held: &Held, lasting: bool) {
        self.active.push(held.config.clusters.len());
        self.keep(held, lasting);
    }

    fn refresh(&mut self, held: &Held, lasting: bool) {
        self.refreshed.push(held.config.clusters.len());
        self.keep(held, lasting);
    }

    fn readdress(&mut self, held: &Held) {
        self.readdressed.push(addresses(&held.config));
    }

    fn renumber(&mut self, held: &Held, lasting: bool) {
        self.renumbered.push(held.revision);
        self.keep(held, lasting);
    }

    fn confirm(&mut self) {
        self.kept.clone_from(&self.live);
    }

    fn mark(&mut self, left: Option<Assigned>) {
        self.marked = left;
    }

    fn lease_has_run_out(&mut self, left: Assigned, live_revision: u64) {
        self.ran_out.push((left, live_revision));
    }
}

fn cluster(name: usize) -> Arc<Resource> {
    let connect_timeout = Some(ProtoDuration {
        seconds: 1,
        nanos: 0,
    });
    let message = Cluster {
        name: format!("c{name}"),
        connect_timeout,
        ..Default::default()
    };
    Arc::new(Resource::decode(ResourceType::Cluster, message.encode_to_vec().into(), None).unwrap())
}

/// A wire set with this many clusters.
fn wire_set(clusters: usize) -> Snapshot {
    (0..clusters).map(cluster).collect()
}

fn target(assignment: u64, phase: Phase, set: &Snapshot) -> Target {
    Target {
        assignment,
        revision: assignment,
        phase,
        lease: None,
        sums: set.revision_sums(),
    }
}

fn ours() -> Delivery<Recorder> {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None, None);
    delivery.is_ours();
    delivery
}

fn now() -> Instant {
    Instant::now()
}

fn listener_without_routes() -> Arc<Resource> {
    let listener = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": 1}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "rds": {"route_config_name": "nowhere", "config_source": {"ads": {}, "resource_api_version": "V3"}},
            "http_filters": [{"name": "router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}],
        }}]}],
    });
    let (_, bytes) = proto::json::from_json(&listener).unwrap();
    Arc::new(Resource::decode(ResourceType::Listener, bytes.into(), None).unwrap())
}

fn of_json(ty: ResourceType, json: &serde_json::Value) -> Arc<Resource> {
    let (_, bytes) = proto::json::from_json(json).unwrap();
    Arc::new(Resource::decode(ty, bytes.into(), None).unwrap())
}

fn addresses(config: &Config) -> Vec<String> {
    let endpoints = config
        .clusters
        .values()
        .filter_map(|served| served.endpoints.as_ref());
    endpoints
        .flat_map(|assignment| &assignment.endpoints)
        .map(|endpoint| endpoint.address.to_string())
        .collect()
}

/// A wire set with a cluster whose endpoints come by EDS, with or without them.
fn by_eds(with_endpoints: bool) -> Snapshot {
    let cluster = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "c",
        "type": "EDS",
        "eds_cluster_config": {"eds_config": {"ads": {}, "resource_api_version": "V3"}},
    });
    let endpoints = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "c",
    });
    let endpoints = of_json(ResourceType::ClusterLoadAssignment, &endpoints);
    let cluster = of_json(ResourceType::Cluster, &cluster);
    [cluster]
        .into_iter()
        .chain(with_endpoints.then_some(endpoints))
        .collect()
}

/// A wire set with one cluster whose endpoint is found by this name.
fn named(name: &str) -> Snapshot {
    let socket = serde_json::json!({"address": name, "port_value": 80});
    let cluster = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "STRICT_DNS",
        "load_assignment": {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}]},
    });
    let (_, bytes) = proto::json::from_json(&cluster).unwrap();
    let resource = Resource::decode(ResourceType::Cluster, bytes.into(), None).unwrap();
    [Arc::new(resource)].into_iter().collect()
}

/// The same answer for every name that delivery asks for.
fn answers(delivery: &Delivery<Recorder>, addresses: &[[u8; 4]]) -> Arc<Answers> {
    let answer = crate::dns::Answer {
        addresses: addresses.iter().map(|address| (*address).into()).collect(),
        failure: None,
    };
    let queries = delivery.queries();
    Arc::new(
        queries
            .map(|query| (query.clone(), answer.clone()))
            .collect(),
    )
}

/// The endpoints of the cluster of [`by_eds`].
fn endpoints(addresses: &[&str]) -> Arc<Resource> {
    let endpoint = |address: &&str| serde_json::json!({"endpoint": {"address": {"socket_address": {"address": address, "port_value": 80}}}});
    let endpoints: Vec<_> = addresses.iter().map(endpoint).collect();
    let assignment = serde_json::json!({
        "@type": "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
        "cluster_name": "c",
        "endpoints": [{"lb_endpoints": endpoints}],
    });
    of_json(ResourceType::ClusterLoadAssignment, &assignment)
}
