//! `signalbox-proxy` as a child.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::{READY_WITHIN, ready_address};
use crate::client::{self, Answer, Request};
use crate::process::{OnLine, Process, Spawn};
use crate::{tools, wait};

/// From its start until a config is live. The proxy itself waits 15 s for missing resources.
const LIVE_WITHIN: Duration = Duration::from_secs(30);

/// How to start a proxy.
#[derive(Clone)]
pub struct ProxySettings {
    node_id: String,
    xds: Vec<SocketAddr>,
    scheme: &'static str,
    fleet: String,
    bind: IpAddr,
    admin: SocketAddr,
    arguments: Vec<String>,
    on_line: Option<OnLine>,
    program: Option<PathBuf>,
    under: Vec<String>,
}

impl ProxySettings {
    /// A proxy of the default fleet, on 127.0.0.1, its admin port a free one.
    pub fn new(node_id: impl Into<String>, xds: SocketAddr) -> Self {
        Self {
            node_id: node_id.into(),
            xds: vec![xds],
            scheme: "http",
            fleet: "default".to_owned(),
            bind: Ipv4Addr::LOCALHOST.into(),
            admin: ([127, 0, 0, 1], 0).into(),
            arguments: Vec::new(),
            on_line: None,
            program: None,
            under: Vec::new(),
        }
    }

    #[must_use]
    pub fn fleet(mut self, fleet: impl Into<String>) -> Self {
        self.fleet = fleet.into();
        self
    }

    /// The address in place of the wildcard address of listeners; also the default address of its admin port.
    #[must_use]
    pub fn bind(mut self, bind: impl Into<IpAddr>) -> Self {
        self.bind = bind.into();
        self.admin = (self.bind, 0).into();
        self
    }

    #[must_use]
    pub fn admin(mut self, admin: SocketAddr) -> Self {
        self.admin = admin;
        self
    }

    /// The control plane is known by a certificate that these roots vouch for.
    #[must_use]
    pub fn tls(mut self, roots: &Path) -> Self {
        self.scheme = "https";
        self.arguments(["--xds-ca", &roots.to_string_lossy()])
    }

    #[must_use]
    pub fn zone(self, zone: &str) -> Self {
        self.arguments(["--zone", zone])
    }

    #[must_use]
    pub fn label(self, key: &str, value: &str) -> Self {
        self.arguments(["--label", &format!("{key}={value}")])
    }

    #[must_use]
    pub fn workers(self, workers: usize) -> Self {
        self.arguments(["--workers", &workers.to_string()])
    }

    /// More arguments of `signalbox-proxy`.
    #[must_use]
    pub fn arguments<'a>(mut self, arguments: impl IntoIterator<Item = &'a str>) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(str::to_owned));
        self
    }

    /// Calls back with every line that the program writes.
    #[must_use]
    pub fn on_line(mut self, on_line: OnLine) -> Self {
        self.on_line = Some(on_line);
        self
    }

    /// Another build than the one beside this executable.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = Some(program.into());
        self
    }

    /// Started by another program: these words stand in front of its own.
    #[must_use]
    pub fn under(mut self, words: Vec<String>) -> Self {
        self.under = words;
        self
    }

    /// Starts it and waits until its admin port answers. A config need not be there yet.
    pub async fn start(self) -> Result<Proxy> {
        let name = format!("signalbox-proxy {}", self.node_id);
        let mut process = Spawn::new(name, self.command()?)
            .on_line(self.on_line.clone())
            .start()?;
        let admin = process.line("it is ready", READY_WITHIN, |line| {
            ready_address(line, "signalbox-proxy", "admin")
        });
        let admin = admin.await?;
        Ok(Proxy {
            process,
            settings: self.admin(admin),
        })
    }

    fn command(&self) -> Result<Command> {
        let program = match &self.program {
            Some(program) => program.clone(),
            None => tools::program("signalbox-proxy")?,
        };
        let mut command = match self.under.split_first() {
            Some((first, words)) => {
                let mut command = Command::new(first);
                command.args(words).arg(program);
                command
            }
            None => Command::new(program),
        };
        for xds in &self.xds {
            command.args(["--xds", &format!("{}://{xds}", self.scheme)]);
        }
        command.args(["--fleet", &self.fleet, "--node-id", &self.node_id]);
        command.args([
            "--bind",
            &self.bind.to_string(),
            "--admin",
            &self.admin.to_string(),
        ]);
        command.args(&self.arguments);
        Ok(command)
    }
}

/// A running proxy.
pub struct Proxy {
    process: Process,
    /// With the admin port that it got, so that a restart gets the same.
    settings: ProxySettings,
}

impl Proxy {
    /// The child itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    pub fn node_id(&self) -> &str {
        &self.settings.node_id
    }

    /// The address of its admin port.
    pub fn admin(&self) -> SocketAddr {
        self.settings.admin
    }

    /// The address of a listener with this port and the wildcard address.
    pub fn listener(&self, port: u16) -> SocketAddr {
        (self.settings.bind, port).into()
    }

    /// Waits until a config is live.
    pub async fn wait_live(&mut self) -> Result<()> {
        let live = wait::until("a config is live", LIVE_WITHIN, async || {
            match self.ready().await {
                Ok(true) => Ok(()),
                Ok(false) => Err("/ready says no".to_owned()),
                Err(error) => Err(format!("{error:#}")),
            }
        });
        live.await
            .map_err(|error| self.process.failure(&error.to_string()))
    }

    /// Whether it says that it is ready for traffic.
    pub async fn ready(&self) -> Result<bool> {
        Ok(client::send(self.admin(), Request::get("/ready"))
            .await?
            .status
            .is_success())
    }

    /// One request on a connection of its own to the listener with this port.
    pub async fn send(&self, port: u16, request: Request) -> Result<Answer> {
        client::send(self.listener(port), request)
            .await
            .with_context(|| format!("at {}", self.node_id()))
    }

    /// What it serves now, as its admin port shows it.
    pub async fn config_dump(&self) -> Result<Value> {
        client::send(self.admin(), Request::get("/config_dump"))
            .await?
            .success()?
            .json()
    }

    /// Its metrics in the text format.
    pub async fn metrics(&self) -> Result<String> {
        Ok(client::send(self.admin(), Request::get("/metrics"))
            .await?
            .success()?
            .text())
    }

    /// SIGTERM: drains, and ends with an exit status of 0 in time.
    pub async fn terminate(&mut self, within: Duration) -> Result<()> {
        self.process.terminate(within).await
    }

    /// Ends it with SIGKILL and starts it again with the same settings.
    pub async fn crash_and_restart(&mut self) -> Result<()> {
        self.process.kill()?;
        *self = self.settings.clone().start().await?;
        Ok(())
    }
}
