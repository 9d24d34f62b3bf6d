//! Who is measured: each peer started with the same routes and workers, keep-alive on both sides, no access log.

mod envoy;
mod forwarder;
mod haproxy;
mod nginx;
mod signalbox;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::client::{self, Request};
use e2e::process::Process;
use e2e::{ports, wait};
use tempfile::TempDir;

use crate::exchange::Exchange;
use crate::table::{Table, Target};
use crate::{machine, usage};

/// nginx and Envoy read a hundred thousand routes for up to half a minute.
const ANSWERS_WITHIN: Duration = Duration::from_mins(3);
/// Idle upstream connections that a peer may keep: more than any load has.
const KEPT_CONNECTIONS: u32 = 1_024;

/// What a peer is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup {
    pub(crate) upstream: SocketAddr,
    pub(crate) workers: usize,
    pub(crate) table: Table,
    pub(crate) exchange: Exchange,
}

/// Whom to start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Forwarder,
    Nginx,
    Haproxy,
    Envoy,
    Signalbox,
    /// Signalbox with one route, whatever the table: what its own table is compared with.
    SignalboxOneRoute,
    /// Some build of the proxy, by a name of its own.
    Build(&'static str, PathBuf),
}

/// A running peer.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    /// Whether a comparison may go on without it: it is neither the floor nor ours.
    pub(crate) is_foreign: bool,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    /// The process whose time and memory count, its children included.
    pub(crate) process: u32,
    /// From the writing of its config to an answer of its last route.
    pub(crate) started_within: Duration,
    setup: Setup,
    running: Running,
}

/// What ends with the peer, and how it is told of a change.
enum Running {
    Forwarder(Process),
    Nginx(Process, TempDir),
    Haproxy(Process, TempDir),
    Envoy(envoy::Running),
    Signalbox(Box<signalbox::Running>),
}

impl Who {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Forwarder => "L4 forwarder",
            Self::Nginx => "nginx",
            Self::Haproxy => "HAProxy",
            Self::Envoy => "Envoy",
            Self::Signalbox => "Signalbox",
            Self::SignalboxOneRoute => "Signalbox, 1 route",
            Self::Build(name, _) => name,
        }
    }

    fn is_foreign(&self) -> bool {
        matches!(self, Self::Nginx | Self::Haproxy | Self::Envoy)
    }

    /// Starts it and waits until the last of its routes answers.
    pub(crate) async fn start(&self, setup: Setup) -> Result<Peer> {
        let setup = match self {
            Self::SignalboxOneRoute => Setup {
                table: Table::One,
                ..setup
            },
            _ => setup,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free_port()?));
        let start = Instant::now();
        let (version, process, running) = match self {
            Self::Forwarder => forwarder::start(address, setup)?,
            Self::Nginx => nginx::start(address, setup)?,
            Self::Haproxy => haproxy::start(address, setup)?,
            Self::Envoy => envoy::start(address, setup).await?,
            Self::Signalbox | Self::SignalboxOneRoute => {
                signalbox::start(address, setup, None).await?
            }
            Self::Build(_, program) => signalbox::start(address, setup, Some(program)).await?,
        };
        let mut peer = Peer {
            name: self.name(),
            is_foreign: self.is_foreign(),
            version,
            address,
            process,
            started_within: Duration::ZERO,
            setup,
            running,
        };
        let last = setup.table.target(setup.table.routes() - 1);
        peer.wait_answering(&last).await?;
        peer.started_within = start.elapsed();
        Ok(peer)
    }
}

/// Starts all of them; one that cannot be started is named with the reason. Ours must start.
pub(crate) async fn start_all(who: &[Who], setup: Setup) -> Result<(Vec<Peer>, Vec<String>)> {
    let (mut peers, mut missing) = (Vec::new(), Vec::new());
    for who in who {
        match who.start(setup).await {
            Ok(peer) => peers.push(peer),
            Err(error) if who.is_foreign() => {
                missing.push(format!("{} is left out: {error:#}", who.name()));
            }
            Err(error) => return Err(error.context(format!("starting {}", who.name()))),
        }
    }
    Ok((peers, missing))
}

impl Peer {
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        usage::cpu_time(self.process)
    }

    pub(crate) fn memory_kib(&self) -> Result<u64> {
        usage::memory_kib(self.process)
    }

    /// Keeps all of it on one core.
    pub(crate) fn pin(&self, core: usize) -> Result<()> {
        for process in usage::family(self.process)? {
            machine::pin(process, core)?;
        }
        Ok(())
    }

    pub(crate) fn table(&self) -> Table {
        self.setup.table
    }

    /// The change has become true.
    pub(crate) fn has_changed(&mut self) {
        self.setup = self.larger();
    }

    /// The request that the route to come will take.
    pub(crate) fn next_target(&self) -> Target {
        self.larger().table.target(self.setup.table.routes())
    }

    /// Writes down, where files are read, what the change will be.
    pub(crate) fn prepare_change(&self) -> Result<()> {
        let larger = self.larger();
        match &self.running {
            Running::Nginx(_, folder) => nginx::write(folder.path(), "next", self.address, larger),
            Running::Haproxy(_, folder) => haproxy::write_map(folder.path(), "next", larger),
            Running::Envoy(running) => running.prepare(larger),
            Running::Forwarder(_) | Running::Signalbox(_) => Ok(()),
        }
    }

    /// Has one route more, by whatever way the peer has for that. Returns when it was told.
    pub(crate) async fn change(&mut self) -> Result<()> {
        let larger = self.larger();
        match &mut self.running {
            Running::Nginx(process, folder) => nginx::reload(process, folder.path()),
            Running::Haproxy(process, folder) => haproxy::reload(process, folder.path()),
            Running::Envoy(running) => running.change(),
            Running::Signalbox(running) => running.change(larger).await,
            Running::Forwarder(_) => anyhow::bail!("a forwarder has no routes"),
        }
    }

    fn larger(&self) -> Setup {
        let table = match self.setup.table {
            Table::One => Table::One,
            Table::Hosts(count) => Table::Hosts(count + 1),
            Table::Paths(count) => Table::Paths(count + 1),
        };
        Setup {
            table,
            ..self.setup
        }
    }

    async fn wait_answering(&mut self, target: &Target) -> Result<()> {
        let what = format!("{} answers", self.name);
        let (address, name) = (self.address, self.name);
        // The upstream answers when it has read as much body as it waits for.
        let request = match self.setup.exchange.request_body() {
            0 => Request::get(&target.path),
            length => Request::post(&target.path).body(vec![b'x'; length]),
        };
        let request = request.host(&target.host);
        let mut process = match &mut self.running {
            Running::Forwarder(process)
            | Running::Nginx(process, _)
            | Running::Haproxy(process, _) => Some(process),
            Running::Envoy(_) | Running::Signalbox(_) => None,
        };
        let answers = wait::until(&what, ANSWERS_WITHIN, async || {
            if let Some(process) = &mut process
                && let Err(ended) = process.check_running()
            {
                return Ok(Err(ended));
            }
            let answer = client::send(address, request.clone()).await;
            let status = answer.map_err(|error| format!("{error:#}"))?.status;
            if status == 200 {
                Ok(Ok(()))
            } else {
                Err(status.to_string())
            }
        });
        answers.await.and_then(|outcome| outcome).context(name)
    }
}

/// What a program says of itself, on either stream.
fn version(program: &Path, flag: &str, pick: impl Fn(&str) -> Option<&str>) -> Result<String> {
    let output = Command::new(program).arg(flag).output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    pick(&text)
        .map(str::to_owned)
        .with_context(|| format!("no version in {text:?}"))
}
