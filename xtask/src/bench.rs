//! `cargo xtask bench quick`: builds what ships, optimised as it ships, and lets the `bench` program measure it.

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
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    let Scope::Quick { options } = &arguments.scope;
    tools::provide_for_bench(Instant::now() + INSTALL_WITHIN)?;
    let programs = ["-p", "control-plane", "-p", "proxy", "-p", "bench"];
    run(workspace::cargo()
        .args(["build", "--profile", "dist"])
        .args(programs))?;
    let bench = e2e::tools::target_dir()?.join("dist/bench");
    run(Command::new(bench)
        .current_dir(workspace::root())
        .arg("quick")
        .args(options))
}
