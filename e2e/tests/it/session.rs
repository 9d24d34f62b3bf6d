//! What our own proxies and control plane say to each other beside xDS, as an operator sees it.

use std::time::Duration;

use anyhow::Result;
use e2e::programs::ControlPlane;
use e2e::wait;

use crate::fleet::{Fleet, hello_config, hello_route};

const WITHIN: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_sees_which_revision_every_proxy_serves_also_after_going_back_and_forth()
-> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    control_plane.apply(&hello_config(port, "first")).await?;
    let fleet = Fleet::start(port, &[control_plane.xds(); 2]).await?;
    live_everywhere(&control_plane, 1).await?;
    for (revision, text) in [(2, "second"), (3, "first"), (4, "second")] {
        control_plane
            .replace_route("hello", &hello_route(text))
            .await?;
        for proxy in 0..2 {
            fleet.wait_for_hello(proxy, text, WITHIN).await?;
        }
        live_everywhere(&control_plane, revision).await?;
    }
    let dump = fleet.proxies[0].config_dump().await?;
    assert_eq!(dump["xds"]["live_revision"], 4, "{dump:#}");
    Ok(())
}

async fn live_everywhere(control_plane: &ControlPlane, revision: u64) -> Result<()> {
    wait::until("the revision is live everywhere", WITHIN, async || {
        let nodes = control_plane
            .get("/v1/fleets/default/nodes")
            .await
            .map_err(|error| format!("{error:#}"))?;
        let nodes = nodes["items"].as_array().cloned().unwrap_or_default();
        let everywhere = nodes
            .iter()
            .all(|node| node["live_revision"] == revision && node["acked_revision"] == revision);
        if everywhere && nodes.len() == 2 {
            Ok(())
        } else {
            Err(format!("{nodes:?}"))
        }
    })
    .await
}
