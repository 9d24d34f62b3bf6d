//! What the tests of rollouts share: a fleet of proxies and Envoys on two control planes with one Postgres, traffic to all of
//! them, and an eye on which node serves what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use e2e::client::{self, Connection, Request};
use e2e::envoy::{Apart, Place};
use e2e::namespace::Namespace;
use e2e::ports;
use e2e::postgres::Postgres;
use e2e::programs::{ControlPlane, ControlPlaneSettings, Proxy, ProxySettings};
use e2e::upstream::Upstream;
use e2e::wait;
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::fleet::endpoints;

/// The route whose answer is the revision.
pub(crate) const REVISION: &str = "/revision";
const FLEET: &str = "/v1/fleets/default";
/// Between two requests of one client: the machine has other things to do.
const PAUSE: Duration = Duration::from_millis(20);
/// A debug build with many processes on a busy machine.
const SERVED_WITHIN: Duration = Duration::from_mins(1);

/// Who takes part.
pub(crate) struct Cast {
    pub(crate) proxies: usize,
    /// Stock Envoys, each in a network namespace of its own, the first by delta, the next by state of the world, and so on.
    pub(crate) envoys: usize,
    /// How often proxies report what requests fare.
    pub(crate) report_interval: &'static str,
}

impl Cast {
    /// So many proxies, which report every second.
    pub(crate) fn proxies(proxies: usize) -> Self {
        Self {
            proxies,
            envoys: 0,
            report_interval: "1s",
        }
    }
}

/// Everything that runs. The order is that of dropping: proxies first.
pub(crate) struct Stage {
    pub(crate) proxies: Vec<Proxy>,
    pub(crate) envoys: Vec<Apart>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) port: u16,
    pub(crate) control_planes: Vec<ControlPlane>,
    pub(crate) upstream: Upstream,
    #[allow(dead_code, reason = "it runs as long as the stage stands")]
    pub(crate) postgres: Postgres,
    /// The URL of the database.
    pub(crate) database: String,
    /// How many proxies have been started; each has an address of its own.
    started: usize,
    /// How often proxies report.
    report_interval: &'static str,
    /// What proxies log when a config goes live: the node, and its line.
    live: Arc<Mutex<Vec<(String, String)>>>,
}

/// One of the proxies or Envoys.
#[derive(Clone)]
pub(crate) struct Node {
    pub(crate) id: String,
    /// Where its listener is reached.
    pub(crate) listener: SocketAddr,
}

/// Requests to all nodes, until they are ended.
pub(crate) struct Traffic {
    ended: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Result<()>>>,
    counts: Arc<Counts>,
}

/// What became of requests.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Answered with 200.
    pub(crate) good: AtomicU64,
    /// Answered otherwise, which only a revision can be at fault for.
    pub(crate) bad: AtomicU64,
    /// The first bad answer, in microseconds since the traffic began; 0 if there was none.
    pub(crate) first_bad_us: AtomicU64,
    /// The ids of the nodes that answered so.
    pub(crate) bad_nodes: Mutex<BTreeSet<String>>,
    /// Of requests for `/revision`: when the last one was sent that a node (its id) answered so.
    pub(crate) answers: Mutex<BTreeMap<(String, String), SystemTime>>,
}

