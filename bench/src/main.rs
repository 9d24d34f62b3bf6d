//! Side-by-side benchmarks: an L4 forwarder as the floor, then nginx, HAProxy, Envoy and Signalbox, each started here, on one machine,
//! in one run; and the control plane before a fleet of simulated clients (`xds`). Absolute times move with the machine; ratios that
//! are paired by round hold. `cargo xtask bench` builds and runs this.

// what is asked, as data
mod table;

mod exchange;

mod scenario;

// the programs of our own
mod tiny;

// measuring
mod load;
mod machine;
mod usage;

mod peers;

// what was measured
mod statistics;

mod results;

mod readme;
mod text;

// the comparison
mod measure;

// the control plane at scale
mod xds;

mod commands;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

use crate::exchange::Exchange;

/// Side-by-side benchmarks.
#[derive(Parser)]
#[command(name = "bench")]
enum Bench {
    /// Small answers over kept connections, in less than three minutes.
    Quick(commands::Options),
    /// All scenarios; writes the README's tables.
    Full(commands::Options),
    /// Two builds of signalbox-proxy, paired by round.
    Compare(commands::Comparison),
    /// One control plane and many simulated clients.
    Xds(xds::Arguments),
    /// The README's tables out of the last full results.
    Table,
    /// The server behind the peers. Started by the benchmark.
    #[command(hide = true)]
    Upstream {
        listen: SocketAddr,
        #[arg(long, value_enum, default_value_t = Exchange::Small)]
        exchange: Exchange,
    },
    /// The L4 forwarder. Started by the benchmark.
    #[command(hide = true)]
    Forwarder {
        listen: SocketAddr,
        upstream: SocketAddr,
    },
    /// The load. Started by the benchmark.
    #[command(hide = true)]
    Load(tiny::load::Arguments),
    /// Connections that do nothing. Started by the benchmark.
    #[command(hide = true)]
    Idle {
        target: SocketAddr,
        connections: usize,
    },
}

fn main() -> ExitCode {
    match run(&Bench::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(bench: &Bench) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new;
    match bench {
        Bench::Quick(options) => runtime()?.block_on(commands::quick(options)),
        Bench::Full(options) => runtime()?.block_on(commands::full(options)),
        Bench::Compare(comparison) => runtime()?.block_on(commands::compare(comparison)),
        Bench::Xds(arguments) => xds::runtime()?.block_on(xds::xds(arguments)),
        Bench::Table => commands::table(),
        Bench::Upstream { listen, exchange } => tiny::upstream::serve(*listen, *exchange),
        Bench::Forwarder { listen, upstream } => tiny::forwarder::serve(*listen, *upstream),
        Bench::Load(arguments) => tiny::load::run(arguments),
        Bench::Idle {
            target,
            connections,
        } => tiny::idle::run(*target, *connections),
    }
}
