//! A revision that a node cannot serve, since it has no such address: the refusal of a canary stops it, whoever refuses.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context as _, Result, ensure};
use e2e::wait;
use serde_json::{Value, json};

use super::stage::{Cast, REVISION, Stage, seconds as of_text};

/// An address for documentation (RFC 5737), which no host has.
pub(super) const NOWHERE: &str = "203.0.113.7";
/// From the refusal until nobody else is to move.
const HALTED_WITHIN: f64 = 1.0;
/// From there until the last canary has the old revision.
const BACK_WITHIN: f64 = 2.0;
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_envoy_refuses_stops_at_the_canaries() -> Result<()> {
    let cast = Cast {
        proxies: 4,
        envoys: 2,
        report_interval: "1s",
    };
    let stage = stage(&cast, &["envoy-0", "envoy-1"]).await?;
    if stage.envoys.is_empty() {
        return Ok(());
    }
    refuse(&stage, &["envoy-0", "envoy-1"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_proxy_refuses_stops_at_the_canaries() -> Result<()> {
    let cast = Cast {
        proxies: 6,
        envoys: 0,
        report_interval: "1s",
    };
    let canaries = ["edge-00", "edge-01"];
    refuse(&stage(&cast, &canaries).await?, &canaries).await
}

/// A fleet whose canaries are these.
async fn stage(cast: &Cast, canaries: &[&str]) -> Result<Stage> {
    let strategy = json!({"waves": [{"name": "canary", "nodes": canaries}, {"percent": 100}]});
    let fleet = json!({"rollout": {"strategy": "named"}, "strategies": {"named": strategy}});
    Stage::start(cast, &fleet).await
}

async fn refuse(stage: &Stage, canaries: &[&str]) -> Result<()> {
    let traffic = stage.traffic(REVISION);
    let good = stage.config("2", "/");
    let bad = good.replace(
        "listeners: [",
        &format!(
            "listeners: [{{name: nowhere, address: {NOWHERE}, port: {}}}, ",
            stage.port
        ),
    );
    ensure!(bad != good);
    let (revision, id) = stage.commit(&bad).await?;
    let mut sent = BTreeSet::new();
    let ended = wait::until("it is rolled back", WITHIN, async || {
        let seen = step(stage, &id, revision, &mut sent).await;
        let rollout = seen.map_err(|error| format!("{error:#}"))?;
        if rollout["ended_at"].is_null() {
            Err(rollout["state"].to_string())
        } else {
            Ok(rollout)
        }
    });
    let ended = ended.await?;
    stage.wait_served("1").await?;
    let counts = traffic.end().await?;
    let bad = counts.bad.load(Ordering::Relaxed);
    ensure!(bad == 0, "{bad} requests failed");
    ensure!(ended["state"] == "rolled-back", "{ended:#}");
    ensure!(ended["wave"] == 0, "it left the first wave: {ended:#}");

    let events = ended["events"].as_array().context("events")?;
    let of_kind = |kind: &'static str| events.iter().filter(move |event| event["kind"] == kind);
    let refused = of_kind("refused").next().context("nobody refused it")?;
    let data = &refused["data"];
    println!("refused: {data}");
    let node = data["node"].as_str().unwrap_or_default();
    ensure!(canaries.contains(&node), "{refused:#}");
    ensure!(data["resources"] == json!(["nowhere"]), "{refused:#}");
    let text = data["message"].as_str().unwrap_or_default();
    ensure!(text.contains(NOWHERE), "{refused:#}");
    let halted = of_kind("moved")
        .find(|event| event["state"] == "rolling-back")
        .with_context(|| format!("it did not go back: {ended:#}"))?;
    let back = of_kind("ended").next().context("it did not end")?;
    let to_halt = seconds(&halted["at"])? - seconds(&data["at"])?;
    let to_back = seconds(&back["at"])? - seconds(&halted["at"])?;
    println!(
        "{}: from the refusal {to_halt:.3} s until it was halted, {to_back:.3} s more until the last canary had the old revision",
        canaries.join(", ")
    );
    let answers = counts.answers.lock().unwrap();
    for ((node, text), last) in answers.iter().filter(|((_, text), _)| text == "2") {
        let last = last.duration_since(UNIX_EPOCH)?.as_secs_f64() % 86_400.0;
        println!(
            "{node} answered {text:?} until {:.3} s after it was halted",
            last - seconds(&halted["at"])?
        );
        sent.insert(node.clone());
        ensure!(
            last <= seconds(&back["at"])?,
            "{node} served it after all were said to be back"
        );
    }
    let others: Vec<_> = sent
        .iter()
        .filter(|id| !canaries.contains(&id.as_str()))
        .collect();
    ensure!(others.is_empty(), "{others:?} were sent it as well");
    ensure!(to_halt <= HALTED_WITHIN, "{to_halt} s");
    ensure!(to_back <= BACK_WITHIN, "{to_back} s");
    Ok(())
}

/// Looks once: at the rollout, and at who has been sent the revision or serves it.
async fn step(
    stage: &Stage,
    id: &str,
    revision: u64,
    sent: &mut BTreeSet<String>,
) -> Result<Value> {
    let rollout = stage.rollout(0, id).await?;
    let nodes = stage.control_planes[0]
        .get("/v1/fleets/default/nodes")
        .await?;
    for node in nodes["items"].as_array().context("nodes")? {
        let told = ["wanted_revision", "sent_revision", "acked_revision"];
        if told.iter().any(|field| node[field] == revision) {
            sent.extend(node["id"].as_str().map(str::to_owned));
        }
    }
    let served = stage.served().await?;
    let serving = stage.nodes.iter().zip(served);
    let serving = serving.filter(|(_, text)| *text == "2");
    sent.extend(serving.map(|(node, _)| node.id.clone()));
    Ok(rollout)
}

fn seconds(at: &Value) -> Result<f64> {
    of_text(at.as_str().context("a time")?)
}
