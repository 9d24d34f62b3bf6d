//! Proxies that come, go and come back in the middle of a rollout, at either control plane: each serves what the rollout's row
//! says of it, from its first answer on.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::client::Request;
use e2e::wait;
use serde_json::json;

use super::stage::{Cast, Stage};

const PROXIES: usize = 4;
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_in_the_middle_serves_what_the_row_says() -> Result<()> {
    let fleet = json!({"rollout": {"strategy": {"waves": [
        {"name": "canary", "count": 1, "bake": "10m", "min_nodes": 1},
        {"percent": 50, "bake": "10m", "min_nodes": 1},
        {"percent": 100, "min_nodes": 1},
    ]}}});
    let mut stage = Stage::start(&Cast::proxies(PROXIES), &fleet).await?;
    let (_, id) = stage.commit(&stage.config("2", "/")).await?;
    stage.wait_for(&id, &["baking"], WITHIN).await?;
    let before = stage.served().await?;
    ensure!(before.iter().filter(|text| *text == "2").count() == 1);

    // Who is new is no canary, whichever replica it asks.
    for (node, replica) in [("late-0", 0), ("late-1", 1)] {
        stage.join(node, replica).await?;
        ensure!(comes(&mut stage, &id).await? == "1", "{node}");
    }
    // Who comes back is what it was, and it makes no difference where.
    for index in 0..PROXIES {
        stage.proxies[index].crash_and_restart().await?;
        stage.proxies[index].wait_live().await?;
        let again = stage.served().await?;
        ensure!(again[..PROXIES] == before, "{again:?}, not {before:?}");
    }
    let canary = before.iter().position(|text| text == "2").context("one")?;
    let node = stage.proxies[canary].node_id().to_owned();
    stage.proxies[canary].process().kill()?;
    stage.join(&node, 1 - canary % 2).await?;
    ensure!(comes(&mut stage, &id).await? == "2", "{node} elsewhere");
    stage.proxies.remove(canary);

    // In a wave of a percentage the hash says who is in, of those too that were not there when it began.
    stage.join("late-2", 0).await?;
    ensure!(comes(&mut stage, &id).await? == "1");
    let leaves = stage.proxies.len() - 1;
    stage.proxies[leaves].process().kill()?;
    stage.proxies.remove(leaves);
    stage.order(1, &id, "promote").await?;
    stage.reach(&id, "baking", 1).await?;
    let mut of_the_wave = 0;
    for (node, replica) in [("late-3", 0), ("late-4", 1), ("late-5", 0), ("late-6", 1)] {
        stage.join(node, replica).await?;
        of_the_wave += u32::from(comes(&mut stage, &id).await? == "2");
    }
    println!("{of_the_wave} of 4 that joined in a wave of 50 % belong to it");
    stage.order(1, &id, "promote").await?;
    stage.wait_for(&id, &["completed"], WITHIN).await?;
    stage.count_anew();
    stage.wait_served("2").await
}

/// Waits until the last proxy is there. What it serves at first is what both replicas say that it is to, and this is it.
async fn comes(stage: &mut Stage, id: &str) -> Result<String> {
    let proxy = stage.proxies.last_mut().context("a proxy")?;
    proxy.wait_live().await?;
    let proxy = stage.proxies.last().context("a proxy")?;
    let answer = proxy.send(stage.port, Request::get("/revision")).await?;
    let (serves, node) = (answer.text(), proxy.node_id());
    for replica in 0..stage.control_planes.len() {
        let wanted = wait::until("the node is shown", WITHIN, async || {
            let rollout = stage.rollout(replica, id).await;
            let rollout = rollout.map_err(|error| format!("{error:#}"))?;
            let mut nodes = rollout["nodes"].as_array().into_iter().flatten();
            let shown = nodes.find(|shown| shown["id"] == node && shown["connected"] == true);
            let wanted = shown.map(|shown| shown["wanted"].to_string());
            wanted.ok_or(format!("{rollout:#}"))
        });
        let wanted = wanted.await?;
        ensure!(
            serves == wanted,
            "{node} serves {serves}, and is to serve {wanted}"
        );
    }
    Ok(serves)
}
