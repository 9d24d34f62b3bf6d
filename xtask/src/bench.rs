//! `cargo xtask bench quick|full|compare|xds|table`: builds what ships, optimised as it ships, and lets the `bench` program measure it.

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::run::run;
use crate::{tools, workspace};

const INSTALL_WITHIN: Duration = Duration::from_mins(5);

/// What to measure.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// `quick`, `full`, `compare OLD NEW`, `xds` or `table`, and their options: passed on to the bench program
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        default_value = "help"
    )]
    words: Vec<String>,
}

pub(crate) fn bench(arguments: &Arguments) -> Result<()> {
    // Only a measurement needs the peers.
    let needs_peers = arguments
        .words
        .first()
        .is_some_and(|word| word == "quick" || word == "full");
    if needs_peers {
        tools::provide_for_bench(Instant::now() + INSTALL_WITHIN);
    }
    let programs = ["-p", "control-plane", "-p", "proxy", "-p", "bench"];
    run(workspace::cargo()
        .args(["build", "--profile", "dist"])
        .args(programs))?;
    let bench = e2e::tools::target_dir()?.join("dist/bench");
    // Where the user stands: `compare` takes paths.
    run(Command::new(bench).args(&arguments.words))
}
