//! Signalbox: the proxy, fed by its own control plane through its API, as an operator would. A change is a PUT of one route; it counts from
//! the moment it is sent, so that what the control plane does is in it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, Result};
use e2e::client::Request;
use e2e::programs::{ControlPlane, Proxy, ProxySettings};
use serde_json::{Value, json};

use super::{ANSWERS_WITHIN, Setup};
use crate::table::Table;

pub(super) struct Running {
    _proxy: Proxy,
    control_plane: ControlPlane,
}

/// With the build that lies beside this program, or another one.
pub(super) async fn start(
    listen: SocketAddr,
    setup: Setup,
    build: Option<&PathBuf>,
) -> Result<(String, u32, super::Running)> {
    let control_plane = ControlPlane::start().await?;
    let started = Instant::now();
    let request = Request::put("/v1/fleets/default/config")
        .yaml(&config(listen.port(), setup))
        .within(ANSWERS_WITHIN);
    let applied = control_plane.send(request).await?.success();
    applied.context("applying the config")?;
    if setup.table != Table::One {
        eprintln!(
            "  Signalbox: {} routes committed after {:.1?}",
            setup.table.routes(),
            started.elapsed()
        );
    }
    let mut settings = ProxySettings::new("bench", control_plane.xds()).workers(setup.workers);
    if let Some(build) = build {
        settings = settings.program(build);
    }
    let mut proxy = settings.start().await?;
    let process = proxy.process().id();
    let running = Running {
        _proxy: proxy,
        control_plane,
    };
    let version = env!("CARGO_PKG_VERSION").to_owned();
    Ok((
        version,
        process,
        super::Running::Signalbox(Box::new(running)),
    ))
}

impl Running {
    pub(super) async fn change(&self, larger: Setup) -> Result<()> {
        let last = larger.table.routes() - 1;
        let route = route(larger.table, last);
        let request = Request::put(format!("/v1/fleets/default/routes/r{last}"))
            .json(&route)
            .within(ANSWERS_WITHIN);
        self.control_plane.send(request).await?.success()?;
        Ok(())
    }
}

/// What an operator would apply, as JSON, which is YAML too.
fn config(port: u16, setup: Setup) -> String {
    let upstream = setup.upstream;
    let endpoint = json!({"address": upstream.ip().to_string(), "port": upstream.port()});
    let routes = (0..setup.table.routes()).map(|n| route(setup.table, n));
    json!({
        "listeners": [{"name": "web", "address": "0.0.0.0", "port": port}],
        "clusters": [{"name": "up", "endpoints": [endpoint]}],
        "routes": routes.collect::<Vec<_>>(),
    })
    .to_string()
}

fn route(table: Table, n: usize) -> Value {
    // Whole segments, and so without the slash at the end.
    let prefix = match table {
        Table::Paths(_) => table.prefix(n).trim_end_matches('/').to_owned(),
        Table::One | Table::Hosts(_) => table.prefix(n),
    };
    let mut route = json!({
        "name": format!("r{n}"),
        "match": {"path": {"prefix": prefix}},
        "forward": {"cluster": "up"},
    });
    if table != Table::One {
        route["hosts"] = json!([table.host(n)]);
    }
    route
}
