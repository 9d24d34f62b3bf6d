//! The control plane is lost while the first proxy serves a change under a lease: the proxy goes back by itself, and whoever comes
//! after sees the rollout as gone back.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::client::{self, Request};
use e2e::programs::ControlPlane;
use e2e::wait;

use super::{LISTENER_PORT, PROXIES, rollouts};

pub(super) const FILE: &str = "xtask/demo/again.yaml";
const CHANGE: &str = include_str!("../../demo/again.yaml");
/// What the change has `/hello` answer.
const NEW: &str = "hello once more\n";
/// More than a lease of the demo's fleet, with something for a slow machine.
pub(super) const LEASE_IS_OVER: Duration = Duration::from_secs(8);
const WITHIN: Duration = Duration::from_mins(1);

/// Plays it.
pub(super) async fn play(control_plane: &mut ControlPlane) -> Result<()> {
    let applied = control_plane.apply(CHANGE).await?.json()?;
    let rollout = applied["delivery"]["rollout"].as_str();
    let rollout = rollout.context("the change is rolled out")?.to_owned();
    let canary = wait::until("one proxy serves the change", WITHIN, async || {
        let mut served = Vec::new();
        for (name, address, _) in PROXIES {
            let answer = hello(address).await?;
            if answer == NEW {
                return Ok((name, address));
            }
            served.push(answer);
        }
        Err(served.concat())
    });
    let (name, address) = canary.await?;
    control_plane.process().kill()?;
    println!("\n{name} serves the change under a lease; the control plane is killed");
    let killed = Instant::now();
    wait::until("it has gone back", WITHIN, async || {
        let answer = hello(address).await?;
        (answer != NEW).then_some(()).ok_or(answer)
    })
    .await?;
    let after = killed.elapsed();
    println!("{name} has gone back by itself after {after:.1?}; the control plane starts again");
    control_plane.start_again().await?;
    wait::until("the rollout is seen as gone back", WITHIN, async || {
        let target = format!("/v1/fleets/default/rollouts/{rollout}");
        let rollout = control_plane.get(&target).await;
        let rollout = rollout.map_err(|error| format!("{error:#}"))?;
        let state = rollout["state"].as_str().unwrap_or_default().to_owned();
        (state == "rolled-back").then_some(()).ok_or(state)
    })
    .await?;
    rollouts::run(&["rollout", "history"], 0).await?;
    Ok(())
}

async fn hello(address: Ipv4Addr) -> Result<String, String> {
    let answer = client::send((address, LISTENER_PORT).into(), Request::get("/hello")).await;
    let answer = answer.map_err(|error| format!("{error:#}"))?;
    Ok(answer.text())
}
