//! nginx: a server block for each host, or a location for each prefix. A change is a new file and SIGHUP.

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

const FILE: &str = "nginx.conf";

pub(super) fn start(listen: SocketAddr, setup: Setup) -> Result<(String, u32, Running)> {
    let program = tools::system("nginx").context("not installed")?;
    let version = version(&program, "-v", |text| {
        text.split_once("nginx/")?.1.split_whitespace().next()
    })?;
    let folder = tempfile::tempdir()?;
    write(folder.path(), FILE, listen, setup)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path());
    command.arg("-c").arg(folder.path().join(FILE));
    let process = Spawn::new("nginx", command)
        .last_signal(Signal::Term)
        .start()?;
    Ok((version, process.id(), Running::Nginx(process, folder)))
}

pub(super) fn write(folder: &Path, name: &str, listen: SocketAddr, setup: Setup) -> Result<()> {
    Ok(fs::write(
        folder.join(name),
        config(folder, listen, setup)?,
    )?)
}

pub(super) fn reload(process: &mut Process, folder: &Path) -> Result<()> {
    fs::rename(folder.join("next"), folder.join(FILE))?;
    process.signal(Signal::Hup)
}

/// Bodies are buffered in memory and never in files; a hundred thousand names need a larger hash.
fn config(folder: &Path, listen: SocketAddr, setup: Setup) -> Result<String> {
    let (folder, workers, upstream) = (folder.display(), setup.workers, setup.upstream);
    let servers = servers(listen, setup.table)?;
    Ok(format!(
        "daemon off;
worker_processes {workers};
pid {folder}/pid;
error_log stderr error;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    keepalive_timeout 3600s;
    client_max_body_size 0;
    client_body_buffer_size 128k;
    client_body_temp_path {folder}/body;
    proxy_max_temp_file_size 0;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server_names_hash_max_size 262144;
    server_names_hash_bucket_size 128;
    proxy_http_version 1.1;
    proxy_set_header Connection \"\";
    upstream up {{
        server {upstream};
        keepalive {KEPT_CONNECTIONS};
        keepalive_requests 1000000000;
    }}
{servers}}}
"
    ))
}

fn servers(listen: SocketAddr, table: Table) -> Result<String> {
    let mut text = String::new();
    if table != Table::One {
        writeln!(
            text,
            "    server {{ listen {listen} default_server; return 404; }}"
        )?;
    }
    match table {
        Table::One => {
            writeln!(
                text,
                "    server {{ listen {listen}; location / {{ proxy_pass http://up; }} }}"
            )?;
        }
        Table::Hosts(count) => {
            for host in (0..count).map(|n| table.host(n)) {
                writeln!(
                    text,
                    "    server {{ listen {listen}; server_name {host}; location / {{ proxy_pass http://up; }} }}"
                )?;
            }
        }
        Table::Paths(count) => {
            writeln!(
                text,
                "    server {{ listen {listen}; server_name {};",
                table.host(0)
            )?;
            for prefix in (0..count).map(|n| table.prefix(n)) {
                writeln!(
                    text,
                    "        location {prefix} {{ proxy_pass http://up; }}"
                )?;
            }
            writeln!(text, "    }}")?;
        }
    }
    Ok(text)
}
