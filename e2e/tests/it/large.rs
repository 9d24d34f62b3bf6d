//! 100,000 routes in 10,000 virtual hosts: how long until they are served and what they weigh, and what one changed route
//! costs: bytes on the connection, time until it answers.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use e2e::client::{Connection, Request};
use e2e::programs::{ControlPlaneSettings, Proxy, ProxySettings};
use e2e::relay::Relay;
use e2e::{ports, wait};
use envoy_types::pb::envoy::config::core::v3::DataSource;
use envoy_types::pb::envoy::config::core::v3::data_source::Specifier;
use envoy_types::pb::envoy::config::route::v3::header_matcher::HeaderMatchSpecifier;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{
    DirectResponseAction, HeaderMatcher, Route, RouteMatch, VirtualHost,
};
use envoy_types::pb::envoy::r#type::matcher::v3::RegexMatcher;
use prost::Message as _;
use serde_json::{Value, json};

use crate::scripted::{Entry, PUSH_ORDER, Scripted, type_url};

const HOSTS: usize = 10_000;
const ROUTES_PER_HOST: usize = 10;

/// An unoptimised build is about ten times slower.
const SLOWNESS: u32 = if cfg!(debug_assertions) { 10 } else { 1 };
const ACTIVE_WITHIN: Duration = Duration::from_secs(6).saturating_mul(SLOWNESS);
const CHANGE_P50: Duration = Duration::from_millis(100).saturating_mul(SLOWNESS);
const CHANGE_WITHIN: Duration = Duration::from_secs(1).saturating_mul(SLOWNESS);
/// Beyond the virtual host itself: type URLs, names, version and nonce, and the frames around them.
const BYTES_AROUND: u64 = 1024;
const CHANGES: usize = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_route_changed_among_a_hundred_thousand_costs_its_virtual_host_and_no_more()
-> Result<()> {
    let mut table = Table::with_one_host().await?;
    table.push_the_others().await?;
    every_route_answers(table.address).await?;
    let mut times = Vec::new();
    for change in 0..CHANGES {
        times.push(
            table
                .change_one(change * 997, &format!("change {change}"))
                .await?,
        );
    }
    times.sort_unstable();
    let (p50, worst) = (times[CHANGES / 2], times[CHANGES - 1]);
    let resident = resident_kib(&mut table.proxy)?;
    println!(
        "one route changed, {CHANGES} times: p50 {p50:.1?}, worst {worst:.1?}; resident {resident} KiB"
    );
    assert!(p50 <= CHANGE_P50, "p50 {p50:.1?}");
    Ok(())
}

/// Virtual hosts of the pair: with optimised programs all of them, else what these take in within seconds.
const PAIR_HOSTS: usize = if cfg!(debug_assertions) {
    HOSTS / 5
} else {
    HOSTS
};
/// An edit is checked, stored and built again, and nothing but the edit.
const COMMITTED_WITHIN: Duration = Duration::from_millis(500).saturating_mul(SLOWNESS);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_our_control_plane_one_changed_route_compiles_one_virtual_host() -> Result<()> {
    let settings = ControlPlaneSettings::default().argument("--max-config-bytes=33554432");
    let control_plane = settings.start().await?;
    let port = ports::free_port()?;
    let listener = json!({"name": "web", "address": "127.0.0.1", "port": port});
    let hosts = 0..PAIR_HOSTS;
    let routes = hosts.flat_map(|host| {
        (0..ROUTES_PER_HOST).map(move |n| pair_route(host, n, &format!("{host} {n}")))
    });
    let routes: Vec<_> = routes.collect();
    let start = Instant::now();
    let request = Request::put("/v1/fleets/default/config")
        .json(&json!({"listeners": [listener], "routes": routes}));
    control_plane.send(request).await?.success()?;
    let applied = start.elapsed();
    let mut proxy = ProxySettings::new("edge", control_plane.xds())
        .workers(1)
        .start()
        .await?;
    proxy.wait_live().await?;
    let before = compiled(&proxy).await?;
    assert_eq!(before, PAIR_HOSTS as u64);

    let host = PAIR_HOSTS / 2;
    let route = pair_route(host, 3, "changed");
    let start = Instant::now();
    let name = format!("r{host}-3");
    control_plane.replace_route(&name, &route).await?;
    let committed = start.elapsed();
    wait::until("the changed route answers", ACTIVE_WITHIN, async || {
        let request = Request::get("/p3").host(format!("h{host}.example"));
        let answer = proxy.send(port, request).await;
        let seen = answer.map_err(|error| format!("{error:#}"))?.text();
        if seen == "changed" { Ok(()) } else { Err(seen) }
    })
    .await?;
    println!(
        "{} routes, both programs: applied after {applied:.1?}; one edit committed after {committed:.1?}, answers after {:.1?}; resident {} KiB with the revision before",
        PAIR_HOSTS * ROUTES_PER_HOST,
        start.elapsed(),
        resident_kib(&mut proxy)?,
    );
    assert!(committed <= COMMITTED_WITHIN, "{committed:.1?}");
    // The count is told a moment after the config is live.
    let count = wait::until("something was compiled", ACTIVE_WITHIN, async || {
        let count = compiled(&proxy)
            .await
            .map_err(|error| format!("{error:#}"))?;
        if count > before {
            Ok(count)
        } else {
            Err(format!("{count}"))
        }
    });
    assert_eq!(count.await?, before + 1);
    Ok(())
}

