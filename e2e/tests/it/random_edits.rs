//! 200 random valid edits under light load, and every kind of client at once: our proxy, Envoy by both variants of ADS,
//! programs with each of gRPC's own clients. Listeners, hosts, routes, clusters and endpoints are edited, these in the config
//! and by the fast lane. Whatever has a route before and after an edit is answered by an upstream of one of the two; it
//! never fails. `RANDOM_EDITS_SEED` repeats a run; the seed is printed.

mod edits;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};
use e2e::client::{self, Request};
use e2e::envoy::Envoy;
use e2e::grpc::{Call, GrpcClient, Language};
use e2e::programs::{ControlPlane, Proxy};
use e2e::upstream::Upstream;
use e2e::wait;
use fastrand::Rng;
use futures_util::future::try_join_all;
use http::StatusCode;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::edits::{Answer, LISTENERS, Model, Probe, probes, upstream_names};
use crate::fleet::Fleet;

const EDITS: usize = 200;
/// Between two edits: all of it in about 40 s.
const BETWEEN_EDITS: Duration = Duration::from_millis(170);
/// 40 requests a second at each client.
const BETWEEN_REQUESTS: Duration = Duration::from_millis(25);
/// How long after the 2xx a client may still answer by the config before.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(3);
/// Every so many edits nothing is edited until every client answers every probe by the newest config.
const BETWEEN_PAUSES: usize = 40;
const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// Fewer forwarded answers than this show nothing.
const ANSWERS_MIN: usize = 200;
const GRPC: [(&str, Language); 2] = [
    ("gRPC for Python", Language::Python),
    ("gRPC for JavaScript", Language::JavaScript),
];
const HTTP: [&str; 3] = [
    "envoy by delta",
    "envoy by the state of the world",
    "signalbox-proxy",
];

/// One answer that a client got.
#[derive(Debug)]
struct Seen {
    client: &'static str,
    probe: Probe,
    start: SystemTime,
    end: SystemTime,
    outcome: Outcome,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    Upstream(String),
    Local,
    /// 404 from the proxy itself.
    Nothing,
    Failed(String),
    /// No HTTP came back.
    Unreachable(String),
}