impl Stage {
    /// Nodes spread over zones a, b and c and over two control planes, all serving a first revision. `fleet` is what is said of
    /// the fleet afterwards. Where network namespaces are not permitted it goes without Envoys, and says so.
    pub(crate) async fn start(cast: &Cast, fleet: &Value) -> Result<Self> {
        let postgres = Postgres::start().await?;
        let url = postgres.database()?;
        let replica = || {
            let settings = ControlPlaneSettings::default().database(&url);
            settings.argument("--load-report-seconds=1").start()
        };
        let control_planes = vec![replica().await?, replica().await?];
        let upstream = Upstream::start("app").await?;
        let addresses: Vec<IpAddr> = (0..cast.proxies).map(bind).collect();
        let port = ports::free_port_on(&addresses)?;
        let mut stage = Self {
            proxies: Vec::new(),
            envoys: Vec::new(),
            nodes: Vec::new(),
            port,
            control_planes,
            upstream,
            postgres,
            database: url,
            started: 0,
            report_interval: cast.report_interval,
            live: Arc::default(),
        };
        let (_, first) = stage.commit(&stage.config("1", "/")).await?;
        for index in 0..cast.proxies {
            let node = format!("edge-{index:02}");
            stage.join(&node, index % 2).await?;
        }
        for proxy in &mut stage.proxies {
            proxy.wait_live().await?;
            stage.nodes.push(Node {
                id: proxy.node_id().to_owned(),
                listener: proxy.listener(port),
            });
        }
        let labels = json!({"kind": "envoy"});
        stage.add_envoys(cast.envoys, &labels).await?;
        stage.wait_served("1").await?;
        // What is committed while it is under way would wait for its end.
        stage
            .wait_for(&first, &["completed"], SERVED_WITHIN)
            .await?;
        stage.say_of_fleet(fleet).await?;
        Ok(stage)
    }

    /// Starts Envoys with these labels. Where network namespaces are not permitted there are none, and that is said.
    pub(crate) async fn add_envoys(&mut self, envoys: usize, labels: &Value) -> Result<()> {
        for index in 0..envoys {
            let namespace = match Namespace::new() {
                Ok(namespace) => namespace,
                Err(error) => {
                    println!("SKIPPED: no Envoys, for they need network namespaces: {error:#}");
                    return Ok(());
                }
            };
            let id = format!("envoy-{index}");
            let envoy = Apart::start(
                namespace,
                Place {
                    xds: self.control_planes[index % 2].xds(),
                    node: json!({
                        "id": id,
                        "cluster": "default",
                        "locality": {"zone": zone(index)},
                        "metadata": labels,
                    }),
                    api_type: ["DELTA_GRPC", "GRPC"][index % 2],
                    port: self.port,
                    upstream: self.upstream.address(),
                },
            );
            let envoy = envoy.await?;
            self.nodes.push(Node {
                id,
                listener: envoy.listener(),
            });
            self.envoys.push(envoy);
        }
        Ok(())
    }

    /// Starts one more proxy, at one of the control planes. Zones are given in turn.
    pub(crate) async fn join(&mut self, node: &str, replica: usize) -> Result<()> {
        self.join_as(node, replica, &[]).await
    }

    /// The same, with labels.
    pub(crate) async fn join_as(
        &mut self,
        node: &str,
        replica: usize,
        labels: &[(&str, &str)],
    ) -> Result<()> {
        let index = self.started;
        self.started += 1;
        let (live, id) = (self.live.clone(), node.to_owned());
        let on_line = move |line: &str| {
            if line.contains("a config goes live") {
                live.lock().unwrap().push((id.clone(), line.to_owned()));
            }
        };
        let mut settings = ProxySettings::new(node, self.control_planes[replica].xds())
            .on_line(Arc::new(on_line))
            .bind(bind(index))
            .workers(1)
            .zone(zone(index))
            .arguments(["--report-interval", self.report_interval]);
        for (key, value) in labels {
            settings = settings.label(key, value);
        }
        self.proxies.push(settings.start().await?);
        Ok(())
    }

    /// When a revision went live at each proxy where it did, in seconds since midnight by the proxies' logs, from the first.
    pub(crate) fn went_live(&self, revision: u64) -> Result<Vec<(String, f64)>> {
        let live = self.live.lock().unwrap();
        let number = format!("revision={revision}");
        let of_revision = live
            .iter()
            .filter(|(_, line)| line.split_whitespace().any(|word| word == number));
        let times = of_revision.map(|(node, line)| {
            let stamp = line.split_whitespace().next().unwrap_or_default();
            anyhow::Ok((node.clone(), seconds(stamp)?))
        });
        let mut times = times.collect::<Result<Vec<_>>>()?;
        times.sort_by(|one, other| one.1.total_cmp(&other.1));
        Ok(times)
    }

