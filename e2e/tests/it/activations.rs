//! A thousand configs one after the other, at constant load: no request fails, no connection is closed, no answer mixes two
//! revisions, none comes from a revision older than the one before on its connection.
//!
//! Each route says its revision in `x-route-rev`; its cluster points to another upstream in each revision, and that says
//! its revision in `x-cluster-rev`.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::client::{Answer, Connection, Request};
use e2e::ports;
use e2e::programs::{ControlPlane, ProxySettings};
use e2e::upstream::Upstream;
use futures_util::future::try_join_all;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::fleet::endpoints;

const ACTIVATIONS: u64 = 1_000;
/// What a slow machine has done by then must do.
const TIME: Duration = Duration::from_secs(80);
const AT_LEAST: u64 = 200;

/// 200 requests a second.
const CONNECTIONS: usize = 16;
const BETWEEN_REQUESTS: Duration = Duration::from_millis(80);
const HOSTS: usize = 4;
const CLUSTERS: usize = 2;
/// In turn. So many, because a request may still be at an upstream of a few revisions ago.
const UPSTREAMS: usize = 8;
const SERVED_WITHIN: Duration = Duration::from_secs(5);

/// What one connection has seen.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    revision: u64,
    /// Why it is no longer there.
    closed: Option<String>,
    failed: Vec<String>,
    mixed: Vec<String>,
    backwards: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn activations_at_constant_load_fail_no_request_close_no_connection_and_mix_no_revisions()
-> Result<()> {
    let upstreams = try_join_all((0..UPSTREAMS).map(|_| Upstream::start("any"))).await?;
    let control_plane = ControlPlane::start().await?;
    let port = ports::free_port()?;
    apply(&control_plane, port, &upstreams, 1).await?;
    let mut proxy = ProxySettings::new("edge", control_plane.xds())
        .workers(2)
        .start()
        .await?;
    proxy.wait_live().await?;

    let (newest, mut served) = watch::channel(0);
    let stop = CancellationToken::new();
    let address = proxy.listener(port);
    let connections = (0..CONNECTIONS).map(|index| {
        let (newest, stop) = (newest.clone(), stop.clone());
        tokio::spawn(async move { keep_asking(address, index, newest, stop).await })
    });
    let connections: Vec<_> = connections.collect();

    let start = Instant::now();
    let mut activations = 0;
    while activations < ACTIVATIONS && start.elapsed() < TIME {
        activations += 1;
        let revision = activations + 1;
        apply(&control_plane, port, &upstreams, revision).await?;
        timeout(SERVED_WITHIN, served.wait_for(|newest| *newest >= revision))
            .await
            .with_context(|| format!("revision {revision} is not served"))??;
    }
    let took = start.elapsed();
    stop.cancel();
    let mut seen = Vec::new();
    for connection in connections {
        seen.push(connection.await??);
    }
    judge(activations, took, &seen)
}

/// One config, its revision in every route, its clusters at the upstream whose turn it is.
async fn apply(
    control_plane: &ControlPlane,
    port: u16,
    upstreams: &[Upstream],
    revision: u64,
) -> Result<()> {
    let upstream = &upstreams[revision as usize % UPSTREAMS];
    upstream.answer_revision(revision);
    let clusters = (0..CLUSTERS).map(|cluster| {
        format!(
            "  - {{name: c{cluster}, endpoints: {}}}\n",
            endpoints(&[upstream])
        )
    });
    let routes = (0..HOSTS).map(|host| {
        format!(
            "  - {{name: r{host}, hosts: [h{host}.example], forward: {{cluster: c{}}}, response_headers: {{set: {{x-route-rev: \"{revision}\"}}}}}}\n",
            host % CLUSTERS
        )
    });
    let config = format!(
        "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]\nclusters:\n{}routes:\n{}",
        clusters.collect::<String>(),
        routes.collect::<String>()
    );
    control_plane.apply(&config).await?;
    Ok(())
}

/// One kept connection that asks the same host in a steady rhythm.
async fn keep_asking(
    address: SocketAddr,
    index: usize,
    newest: watch::Sender<u64>,
    stop: CancellationToken,
) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut connection = Connection::open(address).await?;
    // One after the other, not all at once.
    sleep(BETWEEN_REQUESTS / CONNECTIONS as u32 * index as u32).await;
    let mut rhythm = interval(BETWEEN_REQUESTS);
    rhythm.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let request = Request::get("/").host(format!("h{}.example", index % HOSTS));
    while stop.run_until_cancelled(rhythm.tick()).await.is_some() {
        match connection.send(request.clone()).await {
            Ok(answer) => seen.take(&answer),
            Err(error) => seen.failed.push(format!("{error:#}")),
        }
        if connection.is_closed() {
            seen.closed = Some(format!("after {} requests", seen.requests));
            return Ok(seen);
        }
        newest.send_if_modified(|newest| {
            let newer = *newest < seen.revision;
            *newest = seen.revision.max(*newest);
            newer
        });
    }
    Ok(seen)
}

impl Seen {
    fn take(&mut self, answer: &Answer) {
        self.requests += 1;
        let revision = |name| {
            answer
                .header(name)
                .and_then(|text| text.parse::<u64>().ok())
        };
        let (Some(route), Some(cluster), 200) = (
            revision("x-route-rev"),
            revision("x-cluster-rev"),
            answer.status.as_u16(),
        ) else {
            self.failed
                .push(format!("{}: {:?}", answer.status, answer.headers));
            return;
        };
        if route != cluster {
            self.mixed
                .push(format!("route of {route}, cluster of {cluster}"));
        }
        if route < self.revision {
            self.backwards
                .push(format!("{route} after {}", self.revision));
        }
        self.revision = route;
    }
}

fn judge(activations: u64, took: Duration, seen: &[Seen]) -> Result<()> {
    let all =
        |what: fn(&Seen) -> &Vec<String>| -> Vec<&String> { seen.iter().flat_map(what).collect() };
    let failed = all(|seen| &seen.failed);
    let mixed = all(|seen| &seen.mixed);
    let backwards = all(|seen| &seen.backwards);
    let closed: Vec<_> = seen
        .iter()
        .filter_map(|seen| seen.closed.as_ref())
        .collect();
    let requests: u64 = seen.iter().map(|seen| seen.requests).sum();
    println!(
        "{activations} activations in {took:.1?} ({:.1?} each), {requests} requests on {CONNECTIONS} connections: \
         {} failed, {} connections closed, {} answers of two revisions, {} going back",
        took / activations as u32,
        failed.len(),
        closed.len(),
        mixed.len(),
        backwards.len()
    );
    let first = |faults: &[&String]| format!("{:?}", &faults[..faults.len().min(5)]);
    ensure!(failed.is_empty(), "failed: {}", first(&failed));
    ensure!(closed.is_empty(), "closed: {}", first(&closed));
    ensure!(mixed.is_empty(), "of two revisions: {}", first(&mixed));
    ensure!(backwards.is_empty(), "going back: {}", first(&backwards));
    ensure!(activations >= AT_LEAST, "only {activations} activations");
    Ok(())
}
