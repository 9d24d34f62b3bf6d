//! One scenario: small GET (100-byte answer), kept connections, each peer with one worker on core 0, load and upstream on core 1.
//! Rounds are interleaved, so that a slow minute of the machine hits all peers alike.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::process::{Process, Spawn};
use e2e::{ports, tools};

use crate::peers::{self, Peer};
use crate::report::{self, Sample, Series};
use crate::wrk::Load;
use crate::{machine, usage};

/// Where the peers run.
const PEER_CORE: usize = 0;
/// Where load and upstream run.
const LOAD_CORE: usize = 1;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How often each peer is measured.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// How long each measurement takes.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    seconds: u32,
    /// Connections of the load.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    connections: u32,
}

pub(crate) async fn quick(arguments: &Arguments) -> Result<()> {
    ensure!(
        machine::cores() >= 2,
        "two cores are needed: one for the peer, one for load and upstream"
    );
    let program = tools::system("wrk")
        .context("wrk is the load: install it (Debian: `apt-get install wrk`)")?;
    let load = Load {
        program,
        core: LOAD_CORE,
        connections: arguments.connections,
        seconds: arguments.seconds,
    };
    let (upstream, _upstream) = start_upstream().await?;
    let (peers, missing) = peers::start_all(upstream).await?;
    for peer in &peers {
        machine::pin(peer.process, PEER_CORE)?;
        // Pools fill, code pages come in; not counted.
        load.run(peer.address)
            .await
            .with_context(|| format!("warming up {}", peer.name))?;
    }
    let mut series: Vec<Series> = peers
        .iter()
        .map(|peer| Series::of(peer.name, &peer.version))
        .collect();
    for round in 0..arguments.rounds as usize {
        eprint!("round {} of {}:", round + 1, arguments.rounds);
        for turn in 0..peers.len() {
            // Another one begins each round: what a peer leaves behind (caches, clock) does not always meet the same next one.
            let index = (turn + round) % peers.len();
            eprint!(" {}", peers[index].name);
            let sample = measure(&peers[index], &load)
                .await
                .with_context(|| format!("measuring {}", peers[index].name))?;
            series[index].samples.push(sample);
        }
        eprintln!();
    }
    for (series, peer) in series.iter_mut().zip(&peers) {
        series.resident_kib = usage::resident_kib(peer.process)?;
    }
    report::print(&series, &missing);
    let scenario = format!(
        "small GET, 100-byte answer, {} kept connections, one worker pinned, {} rounds of {} s",
        arguments.connections, arguments.rounds, arguments.seconds
    );
    report::write("quick", &scenario, report::peers(&series))
}

async fn start_upstream() -> Result<(SocketAddr, Process)> {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free_port()?));
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("upstream").arg(address.to_string());
    let mut process = Spawn::new("upstream", command).start()?;
    process
        .line("it is ready", Duration::from_secs(10), |line| {
            (line == "upstream ready").then_some(())
        })
        .await?;
    machine::pin(process.id(), LOAD_CORE)?;
    Ok((address, process))
}

async fn measure(peer: &Peer, load: &Load) -> Result<Sample> {
    let before = usage::cpu_time(peer.process)?;
    let figures = load.run(peer.address).await?;
    let spent = usage::cpu_time(peer.process)?.saturating_sub(before);
    Ok(Sample::of(&figures, spent))
}
