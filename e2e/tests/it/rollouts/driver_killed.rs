//! The control plane that drives a rollout is killed in every state that a rollout can be in. The other one shows what nodes
//! are to serve as it was, and takes the rollout on to its end.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::process::Signal;
use e2e::{tools, wait};
use serde_json::{Value, json};

use super::stage::{Cast, Stage};
use super::{completes, course};

const PROXIES: usize = 4;
const WITHIN: Duration = Duration::from_mins(1);
/// Joins late, and the first wave waits for it: so a rollout can be held in `advancing`.
const LATE: &str = "edge-late";
/// Whoever drives at the moment, by the database's clock.
const DRIVER: &str = "SELECT holder FROM lease WHERE name = 'rollouts' \
     AND until > EXTRACT(EPOCH FROM clock_timestamp()) * 1000000";

/// A stage, and the rollout that is under way.
struct Play {
    stage: Stage,
    id: String,
    /// The proxies are stopped where they are.
    frozen: bool,
    /// Each state in which a driver was killed.
    killed_in: Vec<String>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_driver_killed_in_any_state_changes_nothing_and_nothing_is_done_twice() -> Result<()> {
    let fleet = json!({"rollout": {"strategy": "slow"}, "strategies": {"slow": {"waves": [
        {"name": "late", "nodes": [LATE], "bake": "4s", "min_nodes": 1},
        // Its nodes do not get ready together first, and are waited for all the same: there is one in each zone.
        {"percent": 50, "bake": "4s", "share": 0, "min_nodes": 3, "approval": {}},
        {"percent": 100, "bake": "1s", "min_nodes": 1, "approval": {}},
    ]}}});
    let mut play = Play {
        stage: Stage::start(&Cast::proxies(PROXIES), &fleet).await?,
        id: String::new(),
        frozen: false,
        killed_in: Vec::new(),
    };
    play.goes_on_to_the_end().await?;
    play.goes_back().await?;
    println!("killed in: {}", play.killed_in.join(", "));
    Ok(())
}

impl Play {
    async fn goes_on_to_the_end(&mut self) -> Result<()> {
        self.commit_and_kill("2").await?;
        self.kill_the_driver("advancing", 0).await?;
        self.stage.join(LATE, 1).await?;
        self.reach("baking", 0).await?;
        self.kill_the_driver("baking", 0).await?;
        self.reach("awaiting-approval", 1).await?;
        self.kill_the_driver("awaiting-approval", 1).await?;
        // Nobody can take anything now.
        self.signal_proxies(Signal::Stop).await?;
        self.order("approve").await?;
        self.reach("settling", 1).await?;
        self.kill_the_driver("settling", 1).await?;
        self.signal_proxies(Signal::Cont).await?;
        self.reach("baking", 1).await?;
        self.order("pause").await?;
        self.kill_the_driver("paused", 1).await?;
        self.order("resume").await?;
        self.reach("awaiting-approval", 2).await?;
        self.signal_proxies(Signal::Stop).await?;
        self.order("approve").await?;
        self.reach("staging", 2).await?;
        self.kill_the_driver("staging", 2).await?;
        self.signal_proxies(Signal::Cont).await?;
        let ended = self.ended("completed").await?;
        let baked = course::check(&ended)?;
        println!("the waves baked for {baked:.2?} s");
        self.stage.wait_served("2").await
    }

    async fn goes_back(&mut self) -> Result<()> {
        let strategy = json!({"rollout": {"strategy": {"waves": [
            {"percent": 50, "bake": "10m", "min_nodes": 1}, {"percent": 100},
        ]}}});
        self.stage.say_of_fleet(&strategy).await?;
        self.commit_and_kill("3").await?;
        self.reach("baking", 0).await?;
        self.signal_proxies(Signal::Stop).await?;
        self.order("abort").await?;
        self.kill_the_driver("rolling-back", 0).await?;
        self.signal_proxies(Signal::Cont).await?;
        let ended = self.ended("rolled-back").await?;
        course::check(&ended)?;
        self.stage.wait_served("2").await
    }