/// The configs there have been, each with the time at which its writing began.
#[derive(Default)]
struct History(Vec<(SystemTime, &'static str, Model)>);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_client_is_answered_rightly_through_200_random_edits() -> Result<()> {
    let seed = match std::env::var("RANDOM_EDITS_SEED") {
        Ok(seed) => seed.parse().context("RANDOM_EDITS_SEED is a number")?,
        Err(_) => fastrand::u64(..),
    };
    println!("RANDOM_EDITS_SEED={seed}");
    let mut rng = Rng::with_seed(seed);
    let names: Vec<_> = upstream_names().collect();
    let upstreams = try_join_all(names.iter().map(|name| Upstream::start(name))).await?;
    let stage = Stage {
        sites: try_join_all(HTTP.map(|_| Site::start())).await?,
        upstream_ports: upstreams.iter().map(Upstream::port).collect(),
    };
    let mut model = Model::new(&mut rng);
    let mut history = History::default();
    let mut lane = BTreeMap::new();
    stage.apply(&model, &mut lane).await?;
    history.add("the first config", &model);

    let clients = Clients::start(&stage).await?;
    clients.settle(&model).await?;
    clients.take_calls();
    let stop = CancellationToken::new();
    let askers = clients.ask(&stop);
    let start = Instant::now();
    let mut rhythm = interval(BETWEEN_EDITS);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for edit in 1..=EDITS {
        rhythm.tick().await;
        let what = model.edit(&mut rng);
        history.add(what, &model);
        stage.apply(&model, &mut lane).await?;
        if edit % BETWEEN_PAUSES == 0
            && let Err(error) = clients.settle(&model).await
        {
            let rollouts = stage.rollouts().await?;
            return Err(error.context(format!(
                "after edit {edit} ({what}), RANDOM_EDITS_SEED={seed}; {rollouts}"
            )));
        }
    }
    let took = start.elapsed();
    stop.cancel();
    let mut seen = clients.take_calls();
    for asker in askers {
        seen.extend(asker.await?);
    }
    println!("{EDITS} edits in {took:.1?}");
    history
        .judge(&seen)
        .with_context(|| format!("RANDOM_EDITS_SEED={seed}"))
}

/// A control plane and the ports of its listeners. Two proxies that listen on every address cannot have one port between
/// them, so each has a control plane of its own, all with one config.
struct Site {
    control_plane: ControlPlane,
    ports: [u16; LISTENERS.len()],
}

struct Stage {
    /// One for each of [`HTTP`]; the programs without a proxy are at the last.
    sites: Vec<Site>,
    upstream_ports: Vec<u16>,
}

impl Site {
    async fn start() -> Result<Self> {
        Ok(Self {
            control_plane: ControlPlane::start().await?,
            ports: [Fleet::port()?, Fleet::port()?],
        })
    }

    fn xds(&self) -> SocketAddr {
        self.control_plane.xds()
    }
}

impl Stage {
    /// How the newest rollout of each control plane stands, for whoever looks for a fault.
    async fn rollouts(&self) -> Result<String> {
        let asked = self.sites.iter().map(|site| async {
            let latest = "/v1/fleets/default/rollouts/latest";
            let rollout = site.control_plane.get(latest).await?;
            let told = ["from", "to", "state", "outcome", "verdicts", "nodes"];
            let told = told.map(|field| format!("{field}: {}", rollout[field]));
            anyhow::Ok(told.join(", "))
        });
        Ok(try_join_all(asked).await?.join("\n"))
    }

    /// Writes what is not as it was written last: endpoints first, so that a new cluster has them from its first moment.
    async fn apply(&self, model: &Model, lane: &mut BTreeMap<String, String>) -> Result<()> {
        let mut next = model.fast_lane(&self.upstream_ports);
        for site in &self.sites {
            for (cluster, endpoints) in &next {
                if lane.get(cluster) != Some(endpoints) {
                    site.put_endpoints(cluster, endpoints).await?;
                }
            }
            let yaml = model.yaml(site.ports, &self.upstream_ports);
            let applied = site.control_plane.apply_and_prune(&yaml).await;
            applied.with_context(|| yaml)?;
        }
        lane.append(&mut next);
        Ok(())
    }
}

impl Site {
    async fn put_endpoints(&self, cluster: &str, endpoints: &str) -> Result<()> {
        let request =
            Request::put(format!("/v1/fleets/default/endpoints/{cluster}")).yaml(endpoints);
        let mut answer = self.control_plane.send(request.clone()).await?;
        if answer.status == StatusCode::PRECONDITION_REQUIRED {
            answer = self.control_plane.send(request.if_match_any()).await?;
        }
        answer.success().map(drop)
    }
}

/// Every kind there is.
struct Clients {
    delta: Envoy,
    sotw: Envoy,
    proxy: Proxy,
    grpc: Vec<(&'static str, GrpcClient)>,
    http: [(&'static str, [SocketAddr; LISTENERS.len()]); HTTP.len()],
}

impl Clients {
    async fn start(stage: &Stage) -> Result<Self> {
        let [first, second, third] = &stage.sites[..] else {
            bail!("there is a site for each");
        };
        let delta = Envoy::start(first.xds(), "default", "envoy-delta").await?;
        let sotw = Envoy::start_sotw(second.xds(), "default", "envoy-sotw").await?;
        let mut proxy = Fleet::proxy(0, third.xds()).start().await?;
        proxy.wait_live().await?;
        let targets: Vec<_> = calls().map(|probe| (probe.host, probe.path)).collect();
        let grpc = GRPC.into_iter().map(|(name, language)| {
            let (xds, pause) = (third.xds(), BETWEEN_REQUESTS);
            let client = GrpcClient::start(language, xds, "default", name, &targets, pause)?;
            Ok((name, client))
        });
        let grpc = grpc.collect::<Result<_>>()?;
        let envoy = |site: &Site| {
            let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            site.ports.map(at)
        };
        let http = [
            (HTTP[0], envoy(first)),
            (HTTP[1], envoy(second)),
            (HTTP[2], third.ports.map(|port| proxy.listener(port))),
        ];
        Ok(Self {
            delta,
            sotw,
            proxy,
            grpc,
            http,
        })
    }

    /// Each HTTP client is asked one probe after the other in a steady rhythm.
    fn ask(&self, stop: &CancellationToken) -> Vec<JoinHandle<Vec<Seen>>> {
        let askers = self.http.iter().map(|&(client, addresses)| {
            let stop = stop.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut rhythm = interval(BETWEEN_REQUESTS);
                rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
                for probe in probes().into_iter().cycle() {
                    if stop.run_until_cancelled(rhythm.tick()).await.is_none() {
                        break;
                    }
                    seen.push(ask(client, addresses, probe).await);
                }
                seen
            })
        });
        askers.collect()
    }

    /// What the gRPC clients have seen since they were asked last.
    fn take_calls(&self) -> Vec<Seen> {
        let calls = self.grpc.iter().flat_map(|(name, client)| {
            let calls = client.take_calls().into_iter();
            calls.map(|call| Seen::of_call(name, call))
        });
        calls.collect()
    }

    /// Waits until every client answers every probe as this config says, and none has refused anything.
    async fn settle(&self, model: &Model) -> Result<()> {
        for (client, addresses) in self.http {
            for probe in probes() {
                let wanted = model.answer(&probe);
                wait::until(client, SETTLED_WITHIN, async || {
                    let seen = ask(client, addresses, probe.clone()).await;
                    if seen.outcome.is(&wanted) {
                        Ok(())
                    } else {
                        Err(format!("{probe:?}: {:?}, not {wanted:?}", seen.outcome))
                    }
                })
                .await?;
            }
        }
        for (name, client) in &self.grpc {
            for probe in calls() {
                let wanted = model.answer_without_a_proxy(&probe);
                let target = (probe.host.as_str(), probe.path.as_str());
                client
                    .wait_for(target, SETTLED_WITHIN, |outcome| {
                        Outcome::from(outcome.clone()).is(&wanted)
                    })
                    .await
                    .with_context(|| format!("{name}: {probe:?}: not {wanted:?}"))?;
            }
        }
        for envoy in [&self.delta, &self.sotw] {
            ensure!(envoy.rejected().await? == 0, "an Envoy refused something");
        }
        ensure!(self.proxy.ready().await?, "the proxy is not ready");
        Ok(())
    }
}

/// What a program without a proxy can ask: it has no listener.
fn calls() -> impl Iterator<Item = Probe> {
    probes().into_iter().filter(|probe| probe.listener == 0)
}

async fn ask(client: &'static str, addresses: [SocketAddr; LISTENERS.len()], probe: Probe) -> Seen {
    let (start, address) = (SystemTime::now(), addresses[probe.listener]);
    let request = Request::get(probe.path.clone()).host(probe.host.clone());
    let outcome = match client::send(address, request).await {
        Ok(answer) => match (answer.status.as_u16(), answer.header("x-upstream")) {
            (200, Some(upstream)) => Outcome::Upstream(upstream.to_owned()),
            (200, None) => Outcome::Local,
            (404, None) => Outcome::Nothing,
            _ => Outcome::Failed(format!("{}: {}", answer.status, answer.text())),
        },
        Err(error) => Outcome::Unreachable(format!("{error:#}")),
    };
    Seen {
        client,
        probe,
        start,
        end: SystemTime::now(),
        outcome,
    }
}

impl Seen {
    fn of_call(client: &'static str, call: Call) -> Self {
        Self {
            client,
            probe: Probe {
                listener: 0,
                host: call.host,
                path: call.path,
            },
            start: call.start,
            end: call.end,
            outcome: call.outcome.into(),
        }
    }
}

impl From<Result<String, String>> for Outcome {
    fn from(outcome: Result<String, String>) -> Self {
        match outcome {
            Ok(upstream) => Self::Upstream(upstream),
            Err(failure) => Self::Failed(failure),
        }
    }
}

impl Outcome {
    fn is(&self, wanted: &Answer) -> bool {
        match (self, wanted) {
            (Self::Upstream(name), Answer::From(names)) => names.contains(name),
            // Stock Envoy drains a listener that goes with the routes it had then. One that comes back in that time begins
            // with them, and their clusters may be gone.
            (Self::Local, Answer::Local)
            | (Self::Nothing, Answer::Nothing)
            | (Self::Unreachable(_) | Self::Failed(_), Answer::Closed) => true,
            // A gRPC client says in one way that nobody answers.
            (Self::Failed(failure), Answer::Unavailable) => failure.starts_with("UNAVAILABLE"),
            _ => false,
        }
    }
}

impl History {
    fn add(&mut self, what: &'static str, model: &Model) {
        self.0.push((SystemTime::now(), what, model.clone()));
    }

    /// The configs that may have been in force at some time between these two.
    fn between(&self, start: SystemTime, end: SystemTime) -> &[(SystemTime, &'static str, Model)] {
        let last = self.0.partition_point(|(begin, ..)| *begin <= end);
        let followed = start - FOLLOWED_WITHIN;
        let first = self.0.partition_point(|(begin, ..)| *begin <= followed);
        &self.0[first.saturating_sub(1)..last]
    }

    fn judge(&self, seen: &[Seen]) -> Result<()> {
        let mut faults = Vec::new();
        for seen in seen {
            let configs = self.between(seen.start, seen.end);
            let wanted = configs.iter().map(|(_, _, model)| {
                if HTTP.contains(&seen.client) {
                    model.answer(&seen.probe)
                } else {
                    model.answer_without_a_proxy(&seen.probe)
                }
            });
            let wanted: Vec<_> = wanted.collect();
            if !wanted.iter().any(|wanted| seen.outcome.is(wanted)) {
                let edits = configs.iter().map(|(_, what, _)| what);
                let edits: Vec<_> = edits.collect();
                faults.push(format!("{seen:?}\n  wanted {wanted:?}\n  edits {edits:?}"));
            }
        }
        for client in HTTP.into_iter().chain(GRPC.map(|(name, _)| name)) {
            let of_client = seen.iter().filter(|seen| seen.client == client);
            let forwarded = of_client
                .clone()
                .filter(|seen| matches!(seen.outcome, Outcome::Upstream(_)));
            let (asked, forwarded) = (of_client.count(), forwarded.count());
            println!("{client}: {asked} requests, {forwarded} forwarded");
            ensure!(forwarded >= ANSWERS_MIN, "{client} was hardly asked");
        }
        ensure!(
            faults.is_empty(),
            "{} of {} answers are wrong:\n{}",
            faults.len(),
            seen.len(),
            faults[..faults.len().min(10)].join("\n")
        );
        Ok(())
    }
}
