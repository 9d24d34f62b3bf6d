//! Clusters whose endpoints are found by name: what a name stands for decides where requests go, and nothing less than another
//! address takes one away.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use e2e::client::{self, Request};
use e2e::envoy::Envoy;
use e2e::name_server::NameServer;
use e2e::programs::{ControlPlane, Proxy};
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::{Value, json};

use crate::envoy_json::{listener, route_configuration};
use crate::fleet::{Fleet, outcome};
use crate::scripted::Scripted;

const WITHIN: Duration = Duration::from_secs(10);
const NAME: &str = "catalog.example";

/// Two servers with one port, at the two addresses that the name may stand for.
async fn upstreams() -> Result<[Upstream; 2]> {
    let one = Upstream::start("one").await?;
    let two = Upstream::start_at("two", ([127, 0, 0, 2], one.port()).into()).await?;
    Ok([one, two])
}

fn cluster(kind: &str, port: u16) -> Value {
    let socket = json!({"address": NAME, "port_value": port});
    json!({
        "@type": "type.googleapis.com/envoy.config.cluster.v3.Cluster",
        "name": "catalog",
        "type": kind,
        "connect_timeout": "1s",
        "dns_refresh_rate": "0.1s",
        "dns_lookup_family": "V4_ONLY",
        "load_assignment": {
            "cluster_name": "catalog",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": socket}}}]}],
        },
    })
}

fn resources(listen: u16, cluster: Value) -> [Value; 3] {
    let action = json!({"cluster": "catalog", "auto_host_rewrite": true});
    let route = json!({"match": {"prefix": "/"}, "route": action});
    [listener(listen), cluster, route_configuration(route)]
}

/// Envoy with this name server.
async fn envoy(xds: SocketAddr, server: &NameServer) -> Result<Envoy> {
    let address = json!({"address": "127.0.0.1", "port_value": server.address().port()});
    let resolver = json!({"typed_dns_resolver_config": {
        "name": "envoy.network.dns_resolver.cares",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
            "resolvers": [{"socket_address": address}],
            "dns_resolver_options": {"no_default_search_domain": true},
        },
    }});
    Envoy::start_with(xds, "default", "envoy-1", resolver).await
}

/// Which servers answer a few requests; what is no answer of theirs comes as a status.
async fn answering(address: SocketAddr) -> Result<BTreeSet<String>> {
    let mut seen = BTreeSet::new();
    for _ in 0..8 {
        let answer = client::send(address, Request::get("/")).await?;
        let upstream = answer.header("x-upstream").map(ToOwned::to_owned);
        seen.insert(upstream.unwrap_or_else(|| answer.status.as_str().to_owned()));
    }
    Ok(seen)
}

async fn wait_for_answers_of(address: SocketAddr, names: &[&str]) -> Result<()> {
    let wanted: BTreeSet<String> = names.iter().map(|name| (*name).to_owned()).collect();
    wait::until(
        "the right servers answer",
        WITHIN,
        async || match answering(address).await {
            Ok(seen) if seen == wanted => Ok(()),
            other => Err(format!("{other:?}")),
        },
    )
    .await
}

