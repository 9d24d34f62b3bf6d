//! Two control planes on one Postgres.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::postgres::Postgres;
use e2e::programs::ControlPlaneSettings;
use e2e::wait;
use futures_util::future::try_join_all;

use crate::fleet::{Fleet, hello_config, hello_route};

const WITHIN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_at_one_replica_is_at_the_proxies_of_the_other_within_a_second() -> Result<()> {
    let postgres = Postgres::start().await?;
    let url = postgres.database()?;
    let first = ControlPlaneSettings::default()
        .database(&url)
        .start()
        .await?;
    let second = ControlPlaneSettings::default()
        .database(&url)
        .start()
        .await?;
    let port = Fleet::port()?;
    first.apply(&hello_config(port, "start")).await?;
    let fleet = Fleet::start(port, &[first.xds(), second.xds(), second.xds()]).await?;
    for edit in 0..10 {
        let writer = if edit % 2 == 0 { &first } else { &second };
        let text = format!("edit {edit}");
        writer.replace_route("hello", &hello_route(&text)).await?;
        let committed = Instant::now();
        try_join_all((0..3).map(|proxy| fleet.wait_for_hello(proxy, &text, WITHIN))).await?;
        println!(
            "edit {edit}: at all proxies of both replicas after {:?}",
            committed.elapsed()
        );
    }
    // Every replica shows the nodes of all.
    for replica in [&first, &second] {
        wait::until("all nodes are shown", Duration::from_secs(5), async || {
            let nodes = replica
                .get("/v1/fleets/default/nodes")
                .await
                .map_err(|error| format!("{error:#}"))?;
            let connected = nodes["items"].as_array().map_or(0, |nodes| {
                nodes
                    .iter()
                    .filter(|node| node["connected"] == true)
                    .count()
            });
            if connected == 3 {
                Ok(())
            } else {
                Err(nodes.to_string())
            }
        })
        .await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_that_loses_its_control_plane_follows_the_next_one_it_was_told_of() -> Result<()> {
    let postgres = Postgres::start().await?;
    let url = postgres.database()?;
    let mut first = ControlPlaneSettings::default()
        .database(&url)
        .start()
        .await?;
    let second = ControlPlaneSettings::default()
        .database(&url)
        .start()
        .await?;
    let port = Fleet::port()?;
    first.apply(&hello_config(port, "start")).await?;
    let next = format!("http://{}", second.xds());
    let settings = Fleet::proxy(0, first.xds()).arguments(["--xds", &next]);
    let fleet = Fleet::of(port, vec![settings]).await?;
    first.process().kill()?;
    second
        .replace_route("hello", &hello_route("from the second"))
        .await?;
    fleet
        .wait_for_hello(0, "from the second", Duration::from_secs(10))
        .await
}
