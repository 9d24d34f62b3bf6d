//! A revision that answers with 500 is stopped by what the proxies that serve it report.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use e2e::wait;

use super::stage::{Cast, Stage, quick_canary_fleet};

const PROXIES: usize = 10;
/// From the first 500 until the last canary is back, with a report every 5 s.
const BACK_WITHIN: Duration = Duration::from_secs(10);
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_canary_that_answers_500_goes_back_by_itself() -> Result<()> {
    let cast = Cast {
        proxies: PROXIES,
        envoys: 0,
        report_interval: "5s",
    };
    let stage = Stage::start(&cast, &quick_canary_fleet()).await?;
    // As the route is, the upstream answers 200; rewritten to its `/status` it answers what the query says.
    let traffic = stage.traffic("/app?code=500");
    let began = Instant::now();
    let (_, id) = stage.commit(&stage.config("2", "/status")).await?;
    let counts = traffic.counts();
    wait::until("a canary serves it", WITHIN, async || {
        match counts.first_bad_us.load(Ordering::Relaxed) {
            0 => Err("no 500 yet".to_owned()),
            _ => Ok(()),
        }
    })
    .await?;
    let first = began + Duration::from_micros(counts.first_bad_us.load(Ordering::Relaxed));
    let good_before = counts.good.load(Ordering::Relaxed);
    let bad_at_first = counts.bad.load(Ordering::Relaxed);
    let ended = stage.wait_for(&id, &["rolled-back"], WITHIN).await?;
    stage.wait_served("1").await?;
    let back = first.elapsed();
    let counts = traffic.end().await?;
    let bad_nodes = counts.bad_nodes.lock().unwrap().len();
    let bad = counts.bad.load(Ordering::Relaxed);
    let during = counts.good.load(Ordering::Relaxed) - good_before + bad - bad_at_first;
    let share = bad as f64 / during.max(1) as f64;
    println!(
        "{PROXIES} proxies: the last canary was back {:.2} s after the first 500; {:.2} % of the requests until then saw the revision, {:.2} % of the nodes were canaries",
        back.as_secs_f64(),
        share * 100.0,
        100.0 / PROXIES as f64,
    );
    ensure!(ended["wave"] == 0, "it left the first wave: {ended:#}");
    let health = ended["events"].as_array().into_iter().flatten();
    ensure!(
        health
            .clone()
            .any(|event| event["data"].to_string().contains("error")),
        "no event tells the numbers: {ended:#}"
    );
    ensure!(bad_nodes == 1, "{bad_nodes} nodes served it");
    ensure!(back <= BACK_WITHIN, "{back:?}");
    ensure!(share <= 1.5 / PROXIES as f64, "{share}");
    Ok(())
}
