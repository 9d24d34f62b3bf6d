//! The program `signalbox`: reads the command line; starts the control plane, and ends it when it is told to, or asks one.

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};
use control_plane::app::App;
use control_plane::cli;
use control_plane::settings::{LogFormat, Settings};
use control_plane::transfer;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

/// Control plane for fleets of proxies, and its command line.
#[derive(Parser)]
#[command(name = "signalbox", version, after_help = cli::EXIT_CODES)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run a control plane.
    Serve(Settings),
    #[command(flatten)]
    Transfer(transfer::Command),
    #[command(flatten)]
    Client(cli::Command),
}

fn main() -> ExitCode {
    match CommandLine::try_parse().map(|line| line.command) {
        Ok(Command::Serve(settings)) => run(&settings),
        Ok(Command::Transfer(command)) => carry(command),
        Ok(Command::Client(command)) => cli::run(command, &mut CommandLine::command()),
        Err(error) => cli::usage(&error),
    }
}

fn run(settings: &Settings) -> ExitCode {
    init_logging(settings.log_format);
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(serve(settings)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Works on a database, and tells on stderr what was done: stdout may be the backup.
fn carry(command: transfer::Command) -> ExitCode {
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(transfer::run(command)) {
        Ok(done) => {
            eprintln!("signalbox: {done}");
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

async fn serve(settings: &Settings) -> anyhow::Result<()> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let mut app = App::start(settings).await?;
    // For those who start this program and wait for it: the only line on stdout.
    println!("signalbox ready admin={} xds={}", app.admin, app.xds);
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = app.failed() => Some(error),
    };
    tracing::info!("ending");
    app.stop().await?;
    failure.map_or(Ok(()), Err)
}

fn init_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    match format {
        LogFormat::Text => builder.init(),
        LogFormat::Json => builder.json().init(),
    }
}

fn fail(error: &anyhow::Error) -> ExitCode {
    // The whole chain of causes in one line.
    eprintln!("signalbox: {error:#}");
    ExitCode::FAILURE
}
