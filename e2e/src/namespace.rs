//! Network namespaces: programs that run in one of their own can listen on any address and port without a conflict. What
//! goes in and out goes by sockets in the file system (see `door`). In: the right to make namespaces, which root has. Out: a
//! namespace that goes when its owner is dropped; what a killed owner left is removed when the next one is made.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Process, Spawn};
use crate::tools;

/// Relays between sockets in the file system and ports of 127.0.0.1, from inside.
const RELAY: &str = include_str!("namespace/relay.py");
/// Python is slow to start on a busy machine.
const READY_WITHIN: Duration = Duration::from_mins(1);
const PREFIX: &str = "signalbox-";
/// Where `ip netns` keeps its namespaces (ip-netns(8)).
const FOLDER: &str = "/run/netns";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A network namespace with nothing but a loopback interface.
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes one. The error says what is missing where that is not possible.
    pub fn new() -> Result<Self> {
        remove_stale();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}", std::process::id());
        run(ip()?.args(["netns", "add", &name]))?;
        let namespace = Self { name };
        // The way that programs go in by, so that what is not permitted shows here.
        run(namespace.command("ip")?.args(["link", "set", "lo", "up"]))?;
        Ok(namespace)
    }

    /// A command that runs `program` inside. The child is that program itself.
    pub fn command(&self, program: impl AsRef<Path>) -> Result<Command> {
        let mut command = ip()?;
        command.args(["netns", "exec", &self.name]);
        command.arg(program.as_ref());
        Ok(command)
    }

    /// Starts relays inside. Each is what listens and what that leads to, as `unix:/path` or `tcp:port` of 127.0.0.1.
    pub async fn relay(&self, ways: &[(String, String)]) -> Result<Process> {
        let mut command = self.command(tools::python()?)?;
        command.args(["-u", "-c", RELAY]);
        command.args(ways.iter().flat_map(|(from, to)| [from, to]));
        let mut process = Spawn::new(format!("relay in {}", self.name), command).start()?;
        let ready = |line: &str| (line == "ready").then_some(());
        process.line("it is ready", READY_WITHIN, ready).await?;
        Ok(process)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

fn ip() -> Result<Command> {
    Ok(Command::new(tools::system("ip").context(
        "`ip` is missing (Debian: `apt-get install iproute2`)",
    )?))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command
        .output()
        .with_context(|| format!("starting {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}", said.trim());
    Ok(())
}

fn remove(name: &str) {
    // What cannot be removed hinders nobody, and the next owner tries again.
    if let Ok(mut ip) = ip() {
        let _ = run(ip.args(["netns", "del", name]));
    }
}

/// Removes what processes that are gone have left.
fn remove_stale() {
    let entries = fs::read_dir(FOLDER).into_iter().flatten().flatten();
    for name in entries.filter_map(|entry| entry.file_name().into_string().ok()) {
        if owner(&name).is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&name);
        }
    }
}

/// The process that made a namespace of that name, if one of ours did.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        assert_eq!(owner("signalbox-17-3"), Some(17));
        assert_eq!(owner("signalbox-x-3"), None);
        assert_eq!(owner("other"), None);
    }

    #[test]
    fn it_goes_with_its_owner() {
        let namespace = match Namespace::new() {
            Ok(namespace) => namespace,
            Err(error) => return println!("no network namespaces here: {error:#}"),
        };
        let path = Path::new(FOLDER).join(&namespace.name);
        assert!(path.exists());
        drop(namespace);
        assert!(!path.exists());
    }
}
