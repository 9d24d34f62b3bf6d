//! What is wrong is refused where it comes in: by the admin API with pointers into the operator's document, and by the
//! proxy, when a foreign control plane sends it, with the paths of the fields in xDS.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use e2e::client::{self, Request};
use e2e::envoy::Envoy;
use e2e::programs::{ControlPlane, ProxySettings};
use e2e::wait;
use http::StatusCode;
use serde_json::json;

use crate::envoy_json::{listener, route_configuration};
use crate::fleet::{Fleet, outcome};
use crate::scripted::Scripted;

#[tokio::test]
async fn the_admin_api_names_every_problem_and_stores_nothing() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let config = r#"
listeners: [{name: web, address: 0.0.0.0, port: 10000}]
clusters: [{name: c, endpoints: [{address: not-an-ip, port: 80}]}]
routes:
  - {name: bad-regex, match: {path: {regex: "("}}, forward: {cluster: c}}
  - {name: no-cluster, match: {path: {prefix: /}}, forward: {cluster: nowhere}}
  - {name: no-weight, match: {path: {prefix: /w}}, forward: {clusters: [{name: c, weight: 0}]}}
  - {name: two-actions, match: {path: {prefix: /t}}, respond: {status: 200}, redirect: {host: a.example}}
"#;
    let answer = control_plane
        .send(Request::put("/v1/fleets/default/config").yaml(config))
        .await?;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "{}",
        answer.text()
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/problem+json")
    );
    let problem = answer.json()?;
    let pointers: Vec<&str> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap())
        .collect();
    for wanted in [
        "/clusters/0/endpoints/0/address",
        "/routes/0/match/path/regex",
        "/routes/1/forward/cluster",
        "/routes/2/forward/clusters",
        "/routes/3",
    ] {
        assert!(
            pointers.iter().any(|pointer| pointer.starts_with(wanted)),
            "{wanted} is missing: {problem:#}"
        );
    }
    assert_eq!(
        control_plane.get("/v1/fleets/default").await?["revision"],
        0
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_refuses_what_a_foreign_control_plane_sends_with_the_path_and_traffic_goes_on()
-> Result<()> {
    let port = Fleet::port()?;
    let good = route_configuration(
        json!({"name": "r", "match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "good"}}}),
    );
    let scripted = Scripted::start(&[listener(port), good]).await?;
    let fleet = Fleet::start(port, &[scripted.address]).await?;
    assert_eq!(fleet.send(0, Request::get("/")).await?.text(), "good");

    scripted.serve(&[listener(port), route_configuration(json!({"name": "r", "match": {"safe_regex": {"regex": "("}}, "route": {"weighted_clusters": {"clusters": [{"name": "c", "weight": 0}]}}}))])?;
    let refusal = scripted.refusal("main").await?;
    for path in [
        "virtual_hosts[0].routes[0].match.safe_regex.regex",
        "virtual_hosts[0].routes[0].route.weighted_clusters.clusters",
    ] {
        assert!(refusal.contains(path), "{path} is missing: {refusal}");
    }
    assert_eq!(fleet.send(0, Request::get("/")).await?.text(), "good");
    let dump = fleet.proxies[0].config_dump().await?;
    assert!(
        dump.to_string().contains("safe_regex"),
        "the refusal is shown: {dump:#}"
    );

    scripted.serve(&[listener(port), route_configuration(json!({"name": "r", "match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "mended"}}}))])?;
    wait::until(
        "the mended config is served",
        Duration::from_secs(10),
        async || {
            let text = fleet
                .send(0, Request::get("/"))
                .await
                .map_err(|error| format!("{error:#}"))?
                .text();
            if text == "mended" { Ok(()) } else { Err(text) }
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_to_a_missing_cluster_is_answered_alike_by_envoy_and_by_our_proxy() -> Result<()> {
    let port = Fleet::port()?;
    let routes = json!([
        {"name": "missing", "match": {"path": "/missing"}, "route": {"cluster": "nowhere"}},
        {"name": "not-found", "match": {"path": "/not-found"}, "route": {"cluster": "nowhere", "cluster_not_found_response_code": "NOT_FOUND"}},
        {"name": "fine", "match": {"path": "/fine"}, "direct_response": {"status": 200, "body": {"inline_string": "fine"}}},
    ]);
    let main = json!({
        "@type": "type.googleapis.com/envoy.config.route.v3.RouteConfiguration",
        "name": "main",
        "virtual_hosts": [{"name": "vh", "domains": ["*"], "routes": routes}],
    });
    let scripted = Scripted::start(&[listener(port), main]).await?;
    // The parts never fit together, so our proxy waits for the missing one, and serves the rest then.
    let settings = ProxySettings::new("edge", scripted.address)
        .bind(Ipv4Addr::new(127, 0, 0, 11))
        .arguments(["--initial-fetch-timeout", "1s"]);
    let mut proxy = settings.start().await?;
    proxy.wait_live().await?;
    let _envoy = Envoy::start(scripted.address, "default", "envoy-1").await?;
    for (path, wanted) in [
        ("/missing", "503"),
        ("/not-found", "404"),
        ("/fine", "200 \"fine\""),
    ] {
        let ours = proxy.send(port, Request::get(path)).await?;
        let envoys = client::send(
            SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            Request::get(path),
        )
        .await?;
        assert_eq!(
            (outcome(&ours).as_str(), outcome(&envoys).as_str()),
            (wanted, wanted),
            "{path}"
        );
    }
    Ok(())
}
