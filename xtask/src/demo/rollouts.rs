//! What the demo invites to: a plan that says what would become of requests, a rollout that goes through, one that goes back by itself.
//! As a newcomer starts them, by the command line; here each must end as it is said to.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::programs::ControlPlane;
use e2e::{tools, wait};
use tokio::process::Command;

use crate::workspace;

const GOOD: &str = "xtask/demo/next.yaml";
const BAD: &str = "xtask/demo/broken.yaml";
/// The exit code of `apply --wait` when the rollout did not complete.
const ROLLED_BACK: i32 = 4;
/// A proxy tells of the requests that it has seen every five seconds.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
/// Two waves, which are watched for a few seconds each.
const ENDED_WITHIN: Duration = Duration::from_mins(1);

/// What the overview shows.
pub(super) fn lines() -> [(&'static str, String); 5] {
    [
        (
            "what would this change do to the requests that the proxies have seen?",
            line(&plan()),
        ),
        (
            "roll it out: the nodes of a wave get ready together, one proxy serves it first",
            line(&apply(GOOD)),
        ),
        (
            "roll out a mistake: the first proxy's reports stop it, and it goes back by itself",
            line(&apply(BAD)),
        ),
        (
            "what was rolled out, and how it ended",
            line(&["rollout", "history"]),
        ),
        (
            "after a rollback nothing moves until somebody has looked: undo the mistake",
            line(&revert()),
        ),
    ]
}

fn plan() -> [&'static str; 4] {
    ["apply", "-f", GOOD, "--dry-run"]
}

fn apply(file: &str) -> [&str; 4] {
    ["apply", "-f", file, "--wait"]
}

fn revert() -> [&'static str; 2] {
    ["revert", "--stable"]
}

/// A command line, from the workspace's root.
pub(super) fn line(arguments: &[&str]) -> String {
    format!("target/debug/signalbox {}", arguments.join(" "))
}

/// Does all of it, one after the other.
pub(super) async fn try_all(control_plane: &ControlPlane) -> Result<()> {
    wait::until(
        "the proxies have told of requests",
        TOLD_WITHIN,
        async || {
            let samples = control_plane.get("/v1/fleets/default/samples").await;
            let samples = samples.map_err(|error| format!("{error:#}"))?;
            let kinds = samples["kinds"].as_u64().unwrap_or_default();
            let told = kinds >= 2;
            told.then_some(()).ok_or_else(|| format!("{kinds} kinds"))
        },
    )
    .await?;
    let told = run(&plan(), 0).await?;
    ensure!(
        told.contains("of sampled requests change"),
        "the plan says nothing of requests"
    );
    run(&apply(GOOD), 0).await?;
    run(&apply(BAD), ROLLED_BACK).await?;
    run(&revert(), 0).await?;
    wait::until("nothing is under way", ENDED_WITHIN, async || {
        let rollouts = control_plane.get("/v1/fleets/default/rollouts").await;
        let rollouts = rollouts.map_err(|error| format!("{error:#}"))?;
        let mut items = rollouts["items"].as_array().into_iter().flatten();
        let ended = items.all(|rollout| !rollout["ended_at"].is_null());
        ended.then_some(()).ok_or_else(|| rollouts.to_string())
    })
    .await
}

/// One command; what it says, which must end with that exit code.
pub(super) async fn run(arguments: &[&str], code: i32) -> Result<String> {
    println!("\n$ {}", line(arguments));
    let command = Command::new(tools::program("signalbox")?)
        .args(arguments)
        .current_dir(workspace::root())
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output();
    let output = command.await.context("starting signalbox")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    print!("{text}");
    let status = output.status;
    ensure!(
        status.code() == Some(code),
        "{}: {status}, not exit code {code}",
        line(arguments)
    );
    Ok(text)
}