fn pair_route(host: usize, n: usize, text: &str) -> Value {
    json!({
        "name": format!("r{host}-{n}"),
        "hosts": [format!("h{host}.example")],
        "match": {"path": {"prefix": format!("/p{n}")}},
        "respond": {"status": 200, "body": text},
    })
}

/// A proxy, what its control plane says to it, and the relay between them.
struct Table {
    scripted: Scripted,
    relay: Relay,
    proxy: Proxy,
    /// Of the one listener.
    address: SocketAddr,
    frame: Vec<Entry>,
    hosts: Vec<Entry>,
}

impl Table {
    async fn with_one_host() -> Result<Self> {
        let port = ports::free_port()?;
        let scripted = Scripted::start(&[]).await?;
        let relay = Relay::start(scripted.address).await?;
        let (frame, hosts) = (frame(port)?, vec![virtual_host(0, "")]);
        scripted.serve_entries([&*frame, &*hosts].concat(), PUSH_ORDER);
        let settings = ProxySettings::new("edge", relay.address()).workers(1);
        let mut proxy = settings.start().await?;
        proxy.wait_live().await?;
        Ok(Self {
            scripted,
            relay,
            address: proxy.listener(port),
            proxy,
            frame,
            hosts,
        })
    }

    async fn push_the_others(&mut self) -> Result<()> {
        let before = resident_kib(&mut self.proxy)?;
        self.hosts
            .extend((1..HOSTS).map(|host| virtual_host(host, "")));
        let (took, bytes) = self.push(HOSTS - 1, "", ACTIVE_WITHIN).await?;
        println!(
            "{} routes in {HOSTS} virtual hosts: active {took:.2?} after the push of {} KiB; resident {} KiB, {before} KiB before",
            HOSTS * ROUTES_PER_HOST,
            bytes / 1024,
            resident_kib(&mut self.proxy)?,
        );
        Ok(())
    }

    /// Changes one route of a host; how long until it answers.
    async fn change_one(&mut self, host: usize, text: &str) -> Result<Duration> {
        let compiled = compiled(&self.proxy).await?;
        self.hosts[host] = virtual_host(host, text);
        let size = self.hosts[host].size();
        let (took, bytes) = self.push(host, text, CHANGE_WITHIN).await?;
        println!(
            "one route changed: {bytes} bytes for a virtual host of {size}, answers after {took:.1?}"
        );
        assert!(bytes <= size + BYTES_AROUND, "{bytes} bytes");
        assert_eq!(self::compiled(&self.proxy).await?, compiled + 1);
        Ok(took)
    }

    /// Pushes what changed; the time and the bytes until a host answers with this text.
    async fn push(&self, host: usize, text: &str, within: Duration) -> Result<(Duration, u64)> {
        let entries = [&*self.frame, &*self.hosts].concat();
        let (start, received) = (Instant::now(), self.relay.bytes_to_client());
        self.scripted.serve_entries(entries, PUSH_ORDER);
        until_answered(self.address, host, text, within).await?;
        Ok((start.elapsed(), self.relay.bytes_to_client() - received))
    }
}

