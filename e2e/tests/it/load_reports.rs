//! Load reports of clients as they come: what stock Envoy and a gRPC program have served turns up in the API, under the
//! revision that they have and the cluster that it went to, exactly.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use e2e::client::{self, Request};
use e2e::envoy::Envoy;
use e2e::grpc::{GrpcClient, Language};
use e2e::programs::{ControlPlane, ControlPlaneSettings};
use e2e::upstream::Upstream;
use e2e::{ports, wait};
use serde_json::{Value, json};

const WITHIN: Duration = Duration::from_secs(30);
const HOST: &str = "shop.example";
const CALL: &str = "/shop.Catalog/Get";

/// A control plane with a rollout that is judged by requests, and so goes on for ever.
async fn judged(config: &str) -> Result<ControlPlane> {
    let settings = ControlPlaneSettings::default();
    let settings = settings.argument("--load-report-seconds=1");
    let control_plane = settings.start().await?;
    let fleet = json!({"rollout": {"strategy": {
        "waves": [{"percent": 100, "bake": "1h"}],
        "gates": {"health": {"min_requests": 1_000_000, "max_error_ratio": 0.5}},
    }}});
    let put = Request::put("/v1/fleets/default").json(&fleet);
    control_plane.send(put.if_match_any()).await?.success()?;
    control_plane.apply(config).await?;
    Ok(control_plane)
}

/// What is known of a cluster at revision 1.
async fn cluster(control_plane: &ControlPlane, name: &str) -> Result<Option<Value>> {
    let traffic = control_plane
        .get("/v1/fleets/default/traffic?window=1h&revision=1")
        .await?;
    let clusters = traffic["revisions"][0]["clusters"].as_array().cloned();
    let mut clusters = clusters.unwrap_or_default().into_iter();
    Ok(clusters.find(|cluster| cluster["cluster"] == name))
}

async fn wait_for(
    control_plane: &ControlPlane,
    name: &str,
    requests: u64,
    errors: u64,
) -> Result<()> {
    let what = format!("cluster {name} has had {requests} requests and {errors} errors");
    wait::until(&what, WITHIN, async || {
        let found = cluster(control_plane, name).await;
        let found = found
            .map_err(|error| format!("{error:#}"))?
            .unwrap_or_default();
        if found["requests"] == requests && found["errors"] == errors {
            Ok(())
        } else {
            Err(found.to_string())
        }
    })
    .await
}

#[tokio::test]
async fn what_envoy_has_served_is_known_by_revision_and_cluster() -> Result<()> {
    let [first, second] = [Upstream::start("a").await?, Upstream::start("b").await?];
    let listener = ports::free_port()?;
    let here = |upstream: &Upstream| json!([{"address": "127.0.0.1", "port": upstream.port()}]);
    let route = |name: &str| json!({"name": name, "match": {"path": {"prefix": format!("/{name}")}}, "forward": {"cluster": name}});
    let config = json!({
        "listeners": [{"name": "web", "address": "127.0.0.1", "port": listener}],
        "clusters": [
            {"name": "first", "endpoints": here(&first)},
            {"name": "good", "endpoints": here(&first)},
            {"name": "bad", "endpoints": here(&second)},
        ],
        "routes": [route("first"), route("good"), route("bad")],
    });
    let control_plane = judged(&config.to_string()).await?;
    let envoy = Envoy::start(control_plane.xds(), "default", "envoy").await?;
    let web = SocketAddr::from(([127, 0, 0, 1], listener));
    let send = async |target: &str, times: usize, status: u16| -> Result<()> {
        for _ in 0..times {
            let answer = client::send(web, Request::get(target)).await?;
            ensure!(answer.status == status, "{target}: {}", answer.status);
        }
        Ok(())
    };

    // From the first report that counts on, every request does.
    wait::until("Envoy reports", WITHIN, async || {
        send("/first/", 5, 200)
            .await
            .map_err(|error| format!("{error:#}"))?;
        let found = cluster(&control_plane, "first").await;
        let found = found.map_err(|error| format!("{error:#}"))?;
        found
            .map(|_| ())
            .context("not yet")
            .map_err(|error| error.to_string())
    })
    .await?;
    send("/good/", 40, 200).await?;
    send("/bad/status?code=500", 7, 500).await?;
    send("/bad/status?code=404", 3, 404).await?;
    send("/none", 5, 404).await?;
    wait_for(&control_plane, "good", 40, 0).await?;
    wait_for(&control_plane, "bad", 10, 7).await?;

    let traffic = control_plane
        .get("/v1/fleets/default/traffic?window=1h")
        .await?;
    let revision = traffic["revisions"].as_array().context("a list")?;
    let revision = revision.iter().find(|revision| revision["revision"] == 1);
    let revision = revision.context("revision 1")?;
    let names = revision["clusters"].as_array().context("a list")?.iter();
    let names: Vec<_> = names
        .filter_map(|cluster| cluster["cluster"].as_str())
        .collect();
    ensure!(
        !names.contains(&"xds"),
        "its own streams are no traffic: {names:?}"
    );
    ensure!(revision["errors"] == 7, "{revision}");
    ensure!(revision["no_route"] == 0, "Envoy does not tell: {revision}");
    ensure!(
        revision["latency_ms"].is_null(),
        "Envoy does not tell: {revision}"
    );
    ensure!(envoy.rejected().await? == 0, "Envoy has refused something");
    Ok(())
}

