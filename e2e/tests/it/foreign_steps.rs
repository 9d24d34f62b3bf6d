//! A foreign control plane plays the same steps to our proxy and to a stock Envoy: what is right, what is broken, what is
//! missing, what comes in the wrong order. Nowhere may our proxy do worse than Envoy. The table that is printed says, for
//! each step, what was wanted and what each of the two did instead.

mod table;
mod wanted;
mod world;

mod side;

mod play;

mod clusters;
mod listeners;
mod protocol;
mod routes;

use anyhow::Result;

use self::play::Play;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_a_foreign_control_plane_does_our_proxy_does_no_worse_than_envoy() -> Result<()> {
    let mut play = Play::start().await?;
    routes::broken_routes(&mut play).await;
    routes::routes(&mut play).await;
    clusters::clusters(&mut play).await;
    clusters::broken_clusters(&mut play).await;
    clusters::endpoints(&mut play).await;
    listeners::filters(&mut play).await;
    listeners::listeners(&mut play).await;
    protocol::responses(&mut play).await;
    protocol::order(&mut play).await;
    protocol::server(&mut play).await?;
    let table = play.end();
    println!("{table}");
    let worse = table.worse();
    assert!(table.len() >= 25, "{} steps", table.len());
    assert!(worse.is_empty(), "worse than Envoy: {worse:?}");
    Ok(())
}
