//! The database goes away in the middle of a bake, and comes back after the bake would have been over.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::json;

use super::course;
use super::stage::{Stage, quick_canary};

const PROXIES: usize = 4;
const AWAY: Duration = Duration::from_mins(1);
const WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_database_a_rollout_stands_still_and_everybody_is_served() -> Result<()> {
    let mut strategy = quick_canary();
    strategy["waves"][0]["bake"] = json!("10s");
    let fleet = json!({"rollout": {"strategy": strategy}});
    let mut stage = Stage::start(PROXIES, &fleet).await?;
    let traffic = stage.traffic("/app");
    let (_, id) = stage.commit(&stage.config("2", "/")).await?;
    stage.wait_for(&id, &["baking"], WITHIN).await?;
    let served = stage.served().await?;
    ensure!(served.iter().filter(|text| *text == "2").count() == 1);

    stage.postgres.kill()?;
    let killed = Instant::now();
    let good_before = traffic.counts().good.load(Ordering::Relaxed);
    let mut samples = 0;
    while killed.elapsed() < AWAY {
        let now = stage.served().await?;
        ensure!(
            now == served,
            "{served:?}, and without the database {now:?}"
        );
        samples += 1;
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let good = traffic.counts().good.load(Ordering::Relaxed) - good_before;
    ensure!(good > 0, "nobody was served");
    stage.postgres.restart().await?;
    let back = Instant::now();

    let ended = stage.wait_for(&id, &["completed"], WITHIN).await?;
    stage.wait_served("2").await?;
    let bad = traffic.end().await?.bad.load(Ordering::Relaxed);
    let baked = course::check(&ended)?;
    println!(
        "the database was away for {:.1?}: {good} requests and {samples} samples meanwhile, all as before; the rollout ended {:.1?} later, its waves baked for {baked:.2?} s; {bad} requests failed",
        back - killed,
        back.elapsed(),
    );
    ensure!(bad == 0);
    Ok(())
}
