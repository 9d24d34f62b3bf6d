//! `signalbox serve` as a child.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use http::StatusCode;
use serde_json::Value;
use tempfile::TempDir;

use super::{READY_WITHIN, ready_address};
use crate::client::{self, Answer, Request};
use crate::process::{OnLine, Process, Spawn};
use crate::tools;

/// How long an orderly end may take.
const END_WITHIN: Duration = Duration::from_secs(20);

/// How to start a control plane.
#[derive(Clone)]
pub struct ControlPlaneSettings {
    admin: SocketAddr,
    xds: SocketAddr,
    data_dir: Option<PathBuf>,
    database: Option<String>,
    arguments: Vec<String>,
    on_line: Option<OnLine>,
}

impl Default for ControlPlaneSettings {
    /// Free ports of 127.0.0.1, the embedded database in a folder that goes with the program.
    fn default() -> Self {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        Self {
            admin: any,
            xds: any,
            data_dir: None,
            database: None,
            arguments: Vec::new(),
            on_line: None,
        }
    }
}

impl ControlPlaneSettings {
    #[must_use]
    pub fn admin(mut self, admin: SocketAddr) -> Self {
        self.admin = admin;
        self
    }

    #[must_use]
    pub fn xds(mut self, xds: SocketAddr) -> Self {
        self.xds = xds;
        self
    }

    /// A folder that outlives the program.
    #[must_use]
    pub fn data_dir(mut self, data_dir: impl Into<PathBuf>) -> Self {
        self.data_dir = Some(data_dir.into());
        self
    }

    /// A database other than the embedded one.
    #[must_use]
    pub fn database(mut self, url: impl Into<String>) -> Self {
        self.database = Some(url.into());
        self
    }

    /// One more argument of `signalbox serve`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Calls back with every line that the program writes.
    #[must_use]
    pub fn on_line(mut self, on_line: OnLine) -> Self {
        self.on_line = Some(on_line);
        self
    }

    /// Starts it and waits until both ports accept connections.
    pub async fn start(self) -> Result<ControlPlane> {
        let folder = match &self.data_dir {
            Some(_) => None,
            None => Some(Arc::new(
                tempfile::Builder::new()
                    .prefix("signalbox-control-plane-")
                    .tempdir()?,
            )),
        };
        ControlPlane::launch(self, folder).await
    }

    fn command(&self, data_dir: &Path) -> Result<Command> {
        let mut command = Command::new(tools::program("signalbox")?);
        command.arg("serve").arg("--data-dir").arg(data_dir);
        command.args([
            "--admin",
            &self.admin.to_string(),
            "--xds",
            &self.xds.to_string(),
        ]);
        if let Some(url) = &self.database {
            command.args(["--database", url]);
        }
        command.args(&self.arguments);
        Ok(command)
    }
}

/// A running control plane.
pub struct ControlPlane {
    process: Process,
    /// With the ports that it got, so that a restart gets the same.
    settings: ControlPlaneSettings,
    folder: Option<Arc<TempDir>>,
}

impl ControlPlane {
    /// With the default settings.
    pub async fn start() -> Result<Self> {
        ControlPlaneSettings::default().start().await
    }

    async fn launch(
        mut settings: ControlPlaneSettings,
        folder: Option<Arc<TempDir>>,
    ) -> Result<Self> {
        let data_dir = folder
            .as_deref()
            .map(TempDir::path)
            .or(settings.data_dir.as_deref());
        let command = settings.command(data_dir.context("a control plane has a data folder")?)?;
        let mut process = Spawn::new("signalbox", command)
            .on_line(settings.on_line.clone())
            .start()?;
        let addresses = process.line("it is ready", READY_WITHIN, |line| {
            Some((
                ready_address(line, "signalbox", "admin")?,
                ready_address(line, "signalbox", "xds")?,
            ))
        });
        (settings.admin, settings.xds) = addresses.await?;
        Ok(Self {
            process,
            settings,
            folder,
        })
    }

    /// Ends it with SIGKILL and starts it again on the same data and the same ports.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.process.kill()?;
        self.start_again().await
    }

    /// Starts it again on the same data and the same ports, after it has ended.
    pub async fn start_again(&mut self) -> Result<()> {
        *self = Self::launch(self.settings.clone(), self.folder.clone()).await?;
        Ok(())
    }

    /// SIGTERM, and an exit status of 0 in time.
    pub async fn terminate(&mut self) -> Result<()> {
        self.process.terminate(END_WITHIN).await
    }

    /// The child itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The address of the admin API.
    pub fn admin(&self) -> SocketAddr {
        self.settings.admin
    }

    /// The address of the xDS server.
    pub fn xds(&self) -> SocketAddr {
        self.settings.xds
    }

    /// One request to the admin API, whatever the answer.
    pub async fn send(&self, request: Request) -> Result<Answer> {
        client::send(self.admin(), request).await
    }

    /// A page of the admin API as JSON; a status other than 2xx is an error.
    pub async fn get(&self, target: &str) -> Result<Value> {
        self.send(Request::get(target)).await?.success()?.json()
    }

    /// Applies a config (YAML, and so JSON) to the default fleet, over whatever is there.
    pub async fn apply(&self, config: &str) -> Result<Answer> {
        self.put_config("/v1/fleets/default/config", config).await
    }

    /// Applies a config to the default fleet; what it does not name goes.
    pub async fn apply_and_prune(&self, config: &str) -> Result<Answer> {
        self.put_config("/v1/fleets/default/config?prune=true", config)
            .await
    }

    async fn put_config(&self, target: &str, config: &str) -> Result<Answer> {
        let request = Request::put(target).yaml(config);
        let mut answer = self.send(request.clone()).await?;
        if answer.status == StatusCode::PRECONDITION_REQUIRED {
            answer = self.send(request.if_match_any()).await?;
        }
        answer.success().context("applying the config")
    }

    /// Replaces a route of the default fleet that exists.
    pub async fn replace_route(&self, name: &str, route: &Value) -> Result<Answer> {
        let request = Request::put(format!("/v1/fleets/default/routes/{name}"))
            .json(route)
            .if_match_any();
        self.send(request)
            .await?
            .success()
            .with_context(|| format!("replacing route {name}"))
    }
}
