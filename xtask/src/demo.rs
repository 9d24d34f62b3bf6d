//! `cargo xtask demo`: the whole of it on one machine, with nothing but Rust installed. Builds, starts a control plane on its
//! embedded database, two sample upstreams and three proxies, applies `demo.yaml`, sends a few requests a second, shows what
//! to try, follows the logs.
//! Everything ends with Ctrl-C, and its data goes with it.

mod log;
mod lost;
mod overview;
mod rollouts;
mod visitors;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::client::Request;
use e2e::programs::{ControlPlane, ControlPlaneSettings, Proxy, ProxySettings};
use e2e::upstream::Upstream;
use e2e::wait;
use tokio::signal::unix::{Signal, SignalKind, signal};

use self::log::Log;
use crate::run::run;
use crate::workspace;

const CONFIG: &str = include_str!("../demo.yaml");
const FLEET: &str = include_str!("../demo/fleet.yaml");

/// The programs' own defaults.
const ADMIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);
const XDS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 18000);
/// As in `demo.yaml`.
const LISTENER_PORT: u16 = 10000;
const UPSTREAMS: [(&str, u16); 2] = [("catalog", 9001), ("catalog-next", 9002)];
/// Node id, address, zone.
const PROXIES: [(&str, Ipv4Addr, &str); 3] = [
    ("proxy-a", Ipv4Addr::new(127, 0, 0, 11), "a"),
    ("proxy-b", Ipv4Addr::new(127, 0, 0, 12), "b"),
    ("proxy-c", Ipv4Addr::new(127, 0, 0, 13), "c"),
];
const PROXY_ADMIN_PORT: u16 = 8081;

/// From the config's 2xx until all proxies answer; usually a fraction of a second.
const SERVING_WITHIN: Duration = Duration::from_secs(30);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Do everything, ask every proxy once, and end.
    #[arg(long)]
    exit_after_ready: bool,
}

pub(crate) fn demo(arguments: &Arguments) -> Result<()> {
    ensure_ports_are_free()?;
    run(workspace::cargo().args(["build", "-p", "control-plane", "-p", "proxy"]))?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    runtime.block_on(play(arguments.exit_after_ready))
}

/// An interrupt ends the play in order; another one at once, since dropping the stage kills what is left.
async fn play(exit_after_ready: bool) -> Result<()> {
    let log = Arc::new(Log::new());
    let mut interrupts = Interrupts::new()?;
    let mut stage = tokio::select! {
        stage = Stage::serving(&log) => stage?,
        () = interrupts.next() => return Ok(()),
    };
    let _visitors = visitors::send();
    if exit_after_ready {
        println!("all three proxies serve the sample config");
        tokio::select! {
            outcome = stage.try_all() => outcome?,
            () = interrupts.next() => return Ok(()),
        }
    } else {
        overview::print(stage.control_plane.process().id());
        log.follow();
        tokio::select! {
            outcome = stage.watch() => outcome?,
            () = interrupts.next() => println!("\nending"),
        }
    }
    tokio::select! {
        outcome = stage.end() => outcome,
        () = interrupts.next() => Ok(()),
    }
}

/// Ctrl-C, and what a supervisor sends.
struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    fn new() -> Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// Everything that runs. The order is that of dropping: proxies first.
struct Stage {
    proxies: Vec<Proxy>,
    control_plane: ControlPlane,
    _upstreams: Vec<Upstream>,
}

impl Stage {
    /// Everything started and configured, every proxy answering.
    async fn serving(log: &Arc<Log>) -> Result<Self> {
        let mut stage = Self::start(log).await?;
        stage.control_plane.apply(CONFIG).await?;
        stage.wait_serving().await?;
        // Only now: nobody waits for the first config to go from proxy to proxy.
        let settings = Request::put("/v1/fleets/default").yaml(FLEET);
        let told = stage.control_plane.send(settings.if_match_any()).await?;
        told.success()?;
        Ok(stage)
    }

