//! From an edit at the admin API to the first right answer at the last of three proxies.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::client::Request;
use e2e::programs::ControlPlane;
use e2e::wait;
use serde_json::json;

use crate::fleet::Fleet;

const EDITS: usize = 50;
const P50_AT_MOST: Duration = Duration::from_millis(200);
const EACH_AT_MOST: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_route_is_served_by_all_proxies_soon() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    control_plane
        .apply(&format!(
            "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
routes: [{{name: hello, match: {{path: {{exact: /hello}}}}, respond: {{status: 200, body: start}}}}]"
        ))
        .await?;
    let fleet = Fleet::start(port, &[control_plane.xds(); 3]).await?;
    let mut times = Vec::new();
    for edit in 0..EDITS {
        let body = format!("edit {edit}");
        let route = json!({"name": "hello", "match": {"path": {"exact": "/hello"}}, "respond": {"status": 200, "body": body}});
        control_plane.replace_route("hello", &route).await?;
        let committed = Instant::now();
        let served = (0..3).map(|proxy| served(&fleet, proxy, &body));
        futures_util::future::try_join_all(served).await?;
        times.push(committed.elapsed());
    }
    times.sort_unstable();
    let (p50, p99) = (times[EDITS / 2], times[EDITS * 99 / 100]);
    println!("2xx to the last of three proxies, {EDITS} edits: p50 {p50:?}, p99 {p99:?}");
    assert!(p50 <= P50_AT_MOST, "p50 {p50:?}");
    Ok(())
}

async fn served(fleet: &Fleet, proxy: usize, body: &str) -> Result<()> {
    wait::until("the edit is served", EACH_AT_MOST, async || {
        let answer = fleet
            .send(proxy, Request::get("/hello"))
            .await
            .map_err(|error| format!("{error:#}"))?;
        if answer.text() == body {
            Ok(())
        } else {
            Err(answer.text())
        }
    })
    .await
}
