//! Tokens by the command line, at a server that asks for them.

use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{Done, command, done, run};
use crate::program::Program;

const ROOT: &str = "the-secret-of-the-first-admin-token";

struct Rig {
    server: Program,
    _folder: TempDir,
}

impl Rig {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = ["--require-token", "--bootstrap-token", ROOT];
        let (server, mut log) = Program::start_with(folder.path(), &options);
        // A pipe that nobody reads would stop the server when it is full.
        std::thread::spawn(move || std::io::copy(&mut log, &mut std::io::sink()));
        Self {
            server,
            _folder: folder,
        }
    }

    fn url(&self) -> String {
        format!("http://{}", self.server.admin())
    }

    fn run(&self, secret: &str, arguments: &[&str]) -> Done {
        let mut command = command(&self.url(), arguments);
        command.env("SIGNALBOX_TOKEN", secret);
        done(command, "")
    }

    fn create(&self, arguments: &[&str]) -> Done {
        self.run(ROOT, &[&["token", "create"], arguments].concat())
    }
}

#[test]
fn a_token_is_made_used_shown_and_revoked() {
    let rig = Rig::start();
    let made = rig
        .create(&["ada", "--role", "reader", "--expires-in", "1h"])
        .expect(0);
    let secret = made.out.trim_end();
    assert!(
        secret.len() >= 32 && !secret.contains(char::is_whitespace),
        "{secret}"
    );
    rig.run(secret, &["get", "fleets"]).expect(0);
    let denied = rig.run(secret, &["token", "list"]).expect(1);
    assert!(
        denied.out.is_empty() && !denied.err.contains(secret),
        "{denied:?}"
    );
    rig.run(secret, &["delete", "routes", "hello"]).expect(1);

    let tokens = rig.run(ROOT, &["token", "list", "-o", "json"]).expect(0);
    assert!(!tokens.out.contains(secret) && !tokens.out.contains(ROOT));
    let tokens = tokens.json();
    let ada = tokens
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["name"] == "ada");
    let ada = ada.unwrap();
    assert_eq!(
        (&ada["kind"], &ada["role"]),
        (&"api".into(), &"reader".into())
    );
    assert!(ada["expires_at"].is_string(), "{ada}");
    let table = rig.run(ROOT, &["token", "list"]).expect(0).out;
    assert!(
        table.starts_with("ID  ") && table.contains("  ada "),
        "{table}"
    );

    let id = ada["id"].as_str().unwrap();
    let revoked = rig.run(ROOT, &["token", "revoke", id]).expect(0);
    assert_eq!(revoked.out, format!("revoked tokens/{id}\n"));
    let asked = Instant::now();
    while rig.run(secret, &["get", "fleets"]).code == 0 {
        assert!(asked.elapsed() < Duration::from_secs(5), "it is still good");
    }
    let refused = rig.run(secret, &["get", "fleets"]).expect(1);
    assert!(
        refused.out.is_empty() && !refused.err.contains(secret),
        "{refused:?}"
    );
}

#[test]
fn a_token_is_for_fleets_or_for_joining() {
    let rig = Rig::start();
    rig.run(ROOT, &["fleet", "create", "edge"]).expect(0);
    let editor = ["ed", "--role", "editor", "--fleets", "edge", "-o", "json"];
    let editor = rig.create(&editor).expect(0).json();
    let secret = editor["secret"].as_str().unwrap();
    rig.run(secret, &["get", "routes", "--fleet", "edge"])
        .expect(0);
    let hidden = rig.run(secret, &["get", "routes"]).expect(1);
    assert!(
        hidden.err.contains("there is no fleet \"default\""),
        "{hidden:?}"
    );

    let join = ["proxies", "--join", "--fleet", "edge", "-o", "name"];
    let join = rig.create(&join).expect(0).out;
    let id = join.trim_end().strip_prefix("tokens/").unwrap();
    let names = rig
        .run(ROOT, &["token", "list", "-o", "name"])
        .expect(0)
        .out;
    assert!(names.lines().any(|line| line == join.trim_end()), "{names}");
    let table = rig.run(ROOT, &["token", "list"]).expect(0).out;
    let row = table.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(
        row.contains("  join  ") && row.contains("  edge  "),
        "{row}"
    );
}

#[test]
fn what_cannot_be_done_with_tokens_is_an_error() {
    let rig = Rig::start();
    run(&rig.url(), &["token", "list"], "").expect(1);
    rig.run("not-a-token", &["token", "list"]).expect(1);
    rig.run(ROOT, &["token", "revoke", "nothing"]).expect(1);
    // Usage: neither a role nor --join, both, a role that is none, fleets of a join token.
    for wrong in [
        &["a"][..],
        &["a", "--role", "reader", "--join"],
        &["a", "--role", "king"],
        &["a", "--join", "--fleets", "edge"],
        &["--role", "reader"],
    ] {
        let done = rig.create(wrong).expect(1);
        assert!(
            done.out.is_empty() && done.err.starts_with("error: "),
            "{done:?}"
        );
    }
    let never = rig
        .create(&["a", "--role", "reader", "--expires-in", "soon"])
        .expect(3);
    assert!(never.err.contains("expires_in"), "{never:?}");
}
