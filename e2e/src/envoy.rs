//! Stock Envoy as a client of a control plane: ADS in either variant, one worker, its admin port on a free one.
//! In: the control plane's address, a node id. Out: its admin pages as values: statistics, config dump.

mod apart;

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::apart::{Apart, Place};
use crate::client::{self, Request};
use crate::process::{Process, Spawn};
use crate::{tools, wait};

/// It waits up to 15 s for each of its first resources, and calls itself live after that in any case.
const LIVE_WITHIN: Duration = Duration::from_mins(1);

/// A running Envoy.
pub struct Envoy {
    process: Process,
    admin: SocketAddr,
    _folder: TempDir,
}

impl Envoy {
    /// Starts Envoy as node `node_id` of `fleet`, by delta ADS, and waits until it is live.
    pub async fn start(xds: SocketAddr, fleet: &str, node_id: &str) -> Result<Self> {
        Self::follow(xds, fleet, node_id, "DELTA_GRPC", json!({})).await
    }

    /// As [`Self::start`], by state-of-the-world ADS.
    pub async fn start_sotw(xds: SocketAddr, fleet: &str, node_id: &str) -> Result<Self> {
        Self::follow(xds, fleet, node_id, "GRPC", json!({})).await
    }

    /// As [`Self::start`], with more fields of its bootstrap.
    pub async fn start_with(
        xds: SocketAddr,
        fleet: &str,
        node_id: &str,
        more: Value,
    ) -> Result<Self> {
        Self::follow(xds, fleet, node_id, "DELTA_GRPC", more).await
    }

    async fn follow(
        xds: SocketAddr,
        fleet: &str,
        node_id: &str,
        api_type: &str,
        more: Value,
    ) -> Result<Self> {
        let node = json!({"id": node_id, "cluster": fleet});
        let mut dynamic = dynamic(node, api_type, &socket_address(xds));
        if let (Some(dynamic), Value::Object(more)) = (dynamic.as_object_mut(), more) {
            dynamic.extend(more);
        }
        let mut envoy = Self::launch(node_id, dynamic).await?;
        envoy.wait_live().await?;
        Ok(envoy)
    }

    /// Starts Envoy from a whole bootstrap; `admin` is put in. Returns when the admin port answers.
    pub async fn launch(name: &str, bootstrap: Value) -> Result<Self> {
        Self::launch_with_workers(name, bootstrap, 1).await
    }

    /// As [`Self::launch`], with so many workers.
    pub async fn launch_with_workers(
        name: &str,
        mut bootstrap: Value,
        workers: usize,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-envoy-")
            .tempdir()?;
        bootstrap["admin"] =
            json!({"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}});
        let config = folder.path().join("bootstrap.json");
        fs::write(&config, bootstrap.to_string())?;
        let admin_file = folder.path().join("admin");
        let mut command = Command::new(tools::envoy()?);
        command
            .arg("--config-path")
            .arg(&config)
            .arg("--admin-address-path")
            .arg(&admin_file);
        let mut process = spawn(name, command, workers)?;
        let admin = admin_address(&mut process, &admin_file).await?;
        Ok(Self {
            process,
            admin,
            _folder: folder,
        })
    }

    /// Waits until it says LIVE: the first resources of every kind are there, or were waited for in vain.
    pub async fn wait_live(&mut self) -> Result<()> {
        let live = wait::until("envoy is live", LIVE_WITHIN, async || {
            let answer = self
                .page("/ready")
                .await
                .map_err(|error| error.to_string())?;
            if answer.trim() == "LIVE" {
                Ok(())
            } else {
                Err(answer)
            }
        });
        live.await
            .map_err(|error| self.process.failure(&error.to_string()))
    }

    /// The address of its admin port.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The child itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// An admin page that is answered with 2xx or, `/ready` alone, 503.
    pub async fn page(&self, target: &str) -> Result<String> {
        let answer = client::send(self.admin, Request::get(target)).await?;
        Ok(if target == "/ready" {
            answer
        } else {
            answer.success()?
        }
        .text())
    }

    /// The config dump, endpoints included.
    pub async fn config_dump(&self) -> Result<Value> {
        client::send(self.admin, Request::get("/config_dump?include_eds"))
            .await?
            .success()?
            .json()
    }

    /// The sum of the counters and gauges whose name ends with `suffix`.
    pub async fn stat_sum(&self, suffix: &str) -> Result<u64> {
        let answer = client::send(self.admin, Request::get("/stats?format=json"))
            .await?
            .success()?
            .json()?;
        let stats = answer["stats"]
            .as_array()
            .context("envoy's statistics are a list")?;
        let matching = stats.iter().filter(|stat| {
            stat["name"]
                .as_str()
                .is_some_and(|name| name.ends_with(suffix))
        });
        Ok(matching.filter_map(|stat| stat["value"].as_u64()).sum())
    }

    /// Updates of any kind that it refused since its start.
    pub async fn rejected(&self) -> Result<u64> {
        self.stat_sum(".update_rejected").await
    }

    /// Clusters and listeners that wait for something before they are used.
    pub async fn warming(&self) -> Result<u64> {
        let clusters = self.stat_sum("cluster_manager.warming_clusters").await?;
        Ok(clusters
            + self
                .stat_sum("listener_manager.total_listeners_warming")
                .await?)
    }
}

/// A bootstrap of which everything but the control plane's address comes by ADS.
fn dynamic(node: Value, api_type: &str, xds: &Value) -> Value {
    json!({
        "node": node,
        "dynamic_resources": {
            "ads_config": {
                "api_type": api_type,
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
            },
            "lds_config": {"ads": {}, "resource_api_version": "V3"},
            "cds_config": {"ads": {}, "resource_api_version": "V3"},
        },
        "static_resources": {"clusters": [xds_cluster(xds)]},
        "cluster_manager": {"load_stats_config": load_reports()},
    })
}

/// Starts it.
fn spawn(name: &str, mut command: Command, workers: usize) -> Result<Process> {
    // Without hot restart there is no shared memory, and so no base id that two Envoys could fight over.
    command.args(["--concurrency", &workers.to_string()]);
    command.args(["--disable-hot-restart", "--log-level", "warning"]);
    Spawn::new(format!("envoy {name}"), command).start()
}

/// Where load reports go: to the control plane itself.
fn load_reports() -> Value {
    json!({
        "api_type": "GRPC",
        "transport_api_version": "V3",
        "grpc_services": [{"envoy_grpc": {"cluster_name": "xds"}}],
    })
}

fn socket_address(of: SocketAddr) -> Value {
    json!({"socket_address": {"address": of.ip().to_string(), "port_value": of.port()}})
}

fn xds_cluster(address: &Value) -> Value {
    json!({
        "name": "xds",
        "type": "STATIC",
        "connect_timeout": "1s",
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            },
        },
        "load_assignment": {
            "cluster_name": "xds",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
        },
    })
}

