//! What a proxy that was killed serves when it starts again: what was live, with a control plane or without.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::client::{Connection, Request};
use e2e::programs::{ControlPlane, Proxy, ProxySettings};
use e2e::relay::Relay;
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::json;

use crate::fleet::{Fleet, hello_config, hello_route};

/// From the start of a proxy to its first answer, without a control plane.
const SERVING_WITHIN: Duration = Duration::from_secs(2);
/// Until an edit is served or stored.
const FOLLOWED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_starts_without_a_control_plane_and_fails_no_request() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let (port, folder) = (Fleet::port()?, tempfile::tempdir()?);
    let upstream = Upstream::start("kept").await?;
    control_plane
        .apply(&format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters: [{{name: live, discovery: api}}]
routes: [{{name: all, forward: {{cluster: live}}, match: {{path: {{prefix: /}}}}}}]"
        ))
        .await?;
    // Endpoints come on a way of their own, and are kept as they were last.
    let addresses = json!({"endpoints": [{"address": "127.0.0.1", "port": upstream.port()}]});
    control_plane
        .send(Request::put("/v1/fleets/default/endpoints/live").json(&addresses))
        .await?
        .success()?;
    let mut proxy = start(control_plane.xds(), folder.path()).await?;
    wait::until("it is served", FOLLOWED_WITHIN, async || {
        match proxy.send(port, Request::get("/")).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    wait_until_stored(&mut proxy).await?;

    control_plane.process().kill()?;
    let killed = Instant::now();
    proxy.crash_and_restart().await?;
    let mut connection = Connection::open(proxy.listener(port)).await?;
    let first = connection.send(Request::get("/")).await?;
    let taken = killed.elapsed();
    println!("from SIGKILL to the first answer without a control plane: {taken:?}");
    assert!(taken < SERVING_WITHIN, "{taken:?}");
    assert_eq!(first.status, 200);
    for _ in 0..500 {
        assert_eq!(connection.send(Request::get("/")).await?.status, 200);
    }
    assert!(proxy.ready().await?);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_revision_falls_back_to_the_one_before_and_says_so() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let (port, folder) = (Fleet::port()?, tempfile::tempdir()?);
    control_plane.apply(&hello_config(port, "first")).await?;
    let mut proxy = start(control_plane.xds(), folder.path()).await?;
    wait_for_hello(&proxy, port, "first").await?;
    wait_until_stored(&mut proxy).await?;
    control_plane
        .replace_route("hello", &hello_route("second"))
        .await?;
    wait_for_hello(&proxy, port, "second").await?;
    wait_until_stored(&mut proxy).await?;

    control_plane.process().kill()?;
    proxy.process().kill()?;
    let damaged = newest_revision(folder.path())?;
    let whole = fs::read(&damaged)?;
    fs::write(&damaged, &whole[..whole.len() / 2])?;
    proxy.crash_and_restart().await?;
    assert_eq!(
        proxy.send(port, Request::get("/hello")).await?.text(),
        "first"
    );
    let said = proxy.process().line("the damage", FOLLOWED_WITHIN, |line| {
        line.contains("passed over").then(|| line.to_owned())
    });
    let said = said.await?;
    assert!(said.contains("confirmed"), "{said}");

    control_plane.start_again().await?;
    wait_for_hello(&proxy, port, "second").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_proxy_is_sent_nothing_twice_and_new_edits_arrive() -> Result<()> {
    let mut control_plane = ControlPlane::start().await?;
    let relay = Relay::start(control_plane.xds()).await?;
    let (port, folder) = (Fleet::port()?, tempfile::tempdir()?);
    let text = "x".repeat(1000);
    let bulk = (0..200).map(|number| {
        format!("  - {{name: bulk-{number}, hosts: [bulk-{number}.example], respond: {{status: 200, body: {text}}}}}")
    });
    let bulk = bulk.collect::<Vec<_>>().join("\n");
    control_plane
        .apply(&format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
routes:
  - {{name: hello, match: {{path: {{exact: /hello}}}}, respond: {{status: 200, body: first}}}}
{bulk}"
        ))
        .await?;
    let mut proxy = start(relay.address(), folder.path()).await?;
    wait_for_hello(&proxy, port, "first").await?;
    wait_until_stored(&mut proxy).await?;
    let whole = relay.bytes_to_client();
    assert!(whole > 200_000, "{whole}");

    control_plane.process().kill()?;
    proxy.crash_and_restart().await?;
    assert_eq!(
        proxy.send(port, Request::get("/hello")).await?.text(),
        "first"
    );
    let before = relay.bytes_to_client();
    control_plane.start_again().await?;
    control_plane
        .replace_route("hello", &hello_route("second"))
        .await?;
    wait_for_hello(&proxy, port, "second").await?;
    let sent = relay.bytes_to_client() - before;
    println!("sent at first: {whole} bytes; after the restart, with one edit: {sent}");
    assert!(sent < 10_000, "{sent}");
    let bulk = Request::get("/").host("bulk-199.example");
    assert_eq!(proxy.send(port, bulk).await?.text(), text);
    Ok(())
}

/// Starts a proxy that keeps what it serves in a folder.
async fn start(xds: SocketAddr, folder: &Path) -> Result<Proxy> {
    let folder = folder.to_str().context("a path in UTF-8")?;
    let settings = ProxySettings::new("kept", xds).workers(1);
    settings.arguments(["--data-dir", folder]).start().await
}

async fn wait_for_hello(proxy: &Proxy, port: u16, text: &str) -> Result<()> {
    wait::until("the edit is served", FOLLOWED_WITHIN, async || match proxy
        .send(port, Request::get("/hello"))
        .await
    {
        Ok(answer) if answer.text() == text => Ok(()),
        Ok(answer) => Err(answer.text()),
        Err(error) => Err(format!("{error:#}")),
    })
    .await
}

/// Waits until what is live now would be found by the next start.
async fn wait_until_stored(proxy: &mut Proxy) -> Result<()> {
    let dump = proxy.config_dump().await?;
    let live = dump["live"]["generation"].as_u64().context("a number")?;
    let stored = proxy
        .process()
        .line("it is stored", FOLLOWED_WITHIN, |line| {
            let (_, rest) = line.split_once("stored for the next start generation=")?;
            let generation: u64 = rest.split(' ').next()?.parse().ok()?;
            (generation >= live).then_some(())
        });
    stored.await
}

/// The list of the revision that was confirmed last.
fn newest_revision(folder: &Path) -> Result<PathBuf> {
    let lists = ["a", "b"].map(|slot| folder.join("revisions").join(slot).join("confirmed"));
    let newest = lists
        .into_iter()
        .max_by_key(|list| fs::metadata(list).and_then(|list| list.modified()).ok());
    newest.context("two lists")
}
