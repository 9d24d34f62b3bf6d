//! A wave in two steps: what one of ten proxies refuses none has served, and what all could serve all serve at the same moment.

use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::client::Request;
use e2e::ports;
use serde_json::json;

use super::stage::{Cast, REVISION, Stage};

const PROXIES: usize = 10;
/// From the first proxy that serves the revision to the last.
const SPREAD: f64 = 0.050;
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_one_proxy_refuses_nobody_serves_and_what_none_does_all_serve_together() -> Result<()>
{
    let strategy = json!({"waves": [{"percent": 100}]});
    let fleet = json!({"rollout": {"strategy": "together"}, "strategies": {"together": strategy}});
    let stage = Stage::start(&Cast::proxies(PROXIES), &fleet).await?;
    // Another program has the port at the address of one of them.
    let refuses = stage.nodes[4].listener.ip();
    let addresses: Vec<_> = stage.nodes.iter().map(|node| node.listener.ip()).collect();
    let port = ports::free_port_on(&addresses)?;
    let taken = TcpListener::bind((refuses, port))?;
    let good = stage.config("2", "/");
    let more = format!("listeners: [{{name: more, address: 0.0.0.0, port: {port}}}, ");
    let config = good.replace("listeners: [", &more);
    ensure!(config != good);

    let traffic = stage.traffic(REVISION);
    let (revision, id) = stage.commit(&config).await?;
    let ended = stage.wait_for(&id, &["rolled-back"], WITHIN).await?;
    let refused = ended["events"].as_array().into_iter().flatten();
    let refused: Vec<_> = refused.filter(|it| it["kind"] == "refused").collect();
    ensure!(refused.len() == 1, "{ended:#}");
    ensure!(refused[0]["data"]["node"] == stage.nodes[4].id, "{ended:#}");
    stage.wait_served("1").await?;
    let counts = traffic.end().await?;
    let seen = counts.answers.lock().unwrap().clone();
    let seen: Vec<_> = seen.keys().filter(|(_, text)| text != "1").collect();
    ensure!(seen.is_empty(), "it was served: {seen:?}");
    let live = stage.went_live(revision)?;
    ensure!(live.is_empty(), "it went live: {live:?}");
    println!(
        "one of {PROXIES} refuses: 0 of {} requests saw the revision",
        counts.good.load(Ordering::Relaxed)
    );

    drop(taken);
    let traffic = stage.traffic(REVISION);
    let request = Request::post("/v1/fleets/default/rollouts").json(&json!({"to": revision}));
    let begun = stage.control_planes[0].send(request).await?.json()?;
    let id = begun["id"].as_str().unwrap_or_default().to_owned();
    stage.wait_for(&id, &["completed"], WITHIN).await?;
    stage.wait_served("2").await?;
    let bad = traffic.end().await?.bad.load(Ordering::Relaxed);
    ensure!(bad == 0, "{bad} requests failed");
    let live = stage.went_live(revision)?;
    ensure!(live.len() == PROXIES, "{live:?}");
    let spread = live[PROXIES - 1].1 - live[0].1;
    println!(
        "{PROXIES} proxies on two control planes: {:.1} ms from the first that served it to the last",
        spread * 1e3
    );
    ensure!(spread <= SPREAD, "{spread} s: {live:?}");
    Ok(())
}