    async fn start(log: &Arc<Log>) -> Result<Self> {
        let mut upstreams = Vec::new();
        for (name, port) in UPSTREAMS {
            upstreams.push(Upstream::start_at(name, (Ipv4Addr::LOCALHOST, port).into()).await?);
        }
        let control_plane = ControlPlaneSettings::default()
            .admin(ADMIN)
            .xds(XDS)
            .on_line(log.of("control-plane"))
            .start()
            .await?;
        let mut proxies = Vec::new();
        for (node_id, address, zone) in PROXIES {
            let proxy = ProxySettings::new(node_id, XDS)
                .bind(address)
                .admin((address, PROXY_ADMIN_PORT).into())
                .zone(zone)
                .on_line(log.of(node_id));
            proxies.push(proxy.start().await?);
        }
        Ok(Self {
            proxies,
            control_plane,
            _upstreams: upstreams,
        })
    }

    /// Waits until each proxy gives a direct answer and one of an upstream.
    async fn wait_serving(&mut self) -> Result<()> {
        for proxy in &mut self.proxies {
            for (target, expected) in [("/hello", "hello\n"), ("/products/1", "\"upstream\"")] {
                let answered = wait_for_answer(proxy, target, expected).await;
                answered.map_err(|error| proxy.process().failure(&error.to_string()))?;
            }
        }
        Ok(())
    }

    /// What the overview invites to, and what is not for a newcomer's hands alone.
    async fn try_all(&mut self) -> Result<()> {
        rollouts::try_all(&self.control_plane).await?;
        lost::play(&mut self.control_plane).await
    }

    /// Returns when a proxy has ended, which is an error. A control plane that has ended starts again when the leases that it
    /// gave are over.
    async fn watch(&mut self) -> Result<()> {
        loop {
            if self.control_plane.process().check_running().is_err() {
                println!("\nthe control plane has ended; it starts again in a few seconds\n");
                tokio::time::sleep(lost::LEASE_IS_OVER).await;
                self.control_plane.start_again().await?;
            }
            for proxy in &mut self.proxies {
                proxy.process().check_running()?;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Ends all in order; a program that does not end well is an error.
    async fn end(mut self) -> Result<()> {
        for proxy in &mut self.proxies {
            proxy.terminate(SERVING_WITHIN).await?;
        }
        self.control_plane.terminate().await
    }
}

async fn wait_for_answer(proxy: &Proxy, target: &str, expected: &str) -> Result<()> {
    let what = format!("answers {target}");
    wait::until(&what, SERVING_WITHIN, async || {
        let answer = proxy.send(LISTENER_PORT, Request::get(target)).await;
        let answer = answer.map_err(|error| format!("{error:#}"))?;
        let right = answer.status == 200 && answer.text().contains(expected);
        let seen = || format!("{}: {}", answer.status, answer.text());
        if right { Ok(()) } else { Err(seen()) }
    })
    .await
}

fn ensure_ports_are_free() -> Result<()> {
    let upstreams = UPSTREAMS.map(|(_, port)| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let listeners = PROXIES.map(|(_, address, _)| SocketAddr::from((address, LISTENER_PORT)));
    let admins = PROXIES.map(|(_, address, _)| SocketAddr::from((address, PROXY_ADMIN_PORT)));
    let wanted = [ADMIN, XDS]
        .into_iter()
        .chain(upstreams)
        .chain(listeners)
        .chain(admins);
    let taken: Vec<String> = wanted
        .filter(|address| TcpListener::bind(address).is_err())
        .map(|address| address.to_string())
        .collect();
    ensure!(
        taken.is_empty(),
        "the demo needs {}: end what listens there (`ss -ltnp`) and start it again",
        taken.join(", ")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_config_names_the_ports_that_the_demo_uses() {
        let ports = [LISTENER_PORT]
            .into_iter()
            .chain(UPSTREAMS.map(|(_, port)| port));
        for port in ports {
            assert!(CONFIG.contains(&format!("port: {port}")), "{port}");
        }
    }
}