async fn admin_address(process: &mut Process, file: &Path) -> Result<SocketAddr> {
    let address = wait::until("envoy writes its admin address", LIVE_WITHIN, async || {
        if process.try_wait().is_ok_and(|status| status.is_some()) {
            return Ok(None);
        }
        let text = fs::read_to_string(file).map_err(|error| error.to_string())?;
        text.trim()
            .parse()
            .map(Some)
            .map_err(|_| format!("{text:?}"))
    });
    address
        .await?
        .ok_or_else(|| process.failure("ended before its admin port was there"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ports, upstream::Upstream};

    fn proxy_to(listen: u16, upstream: SocketAddr) -> Value {
        let mut cluster = xds_cluster(&socket_address(upstream));
        if let Value::Object(cluster) = &mut cluster {
            cluster.remove("typed_extension_protocol_options");
        }
        let manager = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "ingress",
            "route_config": {"virtual_hosts": [{
                "name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "xds"}}],
            }]},
            "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            }}],
        });
        json!({"static_resources": {"clusters": [cluster], "listeners": [{
            "name": "web",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": listen}},
            "filter_chains": [{"filters": [{"name": "hcm", "typed_config": manager}]}],
        }]}})
    }

    #[tokio::test]
    async fn envoy_serves_and_its_pages_are_values() {
        let upstream = Upstream::start("catalog").await.unwrap();
        let port = ports::free_port().unwrap();
        let mut envoy = Envoy::launch("static", proxy_to(port, upstream.address()))
            .await
            .unwrap();
        envoy.wait_live().await.unwrap();
        let answer = client::send(([127, 0, 0, 1], port).into(), Request::get("/x"))
            .await
            .unwrap();
        assert_eq!(answer.json().unwrap()["upstream"], "catalog");
        assert_eq!(
            (
                envoy.rejected().await.unwrap(),
                envoy.warming().await.unwrap()
            ),
            (0, 0)
        );
        assert_eq!(
            envoy.stat_sum("cluster.xds.upstream_rq_2xx").await.unwrap(),
            1
        );
        assert!(envoy.config_dump().await.unwrap()["configs"].is_array());
    }

    #[tokio::test]
    async fn a_bootstrap_that_envoy_refuses_is_an_error_with_envoys_words() {
        let error = Envoy::launch("broken", json!({"nonsense": 1}))
            .await
            .err()
            .unwrap()
            .to_string();
        assert!(error.contains("nonsense"), "{error}");
    }
}
