//! The command line over TLS, against a program whose certificates change while it runs.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::certificates::{Authority, Pair};
use tempfile::TempDir;

use super::{Done, run};
use crate::program::Program;

/// Files are looked at every two seconds.
const SOON: Duration = Duration::from_secs(20);
const GET: [&str; 4] = ["get", "fleets", "-o", "name"];

/// A control plane with a certificate, which is a copy: its files can be replaced.
struct Rig {
    server: Program,
    log: mpsc::Receiver<String>,
    authority: Authority,
    pair: Pair,
    folder: TempDir,
}

impl Rig {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new().unwrap();
        let pair = Pair {
            cert: folder.path().join("cert.pem"),
            key: folder.path().join("key.pem"),
        };
        replace(&pair, &authority);
        let options = [
            "--tls-cert",
            pair.cert.to_str().unwrap(),
            "--tls-key",
            pair.key.to_str().unwrap(),
        ];
        let (server, stderr) = Program::start_with(&folder.path().join("data"), &options);
        let (told, log) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                told.send(line).ok();
            }
        });
        Self {
            server,
            log,
            authority,
            pair,
            folder,
        }
    }

    /// The URL with another host in it.
    fn url(&self, scheme: &str, host: &str) -> String {
        let (_, port) = self.server.admin().rsplit_once(':').unwrap();
        format!("{scheme}://{host}:{port}")
    }

    /// Asks over TLS, with the roots of an authority.
    fn get(&self, root: &Path) -> Done {
        let root = root.to_str().unwrap();
        let arguments = [&GET[..], &["--ca-file", root]].concat();
        run(&self.url("https", "localhost"), &arguments, "")
    }

    /// Waits for a line of the log.
    #[track_caller]
    fn logged(&self, text: &str) -> String {
        let end = Instant::now() + SOON;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left);
            let line = line.unwrap_or_else(|error| panic!("the log never says {text:?}: {error}"));
            if line.contains(text) {
                return line;
            }
        }
    }
}

/// Puts another certificate in the place of the one there is, as whoever renews one does: new files, moved.
fn replace(pair: &Pair, authority: &Authority) {
    let issued = authority.issue("server").unwrap();
    // The key first: a certificate without its key is not taken, and is looked at again with the next change.
    std::fs::rename(issued.key, &pair.key).unwrap();
    std::fs::rename(issued.cert, &pair.cert).unwrap();
}

#[test]
fn commands_speak_tls_with_a_server_that_the_roots_vouch_for() {
    let rig = Rig::start();
    let root = rig.authority.root();
    assert_eq!(rig.get(&root).expect(0).out, "fleets/default\n");
    // By its address too, whole files, and a root that the environment names.
    let shop = [
        "apply",
        "-f",
        "-",
        "-o",
        "name",
        "--ca-file",
        root.to_str().unwrap(),
    ];
    run(&rig.url("https", "127.0.0.1"), &shop, super::SHOP).expect(0);
    let mut named = super::command(&rig.url("https", "localhost"), &GET);
    named.env("SIGNALBOX_CA_FILE", &root);
    super::done(named, "").expect(0);
    let mut named = super::command(&rig.url("https", "localhost"), &GET);
    named.env("SSL_CERT_FILE", &root);
    super::done(named, "").expect(0);
}

#[test]
fn what_is_wrong_with_a_connection_is_said_in_a_sentence() {
    let rig = Rig::start();
    let root = rig.authority.root();
    let with_root = [&GET[..], &["--ca-file", root.to_str().unwrap()]].concat();
    let fails = |url: &str, arguments: &[&str], sentence: &str| {
        let done = run(url, arguments, "").expect(1);
        assert_eq!(done.out, "");
        assert!(done.err.contains(sentence), "{}", done.err);
    };
    let https = rig.url("https", "localhost");

    let stranger = Authority::new().unwrap();
    let done = rig.get(&stranger.root()).expect(1);
    let sentence = "does not answer: its certificate comes from an authority that is not trusted here; --ca-file";
    assert!(done.err.contains(sentence), "{}", done.err);

    // On Linux the unspecified address is this machine, too.
    let other_name = rig.url("https", "0.0.0.0");
    fails(
        &other_name,
        &with_root,
        "its certificate is not for 0.0.0.0, but for localhost, 127.0.0.1",
    );
    fails(
        &rig.url("http", "127.0.0.1"),
        &GET,
        "if it speaks TLS, its URL begins with https://",
    );
    let plain = Program::start(&rig.folder.path().join("plain"));
    let to_plain = format!("https://{}", plain.admin());
    fails(&to_plain, &with_root, "it does not speak TLS");

    let missing = rig.folder.path().join("missing.pem");
    let missing = [&GET[..], &["--ca-file", missing.to_str().unwrap()]].concat();
    fails(&https, &missing, "missing.pem");
    let no_pem = rig.folder.path().join("no.pem");
    std::fs::write(&no_pem, "not a certificate").unwrap();
    let no_pem = [&GET[..], &["--ca-file", no_pem.to_str().unwrap()]].concat();
    fails(&https, &no_pem, "no.pem holds no certificate");
    let half = [&with_root[..], &["--client-cert", "c.pem"]].concat();
    fails(
        &https,
        &half,
        "--client-cert and --client-key are given together",
    );
}

#[test]
fn certificates_that_are_replaced_are_served_and_broken_ones_are_not() {
    let rig = Rig::start();
    let (old, next) = (rig.authority.root(), Authority::new().unwrap());
    rig.get(&old).expect(0);

    replace(&rig.pair, &next);
    rig.logged("certificates were read again");
    rig.get(&next.root()).expect(0);
    rig.get(&old).expect(1);

    std::fs::write(&rig.pair.cert, "half of a file").unwrap();
    let line = rig.logged("certificates have changed and cannot be used; those before stay");
    assert!(line.contains("holds no certificate"), "{line}");
    rig.get(&next.root()).expect(0);

    replace(&rig.pair, &rig.authority);
    rig.logged("certificates were read again");
    rig.get(&old).expect(0);
}
