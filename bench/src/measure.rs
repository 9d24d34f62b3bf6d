//! One scenario → its results. Traffic here: rounds are interleaved, so that a slow minute of the machine hits all peers alike.

mod idle;
mod reload;

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::ports;
use e2e::process::{Process, Spawn};

use crate::exchange::Exchange;
use crate::load::Load;
use crate::machine;
use crate::peers::{self, Peer, Setup, Who};
use crate::results::{Measured, PeerResult};
use crate::scenario::{Kind, Placement, Scenario, Traffic};
use crate::statistics::Sample;
use crate::table::Table;
use crate::tiny::load::Arguments;

/// Where a pinned peer runs.
const PEER_CORE: usize = 0;
/// Where load and upstream run beside it.
const LOAD_CORE: usize = 1;
/// Pools fill, code pages come in; not counted.
const WARM_UP_S: f64 = 0.5;

/// How much to measure.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Effort {
    /// How often each peer is measured.
    pub(crate) rounds: usize,
    /// How long each time.
    pub(crate) seconds: f64,
}

/// Measures one scenario with all peers; `comparison` has the peers of a comparison of builds instead.
pub(crate) async fn scenario(
    scenario: &Scenario,
    effort: Effort,
    comparison: Option<&[Who]>,
) -> Result<Measured> {
    eprintln!("{}: {}", scenario.name, scenario.what);
    match scenario.kind {
        Kind::Traffic(traffic) => {
            let who = comparison.map_or_else(|| everybody(traffic.table), <[Who]>::to_vec);
            self::traffic(scenario.name, &traffic, effort, &who).await
        }
        Kind::Reload { hosts } => reload::measure(scenario.name, hosts).await,
        Kind::Idle { connections } => idle::measure(scenario.name, connections).await,
    }
}

fn everybody(table: Table) -> Vec<Who> {
    let mut who = vec![
        Who::Forwarder,
        Who::Nginx,
        Who::Haproxy,
        Who::Envoy,
        Who::Signalbox,
    ];
    if table != Table::One {
        who.push(Who::SignalboxOneRoute);
    }
    who
}

async fn traffic(name: &str, traffic: &Traffic, effort: Effort, who: &[Who]) -> Result<Measured> {
    let (upstream, process) = start_upstream(traffic.exchange).await?;
    let setup = Setup {
        upstream,
        workers: traffic.placement.workers(),
        table: traffic.table,
        exchange: traffic.exchange,
    };
    let (peers, mut left_out) = peers::start_all(who, setup).await?;
    let load_core = match traffic.placement {
        Placement::OnePinned => {
            ensure!(
                machine::cores() >= 2,
                "two cores are needed: one for the peer, one for load and upstream"
            );
            machine::pin(process.id(), LOAD_CORE)?;
            peers.iter().try_for_each(|peer| peer.pin(PEER_CORE))?;
            Some(LOAD_CORE)
        }
        Placement::TwoUnpinned => None,
    };
    let mut measured: Vec<_> = peers.iter().map(|peer| (peer, result(peer))).collect();
    for (peer, result) in &mut measured {
        result.put("start_kib", peer.memory_kib()? as f64);
    }
    eprint!("  warming up:");
    let warm_up = Turn {
        traffic,
        seconds: WARM_UP_S,
        core: load_core,
    };
    warm_up
        .everybody(0, &mut measured, &mut left_out, |_, _| ())
        .await?;
    for round in 0..effort.rounds {
        eprint!("  round {} of {}:", round + 1, effort.rounds);
        let turn = Turn {
            seconds: effort.seconds,
            ..warm_up
        };
        turn.everybody(round, &mut measured, &mut left_out, |result, sample| {
            result.rounds.push(sample);
        })
        .await?;
    }
    let mut results = Vec::new();
    for (peer, mut result) in measured {
        result.put("memory_kib", peer.memory_kib()? as f64);
        results.push(result);
    }
    Ok(Measured::of_rounds(name, results, left_out))
}

/// What is measured of each peer, one after the other.
#[derive(Clone, Copy)]
struct Turn<'a> {
    traffic: &'a Traffic,
    seconds: f64,
    core: Option<usize>,
}

impl Turn<'_> {
    /// One sample of each peer. Another one begins each round: what a peer leaves behind (caches, clock) does not always meet the
    /// same next one. A foreign peer that fails is left out from here on, with its reason; ours must not fail.
    async fn everybody(
        self,
        round: usize,
        peers: &mut Vec<(&Peer, PeerResult)>,
        left_out: &mut Vec<String>,
        keep: impl Fn(&mut PeerResult, Sample),
    ) -> Result<()> {
        let mut failed = Vec::new();
        for turn in 0..peers.len() {
            let index = (turn + round) % peers.len();
            let (peer, result) = &mut peers[index];
            eprint!(" {}", peer.name);
            match self.of(peer).await {
                Ok(sample) => keep(result, sample),
                Err(error) if peer.is_foreign => {
                    left_out.push(format!("{} is left out: {error:#}", peer.name));
                    failed.push(peer.name);
                }
                Err(error) => return Err(error.context(format!("measuring {}", peer.name))),
            }
        }
        eprintln!();
        peers.retain(|(peer, _)| !failed.contains(&peer.name));
        Ok(())
    }

    async fn of(self, peer: &Peer) -> Result<Sample> {
        let Self {
            traffic,
            seconds,
            core,
        } = self;
        let arguments = Arguments {
            target: peer.address,
            exchange: traffic.exchange,
            table: traffic.table,
            connections: traffic.connections,
            seconds,
            rate: traffic.rate,
        };
        let load = Load::begin(&arguments, core).await?;
        let before = peer.cpu_time()?;
        let figures = load.figures().await?;
        let spent = peer.cpu_time()?.saturating_sub(before);
        let figures = figures.first().context("a load has a window")?;
        ensure!(figures.failed == 0, "{} requests failed", figures.failed);
        ensure!(figures.requests > 0, "no request was answered");
        Ok(Sample::of(figures, spent))
    }
}

fn result(peer: &Peer) -> PeerResult {
    let mut result = PeerResult {
        name: peer.name.to_owned(),
        version: peer.version.clone(),
        ..Default::default()
    };
    result.put("start_s", peer.started_within.as_secs_f64());
    result
}

async fn start_upstream(exchange: Exchange) -> Result<(SocketAddr, Process)> {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free_port()?));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("upstream").arg(address.to_string());
    command.arg(format!("--exchange={}", exchange.name()));
    let mut process = Spawn::new("upstream", command).start()?;
    process
        .line("it is ready", Duration::from_secs(10), |line| {
            (line == "upstream ready").then_some(())
        })
        .await?;
    Ok((address, process))
}
