//! 200 random valid edits under light load, and every kind of client at once: our proxy, Envoy by both variants of ADS, a
//! gRPC program without a proxy. Whatever has a route before and after an edit is answered by an upstream of one of the two;
//! it never fails. `RANDOM_EDITS_SEED` repeats a run; the seed is printed.

mod edits;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use e2e::client::{self, Request};
use e2e::envoy::{Ads, Envoy};
use e2e::grpc::GrpcClient;
use e2e::programs::{ControlPlane, ProxySettings};
use e2e::upstream::Upstream;
use e2e::{ports, wait};
use fastrand::Rng;
use futures_util::future::try_join_all;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::edits::{Answer, Model, Probe, probes, upstream_names};

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
    /// Nobody is responsible: 404, or a gRPC client that finds no host or no route.
    Nothing,
    Failed(String),
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
    let upstream_ports: Vec<_> = upstreams.iter().map(Upstream::port).collect();
    let control_plane = ControlPlane::start().await?;
    let proxy_addresses = [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]];
    // Envoy binds what the listener says, so each gets a fleet of its own, and all fleets the same config.
    let ports = proxy_addresses
        .iter()
        .map(|_| ports::free_port())
        .collect::<Result<Vec<_>>>()?;
    let stage = Stage {
        control_plane,
        ports,
        upstream_ports,
    };
    let mut model = Model::new(&mut rng);
    let mut history = History::default();
    stage.create_fleets().await?;
    stage.apply(&model, 0).await?;
    history.add("the first config", &model);

    let mut clients = Clients::start(&stage).await?;
    clients.settle(&stage, &model, 0).await?;
    let stop = CancellationToken::new();
    let (seen, askers) = clients.ask(&stage, &stop);
    let start = Instant::now();
    let mut rhythm = interval(BETWEEN_EDITS);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for edit in 1..=EDITS {
        rhythm.tick().await;
        let what = model.edit(&mut rng);
        history.add(what, &model);
        stage.apply(&model, edit).await?;
        if edit % BETWEEN_PAUSES == 0 {
            clients.settle(&stage, &model, edit).await.with_context(|| {
                format!("after edit {edit} ({what}), RANDOM_EDITS_SEED={seed}")
            })?;
        }
    }
    let took = start.elapsed();
    stop.cancel();
    for asker in askers {
        asker.await?;
    }
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    seen.extend(clients.grpc_calls());
    println!("{EDITS} edits in {took:.1?}");
    history.judge(&seen).with_context(|| format!("RANDOM_EDITS_SEED={seed}"))
}
