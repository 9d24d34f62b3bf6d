//! Clients that use each resource as it comes, under load while clusters are swapped: what exists before and after an edit
//! never fails, nothing is refused, and the control plane knows that they are up to date.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use e2e::client::{self, Request};
use e2e::envoy::Envoy;
use e2e::programs::ControlPlane;
use e2e::upstream::Upstream;
use e2e::wait;
use tokio::task::JoinHandle;

use crate::fleet::{Fleet, endpoints, hello_config};

const EDITS: usize = 12;
const WITHIN: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_envoy_by_the_state_of_the_world_never_meets_a_hole() -> Result<()> {
    let stage = Stage::start().await?;
    let mut envoy = Envoy::start_sotw(stage.control_plane.xds(), "default", "stock").await?;
    envoy.wait_live().await?;
    stage.swap_clusters_under_load(Ipv4Addr::LOCALHOST).await?;
    assert_eq!((envoy.rejected().await?, envoy.warming().await?), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stock_envoy_by_deltas_never_meets_a_hole() -> Result<()> {
    let stage = Stage::start().await?;
    let mut envoy = Envoy::start(stage.control_plane.xds(), "default", "stock").await?;
    envoy.wait_live().await?;
    stage.swap_clusters_under_load(Ipv4Addr::LOCALHOST).await?;
    assert_eq!((envoy.rejected().await?, envoy.warming().await?), (0, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_proxy_by_the_state_of_the_world_never_meets_a_hole() -> Result<()> {
    let stage = Stage::start().await?;
    let settings = Fleet::proxy(0, stage.control_plane.xds()).arguments(["--xds-mode", "sotw"]);
    let fleet = Fleet::of(stage.port, vec![settings]).await?;
    stage
        .swap_clusters_under_load(Ipv4Addr::new(127, 0, 0, 11))
        .await?;
    let dump = fleet.proxies[0].config_dump().await?;
    let clusters = dump["resources"]["Cluster"].as_array().unwrap();
    assert_eq!(clusters.len(), 2, "what is gone is gone: {clusters:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_may_take_the_address_of_another_one_in_one_edit() -> Result<()> {
    for sotw in [true, false] {
        let control_plane = ControlPlane::start().await?;
        let port = Fleet::port()?;
        let config =
            |name: &str| hello_config(port, name).replace("name: web", &format!("name: {name}"));
        control_plane.apply(&config("first")).await?;
        let (xds, fleet) = (control_plane.xds(), "default");
        let envoy = if sotw {
            Envoy::start_sotw(xds, fleet, "stock").await?
        } else {
            Envoy::start(xds, fleet, "stock").await?
        };
        let prune = Request::put("/v1/fleets/default/config?prune=true").yaml(&config("second"));
        control_plane.send(prune.if_match_any()).await?.success()?;
        wait::until("the new listener answers", WITHIN, async || {
            let answer = client::send(([127, 0, 0, 1], port).into(), Request::get("/hello")).await;
            match answer.map(|answer| answer.text()) {
                Ok(text) if text == "second" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .await?;
        assert_eq!(envoy.rejected().await?, 0, "sotw: {sotw}");
        let listeners = envoy.page("/listeners").await?;
        assert!(
            listeners.contains("second") && !listeners.contains("first"),
            "{listeners}"
        );
    }
    Ok(())
}

/// A control plane with a route that stays and one whose cluster is another one with every edit.
struct Stage {
    control_plane: ControlPlane,
    port: u16,
    upstreams: [Upstream; 2],
}

impl Stage {
    async fn start() -> Result<Self> {
        let stage = Self {
            control_plane: ControlPlane::start().await?,
            port: Fleet::port()?,
            upstreams: [
                Upstream::start("even").await?,
                Upstream::start("odd").await?,
            ],
        };
        stage.edit(0).await?;
        Ok(stage)
    }

    async fn edit(&self, edit: usize) -> Result<()> {
        let config = format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters:
  - {{name: stay, discovery: api}}
  - {{name: swap-{edit}, endpoints: {swap}, connect_timeout: {timeout}ms}}
routes:
  - {{name: stay, match: {{path: {{prefix: /stay}}}}, forward: {{cluster: stay}}}}
  - {{name: swap, match: {{path: {{prefix: /swap}}}}, forward: {{cluster: swap-{edit}}}}}",
            port = self.port,
            swap = endpoints(&[&self.upstreams[edit % 2]]),
            timeout = 1000 + edit,
        );
        if edit > 0 {
            let prune = Request::put("/v1/fleets/default/config?prune=true").yaml(&config);
            let answer = self.control_plane.send(prune.if_match_any()).await?;
            answer.success()?;
        } else {
            self.control_plane.apply(&config).await?;
            let stay = serde_json::json!({"endpoints": [
                {"address": "127.0.0.1", "port": self.upstreams[0].port()},
            ]});
            let request = Request::put("/v1/fleets/default/endpoints/stay").json(&stay);
            self.control_plane.send(request).await?.success()?;
        }
        Ok(())
    }

    async fn swap_clusters_under_load(&self, client: Ipv4Addr) -> Result<()> {
        let address = SocketAddr::from((client, self.port));
        self.wait_for(address, 0).await?;
        let over = Arc::new(AtomicBool::new(false));
        let load = [
            load(address, "/stay", over.clone()),
            load(address, "/swap", over.clone()),
        ];
        for edit in 1..=EDITS {
            self.edit(edit).await?;
            self.wait_for(address, edit).await?;
        }
        self.wait_acknowledged().await?;
        over.store(true, Ordering::Relaxed);
        for load in load {
            let sent = load.await??;
            ensure!(sent > EDITS, "only {sent} requests were sent");
        }
        Ok(())
    }

    async fn wait_for(&self, address: SocketAddr, edit: usize) -> Result<()> {
        let upstream = ["even", "odd"][edit % 2];
        wait::until("the edit is served", WITHIN, async || {
            let answer = client::send(address, Request::get("/swap"))
                .await
                .map_err(|error| format!("{error:#}"))?;
            match answer.header("x-upstream") {
                Some(name) if name == upstream => Ok(()),
                other => Err(format!("{} {other:?}", answer.status)),
            }
        })
        .await
    }

    /// The node has acknowledged the head, removals included, and refused nothing.
    async fn wait_acknowledged(&self) -> Result<()> {
        wait::until("everything is acknowledged", WITHIN, async || {
            let fleet = self.control_plane.get("/v1/fleets/default/nodes").await;
            let nodes = fleet.map_err(|error| format!("{error:#}"))?;
            let node = &nodes["items"][0];
            let head = EDITS as u64 + 1;
            if node["acked_revision"] == head && node["refused"].is_null() {
                Ok(())
            } else {
                Err(node.to_string())
            }
        })
        .await
    }
}

/// Sends requests one after the other until it is over; an answer other than 200 is an error.
fn load(
    address: SocketAddr,
    path: &'static str,
    over: Arc<AtomicBool>,
) -> JoinHandle<Result<usize>> {
    tokio::spawn(async move {
        let mut sent = 0;
        while !over.load(Ordering::Relaxed) {
            let answer = client::send(address, Request::get(path)).await?;
            ensure!(
                answer.status == 200,
                "request {sent} to {path}: {} {}",
                answer.status,
                answer.text()
            );
            sent += 1;
        }
        Ok(sent)
    })
}