    /// From here on the nodes are the proxies that run now: some have come, and some have gone.
    pub(crate) fn count_anew(&mut self) {
        let nodes = self.proxies.iter().map(|proxy| Node {
            id: proxy.node_id().to_owned(),
            listener: proxy.listener(self.port),
        });
        self.nodes = nodes.collect();
    }

    /// A config whose answer to `/revision` is `text`, and whose `/app` goes to the upstream with its path rewritten.
    pub(crate) fn config(&self, text: &str, rewrite: &str) -> String {
        let (port, endpoints) = (self.port, endpoints(&[&self.upstream]));
        format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters: [{{name: app, endpoints: {endpoints}}}]
routes:
- {{name: revision, match: {{path: {{exact: /revision}}}}, respond: {{status: 200, body: '{text}'}}}}
- {{name: app, match: {{path: {{prefix: /app}}}}, rewrite: {{path_prefix: {rewrite}}}, forward: {{cluster: app}}}}"
        )
    }

    /// Stores a config; its revision and the rollout that takes it to the nodes.
    pub(crate) async fn commit(&self, config: &str) -> Result<(u64, String)> {
        let answer = self.control_planes[0].apply(config).await?.json()?;
        let revision = answer["revision"].as_u64().context("a revision")?;
        let rollout = answer["delivery"]["rollout"].as_str().unwrap_or_default();
        Ok((revision, rollout.to_owned()))
    }

    /// Changes the settings of the fleet.
    pub(crate) async fn say_of_fleet(&self, settings: &Value) -> Result<()> {
        let request = Request::put(FLEET).json(settings).if_match_any();
        self.control_planes[0].send(request).await?.success()?;
        Ok(())
    }

    /// A rollout, as one of the replicas tells it.
    pub(crate) async fn rollout(&self, replica: usize, id: &str) -> Result<Value> {
        let target = format!("{FLEET}/rollouts/{id}");
        self.control_planes[replica].get(&target).await
    }

    /// Waits until the store knows that a node is connected: what it is told of nodes comes in batches.
    pub(crate) async fn wait_known(&self, node: &str) -> Result<()> {
        let target = format!("{FLEET}/nodes/{node}");
        wait::until("the node is known", SERVED_WITHIN, async || {
            let known = self.control_planes[0].get(&target).await;
            let known = known.map_err(|error| format!("{error:#}"))?;
            let connected = known["connected"] == true;
            connected.then_some(()).ok_or_else(|| known.to_string())
        })
        .await
    }

    /// Waits until a rollout is in one of these states.
    pub(crate) async fn wait_for(
        &self,
        id: &str,
        states: &[&str],
        within: Duration,
    ) -> Result<Value> {
        wait::until("the rollout is so far", within, async || {
            let rollout = self
                .rollout(1, id)
                .await
                .map_err(|error| format!("{error:#}"))?;
            let state = rollout["state"].as_str().unwrap_or_default();
            if states.contains(&state) {
                Ok(rollout)
            } else {
                Err(format!("{state}: {}", rollout["verdicts"]))
            }
        })
        .await
    }

    /// Waits until a rollout is in this state of this wave.
    pub(crate) async fn reach(&self, id: &str, state: &str, wave: u64) -> Result<()> {
        wait::until("the rollout is so far", SERVED_WITHIN, async || {
            let rollout = self.rollout(1, id).await;
            let rollout = rollout.map_err(|error| format!("{error:#}"))?;
            let there = rollout["state"] == state && rollout["wave"] == wave;
            there.then_some(()).ok_or(format!("{rollout:#}"))
        })
        .await
    }

    /// Says an operator's word to a rollout, at one of the replicas.
    pub(crate) async fn order(&self, replica: usize, id: &str, verb: &str) -> Result<()> {
        let target = format!("{FLEET}/rollouts/{id}:{verb}");
        let answer = self.control_planes[replica]
            .send(Request::post(target))
            .await?;
        answer.success()?;
        Ok(())
    }

    /// What each node answers for `/revision`.
    pub(crate) async fn served(&self) -> Result<Vec<String>> {
        let asked = self.nodes.iter().map(|node| async {
            let answer = client::send(node.listener, Request::get(REVISION)).await;
            anyhow::Ok(answer.with_context(|| format!("at {}", node.id))?.text())
        });
        try_join_all(asked).await
    }

    /// Waits until all nodes answer with this.
    pub(crate) async fn wait_served(&self, text: &str) -> Result<()> {
        wait::until("all nodes serve it", SERVED_WITHIN, async || {
            let served = self.served().await.map_err(|error| format!("{error:#}"))?;
            if served.iter().all(|served| served == text) {
                Ok(())
            } else {
                Err(served.join(" "))
            }
        })
        .await
    }

    /// Sends requests to all nodes, one client each, until it is ended.
    pub(crate) fn traffic(&self, target: &'static str) -> Traffic {
        let (ended, counts) = (Arc::new(AtomicBool::new(false)), Arc::<Counts>::default());
        let began = Instant::now();
        let clients = self.nodes.iter().map(|node| {
            let (ended, counts) = (ended.clone(), counts.clone());
            let node = node.clone();
            tokio::spawn(async move {
                let mut connection = Connection::open(node.listener).await?;
                while !ended.load(Ordering::Relaxed) {
                    let sent = SystemTime::now();
                    let answer = connection.send(Request::get(target)).await;
                    let answer =
                        answer.with_context(|| format!("a request to {} failed", node.id))?;
                    if target == REVISION {
                        let key = (node.id.clone(), answer.text());
                        counts.answers.lock().unwrap().insert(key, sent);
                    }
                    if answer.status == 200 {
                        counts.good.fetch_add(1, Ordering::Relaxed);
                    } else {
                        counts.bad.fetch_add(1, Ordering::Relaxed);
                        let nodes = &counts.bad_nodes;
                        nodes.lock().unwrap().insert(node.id.clone());
                        let us = u64::try_from(began.elapsed().as_micros())?;
                        let first = &counts.first_bad_us;
                        let _ = first.compare_exchange(0, us, Ordering::Relaxed, Ordering::Relaxed);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Ok(())
            })
        });
        Traffic {
            clients: clients.collect(),
            ended,
            counts,
        }
    }
}

impl Traffic {
    /// What became of the requests so far.
    pub(crate) fn counts(&self) -> &Counts {
        &self.counts
    }

    /// Ends it. A request without an answer is an error.
    pub(crate) async fn end(self) -> Result<Arc<Counts>> {
        self.ended.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await??;
        }
        ensure!(
            self.counts.good.load(Ordering::Relaxed) > 0,
            "no request was sent"
        );
        Ok(self.counts)
    }
}

