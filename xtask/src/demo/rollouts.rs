//! The two rollouts that the demo invites to: one that goes through, one that goes back by itself. As a newcomer starts
//! them, by the command line; here each must end as it is said to.

use std::process::Stdio;

use anyhow::{Context as _, Result, ensure};
use e2e::tools;
use tokio::process::Command;

use crate::workspace;

/// Changes that go well, and that do not, with the exit codes of `apply --wait`.
const GOOD: (&str, i32) = ("xtask/demo/next.yaml", 0);
const BAD: (&str, i32) = ("xtask/demo/broken.yaml", 4);

/// The command line of a change, from the workspace's root.
pub(super) fn command(file: &str) -> String {
    format!("target/debug/signalbox apply -f {file} --wait")
}

/// What the overview shows.
pub(super) fn lines() -> [(&'static str, String); 4] {
    [
        (
            "roll out a change, one proxy first, and watch the waves",
            command(GOOD.0),
        ),
        (
            "roll out a mistake: the first proxy's reports stop it, and it goes back by itself",
            command(BAD.0),
        ),
        (
            "what was rolled out, and how it ended",
            "target/debug/signalbox rollout history".to_owned(),
        ),
        (
            "after a rollback nothing moves until somebody has looked: undo the mistake",
            "target/debug/signalbox revert --stable".to_owned(),
        ),
    ]
}

/// Starts both, one after the other.
pub(super) async fn try_both() -> Result<()> {
    for (file, code) in [GOOD, BAD] {
        println!("\n$ {}", command(file));
        let status = Command::new(tools::program("signalbox")?)
            .args(["apply", "-f", file, "--wait"])
            .current_dir(workspace::root())
            .stdin(Stdio::null())
            .status()
            .await
            .context("starting signalbox")?;
        ensure!(
            status.code() == Some(code),
            "{}: {status}, not exit code {code}",
            command(file)
        );
    }
    Ok(())
}
