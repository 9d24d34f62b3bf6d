//! What a request, a connection and a route cost, in counts that no busy machine can move: instructions, system calls,
//! allocations, bytes. The proxy is built as it ships; its control plane and the upstream need not be.
//! A count is the difference of two runs, so that starting and ending do not count.

mod limits;
mod load;
mod stand;
mod tool;

use anyhow::Result;
use envoy_types::pb::envoy::config::route::v3::route::Action;
use envoy_types::pb::envoy::config::route::v3::route_action::ClusterSpecifier;
use envoy_types::pb::envoy::config::route::v3::route_match::PathSpecifier;
use envoy_types::pb::envoy::config::route::v3::{Route, RouteAction, RouteMatch, VirtualHost};
use prost::Message as _;

use self::limits::Limit;
use self::stand::{Routes, Stand};
use self::tool::Tool;
use crate::scripted::{Entry, type_url};

/// Requests of the shorter run; the longer one has twice as many. Enough for what happens once in a while (timers, growth of
/// pools) to vanish beside them.
const REQUESTS: usize = 9_600;
/// Under strace each system call costs a hundredfold.
const REQUESTS_TRACED: usize = 3_200;
/// Idle connections of the first step, and of the second, which counts.
const CONNECTIONS: usize = 2_000;
const ROUTES: usize = 100_000;

#[tokio::test]
async fn user_instructions_per_request_one_connection() -> Result<()> {
    per_request(Tool::Callgrind, 1, REQUESTS, &limits::INSTRUCTIONS_1).await
}

#[tokio::test]
async fn user_instructions_per_request_64_connections() -> Result<()> {
    per_request(Tool::Callgrind, 64, REQUESTS, &limits::INSTRUCTIONS_64).await
}

#[tokio::test]
async fn system_calls_per_request_one_connection() -> Result<()> {
    per_request(Tool::Strace, 1, REQUESTS_TRACED, &limits::SYSTEM_CALLS_1).await
}

#[tokio::test]
async fn system_calls_per_request_64_connections() -> Result<()> {
    per_request(Tool::Strace, 64, REQUESTS_TRACED, &limits::SYSTEM_CALLS_64).await
}

#[tokio::test]
async fn heap_allocations_per_request_64_connections() -> Result<()> {
    per_request(Tool::Memcheck, 64, REQUESTS, &limits::ALLOCATIONS).await
}

#[tokio::test]
async fn bytes_per_idle_connection() -> Result<()> {
    // Before the proxy starts, which inherits it.
    load::allow_files(3 * CONNECTIONS)?;
    let stand = Stand::start().await?;
    let mut proxy = stand.proxy().await?;
    let address = proxy.listener(stand.port);
    let mut idle = Vec::new();
    let mut resident = Vec::new();
    for _ in 0..2 {
        for _ in 0..CONNECTIONS {
            // One after the other, so that what waits at the upstream is one connection and not thousands.
            let mut client = load::Client::connect(address)?;
            client.send()?;
            client.receive()?;
            idle.push(client);
        }
        resident.push(stand::resident_bytes(&mut proxy)?);
    }
    let growth = resident[1].saturating_sub(resident[0]);
    limits::IDLE_CONNECTION.check(growth as f64 / CONNECTIONS as f64)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_per_route_each_with_a_host_of_its_own() -> Result<()> {
    let hosts = |count: usize| {
        let hosts = (0..count).map(|host| {
            let domain = format!("h{host}.example");
            virtual_host(&domain, vec![route("/")])
        });
        hosts.collect::<Vec<_>>()
    };
    per_route(
        hosts,
        |last| (format!("h{last}.example"), "/".to_owned()),
        &limits::HOST,
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_per_route_all_with_one_host() -> Result<()> {
    let paths = |count: usize| {
        let routes = (0..count).map(|path| route(&format!("/p{path}/")));
        vec![virtual_host("h0.example", routes.collect())]
    };
    per_route(
        paths,
        |last| ("h0.example".to_owned(), format!("/p{last}/")),
        &limits::PATH,
    )
    .await
}

/// Drives a proxy under a tool for a number of requests and for twice as many.
async fn per_request(tool: Tool, connections: usize, requests: usize, limit: &Limit) -> Result<()> {
    let stand = Stand::start().await?;
    let mut counts = Vec::new();
    for requests in [requests, 2 * requests] {
        let counted = stand.counted(tool).await?;
        let address = counted.proxy.listener(stand.port);
        load::in_lockstep(address, connections, requests).await?;
        counts.push(counted.end().await?);
    }
    println!("{} in the two runs: {counts:?}", limit.what);
    // Starting differs from run to run, so that where a request costs nothing the longer run may count less.
    let [shorter, longer] = [counts[0], counts[1]].map(|count| count as f64);
    limit.check((longer - shorter) / requests as f64)
}

/// What a proxy with all routes weighs more than one with a single route.
/// `last` is a request, as host and path, that the last route takes.
async fn per_route(
    hosts: impl Fn(usize) -> Vec<Entry>,
    last: impl Fn(usize) -> (String, String),
    limit: &Limit,
) -> Result<()> {
    let mut resident = Vec::new();
    for count in [1, ROUTES] {
        let mut routes = Routes::serve(hosts(count)).await?;
        let (host, path) = last(count - 1);
        routes.wait_answering(&host, &path).await?;
        resident.push(stand::resident_bytes(&mut routes.proxy)?);
    }
    println!(
        "{}: {resident:?} bytes resident with 1 and with {ROUTES}",
        limit.what
    );
    limit.check(resident[1].saturating_sub(resident[0]) as f64 / ROUTES as f64)
}

fn virtual_host(domain: &str, routes: Vec<Route>) -> Entry {
    let message = VirtualHost {
        name: format!("main/{domain}"),
        domains: vec![domain.to_owned()],
        routes,
        ..Default::default()
    };
    Entry::bytes(
        type_url::VIRTUAL_HOST,
        &message.name,
        message.encode_to_vec(),
    )
}

fn route(prefix: &str) -> Route {
    Route {
        r#match: Some(RouteMatch {
            path_specifier: Some(PathSpecifier::Prefix(prefix.to_owned())),
            ..Default::default()
        }),
        action: Some(Action::Route(RouteAction {
            cluster_specifier: Some(ClusterSpecifier::Cluster("up".to_owned())),
            ..Default::default()
        })),
        ..Default::default()
    }
}