/// Waits until so many more lookups have ended in this way.
async fn wait_for_lookups(proxy: &Proxy, outcome: &str, more: u64) -> Result<()> {
    let line = format!("signalbox_proxy_dns_lookups_total{{outcome=\"{outcome}\"}} ");
    let count = async || -> Result<u64> {
        let metrics = proxy.metrics().await?;
        let count = metrics.lines().find_map(|text| text.strip_prefix(&line));
        Ok(count.unwrap_or_default().parse()?)
    };
    let wanted = count().await? + more;
    wait::until("lookups", WITHIN, async || match count().await {
        Ok(count) if count >= wanted => Ok(()),
        other => Err(format!("{other:?} of {wanted}")),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_where_the_name_points_and_no_failed_lookup_takes_an_address_away() -> Result<()>
{
    let ([one, two], names) = (upstreams().await?, NameServer::start().await?);
    names.set(NAME, &["127.0.0.1"]);
    let port = Fleet::port()?;
    let server = Scripted::start(&resources(port, cluster("STRICT_DNS", one.port()))).await?;
    let (folder, asked) = (tempfile::tempdir()?, names.address().to_string());
    let kept = folder.path().to_str().unwrap();
    let settings = Fleet::proxy(0, server.address);
    let settings = settings.arguments(["--dns-server", &asked, "--data-dir", kept]);
    let mut fleet = Fleet::of(port, vec![settings]).await?;
    let ours = fleet.proxies[0].listener(port);
    let envoy = envoy(server.address, &names).await?;
    let envoys = SocketAddr::from((Ipv4Addr::LOCALHOST, port));

    // Live means looked up: the first request finds an endpoint.
    assert_eq!(answering(ours).await?, ["one".to_owned()].into());
    wait_for_answers_of(envoys, &["one"]).await?;
    for address in [ours, envoys] {
        let answer = client::send(address, Request::get("/")).await?;
        assert_eq!(answer.json()?["headers"]["host"], NAME);
    }
    let connections = one.connections();

    names.set(NAME, &["127.0.0.2", "127.0.0.1"]);
    wait_for_answers_of(ours, &["one", "two"]).await?;
    wait_for_answers_of(envoys, &["one", "two"]).await?;
    assert_eq!(
        one.connections(),
        connections,
        "what did not change keeps its pool"
    );

    names.fail(true);
    wait_for_lookups(&fleet.proxies[0], "failed", 3).await?;
    wait_for_answers_of(ours, &["one", "two"]).await?;
    wait_for_answers_of(envoys, &["one", "two"]).await?;
    names.fail(false);

    // Here we part with Envoy, on purpose.
    names.set(NAME, &[]);
    wait_for_lookups(&fleet.proxies[0], "empty", 3).await?;
    wait_for_answers_of(envoys, &["503"]).await?;
    assert_eq!(answering(ours).await?.len(), 2);
    let dump = fleet.proxies[0].config_dump().await?;
    let name = &dump["live"]["clusters"][0]["names"][0];
    assert_eq!(name["name"], NAME);
    assert_eq!(name["addresses"], json!(["127.0.0.2", "127.0.0.1"]));
    assert_eq!(name["last_failure"], "there is no such address");

    // While the control plane is away the name is looked up all the same.
    drop(server);
    names.set(NAME, &["127.0.0.2"]);
    wait_for_answers_of(ours, &["two"]).await?;
    wait_for_answers_of(envoys, &["two"]).await?;

    drop(envoy);
    let proxy = &mut fleet.proxies[0];
    proxy.crash_and_restart().await?;
    proxy.wait_live().await?;
    assert_eq!(answering(ours).await?, ["two".to_owned()].into());
    assert_eq!(two.cancelled() + one.cancelled(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_logical_name_new_connections_go_to_the_first_address_and_old_ones_stay() -> Result<()>
{
    let ([one, two], names) = (upstreams().await?, NameServer::start().await?);
    names.set(NAME, &["127.0.0.1", "127.0.0.2"]);
    let port = Fleet::port()?;
    let server = Scripted::start(&resources(port, cluster("LOGICAL_DNS", one.port()))).await?;
    let asked = names.address().to_string();
    let settings = Fleet::proxy(0, server.address).arguments(["--dns-server", &asked]);
    let fleet = Fleet::of(port, vec![settings]).await?;
    let ours = fleet.proxies[0].listener(port);
    assert_eq!(answering(ours).await?, ["one".to_owned()].into());
    for (addresses, name) in [
        (["127.0.0.2", "127.0.0.1"], "two"),
        (["127.0.0.1", "127.0.0.2"], "one"),
    ] {
        names.set(NAME, &addresses);
        wait_for_answers_of(ours, &[name]).await?;
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
    assert_eq!((one.open_connections(), two.open_connections()), (1, 1));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_without_an_answer_does_not_hold_the_rest_of_a_config_up() -> Result<()> {
    let names = NameServer::start().await?;
    names.fail(true);
    let port = Fleet::port()?;
    let server = Scripted::start(&resources(port, cluster("STRICT_DNS", 1))).await?;
    let asked = names.address().to_string();
    let settings = Fleet::proxy(0, server.address).arguments(["--dns-server", &asked]);
    let fleet = Fleet::of(port, vec![settings]).await?;
    let ours = fleet.proxies[0].listener(port);
    assert_eq!(answering(ours).await?, ["503".to_owned()].into());
    // And when the name has an answer at last, it counts.
    let upstream = Upstream::start_at("late", ([127, 0, 0, 3], 0).into()).await?;
    server.serve(&resources(port, cluster("STRICT_DNS", upstream.port())))?;
    names.set(NAME, &["127.0.0.3"]);
    names.fail(false);
    wait_for_answers_of(ours, &["late"]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_from_the_operators_config_is_followed_by_our_proxy_and_by_envoy() -> Result<()> {
    let upstream = Upstream::start("here").await?;
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    let config = format!(
        "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters: [{{name: here, dns: {{host: localhost, port: {}}}}}]
routes: [{{name: all, forward: {{cluster: here}}, match: {{path: {{prefix: /}}}}}}]",
        upstream.port()
    );
    control_plane.apply(&config).await?;
    let fleet = Fleet::start(port, &[control_plane.xds()]).await?;
    let envoy = Envoy::start(control_plane.xds(), "default", "envoy-1").await?;
    let envoys = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    for address in [fleet.proxies[0].listener(port), envoys] {
        let answer = client::send(address, Request::get("/a?b=c")).await?;
        assert_eq!(outcome(&answer), "200 here GET /a?b=c");
    }
    assert_eq!((envoy.rejected().await?, envoy.warming().await?), (0, 0));

    let wrong = json!({"name": "here", "dns": {"host": "192.0.2.1", "port": 1}});
    let refused = control_plane
        .send(
            Request::put("/v1/fleets/default/clusters/here")
                .header("if-match", "*")
                .json(&wrong),
        )
        .await?;
    assert_eq!(refused.status, 422);
    assert!(refused.text().contains("/dns/host"), "{}", refused.text());
    Ok(())
}
