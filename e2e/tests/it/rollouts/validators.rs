//! Validators: proxies without traffic that get every revision before anybody else. What one of them refuses no other node is
//! ever given.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::ports;
use serde_json::{Value, json};

use super::refused::NOWHERE;
use super::stage::{Cast, Stage};

const VALIDATOR: &str = "check";
const WITHIN: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_validator_refuses_nobody_else_is_given_and_what_it_takes_all_get() -> Result<()> {
    let fleet = json!({"rollout": {"strategy": {"waves": [{"percent": 100}]}}});
    let mut stage = Stage::start(&Cast::proxies(3), &fleet).await?;
    stage
        .join_as(VALIDATOR, 1, &[("role", "validator")])
        .await?;
    let validator = stage.proxies.last_mut().context("it has just joined")?;
    validator.wait_live().await?;
    let place = validator.listener(stage.port).ip();
    stage.wait_known(VALIDATOR).await?;

    let (_, id) = stage.commit(&stage.config("2", "/")).await?;
    let ended = stage.wait_for(&id, &["completed"], WITHIN).await?;
    let states = states(&ended);
    let position = |state: &str| states.iter().position(|it| it == state);
    let (validating, staging) = (position("validating"), position("staging"));
    ensure!(
        validating.is_some() && validating < staging,
        "{states:?}: {ended:#}"
    );
    stage.wait_served("2").await?;

    // Another program has the port at the address of the validator.
    let addresses: Vec<_> = stage.nodes.iter().map(|node| node.listener.ip()).collect();
    let port = ports::free_port_on(&[addresses, vec![place]].concat())?;
    let _taken = TcpListener::bind((place, port))?;
    let more = format!("listeners: [{{name: more, address: 0.0.0.0, port: {port}}}, ");
    let config = stage.config("3", "/").replace("listeners: [", &more);
    let (revision, id) = stage.commit(&config).await?;
    is_refused_by(&stage, &id, VALIDATOR).await?;
    let live = stage.went_live(revision)?;
    ensure!(live.is_empty(), "it went live: {live:?}");
    stage.wait_served("2").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_envoy_validates_as_well() -> Result<()> {
    let fleet = json!({"rollout": {"strategy": {"waves": [{"percent": 100}]}}});
    let mut stage = Stage::start(&Cast::proxies(2), &fleet).await?;
    stage.add_envoys(1, &json!({"role": "validator"})).await?;
    if stage.envoys.is_empty() {
        return Ok(());
    }
    stage.wait_served("1").await?;
    stage.wait_known("envoy-0").await?;
    let (_, id) = stage.commit(&stage.config("2", "/")).await?;
    let ended = stage.wait_for(&id, &["completed"], WITHIN).await?;
    ensure!(
        states(&ended).contains(&"validating".to_owned()),
        "{ended:#}"
    );
    stage.wait_served("2").await?;

    let port = stage.port;
    let more = format!("listeners: [{{name: nowhere, address: {NOWHERE}, port: {port}}}, ");
    let config = stage.config("3", "/").replace("listeners: [", &more);
    let (revision, id) = stage.commit(&config).await?;
    is_refused_by(&stage, &id, "envoy-0").await?;
    let live = stage.went_live(revision)?;
    ensure!(live.is_empty(), "it went live: {live:?}");
    Ok(())
}

/// Waits until a rollout has gone back because of that node, before any other was chosen.
async fn is_refused_by(stage: &Stage, rollout: &str, node: &str) -> Result<()> {
    let ended = stage.wait_for(rollout, &["rolled-back"], WITHIN).await?;
    let mut events = ended["events"].as_array().into_iter().flatten();
    let refused = events.find(|event| event["kind"] == "refused");
    let refused = refused.with_context(|| format!("nobody refused it: {ended:#}"))?;
    ensure!(refused["data"]["node"] == node, "{refused:#}");
    ensure!(
        !states(&ended).contains(&"advancing".to_owned()),
        "nodes were chosen: {ended:#}"
    );
    Ok(())
}

/// The states that a rollout was in.
fn states(rollout: &Value) -> Vec<String> {
    let events = rollout["events"].as_array().into_iter().flatten();
    let states = events.filter_map(|event| event["state"].as_str());
    states.map(str::to_owned).collect()
}
