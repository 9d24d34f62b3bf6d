//! The whole program without a control plane: its admin port, and the way out.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use proxy::app::Proxy;
use proxy::bootstrap::Settings;
use tokio::runtime::Runtime;

use crate::support::Client;
use crate::support::proxy::free_place;

/// A proxy whose control plane is not there.
fn start(runtime: &Runtime) -> Proxy {
    let nobody = format!("http://{}", free_place(1));
    let flags = [
        "signalbox-proxy",
        "--node-id",
        "edge-1",
        "--workers",
        "1",
        "--label",
        "role=canary",
    ];
    let flags = flags
        .into_iter()
        .chain(["--drain-timeout", "1s", "--xds", &nobody]);
    let settings = Settings::try_parse_from(flags).unwrap();
    runtime.block_on(Proxy::start(&settings)).unwrap()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn get(admin: SocketAddr, path: &str) -> crate::support::http::Message {
    Client::connect(admin).get(path)
}

#[test]
fn a_proxy_without_a_config_is_not_ready_and_says_so() {
    let runtime = runtime();
    let proxy = start(&runtime);
    let ready = get(proxy.admin_address(), "/ready");
    assert_eq!(
        (ready.status(), ready.text().as_str()),
        (503, "PRE_INITIALIZING\n")
    );
    let metrics = get(proxy.admin_address(), "/metrics");
    assert!(
        metrics
            .field("content-type")
            .unwrap()
            .starts_with("text/plain; version=0.0.4")
    );
    assert!(
        metrics
            .text()
            .contains("signalbox_proxy_config_generation 0\n")
    );
    assert!(
        metrics
            .text()
            .contains("signalbox_proxy_failures_total{cause=\"NR\"} 0\n")
    );
}

#[test]
fn a_config_dump_says_who_the_proxy_is() {
    let runtime = runtime();
    let proxy = start(&runtime);
    let dump = get(proxy.admin_address(), "/config_dump");
    let dump: serde_json::Value = serde_json::from_slice(&dump.body).unwrap();
    assert_eq!(dump["node"]["id"], "edge-1");
    assert_eq!(dump["node"]["labels"]["role"], "canary");
    assert_eq!(dump["xds"]["connected"], false);
    assert_eq!(dump["live"]["generation"], 0);
    assert_eq!(dump["resources"]["Listener"], serde_json::json!([]));
}

#[test]
fn the_admin_port_can_ask_for_the_way_out() {
    let runtime = runtime();
    let proxy = start(&runtime);
    let mut client = Client::connect(proxy.admin_address());
    let running = runtime.spawn(proxy.run_until(std::future::pending()));
    client.send("POST /drain HTTP/1.1\r\nhost: a\r\n\r\n");
    assert_eq!(client.receive().status(), 202);
    let ended =
        runtime.block_on(async { tokio::time::timeout(Duration::from_secs(5), running).await });
    assert!(ended.unwrap().unwrap().is_ok());
}
