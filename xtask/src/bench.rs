//! `cargo xtask bench quick|xds`: builds what ships, optimised as it ships, and lets the `bench` program measure it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;
use clap::Subcommand;

use crate::run::run;
use crate::{tools, workspace};

const INSTALL_WITHIN: Duration = Duration::from_mins(5);

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    scope: Scope,
}

#[derive(Subcommand)]
enum Scope {
    /// One scenario, all peers, a few minutes: small answers over kept connections.
    Quick {
        /// Passed on to the bench program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// The control plane before a thousand and ten thousand simulated clients, about a quarter of an hour: time, memory, bytes.
    Xds {
        /// Passed on to the bench program.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    let (name, options) = match &arguments.scope {
        Scope::Quick { options } => {
            tools::provide_for_bench(Instant::now() + INSTALL_WITHIN)?;
            ("quick", options)
        }
        Scope::Xds { options } => ("xds", options),
    };
    let programs = ["-p", "control-plane", "-p", "proxy", "-p", "bench"];
    run(workspace::cargo()
        .args(["build", "--profile", "dist"])
        .args(programs))?;
    let bench = e2e::tools::target_dir()?.join("dist/bench");
    run(Command::new(bench)
        .current_dir(workspace::root())
        .arg(name)
        .args(options))
}
