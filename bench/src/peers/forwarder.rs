//! The L4 forwarder of our own: the floor.

use std::net::SocketAddr;
use std::process::Command;

use anyhow::Result;
use e2e::process::Spawn;

use super::{Running, Setup};

pub(super) fn start(listen: SocketAddr, setup: Setup) -> Result<(String, u32, Running)> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .arg("forwarder")
        .arg(listen.to_string())
        .arg(setup.upstream.to_string());
    let process = Spawn::new("forwarder", command).start()?;
    Ok(("mio".to_owned(), process.id(), Running::Forwarder(process)))
}
