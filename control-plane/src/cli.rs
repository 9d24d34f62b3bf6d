//! The command line: what a person, a script or a pipeline says to a control plane. In: arguments, files, and the answers
//! of the public API, which is all that it uses of a server. Out: text on stdout, what went wrong on stderr, an exit code.
//!
//! A command is a struct of its arguments and one `run`, which returns a [`Report`](output::Report) or a
//! [`Failure`](failure::Failure); nothing but this page writes. `validate` asks no server: it holds the same compiler.

// How things are asked, and how they are shown.
mod failure;
mod output;
mod table;
mod target;

mod client;

// What is read from files.
mod locate;
mod source;

// The commands.
mod kind;

mod changes;

mod rollout;

mod apply;
mod delete;
mod describe;
mod diff;
mod endpoints;
mod events;
mod explain;
mod export;
mod fleet;
mod get;
mod history;
mod plan;
mod token;
mod validate;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, Subcommand};
use clap_complete::Shell;

use self::client::Connection;
use self::failure::Failure;
use self::output::Report;

/// What stands at the end of `signalbox --help`.
pub const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 an error, of usage too; 2 `diff` found differences; 3 refused: the config is not valid, or what it \
would change is in use or not what was expected (422, 409, 412), or nothing takes a stored revision to the nodes; 4 a \
rollout that was waited for did not complete.";

const OK: u8 = 0;
const ERROR: u8 = 1;
const DIFFERENT: u8 = 2;
const REFUSED: u8 = 3;
const ROLLED_BACK: u8 = 4;

/// The commands of a client.
#[derive(Subcommand)]
pub enum Command {
    /// Apply config files: everything becomes one revision, or nothing is stored.
    Apply(Remote<apply::Apply>),
    /// Show what applying config files would change; exit code 2 if it is anything.
    Diff(Remote<diff::Diff>),
    /// Show what a change would do to resources, clients and requests.
    Plan(Remote<plan::Plan>),
    /// Check config files with the proxy's own compiler. Asks no server.
    Validate(validate::Validate),
    /// Show resources.
    Get(Remote<get::Get>),
    /// Show resources with everything that concerns them.
    Describe(Remote<describe::Describe>),
    /// Delete resources.
    Delete(Remote<delete::Delete>),
    /// Write the whole config, as `apply` reads it.
    Export(Remote<export::Export>),
    /// Show the revisions, the newest first.
    History(Remote<history::History>),
    /// Go back to a revision: its content becomes a new one.
    Revert(Remote<history::Revert>),
    /// Show who is connected, and how far each node is. The same as `get nodes`.
    Nodes(Remote<get::Nodes>),
    /// Say which route a request gets, and why no other.
    Explain(Remote<explain::Explain>),
    /// Move the fleet from one revision to another, wave by wave.
    Rollout(Remote<rollout::Rollout>),
    /// Show what happens, as it happens.
    Events(Remote<events::Events>),
    /// Create, show, change and delete fleets.
    Fleet(Remote<fleet::FleetCommand>),
    /// Set endpoints by the fast lane. `get endpoints` and `delete endpoints` do the rest.
    Endpoints(Remote<endpoints::EndpointsCommand>),
    /// Make, show and revoke tokens.
    Token(Remote<token::Token>),
    /// Write a script that completes commands in a shell.
    Completions {
        /// The shell.
        shell: Shell,
    },
}

/// A command that asks a server.
#[derive(Args)]
pub struct Remote<T: Args> {
    #[command(flatten)]
    what: T,
    #[command(flatten)]
    connection: Connection,
}

/// Does what a command says. `program` is the whole command line, of which completions are made.
pub fn run(command: Command, program: &mut clap::Command) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let outcome = match runtime {
        Ok(runtime) => runtime.block_on(answer(command, program)),
        Err(error) => Err(Failure::Local(format!("cannot start: {error}"))),
    };
    ExitCode::from(outcome.map_or_else(|failure| complain(&failure), |report| print(&report)))
}

/// A command line that is not understood, or a call for help.
pub fn usage(error: &clap::Error) -> ExitCode {
    // A closed stdout or stderr leaves nobody to tell.
    let _ = error.print();
    // Clap's own code is 2, which here means that `diff` found something.
    ExitCode::from(if error.use_stderr() { ERROR } else { OK })
}

async fn answer(command: Command, program: &mut clap::Command) -> Result<Report, Failure> {
    match command {
        Command::Apply(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Diff(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Plan(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Validate(what) => what.run(),
        Command::Get(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Describe(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Delete(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Export(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::History(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Nodes(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Revert(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Explain(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Rollout(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Events(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Fleet(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Endpoints(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Token(Remote { what, connection }) => what.run(&connection.client()?).await,
        Command::Completions { shell } => Ok(completions(shell, program)),
    }
}

fn completions(shell: Shell, program: &mut clap::Command) -> Report {
    let name = program.get_name().to_owned();
    let mut script = Vec::new();
    clap_complete::generate(shell, program, name, &mut script);
    Report::new(String::from_utf8_lossy(&script))
}

/// Whoever closed stdout (`| head`) has read enough.
fn print(report: &Report) -> u8 {
    match write(&report.text) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            complain(&Failure::Local(format!("cannot write to stdout: {error}")))
        }
        _ if report.differs => DIFFERENT,
        _ => OK,
    }
}

/// The only place that writes on stdout.
fn write(text: &str) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

/// Says on stderr what a command that goes on has met.
fn remark(text: &str) {
    let mark = output::Paint::stderr().yellow("signalbox:");
    // There is nowhere else to say that stderr is closed.
    let _ = std::io::stderr().write_all(format!("{mark} {text}\n").as_bytes());
}

/// Says what went wrong, one thing a line.
fn complain(failure: &Failure) -> u8 {
    let mark = output::Paint::stderr().red("signalbox:");
    let mut text = format!("{mark} {failure}\n");
    for fault in failure.faults() {
        text.extend([fault.to_string(), "\n".to_owned()]);
    }
    // There is nowhere else to say that stderr is closed.
    let _ = std::io::stderr().write_all(text.as_bytes());
    match failure {
        failure if failure.is_refusal() => REFUSED,
        failure if failure.is_rolled_back() => ROLLED_BACK,
        _ => ERROR,
    }
}
