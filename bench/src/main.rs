//! The proxy side by side with an L4 forwarder (the floor), nginx, HAProxy and Envoy, in one run on one machine; and the control
//! plane before a fleet of simulated clients. In: whatever of the peers is installed. Out: a table, and `bench/results/*.json` with
//! machine, kernel and versions.
//!
//! ```text
//!   quick: core 1: wrk ──► core 0: one peer at a time, one worker ──► core 1: upstream
//!   xds:   signalbox ══► 10,000 connections of one process
//! ```
//!
//! Absolute times move with the machine; ratios that are paired by round hold. `cargo xtask bench` builds and runs this.

// the servers of our own
mod tiny;

// measuring
mod machine;
mod usage;
mod wrk;

// what comes of it
mod report;

// the comparison
mod peers;
mod quick;

// the control plane at scale
mod xds;

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Side-by-side benchmarks.
#[derive(Parser)]
#[command(name = "bench")]
enum Bench {
    /// Small answers over kept connections, one pinned worker.
    Quick(quick::Arguments),
    /// One control plane and many simulated clients.
    Xds(xds::Arguments),
    /// The server behind the peers. Started by the benchmark.
    #[command(hide = true)]
    Upstream { listen: SocketAddr },
    /// The L4 forwarder. Started by the benchmark.
    #[command(hide = true)]
    Forwarder {
        listen: SocketAddr,
        upstream: SocketAddr,
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
    match bench {
        Bench::Quick(arguments) => {
            tokio::runtime::Runtime::new()?.block_on(quick::quick(arguments))
        }
        Bench::Xds(arguments) => xds::runtime()?.block_on(xds::xds(arguments)),
        Bench::Upstream { listen } => tiny::upstream::serve(*listen),
        Bench::Forwarder { listen, upstream } => tiny::forwarder::serve(*listen, *upstream),
    }
}
