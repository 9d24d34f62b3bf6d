//! Canaries that save themselves: when no control plane is left, they go back by themselves, and the rollout is seen as gone back
//! by whoever comes after.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::wait;
use serde_json::json;

use super::stage::{Cast, REVISION, Stage};

/// How long the canary serves the new revision without a control plane.
const LEASE: Duration = Duration::from_secs(3);
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canary_whose_control_planes_die_goes_back_by_itself_and_so_does_the_rollout()
-> Result<()> {
    let canary = json!({
        "name": "canary", "nodes": ["edge-00"], "bake": "10m",
        "lease": format!("{}s", LEASE.as_secs()),
    });
    let strategy = json!({"waves": [canary, {"percent": 100}]});
    let fleet = json!({"rollout": {"strategy": "leased"}, "strategies": {"leased": strategy}});
    let mut stage = Stage::start(&Cast::proxies(3), &fleet).await?;
    let traffic = stage.traffic(REVISION);
    let (_, id) = stage.commit(&stage.config("2", "/")).await?;
    stage.reach(&id, "baking", 0).await?;
    // It is renewed as long as there is somebody to do so.
    tokio::time::sleep(LEASE * 2).await;
    ensure!(stage.served().await? == ["2", "1", "1"]);

    for control_plane in &mut stage.control_planes {
        control_plane.process().kill()?;
    }
    let killed = Instant::now();
    stage.wait_served("1").await?;
    let back = killed.elapsed();
    println!("the canary was back {back:.1?} after the control planes had died");
    ensure!(back <= LEASE + Duration::from_secs(2), "{back:?}");

    for control_plane in &mut stage.control_planes {
        control_plane.start_again().await?;
    }
    let ended = stage.wait_for(&id, &["rolled-back"], WITHIN).await?;
    let mut events = ended["events"].as_array().into_iter().flatten();
    let reverted = events.find(|event| event["data"]["reverted"] == true);
    let reverted = reverted.with_context(|| format!("nobody went back: {ended:#}"))?;
    ensure!(reverted["data"]["node"] == "edge-00", "{reverted:#}");
    wait::until("all proxies are connected", WITHIN, async || {
        let nodes = stage.control_planes[0]
            .get("/v1/fleets/default/nodes")
            .await;
        let nodes = nodes.map_err(|error| format!("{error:#}"))?;
        let mut items = nodes["items"].as_array().into_iter().flatten();
        let all = items.all(|node| node["connected"] == true && node["live_revision"] == 1);
        all.then_some(()).ok_or_else(|| nodes.to_string())
    })
    .await?;
    let counts = traffic.end().await?;
    let bad = counts.bad.load(Ordering::Relaxed);
    ensure!(bad == 0, "{bad} requests failed");
    Ok(())
}
