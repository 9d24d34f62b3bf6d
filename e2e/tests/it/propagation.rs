//! From an edit at the admin API to the first right answer at the last of three proxies.

use std::time::{Duration, Instant};

use anyhow::Result;
use e2e::programs::ControlPlane;
use futures_util::future::try_join_all;

use crate::fleet::{Fleet, hello_config, hello_route};

const EDITS: usize = 50;
const P50_AT_MOST: Duration = Duration::from_millis(200);
const EACH_AT_MOST: Duration = Duration::from_secs(2);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edited_route_is_served_by_all_proxies_soon() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    control_plane.apply(&hello_config(port, "start")).await?;
    let fleet = Fleet::start(port, &[control_plane.xds(); 3]).await?;
    let mut times = Vec::new();
    for edit in 0..EDITS {
        let text = format!("edit {edit}");
        control_plane
            .replace_route("hello", &hello_route(&text))
            .await?;
        let committed = Instant::now();
        try_join_all((0..3).map(|proxy| fleet.wait_for_hello(proxy, &text, EACH_AT_MOST))).await?;
        times.push(committed.elapsed());
    }
    times.sort_unstable();
    let (p50, p99) = (times[EDITS / 2], times[EDITS * 99 / 100]);
    println!("2xx to the last of three proxies, {EDITS} edits: p50 {p50:?}, p99 {p99:?}");
    assert!(p50 <= P50_AT_MOST, "p50 {p50:?}");
    Ok(())
}