/// The waves of `canary-then-all`, with bakes for people who do not want to wait.
pub(crate) fn quick_canary() -> Value {
    json!({
        "waves": [
            {"name": "canary", "count": 1, "bake": "2s", "min_nodes": 1, "min_requests": 20},
            {"percent": 10, "bake": "2s", "min_nodes": 1, "min_requests": 20},
            {"percent": 50, "bake": "2s", "min_nodes": 1, "min_requests": 20},
            {"percent": 100, "bake": "1s", "min_nodes": 1, "min_requests": 20},
        ],
        "gates": {"health": {
            "min_requests": 20,
            "max_error_ratio": 0.05,
            "compare": {"error_ratio": 0.02, "no_route_ratio": 0.02},
        }},
    })
}

/// A fleet that moves by [`quick_canary`].
pub(crate) fn quick_canary_fleet() -> Value {
    json!({"rollout": {"strategy": "quick"}, "strategies": {"quick": quick_canary()}})
}

/// Seconds since midnight of a time as it is written in answers and logs: no test runs over it for long.
pub(crate) fn seconds(at: &str) -> Result<f64> {
    let (_, time) = at.split_once('T').context("a time of day")?;
    let mut parts = time.trim_end_matches('Z').split(':').map(str::parse::<f64>);
    let mut next = || anyhow::Ok(parts.next().context("a part")??);
    Ok(next()? * 3600.0 + next()? * 60.0 + next()?)
}

fn zone(index: usize) -> &'static str {
    ["a", "b", "c"][index % 3]
}

fn bind(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 1, 1 + index as u8))
}
