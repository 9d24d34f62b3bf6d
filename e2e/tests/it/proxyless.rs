//! A gRPC program without a proxy, as it comes: it dials `xds:///HOST` and follows the fleet's config.

use std::time::Duration;

use anyhow::Result;
use e2e::client::Request;
use e2e::grpc::{GrpcClient, Language};
use e2e::programs::ControlPlane;
use e2e::upstream::Upstream;
use serde_json::json;

const PAUSE: Duration = Duration::from_millis(20);
const SOON: Duration = Duration::from_secs(20);

const HOST: &str = "shop.example";
const GET: &str = "/shop.Catalog/Get";
const PUT: &str = "/shop.Catalog/Put";
const OLD: &str = "/shop.Old/Get";

fn config(catalog: &str, upstreams: &[&Upstream; 2]) -> String {
    let [first, second] = upstreams.map(Upstream::port);
    format!(
        "
clusters:
  - {{name: first, load_balancing: least_request, endpoints: [{{address: 127.0.0.1, port: {first}}}]}}
  - {{name: second, endpoints: [{{address: 127.0.0.1, port: {second}, zone: b, weight: 3}}]}}
  - {{name: late, discovery: api}}
routes:
  - {{name: catalog, hosts: [{HOST}], match: {{path: {{prefix: /shop.Catalog}}}}, forward: {{{catalog}}}}}
  - {{name: put, hosts: [{HOST}], match: {{path: {{exact: {PUT}}}}}, forward: {{cluster: late}}}}
  - {{name: old, hosts: [{HOST}], match: {{path: {{prefix: /shop.Old}}}}, redirect: {{host: old.example}}}}
  - {{name: rest, hosts: [{HOST}], forward: {{cluster: second}}}}
  - {{name: anybody, respond: {{status: 200, body: hello}}}}
"
    )
}

#[tokio::test]
async fn grpc_for_python_without_a_proxy_follows_routes_weights_and_endpoints() -> Result<()> {
    follows(Language::Python).await
}

#[tokio::test]
async fn grpc_for_javascript_without_a_proxy_follows_routes_weights_and_endpoints() -> Result<()> {
    follows(Language::JavaScript).await
}

async fn follows(language: Language) -> Result<()> {
    let [first, second] = [
        Upstream::start("first").await?,
        Upstream::start("second").await?,
    ];
    let upstreams = [&first, &second];
    let control_plane = ControlPlane::start().await?;
    control_plane
        .apply(&config("cluster: first", &upstreams))
        .await?;
    let targets = [GET, PUT, OLD].map(|path| (HOST.to_owned(), path.to_owned()));
    let client = GrpcClient::start(
        language,
        control_plane.xds(),
        "default",
        "program",
        &targets,
        PAUSE,
    )?;
    let answered =
        |name: &'static str| move |outcome: &Result<String, String>| outcome.as_deref() == Ok(name);
    client
        .wait_for((HOST, GET), SOON, answered("first"))
        .await?;

    // What it cannot be told fails, and is not handed to `rest`.
    let left_out = |outcome: &Result<String, String>| {
        outcome
            .as_ref()
            .is_err_and(|text| text.starts_with("UNAVAILABLE"))
    };
    client.wait_for((HOST, OLD), SOON, left_out).await?;

    // Endpoints come by the fast lane.
    client.wait_for((HOST, PUT), SOON, left_out).await?;
    let endpoints = json!({"endpoints": [{"address": "127.0.0.1", "port": second.port()}]});
    let put = Request::put("/v1/fleets/default/endpoints/late").json(&endpoints);
    control_plane.send(put).await?.success()?;
    client
        .wait_for((HOST, PUT), SOON, answered("second"))
        .await?;

    // Another cluster, then both by weight.
    control_plane
        .apply(&config("cluster: second", &upstreams))
        .await?;
    client
        .wait_for((HOST, GET), SOON, answered("second"))
        .await?;
    let both = "clusters: [{name: first, weight: 60}, {name: second, weight: 40}]";
    control_plane.apply(&config(both, &upstreams)).await?;
    client
        .wait_for((HOST, GET), SOON, answered("first"))
        .await?;
    client
        .wait_for((HOST, GET), SOON, answered("second"))
        .await?;

    let nodes = control_plane.get("/v1/fleets/default/nodes").await?;
    let node = &nodes["items"][0];
    assert_eq!(node["id"], "program", "{nodes}");
    assert!(node["refused"].is_null(), "{nodes}");
    Ok(())
}
