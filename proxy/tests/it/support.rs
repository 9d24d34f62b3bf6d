//! What the tests stand on: configs, a proxy, clients and upstreams.

pub(crate) mod client;
pub(crate) mod config;
pub(crate) mod control_plane;
pub(crate) mod http;
pub(crate) mod pace;
pub(crate) mod process;
pub(crate) mod proxy;
pub(crate) mod upstream;

use std::time::Duration;

pub(crate) use client::Client;
pub(crate) use control_plane::{ControlPlane, Word};
pub(crate) use pace::Pace;
pub(crate) use process::Process;
pub(crate) use proxy::Proxy;
pub(crate) use upstream::Upstream;

/// Long enough for anything that happens at all. Nothing waits this long unless it fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);