/// The listener, and routes whose virtual hosts come one by one.
fn frame(port: u16) -> Result<Vec<Entry>> {
    let ads = json!({"ads": {}, "resource_api_version": "V3"});
    let manager = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "web",
        "rds": {"route_config_name": "main", "config_source": ads},
        "http_filters": [{
            "name": "envoy.filters.http.router",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
        }],
    });
    let listener = json!({
        "@type": type_url::LISTENER,
        "name": "web",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [{"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}],
    });
    let routes = json!({"@type": type_url::ROUTES, "name": "main", "vhds": {"config_source": ads}});
    Ok(vec![Entry::json(&listener)?, Entry::json(&routes)?])
}

/// Six prefixes, two whole paths, a regular expression and a header, each with an answer of its own. The last one's
/// answer ends with `text`.
fn virtual_host(host: usize, text: &str) -> Entry {
    let prefixes = (0..6).map(|n| {
        route(
            PathSpecifier::Prefix(format!("/prefix{n}/")),
            host,
            &format!("prefix{n}"),
        )
    });
    let exact = (0..2).map(|n| {
        route(
            PathSpecifier::Path(format!("/exact{n}")),
            host,
            &format!("exact{n}"),
        )
    });
    let regex = PathSpecifier::SafeRegex(RegexMatcher {
        regex: "/regex/[0-9]+".to_owned(),
        ..Default::default()
    });
    let regex = route(regex, host, "regex");
    let mut header = route(
        PathSpecifier::Prefix("/".to_owned()),
        host,
        &format!("header{text}"),
    );
    if let Some(matching) = &mut header.r#match {
        matching.headers.push(HeaderMatcher {
            name: "x-beta".to_owned(),
            header_match_specifier: Some(HeaderMatchSpecifier::PresentMatch(true)),
            ..Default::default()
        });
    }
    let name = format!("main/h{host}.example");
    let message = VirtualHost {
        name: name.clone(),
        domains: vec![format!("h{host}.example")],
        routes: prefixes.chain(exact).chain([regex, header]).collect(),
        ..Default::default()
    };
    Entry::bytes(type_url::VIRTUAL_HOST, &name, message.encode_to_vec())
}

fn route(path: PathSpecifier, host: usize, text: &str) -> Route {
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(path),
            ..Default::default()
        }),
        action: Some(Action::DirectResponse(DirectResponseAction {
            status: 200,
            body: Some(DataSource {
                specifier: Some(Specifier::InlineString(format!("{host} {text}"))),
                ..Default::default()
            }),
            ..Default::default()
        })),
        ..Default::default()
    }
}

/// Waits until the route with the header answers for this host, with this text.
async fn until_answered(
    address: SocketAddr,
    host: usize,
    text: &str,
    within: Duration,
) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    let request = Request::get("/")
        .host(format!("h{host}.example"))
        .header("x-beta", "1");
    let wanted = format!("{host} header{text}");
    wait::until(&wanted, within, async || {
        let answer = connection.send(request.clone()).await;
        let seen = answer.map_err(|error| format!("{error:#}"))?.text();
        if seen == wanted { Ok(()) } else { Err(seen) }
    })
    .await
}

/// Each kind of route, at hosts from all over the table.
async fn every_route_answers(address: SocketAddr) -> Result<()> {
    let mut connection = Connection::open(address).await?;
    for host in (0..HOSTS).step_by(HOSTS / 20) {
        for (path, wanted) in [
            ("/prefix0/x", "prefix0"),
            ("/prefix5/", "prefix5"),
            ("/exact1", "exact1"),
            ("/regex/42", "regex"),
        ] {
            let request = Request::get(path).host(format!("h{host}.example"));
            let answer = connection.send(request).await?;
            assert_eq!(answer.text(), format!("{host} {wanted}"));
        }
        let nowhere = Request::get("/exact2").host(format!("h{host}.example"));
        assert_eq!(connection.send(nowhere).await?.status, 404);
    }
    Ok(())
}

/// How many virtual hosts a proxy has compiled.
async fn compiled(proxy: &Proxy) -> Result<u64> {
    let name = "signalbox_proxy_config_virtual_hosts_compiled_total ";
    let metrics = proxy.metrics().await?;
    let number = metrics.lines().find_map(|line| line.strip_prefix(name));
    Ok(number.context("the metric is there")?.parse()?)
}

/// The memory of a proxy that is resident.
fn resident_kib(proxy: &mut Proxy) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{}/status", proxy.process().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.context("a process has a resident size")?.parse()?)
}
