//! Rollouts as somebody at a terminal has them: what the commands print, and with which exit code they end.

use std::fs;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::tools;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::stage::{Cast, Stage};

const PROXIES: usize = 3;
const WITHIN: Duration = Duration::from_mins(1);

/// What a command that ended did.
struct Done {
    code: Option<i32>,
    out: String,
    err: String,
}

/// A command that runs beside the test.
type Running = tokio::task::JoinHandle<Result<Done>>;

/// A stage and the terminal.
struct Desk {
    stage: Stage,
    folder: TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_follows_a_rollout_and_stops_one() -> Result<()> {
    let fleet = json!({"rollout": {"strategy": {"waves": [
        {"name": "canary", "count": 1, "bake": "1s", "min_nodes": 1},
        {"percent": 100, "min_nodes": 1},
    ]}}});
    let desk = Desk {
        stage: Stage::start(&Cast::proxies(PROXIES), &fleet).await?,
        folder: tempfile::tempdir()?,
    };
    desk.goes_through().await?;
    desk.is_aborted().await?;
    desk.begins_by_hand().await
}

impl Desk {
    async fn goes_through(&self) -> Result<()> {
        let file = self.file("two.yaml", &self.stage.config("2", "/"))?;
        let done = self.run(&["apply", "-f", &file, "--wait"]).await?;
        let done = done.ended_with(0)?;
        for part in [
            "fleet default is at revision 2",
            "  wave 1/2  staging  wave 1 of 2 (canary): 1 connected nodes are to have revision 2",
            "  wave 1/2  settling  wave 1 of 2 (canary): 1 proxies are ready and switch to revision 2",
            "  wave 1/2  baking  ",
            "  wave 2/2  staging  wave 2 of 2: 2 connected nodes are to have revision 2",
            "  wave 2/2  settling  wave 2 of 2: 2 proxies are ready and switch to revision 2",
            "revision 1 → 2  completed  wave 2/2",
        ] {
            done.says(part)?;
        }
        self.stage.wait_served("2").await
    }

    async fn is_aborted(&self) -> Result<()> {
        let slow = json!({"rollout": {"strategy": {"waves": [
            {"name": "canary", "count": 1, "bake": "10m", "min_nodes": 1}, {"percent": 100},
        ]}}});
        self.stage.say_of_fleet(&slow).await?;
        let file = self.file("three.yaml", &self.stage.config("3", "/"))?;
        let applying = self.spawn(&["apply", "-f", &file, "--wait"])?;
        let id = self.under_way(3).await?;
        self.stage.wait_for(&id, &["baking"], WITHIN).await?;
        let watching = self.spawn(&["rollout", "status", "--watch"])?;
        let paused = self.run(&["rollout", "pause", "-m", "lunch"]).await?;
        paused.ended_with(0)?.says("paused  wave 1/2")?;
        // What the state does not allow is refused, with the state.
        let again = self.run(&["rollout", "pause"]).await?.ended_with(3)?;
        ensure!(
            again.err.contains("a rollout that is paused"),
            "{}",
            again.err
        );
        let resumed = self.run(&["rollout", "resume", &id]).await?;
        resumed.ended_with(0)?.says("baking  wave 1/2")?;
        let status = self.run(&["rollout", "status"]).await?.ended_with(0)?;
        for part in [&*format!("rollout {id}"), "1 canary", "active", "pending"] {
            status.says(part)?;
        }
        let aborted = self.run(&["rollout", "abort", "-m", "enough"]).await?;
        aborted.ended_with(0)?;
        for running in [applying, watching] {
            let done = running.await??.ended_with(4)?;
            done.says("  wave 1/2  paused  local: pause: lunch")?;
            done.says("  wave 1/2  rolling-back  local: abort: enough")?;
            done.says("  wave 1/2  rolled-back  ")?;
            ensure!(
                done.err.contains("the rollout is rolled-back"),
                "{}",
                done.err
            );
        }
        self.stage.wait_served("2").await?;
        // Nothing moves by itself now, and whoever waits is told so.
        let file = self.file("four.yaml", &self.stage.config("4", "/"))?;
        let held = self.run(&["apply", "-f", &file, "--wait"]).await?;
        let held = held.ended_with(3)?;
        ensure!(held.err.contains(&id), "{}", held.err);
        held.says("fleet default is at revision 4")
    }

    async fn begins_by_hand(&self) -> Result<()> {
        let start = [
            "rollout",
            "start",
            "-m",
            "looked at it",
            "--strategy",
            "all-at-once",
        ];
        let begun = self.run(&start).await?.ended_with(0)?;
        begun.says("reason: looked at it")?;
        self.run(&["rollout", "status", "--watch"])
            .await?
            .ended_with(0)?
            .says("revision 2 → 4  completed  wave 1/1")?;
        self.stage.wait_served("4").await?;
        let back = [
            "rollout",
            "start",
            "--to",
            "2",
            "--strategy",
            "all-at-once",
            "--wait",
        ];
        let back = self.run(&back).await?.ended_with(0)?;
        back.says("revision 4 → 2  completed")?;
        self.stage.wait_served("2").await?;
        let history = self.run(&["rollout", "history", "-o", "json"]).await?;
        let history: Value = serde_json::from_str(&history.ended_with(0)?.out)?;
        let ways = history.as_array().into_iter().flatten();
        let ways: Vec<_> = ways
            .map(|it| json!([it["from"], it["to"], it["state"]]))
            .collect();
        let expected = [
            json!([4, 2, "completed"]),
            json!([2, 4, "completed"]),
            json!([2, 3, "rolled-back"]),
            json!([1, 2, "completed"]),
            json!([0, 1, "completed"]),
        ];
        ensure!(ways == expected, "{ways:?}");
        let table = self.run(&["rollout", "history", "-n", "1"]).await?;
        table.ended_with(0)?.says("1/1")
    }

    /// The rollout to this revision, once there is one.
    async fn under_way(&self, to: u64) -> Result<String> {
        e2e::wait::until("the rollout has begun", WITHIN, async || {
            let newest = self.stage.rollout(0, "latest").await;
            let newest = newest.map_err(|error| format!("{error:#}"))?;
            match newest["id"].as_str() {
                Some(id) if newest["to"] == to => Ok(id.to_owned()),
                _ => Err(newest["to"].to_string()),
            }
        })
        .await
    }

    /// Writes a file; its path.
    fn file(&self, name: &str, text: &str) -> Result<String> {
        let path = self.folder.path().join(name);
        fs::write(&path, text)?;
        Ok(path.to_string_lossy().into_owned())
    }

    async fn run(&self, arguments: &[&str]) -> Result<Done> {
        self.spawn(arguments)?.await?
    }

    /// Starts a command at the second control plane.
    fn spawn(&self, arguments: &[&str]) -> Result<Running> {
        let server = format!("http://{}", self.stage.control_planes[1].admin());
        let mut command = Command::new(tools::program("signalbox")?);
        command.args(arguments).args(["--server", &server]);
        command.env("NO_COLOR", "1").stdin(Stdio::null());
        Ok(tokio::task::spawn_blocking(move || {
            Ok(Done::of(&command.output()?))
        }))
    }
}

impl Done {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }

    fn ended_with(self, code: i32) -> Result<Self> {
        let Self { out, err, .. } = &self;
        ensure!(
            self.code == Some(code),
            "{:?}, not {code}: {out}{err}",
            self.code
        );
        Ok(self)
    }

    fn says(&self, part: &str) -> Result<()> {
        ensure!(self.out.contains(part), "`{part}` is missing: {}", self.out);
        Ok(())
    }
}
