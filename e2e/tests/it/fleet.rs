//! A small fleet: sample upstreams, a listener port and proxies on addresses of their own.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Result;
use e2e::client::{Answer, Request};
use e2e::ports;
use e2e::programs::{Proxy, ProxySettings};
use e2e::upstream::Upstream;
use e2e::wait;
use serde_json::{Value, json};

/// Three proxies, as in the demo, and the port of their listener.
pub(crate) struct Fleet {
    pub(crate) port: u16,
    pub(crate) proxies: Vec<Proxy>,
}

impl Fleet {
    /// Reserves a port on the addresses of three proxies, before they run.
    pub(crate) fn port() -> Result<u16> {
        ports::free_port_on(&[IpAddr::V4(Ipv4Addr::LOCALHOST), bind(0), bind(1), bind(2)])
    }

    /// Starts one proxy for each control plane and waits until all have a config.
    pub(crate) async fn start(port: u16, xds: &[SocketAddr]) -> Result<Self> {
        let settings = xds
            .iter()
            .enumerate()
            .map(|(index, xds)| Self::proxy(index, *xds));
        Self::of(port, settings.collect()).await
    }

    /// The settings of one of the proxies.
    pub(crate) fn proxy(index: usize, xds: SocketAddr) -> ProxySettings {
        ProxySettings::new(format!("edge-{index}"), xds)
            .bind(bind(index))
            .workers(1)
    }

    /// Starts these proxies and waits until all have a config.
    pub(crate) async fn of(port: u16, settings: Vec<ProxySettings>) -> Result<Self> {
        let mut proxies = Vec::new();
        for settings in settings {
            proxies.push(settings.start().await?);
        }
        for proxy in &mut proxies {
            proxy.wait_live().await?;
        }
        Ok(Self { port, proxies })
    }

    /// Sends one request to one of the proxies.
    pub(crate) async fn send(&self, proxy: usize, request: Request) -> Result<Answer> {
        self.proxies[proxy].send(self.port, request).await
    }

    /// Waits until a proxy answers `/hello` with this text.
    pub(crate) async fn wait_for_hello(
        &self,
        proxy: usize,
        text: &str,
        within: Duration,
    ) -> Result<()> {
        wait::until("the edit is served", within, async || {
            let answer = self
                .send(proxy, Request::get("/hello"))
                .await
                .map_err(|error| format!("{error:#}"))?;
            if answer.text() == text {
                Ok(())
            } else {
                Err(answer.text())
            }
        })
        .await
    }
}

/// A config with one listener and a route `hello` that answers with this text.
pub(crate) fn hello_config(port: u16, text: &str) -> String {
    format!(
        "listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
routes: [{{name: hello, match: {{path: {{exact: /hello}}}}, respond: {{status: 200, body: {text}}}}}]"
    )
}

/// The route `hello` alone, with another text.
pub(crate) fn hello_route(text: &str) -> Value {
    json!({"name": "hello", "match": {"path": {"exact": "/hello"}}, "respond": {"status": 200, "body": text}})
}

fn bind(index: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 0, 0, 11 + index as u8))
}

/// Endpoints of sample upstreams, as they stand in a config.
pub(crate) fn endpoints(upstreams: &[&Upstream]) -> String {
    let endpoints = upstreams
        .iter()
        .map(|upstream| format!("{{address: 127.0.0.1, port: {}}}", upstream.port()));
    format!("[{}]", endpoints.collect::<Vec<_>>().join(", "))
}

/// What an answer comes to, in one line: where it was forwarded to and as what, or what was answered on the way.
pub(crate) fn outcome(answer: &Answer) -> String {
    let status = answer.status.as_u16();
    if let Some(location) = answer.header("location") {
        return format!("{status} to {location}");
    }
    match (answer.header("x-upstream"), answer.json()) {
        (Some(upstream), Ok(seen)) => {
            let text = |field: &str| seen[field].as_str().unwrap_or_default().to_owned();
            let query = Some(text("query"))
                .filter(|query| !query.is_empty())
                .map(|query| format!("?{query}"));
            format!(
                "{status} {upstream} {} {}{}",
                text("method"),
                text("path"),
                query.unwrap_or_default()
            )
        }
        (Some(upstream), Err(_)) => format!("{status} {upstream}"),
        (None, _) if answer.status.is_success() => format!("{status} {:?}", answer.text()),
        (None, _) => status.to_string(),
    }
}
