//! A good revision goes through all waves.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use e2e::client::Request;
use e2e::wait;
use serde_json::Value;

use super::stage::{Cast, Stage, quick_canary_fleet};

const PROXIES: usize = 20;
const ENVOYS: usize = 2;
const WITHIN: Duration = Duration::from_mins(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn canaries_go_first_and_all_follow_without_a_failed_request() -> Result<()> {
    let cast = Cast {
        proxies: PROXIES,
        envoys: ENVOYS,
        report_interval: "1s",
    };
    let stage = Stage::start(&cast, &quick_canary_fleet()).await?;
    let traffic = stage.traffic("/app");
    let (revision, id) = stage.commit(&stage.config("2", "/")).await?;
    let began = Instant::now();
    let samples = follow(&stage, &id, revision).await?;
    let counts = traffic.end().await?;
    let (good, bad) = (
        counts.good.load(Ordering::Relaxed),
        counts.bad.load(Ordering::Relaxed),
    );
    println!(
        "{PROXIES} proxies and {} Envoys, 4 waves in {:.1?}: {samples} samples, each node on the revision that it was to serve; {good} requests, {bad} failed",
        stage.envoys.len(),
        began.elapsed()
    );
    ensure!(bad == 0);
    stage.wait_served("2").await
}

/// Samples until the rollout has ended; how many times all nodes were seen.
async fn follow(stage: &Stage, id: &str, revision: u64) -> Result<u64> {
    let (mut samples, mut exact) = (0, 0);
    let mut switched: BTreeMap<String, u64> = BTreeMap::new();
    let give_up = Instant::now() + WITHIN;
    loop {
        let replica = samples as usize % stage.control_planes.len();
        let before = stage.rollout(replica, id).await?;
        let served = stage.served().await?;
        let after = stage.rollout(replica, id).await?;
        samples += 1;
        let (first, second) = (wanted(&before), wanted(&after));
        let settled = before["version"] == after["version"] && before["state"] == "baking";
        for (node, text) in stage.nodes.iter().zip(&served) {
            let node = node.id.as_str();
            let serves: u64 = text.parse().context("the answer is a revision's number")?;
            let (Some(first), Some(second)) = (first.get(node), second.get(node)) else {
                continue;
            };
            ensure!(
                !settled || (serves == *first && first == second),
                "{node} serves {serves} where the rollout bakes and it is to serve {first}"
            );
            ensure!(
                serves != revision || *second == revision,
                "{node} serves {serves} and was never to: {second}"
            );
            // Whoever has switched stays.
            let last = switched.entry(node.to_owned()).or_insert(serves);
            ensure!(serves >= *last, "{node} went back to {serves}");
            *last = serves;
        }
        exact += u64::from(settled);
        if !after["ended_at"].is_null() {
            ensure!(after["state"] == "completed", "{after:#}");
            ensure!(exact > 0, "no sample fell into a bake");
            return Ok(samples);
        }
        ensure!(Instant::now() < give_up, "it does not end: {after:#}");
    }
}

/// What each node is to serve.
pub(super) fn wanted(rollout: &Value) -> BTreeMap<String, u64> {
    let nodes = rollout["nodes"].as_array().into_iter().flatten();
    nodes
        .filter_map(|node| Some((node["id"].as_str()?.to_owned(), node["wanted"].as_u64()?)))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_pauses_resumes_promotes_and_aborts_at_any_replica() -> Result<()> {
    let cast = Cast {
        proxies: 4,
        envoys: 0,
        report_interval: "1s",
    };
    let stage = Stage::start(&cast, &quick_canary_fleet()).await?;
    let order = async |replica: usize, id: &str, verb: &str| {
        let target = format!("/v1/fleets/default/rollouts/{id}:{verb}");
        stage.control_planes[replica]
            .send(Request::post(target))
            .await
    };
    // Without traffic the canary is held, not passed.
    let (_, id) = stage.commit(&stage.config("2", "/")).await?;
    stage.wait_for(&id, &["baking"], WITHIN).await?;
    order(0, &id, "pause").await?.success()?;
    let illegal = order(1, &id, "pause").await?;
    ensure!(illegal.status == 409 && illegal.text().contains("paused"));
    order(1, &id, "resume").await?.success()?;
    order(0, &id, "promote").await?.success()?;
    wait::until("the second wave bakes", WITHIN, async || {
        let rollout = stage.rollout(1, &id).await;
        let rollout = rollout.map_err(|error| format!("{error:#}"))?;
        match (&rollout["wave"], &rollout["state"]) {
            (wave, state) if *wave == 1 && state == "baking" => Ok(()),
            (wave, state) => Err(format!("wave {wave}: {state}")),
        }
    })
    .await?;
    order(1, &id, "abort").await?.success()?;
    let ended = stage.wait_for(&id, &["rolled-back"], WITHIN).await?;
    ensure!(ended["events"].as_array().is_some_and(|events| {
        events
            .iter()
            .any(|event| event["kind"] == "ordered" && event["actor"] == "local")
    }));
    stage.wait_served("1").await?;
    // What comes next waits for somebody to look.
    let held = stage.control_planes[1].get("/v1/fleets/default").await?;
    ensure!(held["held_by"] == id.as_str() && held["stable_revision"] == 1);
    let answer = stage.control_planes[0]
        .apply(&stage.config("3", "/"))
        .await?
        .json()?;
    ensure!(answer["delivery"]["state"] == "held", "{answer}");
    stage.wait_served("1").await
}
