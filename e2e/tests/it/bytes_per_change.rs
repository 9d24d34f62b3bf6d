//! What one changed route sends to a proxy of our own control plane: its virtual host and a few hundred bytes around it,
//! whatever else there is.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::Result;
use e2e::client::Request;
use e2e::programs::{ControlPlane, Proxy, ProxySettings};
use e2e::relay::Relay;
use e2e::{ports, wait};
use serde_json::json;

const ROUTES_PER_HOST: usize = 10;
const SMALL: usize = 2;
const LARGE: usize = 500;
/// Beyond the virtual host itself, whose routes take less than 150 bytes each.
const BYTES_AT_MOST: u64 = 1024 + ROUTES_PER_HOST as u64 * 150;
/// Longer numbers, and the pings that may fall between.
const BYTES_APART: u64 = 100;
const SERVED_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_route_sends_as_many_bytes_whatever_the_size_of_the_config() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let relay = Relay::start(control_plane.xds()).await?;
    let port = ports::free_port()?;
    control_plane.apply(&config(port, SMALL)).await?;
    let settings = ProxySettings::new("edge", relay.address()).workers(1);
    let mut proxy = settings.start().await?;
    proxy.wait_live().await?;

    let small = change(&control_plane, &proxy, &relay, port, "first").await?;
    control_plane.apply(&config(port, LARGE)).await?;
    serves(&proxy, port, LARGE - 1, "unchanged").await?;
    let large = change(&control_plane, &proxy, &relay, port, "again").await?;
    println!(
        "one route changed: {small} bytes among {}, {large} bytes among {}",
        SMALL * ROUTES_PER_HOST,
        LARGE * ROUTES_PER_HOST
    );
    assert!(small <= BYTES_AT_MOST, "{small} bytes");
    assert!(large.abs_diff(small) <= BYTES_APART);
    Ok(())
}

/// Changes one route of the first host; the bytes that the proxy was sent until it answers.
async fn change(
    control_plane: &ControlPlane,
    proxy: &Proxy,
    relay: &Relay,
    port: u16,
    text: &str,
) -> Result<u64> {
    let before = relay.bytes_to_client();
    let route = json!({
        "name": "h0-r0",
        "hosts": ["h0.example"],
        "match": {"path": {"exact": "/r0"}},
        "respond": {"status": 200, "body": text},
    });
    control_plane.replace_route("h0-r0", &route).await?;
    serves(proxy, port, 0, text).await?;
    Ok(relay.bytes_to_client() - before)
}

fn config(port: u16, hosts: usize) -> String {
    let mut config =
        format!("listeners: [{{name: web, address: 127.0.0.1, port: {port}}}]\nroutes:\n");
    for (host, route) in
        (0..hosts).flat_map(|host| (0..ROUTES_PER_HOST).map(move |route| (host, route)))
    {
        let _ = writeln!(
            config,
            "  - {{name: h{host}-r{route}, hosts: [h{host}.example], match: {{path: {{exact: /r{route}}}}}, respond: {{status: 200, body: unchanged}}}}"
        );
    }
    config
}

/// Waits until the first route of this host answers with this text.
async fn serves(proxy: &Proxy, port: u16, host: usize, text: &str) -> Result<()> {
    wait::until("the route is served", SERVED_WITHIN, async || {
        let request = Request::get("/r0").host(format!("h{host}.example"));
        let answer = proxy.send(port, request).await;
        let seen = answer.map_err(|error| format!("{error:#}"))?.text();
        if seen == text { Ok(()) } else { Err(seen) }
    })
    .await
}
