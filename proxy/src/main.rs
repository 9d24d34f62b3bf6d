//! `signalbox-proxy`: reads its settings, runs until SIGTERM or Ctrl-C, drains, exits with 0.

use std::io::{IsTerminal, Write};

use anyhow::Context;
use clap::Parser;
use proxy::app::Proxy;
use proxy::bootstrap::Settings;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Threads of the side runtime: one may be busy with a large config while the other answers the admin port.
const SIDE_THREADS: usize = 2;

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    let filter =
        EnvFilter::try_from_env("SIGNALBOX_PROXY_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    let side = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(SIDE_THREADS)
        .thread_name("side")
        .enable_all()
        .build()
        .context("cannot start the side runtime")?;
    side.block_on(run(&settings))
}

async fn run(settings: &Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot watch for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot watch for SIGINT")?;
    let proxy = Proxy::start(settings).await?;
    announce(&proxy)?;
    let stop = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    proxy.run_until(stop).await
}

/// The first line of output, for those who start the program and need to know where to ask.
fn announce(proxy: &Proxy) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "signalbox-proxy ready admin={}", proxy.admin_address())?;
    out.flush()
}