    /// Commits, and kills who has just answered: before anybody has looked at what follows, or right then.
    async fn commit_and_kill(&mut self, text: &str) -> Result<()> {
        let config = self.stage.config(text, "/");
        (_, self.id) = self.stage.commit(&config).await?;
        let first = &mut self.stage.control_planes[0];
        first.process().kill()?;
        first.start_again().await?;
        self.killed_in.push("a commit".to_owned());
        self.all_are_connected().await
    }

    /// Kills whoever drives, and starts it again. Before, at the other one after it, and at both in the end nodes are to serve
    /// the same.
    async fn kill_the_driver(&mut self, state: &str, wave: u64) -> Result<()> {
        let driver = self.driver().await?;
        let other = 1 - driver;
        let before = self.stage.rollout(other, &self.id).await?;
        self.stage.control_planes[driver].process().kill()?;
        let after = self.stage.rollout(other, &self.id).await?;
        for rollout in [&before, &after] {
            ensure!(
                rollout["state"] == state && rollout["wave"] == wave,
                "{rollout:#}"
            );
        }
        ensure!(before["deadline"] == after["deadline"]);
        let wanted = completes::wanted(&before);
        ensure!(wanted.len() >= PROXIES, "{before:#}");
        ensure!(
            wanted == completes::wanted(&after),
            "killed in {state}: {before:#}, {after:#}"
        );
        self.stage.control_planes[driver].start_again().await?;
        if !self.frozen {
            self.all_are_connected().await?;
        }
        for replica in [driver, other] {
            let now = self.stage.rollout(replica, &self.id).await?;
            let moved = now["state"] != state || now["wave"] != wave;
            ensure!(
                state == "baking" || !moved,
                "{state} was left by itself: {now:#}"
            );
            for (node, now) in completes::wanted(&now) {
                ensure!(
                    moved || wanted[&node] == now,
                    "{node} is to serve {now} after {state}"
                );
            }
        }
        self.killed_in.push(state.to_owned());
        Ok(())
    }

    async fn all_are_connected(&self) -> Result<()> {
        let all = self.stage.proxies.len();
        wait::until("all proxies are connected", WITHIN, async || {
            let nodes = self.stage.control_planes[1]
                .get("/v1/fleets/default/nodes")
                .await;
            let nodes = nodes.map_err(|error| format!("{error:#}"))?;
            let nodes = nodes["items"].as_array().into_iter().flatten();
            let connected = nodes.filter(|node| node["connected"] == true).count();
            (connected == all)
                .then_some(())
                .ok_or(connected.to_string())
        })
        .await
    }

    async fn reach(&self, state: &str, wave: u64) -> Result<()> {
        self.stage.reach(&self.id, state, wave).await
    }

    async fn ended(&self, state: &str) -> Result<Value> {
        self.stage.wait_for(&self.id, &[state], WITHIN).await
    }

    async fn order(&self, verb: &str) -> Result<()> {
        self.stage.order(0, &self.id, verb).await
    }

    /// Sends a signal to all proxies; they have stopped, or go on, when this returns.
    async fn signal_proxies(&mut self, signal: Signal) -> Result<()> {
        self.frozen = signal == Signal::Stop;
        for proxy in &mut self.stage.proxies {
            let process = proxy.process();
            process.signal(signal)?;
            let stat = format!("/proc/{}/stat", process.id());
            wait::until_true("the signal has arrived", WITHIN, async || {
                let stopped = fs::read_to_string(&stat).map(|stat| stat.contains(") T "));
                stopped.is_ok_and(|stopped| stopped == self.frozen)
            })
            .await?;
        }
        Ok(())
    }

    /// The position of the control plane that has the lease.
    async fn driver(&self) -> Result<usize> {
        wait::until("a replica drives", WITHIN, async || {
            let holder = self.ask(DRIVER).map_err(|error| format!("{error:#}"))?;
            let position = (0..2).find(|at| self.is_replica_of(*at, &holder));
            position.ok_or(holder)
        })
        .await
    }

    fn is_replica_of(&self, position: usize, holder: &str) -> bool {
        let query = format!(
            "SELECT count(*) FROM node WHERE id = 'edge-0{position}' AND replica = '{holder}'"
        );
        self.ask(&query).is_ok_and(|count| count == "1")
    }

    fn ask(&self, query: &str) -> Result<String> {
        let output = Command::new(tools::postgres("psql")?)
            .args(["-Atqc", query, &self.stage.database])
            .output()?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "psql: {error}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }
}
