//! The load as a child with a core of its own: started, marked, ended. In: what to put on. Out: its figures as values.

use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout};

use crate::tiny::load::{Arguments, Figures};

const BEGINS_WITHIN: Duration = Duration::from_mins(1);

/// A load that is being put on.
pub(crate) struct Load {
    child: Child,
    orders: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Load {
    /// Returns when its connections are open and requests go out.
    pub(crate) async fn begin(arguments: &Arguments, core: Option<usize>) -> Result<Self> {
        let mut words = vec![
            "load".to_owned(),
            arguments.target.to_string(),
            format!("--exchange={}", arguments.exchange.name()),
            format!("--table={}", arguments.table),
            format!("--connections={}", arguments.connections),
            format!("--seconds={}", arguments.seconds),
        ];
        words.extend(arguments.rate.map(|rate| format!("--rate={rate}")));
        Self::start(words, core, "begun").await
    }

    /// Connections that are idle, when this returns, for as long as it lives.
    pub(crate) async fn idle(target: std::net::SocketAddr, connections: usize) -> Result<Self> {
        let words = [
            "idle".to_owned(),
            target.to_string(),
            connections.to_string(),
        ];
        Self::start(words.into(), None, "idle").await
    }

    async fn start(words: Vec<String>, core: Option<usize>, ready: &str) -> Result<Self> {
        let program = std::env::current_exe()?;
        let mut command = match core {
            Some(core) => {
                let mut command = Command::new("taskset");
                command.args(["--cpu-list", &core.to_string()]).arg(program);
                command
            }
            None => Command::new(program),
        };
        command
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut command = tokio::process::Command::from(command);
        let mut child = command
            .kill_on_drop(true)
            .spawn()
            .context("starting the load")?;
        let orders = child.stdin.take();
        let output = child.stdout.take().context("the load has an output")?;
        let mut lines = BufReader::new(output).lines();
        let line = tokio::time::timeout(BEGINS_WITHIN, lines.next_line()).await;
        let line = line.context("the load does not begin")??;
        ensure!(line.as_deref() == Some(ready), "the load did not begin");
        Ok(Self {
            child,
            orders,
            lines,
        })
    }

    /// Closes a window; the next one begins.
    pub(crate) async fn mark(&mut self) -> Result<()> {
        let orders = self.orders.as_mut().context("the load runs")?;
        Ok(orders.write_all(b"\n").await?)
    }

    /// Ends it before its time.
    pub(crate) async fn end(mut self) -> Result<Vec<Figures>> {
        self.orders = None;
        self.figures().await
    }

    /// Waits for its end: the figures of each window.
    pub(crate) async fn figures(mut self) -> Result<Vec<Figures>> {
        let line = self.lines.next_line().await?;
        let status = self.child.wait().await?;
        ensure!(status.success(), "the load: {status}");
        Ok(serde_json::from_str(
            &line.context("the load says nothing")?,
        )?)
    }
}
