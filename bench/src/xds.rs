//! The control plane at scale: one replica, the real program, and many clients of its xDS port in this process, each on a TCP
//! connection of its own. In: how many, of which kind. Out: a table, and `bench/results/xds.json`.
//!
//! - `kind`, `config`: what is asked for, and what there is.
//! - `speech`, `scan`, `frames`, `session`: what a client says, what it reads, pure.
//! - `board`, `broken`, `traffic`: who did what when, what went wrong, and how many bytes that took.
//! - `stream`, `probe`, `client`, `fleet`: I/O.
//! - `limits`, `course`: one control plane and one fleet, from the first connection to the last.
//! - `table`: what is printed and kept.
//!
//! The clients share the cores with the control plane, so every time holds both; the processor time of each is counted apart.

// what there is and what is asked for
mod config;
mod kind;

// what a client says and reads
mod frames;
mod scan;
mod session;
mod speech;

// what is counted
mod board;
mod broken;
mod traffic;

// clients
mod client;
mod fleet;
mod probe;
mod stream;

// the measurement
mod course;
mod limits;
mod table;
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;
use std::time::Duration;

use anyhow::Result;
use clap::ArgAction;

use self::course::Course;
use self::kind::{Kind, UserAgent, Variant};
use crate::{machine, results};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How many clients: each number is a measurement of its own.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    clients: Vec<u32>,
    /// How many resources a client holds: half of them clusters, half virtual hosts.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(4..))]
    resources: u32,
    /// How often one route is changed.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    commits: u32,
    /// By which strategy a change comes to the clients; one that watches them for minutes takes as long.
    #[arg(long, default_value = "all-at-once")]
    strategy: String,
    /// The variants of the protocol.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "delta,sotw")]
    variant: Vec<Variant>,
    /// Who the clients of the delta variant say they are.
    #[arg(long, value_enum, default_value_t = UserAgent::SignalboxProxy)]
    user_agent: UserAgent,
    /// Seconds between two commits, and three times as long without any: what is done behind the scenes is then counted, too.
    #[arg(long, default_value_t = 1.0)]
    pause: f64,
    /// Passed on to the control plane.
    #[arg(long, default_value = "1000")]
    new_streams_per_second: NonZeroU32,
    /// A private PostgreSQL instead of the embedded database.
    #[arg(long)]
    postgres: bool,
    /// Print only; `bench/results/xds.json` stays as it is.
    #[arg(long, action = ArgAction::SetTrue)]
    dry_run: bool,
}

/// One thread for all clients, so that the control plane has a core; this one's main thread sends the commits.
pub(crate) fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
}

pub(crate) async fn xds(arguments: &Arguments) -> Result<()> {
    let mut outcomes = Vec::new();
    for &variant in &arguments.variant {
        for &clients in &arguments.clients {
            let course = arguments.course(variant, clients);
            eprintln!("{}, {clients} clients", course.kind.name());
            let outcome = course.run().await?;
            table::print(&outcome);
            outcomes.push(outcome);
        }
    }
    if arguments.dry_run {
        return Ok(());
    }
    let scenario = format!(
        "one replica, {}, {} resources, one of {} routes changed {} times, each change rolled out {}, {} new streams a second; clients in one process on one \
         thread, on the same cores",
        if arguments.postgres {
            "PostgreSQL"
        } else {
            "SQLite"
        },
        arguments.resources,
        arguments.resources / 2,
        arguments.commits,
        arguments.strategy,
        arguments.new_streams_per_second,
    );
    let mut results = table::json(&outcomes);
    results["scenario"] = scenario.into();
    results["measured_at_unix"] = results::now_unix().into();
    results["machine"] = machine::description();
    let file = results::write("xds", &results)?;
    println!("written: {}", file.display());
    Ok(())
}

impl Arguments {
    fn course(&self, variant: Variant, clients: u32) -> Course {
        Course {
            kind: Kind::of(variant, self.user_agent),
            clients: clients as usize,
            resources: self.resources as usize,
            commits: self.commits as usize,
            strategy: self.strategy.clone(),
            pause: Duration::from_secs_f64(self.pause),
            new_streams_per_second: self.new_streams_per_second,
            postgres: self.postgres,
        }
    }
}
