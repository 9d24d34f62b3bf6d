//! WebSocket through both proxies, told by the same control plane: allowed without a word in the config, decided by the
//! upstream, and open across changes of the config.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result};
use e2e::envoy::Envoy;
use e2e::programs::ControlPlane;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use crate::fleet::{Fleet, hello_route};

/// A test that waits longer than this for bytes has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Host, path, more of the head, and what must come of it: the status, whether the connection closes, and what the body
/// says that the upstream saw of an upgrade.
const TABLE: &[(&str, &str, &str, &str)] = &[
    (
        "chat.example",
        "/chat",
        "connection: Upgrade\r\nupgrade: websocket",
        "101 websocket echo",
    ),
    (
        "chat.example",
        "/chat",
        "connection: keep-alive, upgrade\r\nupgrade: WebSocket",
        "101 WebSocket echo",
    ),
    (
        "chat.example",
        "/chat",
        "connection: upgrade\r\nupgrade: other",
        "403 closed",
    ),
    (
        "chat.example",
        "/chat",
        "connection: upgrade\r\nupgrade: websocket, other",
        "403 closed",
    ),
    (
        "other.example",
        "/x",
        "connection: upgrade\r\nupgrade: other",
        "404 closed",
    ),
    (
        "other.example",
        "/x",
        "connection: upgrade\r\nupgrade: websocket",
        "404 closed",
    ),
    (
        "chat.example",
        "/no",
        "connection: upgrade\r\nupgrade: websocket",
        "403 saw websocket closed",
    ),
    (
        "chat.example",
        "/chat",
        "connection: upgrade\r\nupgrade: h2c",
        "200 saw nothing open",
    ),
    (
        "chat.example",
        "/chat",
        "connection: keep-alive\r\nupgrade: websocket",
        "200 saw nothing open",
    ),
    (
        "only.example",
        "/",
        "connection: upgrade\r\nupgrade: websocket",
        "101 websocket echo",
    ),
    ("only.example", "/", "accept: */*", "404 open"),
];

fn config(port: u16, upstream: SocketAddr) -> String {
    format!(
        r"
listeners: [{{name: web, address: 0.0.0.0, port: {port}}}]
clusters: [{{name: chat, endpoints: [{{address: 127.0.0.1, port: {}}}]}}]
routes:
  - {{name: chat, hosts: [chat.example], match: {{path: {{prefix: /}}}}, forward: {{cluster: chat}}}}
  - {{name: only, hosts: [only.example], match: {{path: {{prefix: /}}, headers: [{{name: upgrade, exact: websocket}}]}}, forward: {{cluster: chat}}}}
  - {{name: hello, match: {{path: {{exact: /hello}}}}, respond: {{status: 200, body: old}}}}
",
        upstream.port()
    )
}

/// A message's first line and its fields, with names in lower case.
struct Head {
    start: String,
    fields: Vec<(String, String)>,
}

impl Head {
    async fn read(from: &mut BufReader<TcpStream>) -> Result<Self> {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            anyhow::ensure!(from.read_line(&mut line).await? > 0, "no whole head");
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let fields = lines[1..].iter().filter_map(|line| line.split_once(':'));
        let fields = fields.map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()));
        Ok(Self {
            fields: fields.collect(),
            start: lines.swap_remove(0),
        })
    }

    fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        let found = fields.find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A server that switches to whatever it is asked for and then says back what it hears; `/no` says no.
async fn upstream() -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    Ok(address)
}

async fn serve(stream: TcpStream) -> Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let head = Head::read(&mut stream).await?;
        let asked = head.field("upgrade").map(ToOwned::to_owned);
        if let Some(protocol) = asked.as_ref().filter(|_| !head.start.contains("/no")) {
            let agreed = format!(
                "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: {protocol}\r\n\r\n"
            );
            stream.write_all(agreed.as_bytes()).await?;
            let (mut reader, mut writer) = stream.get_mut().split();
            tokio::io::copy(&mut reader, &mut writer).await?;
            return Ok(());
        }
        let body = format!("saw {}", asked.as_deref().unwrap_or("nothing"));
        let status = if head.start.contains("/no") {
            "403 No"
        } else {
            "200 OK"
        };
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).await?;
    }
}

