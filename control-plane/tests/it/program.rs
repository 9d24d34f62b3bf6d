//! The program: what it prints, what it refuses, how it ends.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

pub(crate) struct Program {
    child: Child,
    ready: String,
}

impl Program {
    pub(crate) fn start(folder: &Path) -> Self {
        let mut command = command(folder, &[]);
        Self::of(command.stderr(Stdio::null()).spawn().unwrap())
    }

    /// With more options, and with what it logs.
    pub(crate) fn start_with(folder: &Path, more: &[&str]) -> (Self, ChildStderr) {
        let mut child = command(folder, more)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = child.stderr.take().unwrap();
        (Self::of(child), log)
    }

    fn of(mut child: Child) -> Self {
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        Self { child, ready }
    }

    /// Where its admin API listens.
    pub(crate) fn admin(&self) -> &str {
        let admin = self
            .ready
            .split(' ')
            .find_map(|word| word.strip_prefix("admin="));
        admin.unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &id])
                .status()
                .unwrap()
                .success()
        );
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
    command
        .args([
            "serve",
            "--admin",
            "127.0.0.1:0",
            "--xds",
            "127.0.0.1:0",
            "--data-dir",
        ])
        .arg(folder)
        .args(more);
    command.stdout(Stdio::piped()).env_remove("RUST_LOG");
    command
}

fn fails_with(mut command: Command, sentence: &str) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && said.contains(sentence),
        "{said}"
    );
}

#[test]
fn it_says_once_where_it_listens_and_ends_cleanly_when_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    for signal in ["-TERM", "-INT"] {
        let mut program = Program::start(folder.path());
        let addresses = program
            .ready
            .strip_prefix("signalbox ready admin=127.0.0.1:")
            .unwrap();
        let (admin, xds) = addresses.trim_end().split_once(" xds=127.0.0.1:").unwrap();
        assert!(admin.parse::<u16>().unwrap() > 0 && xds.parse::<u16>().unwrap() > 0);
        program.signal(signal);
        assert!(program.child.wait().unwrap().success(), "{signal}");
    }
}

#[test]
fn a_second_control_plane_on_the_same_folder_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = Program::start(folder.path());
    fails_with(
        command(folder.path(), &[]),
        "SQLite serves one control plane at a time",
    );
}

#[test]
fn a_process_that_was_killed_holds_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = Program::start(folder.path());
    first.child.kill().unwrap();
    first.child.wait().unwrap();
    assert!(
        Program::start(folder.path())
            .ready
            .starts_with("signalbox ready")
    );
}

#[test]
fn what_cannot_be_used_is_refused_with_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let with = |options: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
        command
            .arg("serve")
            .arg("--data-dir")
            .arg(folder.path())
            .args(options);
        command
    };
    fails_with(with(&["--admin", "0.0.0.0:0"]), "is not a loopback address");
    fails_with(
        with(&["--database", "mysql://x"]),
        "a database is sqlite:PATH or postgres://",
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    fails_with(
        with(&["--admin", &address]),
        &format!("cannot listen on --admin {address}"),
    );
}

#[test]
fn logs_are_on_stderr_and_can_be_json() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &["--log-format", "json"]);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    assert!(
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap()
            .success()
    );
    let (mut rest, mut logs) = (String::new(), String::new());
    stdout.read_to_string(&mut rest).unwrap();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut logs)
        .unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(rest, "", "the ready line is the only one on stdout");
    let last: serde_json::Value = serde_json::from_str(logs.lines().last().unwrap()).unwrap();
    assert_eq!(last["fields"]["message"], "ending");
}
