//! `cargo xtask …`: what a developer runs, and CI with the same words.
//! Each command is one module; programs are started through the harness of `e2e`.

// foundations
mod run;
mod tools;
mod workspace;

// the commands
mod bench;
mod demo;
mod descriptors;
mod generate;
mod soak;
mod test;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// Developer commands of the workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
enum Xtask {
    /// Build and start everything on this machine: a control plane, three proxies, two sample upstreams.
    Demo(demo::Arguments),
    /// What CI runs: fmt check, build, clippy, all tests, the demo. Installs the tools that tests need.
    Test(test::Arguments),
    /// Look for longer than `test` does: the property tests and the fuzzer, again and again with other seeds.
    Soak(soak::Arguments),
    /// Measure the proxy side by side with its peers.
    Bench(bench::Arguments),
    /// Format the code.
    Fmt,
    /// Run clippy as CI does.
    Lint,
    /// Make `proto/envoy.binpb.zst` anew from the `envoy-types` package.
    Descriptors,
    /// Make the Rust code of our own services anew from `proto/proto`.
    Generate,
}

fn main() -> ExitCode {
    // By hand: what failed is a program or a machine, and a backtrace of ours tells nothing about it.
    match run(&Xtask::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(xtask: &Xtask) -> Result<()> {
    match xtask {
        Xtask::Demo(arguments) => demo::demo(arguments),
        Xtask::Test(arguments) => test::test(arguments),
        Xtask::Soak(arguments) => soak::soak(arguments),
        Xtask::Bench(arguments) => bench::bench(arguments),
        Xtask::Fmt => run::run(workspace::cargo().args(["fmt", "--all"])),
        Xtask::Lint => run::run(&mut workspace::clippy()),
        Xtask::Descriptors => descriptors::regenerate(),
        Xtask::Generate => generate::regenerate(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_well_formed() {
        Xtask::command().debug_assert();
    }
}
