//! Envoy: a virtual host for each host, or a route for each prefix of one. Its routes are a file that it watches; a change is another
//! file put in its place.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;
use e2e::envoy::Envoy;
use e2e::tools;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Setup, version};
use crate::table::Table;

const FILE: &str = "routes.json";

pub(super) struct Running {
    folder: TempDir,
    _envoy: Envoy,
}

pub(super) async fn start(
    listen: SocketAddr,
    setup: Setup,
) -> Result<(String, u32, super::Running)> {
    let version = version(&tools::envoy()?, "--version", |text| {
        text.split_once("version: ")?.1.split('/').nth(1)
    })?;
    let folder = tempfile::tempdir()?;
    write(folder.path(), FILE, setup)?;
    let bootstrap = bootstrap(folder.path(), listen, setup.upstream);
    let mut envoy = Envoy::launch_with_workers("bench", bootstrap, setup.workers).await?;
    envoy.wait_live().await?;
    let process = envoy.process().id();
    let running = Running {
        folder,
        _envoy: envoy,
    };
    Ok((version, process, super::Running::Envoy(running)))
}

impl Running {
    pub(super) fn prepare(&self, setup: Setup) -> Result<()> {
        write(self.folder.path(), "next", setup)
    }

    pub(super) fn change(&self) -> Result<()> {
        let folder = self.folder.path();
        Ok(fs::rename(folder.join("next"), folder.join(FILE))?)
    }
}

fn write(folder: &Path, name: &str, setup: Setup) -> Result<()> {
    let routes = json!({
        "version_info": setup.table.routes().to_string(),
        "resources": [{
            "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
            "name": "main",
            "virtual_hosts": virtual_hosts(setup.table),
        }],
    });
    Ok(fs::write(folder.join(name), routes.to_string())?)
}

fn virtual_hosts(table: Table) -> Vec<Value> {
    let route = |prefix: String| json!({"match": {"prefix": prefix}, "route": {"cluster": "up"}});
    let host = |domain: String, routes: Vec<Value>| json!({"name": domain, "domains": [domain], "routes": routes});
    match table {
        Table::One => vec![host("*".to_owned(), vec![route("/".to_owned())])],
        Table::Hosts(count) => {
            let hosts = (0..count).map(|n| host(table.host(n), vec![route(table.prefix(n))]));
            hosts.collect()
        }
        Table::Paths(count) => {
            let routes = (0..count).map(|n| route(table.prefix(n)));
            vec![host(table.host(0), routes.collect())]
        }
    }
}

fn bootstrap(folder: &Path, listen: SocketAddr, upstream: SocketAddr) -> Value {
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": {
            "route_config_name": "main",
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {"path": folder.join(FILE).display().to_string()},
            },
        },
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    json!({
        "node": {"id": "bench", "cluster": "bench"},
        "static_resources": {
            "listeners": [{
                "name": "web",
                "address": socket_address(listen),
                "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
            }],
            "clusters": [{
                "name": "up",
                "type": "STATIC",
                "connect_timeout": "5s",
                "load_assignment": {
                    "cluster_name": "up",
                    "endpoints": [{"lb_endpoints": [{"endpoint": {"address": socket_address(upstream)}}]}],
                },
            }],
        },
    })
}

fn socket_address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}