#[tokio::test]
async fn what_a_grpc_program_has_called_is_known_by_revision_and_cluster() -> Result<()> {
    let upstream = Upstream::start("a").await?;
    let config = json!({
        "clusters": [{"name": "catalog", "endpoints": [{"address": "127.0.0.1", "port": upstream.port()}]}],
        "routes": [{"name": "catalog", "hosts": [HOST], "forward": {"cluster": "catalog"}}],
    });
    let control_plane = judged(&config.to_string()).await?;
    let targets = [(HOST.to_owned(), CALL.to_owned())];
    let pause = Duration::from_millis(20);
    let client = GrpcClient::start(
        Language::Python,
        control_plane.xds(),
        "default",
        "program",
        &targets,
        pause,
    )?;
    client
        .wait_for((HOST, CALL), WITHIN, |outcome| {
            outcome.as_deref() == Ok("a")
        })
        .await?;
    wait::until("its calls are known", WITHIN, async || {
        let found = cluster(&control_plane, "catalog").await;
        let found = found
            .map_err(|error| format!("{error:#}"))?
            .unwrap_or_default();
        match (found["requests"].as_u64(), &found["errors"]) {
            (Some(100..), errors) if *errors == 0 => Ok(()),
            _ => Err(found.to_string()),
        }
    })
    .await?;
    let nodes = control_plane.get("/v1/fleets/default/nodes").await?;
    ensure!(nodes["items"][0]["refused"].is_null(), "{nodes}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_reported_while_nobody_judges() -> Result<()> {
    let upstream = Upstream::start("a").await?;
    let listener = ports::free_port()?;
    let config = json!({
        "listeners": [{"name": "web", "address": "127.0.0.1", "port": listener}],
        "clusters": [{"name": "c", "endpoints": [{"address": "127.0.0.1", "port": upstream.port()}]}],
        "routes": [{"name": "r", "forward": {"cluster": "c"}}],
    });
    let control_plane = ControlPlane::start().await?;
    control_plane.apply(&config.to_string()).await?;
    let envoy = Envoy::start(control_plane.xds(), "default", "envoy").await?;
    // "requests" are those of the server, for reports.
    wait::until_true("Envoy was asked", WITHIN, async || {
        let asked = envoy.stat_sum("load_reporter.requests").await;
        asked.is_ok_and(|asked| asked == 1)
    })
    .await?;
    for _ in 0..10 {
        let web = SocketAddr::from(([127, 0, 0, 1], listener));
        client::send(web, Request::get("/")).await?.success()?;
    }
    // The one that names the node.
    ensure!(
        envoy.stat_sum("load_reporter.responses").await? == 1,
        "it has reported"
    );
    let traffic = control_plane.get("/v1/fleets/default/traffic").await?;
    ensure!(traffic["revisions"] == json!([]), "{traffic}");
    Ok(())
}
