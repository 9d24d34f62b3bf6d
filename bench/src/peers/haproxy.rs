//! HAProxy: routes are map files. A change is a new map and SIGUSR2 to the master, which starts a new worker.

use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};
use e2e::process::{Process, Signal, Spawn};
use e2e::tools;

use super::{KEPT_CONNECTIONS, Running, Setup, version};
use crate::table::Table;

const MAP: &str = "routes.map";

pub(super) fn start(listen: SocketAddr, setup: Setup) -> Result<(String, u32, Running)> {
    let program = tools::system("haproxy").context("not installed")?;
    let version = version(&program, "-v", |text| {
        text.split_once("version ")?.1.split_whitespace().next()
    })?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("haproxy.cfg");
    write_map(folder.path(), MAP, setup)?;
    fs::write(&file, config(folder.path(), listen, setup))?;
    let mut command = Command::new(program);
    command.arg("-W").arg("-f").arg(file);
    let process = Spawn::new("HAProxy", command)
        .last_signal(Signal::Term)
        .start()?;
    Ok((version, process.id(), Running::Haproxy(process, folder)))
}

pub(super) fn write_map(folder: &Path, name: &str, setup: Setup) -> Result<()> {
    let mut text = String::new();
    for n in 0..setup.table.routes() {
        match setup.table {
            Table::One => {}
            Table::Hosts(_) => writeln!(text, "{} up", setup.table.host(n))?,
            Table::Paths(_) => writeln!(text, "{} up", setup.table.prefix(n))?,
        }
    }
    Ok(fs::write(folder.join(name), text)?)
}

pub(super) fn reload(process: &mut Process, folder: &Path) -> Result<()> {
    fs::rename(folder.join("next"), folder.join(MAP))?;
    process.signal(Signal::Usr2)
}

fn config(folder: &Path, listen: SocketAddr, setup: Setup) -> String {
    let (workers, upstream, map) = (setup.workers, setup.upstream, folder.join(MAP));
    let map = map.display();
    let choice = match setup.table {
        Table::One => "default_backend up".to_owned(),
        Table::Hosts(_) => format!("use_backend %[req.hdr(host),lower,map_str({map},none)]"),
        Table::Paths(_) => format!("use_backend %[path,map_beg({map},none)]"),
    };
    format!(
        "global
    nbthread {workers}
    maxconn 8192
defaults
    mode http
    http-reuse always
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend web
    bind {listen}
    {choice}
backend up
    server up {upstream} pool-max-conn {KEPT_CONNECTIONS}
backend none
    http-request return status 404
"
    )
}
