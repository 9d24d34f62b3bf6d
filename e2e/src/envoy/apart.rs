//! Envoy in a network namespace of its own: it can bind whatever a config says, next to other Envoys with the same config.
//! It reaches the control plane and its upstreams, and is reached, by sockets in the file system.

use std::fs;
use std::net::SocketAddr;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Envoy;
use crate::door::Door;
use crate::namespace::Namespace;
use crate::process::Process;
use crate::tools;

/// Who it is and what it reaches.
pub struct Place {
    /// The control plane.
    pub xds: SocketAddr,
    /// Its `node`: the id, the fleet as its `cluster`, and whatever else.
    pub node: Value,
    /// `DELTA_GRPC` or `GRPC`.
    pub api_type: &'static str,
    /// The port that its listener has.
    pub port: u16,
    /// An upstream on 127.0.0.1, which it finds at the same address.
    pub upstream: SocketAddr,
}

/// A running Envoy. The order is that of dropping: programs first.
pub struct Apart {
    _envoy: Envoy,
    _relay: Process,
    listener: SocketAddr,
    _doors: Vec<Door>,
    _namespace: Namespace,
}

impl Apart {
    /// Starts it and waits until it is live.
    pub async fn start(namespace: Namespace, place: Place) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("signalbox-envoy-")
            .tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let socket = |name: &str| format!("unix:{}", path(name).display());
        let tcp = |port: u16| format!("tcp:{port}");
        let ways = [
            (socket("listener"), tcp(place.port)),
            (tcp(place.upstream.port()), socket("upstream")),
        ];
        let relay = namespace.relay(&ways).await?;
        let (listener_door, listener) = Door::to_path(path("listener")).await?;
        let (admin_door, admin) = Door::to_path(path("admin")).await?;
        let doors = vec![
            Door::from_path(path("xds"), place.xds)?,
            Door::from_path(path("upstream"), place.upstream)?,
            listener_door,
            admin_door,
        ];
        let mut bootstrap = super::dynamic(
            place.node,
            place.api_type,
            &json!({"pipe": {"path": path("xds")}}),
        );
        bootstrap["admin"] = json!({"address": {"pipe": {"path": path("admin")}}});
        let name = bootstrap["node"]["id"]
            .as_str()
            .context("a node has an id")?
            .to_owned();
        let config = path("bootstrap.json");
        fs::write(&config, bootstrap.to_string())?;
        let mut command = namespace.command(tools::envoy()?)?;
        command.arg("--config-path").arg(&config);
        let process = super::spawn(&name, command, 1)?;
        let mut envoy = Envoy {
            process,
            admin,
            _folder: folder,
        };
        envoy.wait_live().await?;
        Ok(Self {
            _envoy: envoy,
            _relay: relay,
            listener,
            _doors: doors,
            _namespace: namespace,
        })
    }

    /// Where its listener is reached from outside.
    pub fn listener(&self) -> SocketAddr {
        self.listener
    }
}
