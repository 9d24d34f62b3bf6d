//! What stands around the proxy that is counted: its control plane and an upstream that does as little as can be done.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::client::{self, Request};
use e2e::process::{Process, Spawn};
use e2e::programs::{ControlPlane, Proxy, ProxySettings};
use e2e::{ports, tools, wait};
use serde_json::json;
use tempfile::tempdir;

use super::tool::{Counted, Tool};
use crate::scripted::{Entry, PUSH_ORDER, Scripted, type_url};

/// A hundred thousand routes from a control plane that is not optimised.
const ANSWERS_WITHIN: Duration = Duration::from_mins(1);

/// Our control plane with one route, and the upstream.
pub(super) struct Stand {
    pub(super) port: u16,
    control_plane: ControlPlane,
    _upstream: Process,
}

impl Stand {
    pub(super) async fn start() -> Result<Self> {
        let control_plane = ControlPlane::start().await?;
        let (address, upstream) = upstream().await?;
        let port = ports::free_port()?;
        let endpoint = json!({"address": address.ip().to_string(), "port": address.port()});
        let config = json!({
            "listeners": [{"name": "web", "address": "0.0.0.0", "port": port}],
            "clusters": [{"name": "up", "endpoints": [endpoint]}],
            "routes": [{"name": "all", "match": {"path": {"prefix": "/"}}, "forward": {"cluster": "up"}}],
        });
        control_plane.apply(&config.to_string()).await?;
        Ok(Self {
            port,
            control_plane,
            _upstream: upstream,
        })
    }

    /// The proxy as it ships, with one worker.
    pub(super) async fn proxy(&self) -> Result<Proxy> {
        let mut proxy = shipped(self.control_plane.xds())?.start().await?;
        proxy.wait_live().await?;
        Ok(proxy)
    }

    /// The same under a tool.
    pub(super) async fn counted(&self, tool: Tool) -> Result<Counted> {
        let folder = tempdir()?;
        let settings = shipped(self.control_plane.xds())?.under(tool.words(folder.path())?);
        let mut proxy = settings.start().await?;
        proxy.wait_live().await?;
        Ok(Counted {
            proxy,
            tool,
            folder,
        })
    }
}

/// A proxy with whatever virtual hosts, from a control plane that says what it is told to say.
pub(super) struct Routes {
    pub(super) proxy: Proxy,
    address: SocketAddr,
    scripted: Scripted,
    _upstream: Process,
}

impl Routes {
    pub(super) async fn serve(hosts: Vec<Entry>) -> Result<Self> {
        let (upstream, process) = upstream().await?;
        let port = ports::free_port()?;
        let scripted = Scripted::start(&[]).await?;
        scripted.serve_entries([frame(port, upstream)?, hosts].concat(), PUSH_ORDER);
        let proxy = shipped(scripted.address)?.start().await?;
        Ok(Self {
            address: proxy.listener(port),
            proxy,
            scripted,
            _upstream: process,
        })
    }

    /// Waits until a request goes all the way, and nothing more is to come.
    pub(super) async fn wait_answering(&mut self, host: &str, path: &str) -> Result<()> {
        let answers = wait::until("all routes are served", ANSWERS_WITHIN, async || {
            let answer = client::send(self.address, Request::get(path).host(host)).await;
            let status = answer.map_err(|error| format!("{error:#}"))?.status;
            if status == 200 && self.scripted.is_settled() {
                Ok(())
            } else {
                Err(status.to_string())
            }
        });
        answers
            .await
            .map_err(|error| self.proxy.process().failure(&error.to_string()))
    }
}

/// The memory of a proxy that is resident.
pub(super) fn resident_bytes(proxy: &mut Proxy) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.process().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib
        .context("a process has a resident size")?
        .parse::<u64>()?
        * 1024)
}

fn shipped(xds: SocketAddr) -> Result<ProxySettings> {
    let settings = ProxySettings::new("counted", xds).workers(1);
    // What the side runtime does now and then is no part of a request.
    let settings = settings.arguments(["--report-interval", "0"]);
    Ok(settings.program(tools::shipped("signalbox-proxy")?))
}

async fn upstream() -> Result<(SocketAddr, Process)> {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free_port()?));
    let mut command = Command::new(tools::program("bench")?);
    command.arg("upstream").arg(address.to_string());
    let mut process = Spawn::new("upstream", command).start()?;
    let ready = process.line("it is ready", ANSWERS_WITHIN, |line| {
        (line == "upstream ready").then_some(())
    });
    ready.await?;
    Ok((address, process))
}

/// The listener, the cluster, and routes whose virtual hosts come one by one.
fn frame(port: u16, upstream: SocketAddr) -> Result<Vec<Entry>> {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let address = |address: SocketAddr| json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": {"route_config_name": "main", "config_source": ads},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let listener = json!({
        "@type": type_url::LISTENER,
        "name": "web",
        "address": address(([127, 0, 0, 1], port).into()),
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    });
    let cluster = json!({
        "@type": type_url::CLUSTER,
        "name": "up",
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "up",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(upstream)}}]}],
        },
    });
    let routes = json!({"@type": type_url::ROUTES, "name": "main", "vhds": {"config_source": ads}});
    [cluster, listener, routes]
        .iter()
        .map(Entry::json)
        .collect()
}
