//! What holds when a program is killed.

use std::time::Duration;

use anyhow::Result;
use e2e::client::{self, Request};
use e2e::programs::ControlPlane;
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::json;

use crate::fleet::{Fleet, endpoints, hello_config, hello_route};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_every_read_is_answered_from_the_database() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let clusters = "clusters: [{name: live, discovery: api}]";
    control_plane
        .apply(&format!(
            "{}\n{clusters}",
            hello_config(Fleet::port()?, "first")
        ))
        .await?;
    let addresses = json!({"endpoints": [{"address": "127.0.0.1", "port": 9001}]});
    control_plane
        .send(Request::put("/v1/fleets/default/endpoints/live").json(&addresses))
        .await?
        .success()?;
    let pages = [
        "config",
        "routes",
        "routes/hello",
        "clusters",
        "clusters/live",
        "listeners",
        "endpoints/live",
        "revisions",
        "revisions/1",
    ];
    let mut before = Vec::new();
    for page in pages {
        before.push(
            control_plane
                .get(&format!("/v1/fleets/default/{page}"))
                .await?,
        );
    }
    control_plane.crash_and_restart().await?;
    for (page, before) in pages.iter().zip(before) {
        assert_eq!(
            control_plane
                .get(&format!("/v1/fleets/default/{page}"))
                .await?,
            before,
            "{page}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proxies_go_on_while_the_control_plane_is_away_and_follow_it_when_it_is_back() -> Result<()>
{
    let mut control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    control_plane.apply(&hello_config(port, "first")).await?;
    let fleet = Fleet::start(port, &[control_plane.xds()]).await?;
    control_plane.process().kill()?;
    for _ in 0..20 {
        assert_eq!(fleet.send(0, Request::get("/hello")).await?.text(), "first");
    }
    control_plane.start_again().await?;
    control_plane
        .replace_route("hello", &hello_route("second"))
        .await?;
    // The back-off of the first failures is short: the bound doubles from half a second.
    fleet
        .wait_for_hello(0, "second", Duration::from_secs(20))
        .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_is_told_to_end_fails_no_request() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    let upstream = Upstream::start("slow").await?;
    control_plane
        .apply(&format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters: [{{name: c, endpoints: {}}}]
routes: [{{name: all, forward: {{cluster: c}}, match: {{path: {{prefix: /}}}}}}]",
            endpoints(&[&upstream])
        ))
        .await?;
    let mut fleet = Fleet::start(port, &[control_plane.xds()]).await?;
    let address = fleet.proxies[0].listener(port);
    let in_flight = tokio::spawn(client::send(address, Request::get("/slow?ms=1500")));
    wait::until(
        "the request is at the upstream",
        Duration::from_secs(5),
        async || match upstream.requests() {
            1 => Ok(()),
            count => Err(format!(
                "{count} requests; answered: {}",
                in_flight.is_finished()
            )),
        },
    )
    .await?;
    fleet.proxies[0].terminate(Duration::from_secs(10)).await?;
    assert_eq!(in_flight.await??.status, 200);
    Ok(())
}