/// A client's connection.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn ask(address: SocketAddr, host: &str, path: &str, more: &str) -> Result<(Self, Head)> {
        let mut stream = BufReader::new(TcpStream::connect(address).await?);
        let request = format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n{more}\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let head = tokio::time::timeout(PATIENCE, Head::read(&mut stream)).await??;
        Ok((Self(stream), head))
    }

    async fn echo(&mut self, text: &str) -> Result<()> {
        self.0.write_all(text.as_bytes()).await?;
        let mut bytes = vec![0; text.len()];
        tokio::time::timeout(PATIENCE, self.0.read_exact(&mut bytes)).await??;
        anyhow::ensure!(bytes == text.as_bytes(), "{bytes:?}");
        Ok(())
    }

    /// The rest of a response: its body, and whether the connection is closed after it.
    async fn rest(&mut self, head: &Head) -> Result<String> {
        let mut body = Vec::new();
        if let Some(length) = head.field("content-length") {
            body.resize(length.parse()?, 0);
            tokio::time::timeout(PATIENCE, self.0.read_exact(&mut body)).await??;
        } else {
            tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut body)).await??;
        }
        // A second request shows it, whatever the answer to the first says of the connection.
        let again = b"GET /hello HTTP/1.1\r\nhost: any\r\n\r\n";
        let asked = self.0.write_all(again).await;
        let answered = asked.is_ok() && Head::read(&mut self.0).await.is_ok();
        let state = if answered { "open" } else { "closed" };
        Ok(format!("{} {state}", String::from_utf8(body)?)
            .trim()
            .to_owned())
    }
}

/// What comes of a row, in one line.
async fn outcome(address: SocketAddr, host: &str, path: &str, more: &str) -> Result<String> {
    let (mut client, head) = Client::ask(address, host, path, more).await?;
    let status = head.start.split(' ').nth(1).context("a status")?.to_owned();
    if status != "101" {
        return Ok(format!("{status} {}", client.rest(&head).await?));
    }
    let connection = head.field("connection").unwrap_or_default();
    anyhow::ensure!(connection.eq_ignore_ascii_case("upgrade"), "{connection:?}");
    client.echo("one").await?;
    client.echo("and another").await?;
    let protocol = head.field("upgrade").unwrap_or_default();
    Ok(format!("{status} {protocol} echo"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stock_envoy_and_our_proxy_let_the_same_requests_switch() -> Result<()> {
    let upstream = upstream().await?;
    let control_plane = ControlPlane::start().await?;
    let port = Fleet::port()?;
    control_plane.apply(&config(port, upstream)).await?;
    let fleet = Fleet::start(port, &[control_plane.xds()]).await?;
    let envoy = Envoy::start(control_plane.xds(), "default", "envoy-1").await?;
    let ours = fleet.proxies[0].listener(port);
    let envoys = SocketAddr::from((Ipv4Addr::LOCALHOST, port));

    let mut faults = Vec::new();
    for (host, path, more, wanted) in TABLE {
        let by_us = outcome(ours, host, path, more).await?;
        let by_envoy = outcome(envoys, host, path, more).await?;
        if by_us != *wanted || by_envoy != *wanted {
            faults.push(format!(
                "{host}{path} {more:?}: wanted {wanted}, ours {by_us}, Envoy's {by_envoy}"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(envoy.rejected().await?, 0);
    stays_open_across_a_change(&control_plane, &fleet).await
}

async fn stays_open_across_a_change(control_plane: &ControlPlane, fleet: &Fleet) -> Result<()> {
    let (_, _, more, _) = TABLE[0];
    let address = fleet.proxies[0].listener(fleet.port);
    let (mut client, head) = Client::ask(address, "chat.example", "/chat", more).await?;
    assert!(head.start.contains("101"));
    control_plane
        .replace_route("hello", &hello_route("new"))
        .await?;
    fleet.wait_for_hello(0, "new", PATIENCE).await?;
    client.echo("still").await?;
    let metrics = fleet.proxies[0].metrics().await?;
    let one = "signalbox_proxy_listener_upgraded_connections{listener=\"web\"} 1\n";
    assert!(metrics.contains(one), "{metrics}");
    Ok(())
}
