//! The command line: the real binary against a real control plane. What it prints, with which exit code it ends.

mod events;
mod fleets;
mod reading;
mod tls;
mod tokens;
mod writing;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::Program;

const SHOP: &str = include_str!("../../../examples/shop.yaml");

/// A control plane, and a folder for files.
struct Bench {
    server: Program,
    folder: TempDir,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    code: i32,
    out: String,
    err: String,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Program::start(&folder.path().join("data"));
        Self { server, folder }
    }

    /// With the example applied.
    fn with_shop() -> Self {
        let bench = Self::new();
        let shop = bench.file("shop.yaml", SHOP);
        bench.run(&["apply", "-f", &shop]).expect(0);
        bench
    }

    /// Writes a file and tells its path.
    fn file(&self, name: &str, text: &str) -> String {
        let path: PathBuf = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn run(&self, arguments: &[&str]) -> Done {
        self.run_with(arguments, "")
    }

    fn run_with(&self, arguments: &[&str], stdin: &str) -> Done {
        run(&format!("http://{}", self.server.admin()), arguments, stdin)
    }

    fn revision(&self) -> u64 {
        let fleet = self
            .run(&["get", "fleets", "default", "-o", "json"])
            .expect(0);
        fleet.json()["revision"].as_u64().unwrap()
    }
}

impl Done {
    #[track_caller]
    fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{}{}", self.out, self.err);
        self
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

fn run(server: &str, arguments: &[&str], stdin: &str) -> Done {
    done(command(server, arguments), stdin)
}

/// A command that knows nothing of whoever runs the tests.
fn command(server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_signalbox"));
    command
        .args(arguments)
        .env("SIGNALBOX_SERVER", server)
        .env_remove("SIGNALBOX_TOKEN")
        .env_remove("SIGNALBOX_FLEET")
        .env_remove("SIGNALBOX_CA_FILE")
        .env_remove("SSL_CERT_FILE");
    command
}

fn done(mut command: Command, stdin: &str) -> Done {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin.as_bytes()).ok();
    let output = child.wait_with_output().unwrap();
    Done {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

#[test]
fn a_server_that_is_away_is_an_error_with_a_sentence() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let done = run(&format!("http://{address}"), &["get", "routes"], "").expect(1);
    assert_eq!(done.out, "");
    assert!(
        done.err
            .starts_with(&format!("signalbox: http://{address} does not answer: ")),
        "{}",
        done.err
    );
}

#[test]
fn usage_is_an_error_of_code_1_and_help_is_none() {
    for arguments in [
        &["get"][..],
        &["get", "colours"],
        &["apply"],
        &["nonsense"],
        &["revert", "x"],
    ] {
        let done = run("http://127.0.0.1:1", arguments, "").expect(1);
        assert!(
            done.out.is_empty() && done.err.starts_with("error: "),
            "{done:?}"
        );
    }
    let help = run("http://127.0.0.1:1", &["--help"], "").expect(0);
    assert!(
        help.out.contains("Exit codes: 0 done; 1 an error"),
        "{}",
        help.out
    );
}

#[test]
fn completions_name_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run("http://127.0.0.1:1", &["completions", shell], "")
            .expect(0)
            .out;
        assert!(
            script.contains("signalbox") && script.contains("explain"),
            "{shell}"
        );
    }
}

#[test]
fn validate_needs_no_server_and_tells_every_fault_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.yaml");
    let yaml = "routes:\n  - name: a\n    match: {path: {regex: \"(\"}}\n    forward: {cluster: nowhere}\n  - name: b\n    timeout: 5\n";
    std::fs::write(&path, yaml).unwrap();
    let path = path.to_str().unwrap();
    let done = run("http://127.0.0.1:1", &["validate", "-f", path], "").expect(3);
    assert_eq!(done.out, "");
    let mut places: Vec<_> = done
        .err
        .lines()
        .skip(1)
        .map(|line| line.split(": ").take(2).collect::<Vec<_>>().join(" "))
        .collect();
    places.sort();
    assert_eq!(
        places,
        [
            format!("{path}:3 /routes/0/match/path/regex"),
            format!("{path}:4 /routes/0/forward/cluster"),
            format!("{path}:6 /routes/1/timeout"),
        ],
        "{}",
        done.err
    );
    let done = run("http://127.0.0.1:1", &["validate", "-f", "-"], SHOP).expect(0);
    assert_eq!(done.out, "valid\n");
}
