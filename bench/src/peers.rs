//! Who is measured: each peer started with one worker, keep-alive on both sides, no access log, and the same single route.

mod config;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::client::{self, Request};
use e2e::envoy::Envoy;
use e2e::process::{Process, Spawn};
use e2e::programs::{ControlPlane, Proxy, ProxySettings};
use e2e::{ports, tools, wait};
use tempfile::TempDir;

const ANSWERS_WITHIN: Duration = Duration::from_secs(30);

/// A running peer.
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    pub(crate) address: SocketAddr,
    /// The process whose time and memory count.
    pub(crate) process: u32,
    running: Running,
}

/// What ends with the peer.
enum Running {
    Process {
        process: Process,
        _folder: Option<TempDir>,
    },
    Envoy {
        _envoy: Envoy,
    },
    Signalbox {
        _programs: Box<(Proxy, ControlPlane)>,
    },
}

/// Starts every peer that is installed, and says why each other one is left out.
pub(crate) async fn start_all(upstream: SocketAddr) -> Result<(Vec<Peer>, Vec<String>)> {
    let mut peers = vec![forwarder(upstream)?];
    let mut missing = Vec::new();
    for (name, peer) in [
        ("nginx", nginx(upstream)),
        ("HAProxy", haproxy(upstream)),
        ("Envoy", envoy(upstream).await),
    ] {
        match peer {
            Ok(peer) => peers.push(peer),
            Err(error) => missing.push(format!("{name} is left out: {error:#}")),
        }
    }
    peers.push(signalbox(upstream).await?);
    for peer in &peers {
        peer.wait_answering().await?;
    }
    Ok((peers, missing))
}

impl Peer {
    async fn wait_answering(&self) -> Result<()> {
        let what = format!("{} answers", self.name);
        let right = wait::until(&what, ANSWERS_WITHIN, async || {
            let answer = client::send(self.address, Request::get("/"))
                .await
                .map_err(|error| format!("{error:#}"))?;
            if answer.status == 200 && answer.body.len() == 100 {
                Ok(())
            } else {
                Err(answer.status.to_string())
            }
        });
        right.await.map_err(|error| match &self.running {
            Running::Process { process, .. } => process.failure(&error.to_string()),
            Running::Envoy { .. } | Running::Signalbox { .. } => error,
        })
    }

    fn of(
        name: &'static str,
        version: String,
        address: SocketAddr,
        command: Command,
        folder: Option<TempDir>,
    ) -> Result<Self> {
        let process = Spawn::new(name, command).start()?;
        Ok(Self {
            name,
            version,
            address,
            process: process.id(),
            running: Running::Process {
                process,
                _folder: folder,
            },
        })
    }
}

fn forwarder(upstream: SocketAddr) -> Result<Peer> {
    let address = free_address()?;
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("forwarder")
        .arg(address.to_string())
        .arg(upstream.to_string());
    Peer::of("L4 forwarder", "mio".to_owned(), address, command, None)
}

fn nginx(upstream: SocketAddr) -> Result<Peer> {
    let program = tools::system("nginx").context("not installed")?;
    let version = version(&program, "-v", |text| {
        text.split_once("nginx/")?.1.split_whitespace().next()
    })?;
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let file = folder.path().join("nginx.conf");
    fs::write(&file, config::nginx(address, upstream, folder.path()))?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path()).arg("-c").arg(file);
    Peer::of("nginx", version, address, command, Some(folder))
}

fn haproxy(upstream: SocketAddr) -> Result<Peer> {
    let program = tools::system("haproxy").context("not installed")?;
    let version = version(&program, "-v", |text| {
        text.split_once("version ")?.1.split_whitespace().next()
    })?;
    let (folder, address) = (tempfile::tempdir()?, free_address()?);
    let file = folder.path().join("haproxy.cfg");
    fs::write(&file, config::haproxy(address, upstream))?;
    let mut command = Command::new(program);
    command.arg("-db").arg("-f").arg(file);
    Peer::of("HAProxy", version, address, command, Some(folder))
}

async fn envoy(upstream: SocketAddr) -> Result<Peer> {
    let version = version(&tools::envoy()?, "--version", |text| {
        text.split_once("version: ")?.1.split('/').nth(1)
    })?;
    let address = free_address()?;
    let mut envoy = Envoy::launch("bench", config::envoy(address, upstream)).await?;
    envoy.wait_live().await?;
    let process = envoy.process().id();
    Ok(Peer {
        name: "Envoy",
        version,
        address,
        process,
        running: Running::Envoy { _envoy: envoy },
    })
}

async fn signalbox(upstream: SocketAddr) -> Result<Peer> {
    let control_plane = ControlPlane::start().await?;
    let mut proxy = ProxySettings::new("bench", control_plane.xds())
        .workers(1)
        .start()
        .await?;
    let port = ports::free_port()?;
    control_plane
        .apply(&config::signalbox(port, upstream))
        .await?;
    proxy.wait_live().await?;
    Ok(Peer {
        name: "Signalbox",
        version: env!("CARGO_PKG_VERSION").to_owned(),
        address: proxy.listener(port),
        process: proxy.process().id(),
        running: Running::Signalbox {
            _programs: Box::new((proxy, control_plane)),
        },
    })
}

fn free_address() -> Result<SocketAddr> {
    Ok(([127, 0, 0, 1], ports::free_port()?).into())
}

/// What a program says of itself, on either stream.
fn version(program: &Path, flag: &str, pick: impl Fn(&str) -> Option<&str>) -> Result<String> {
    let output = Command::new(program).arg(flag).output()?;
    let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    pick(&text)
        .map(str::to_owned)
        .with_context(|| format!("no version in {text:?}"))
}
