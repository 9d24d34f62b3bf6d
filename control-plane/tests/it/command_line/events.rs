//! Events as they happen, and through a connection that breaks.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::relay::Relay;
use serde_json::Value;

use super::{Bench, command};

const SOON: Duration = Duration::from_secs(20);

/// A command that goes on, and the lines that it writes.
struct Follower {
    child: Child,
    out: mpsc::Receiver<String>,
    err: mpsc::Receiver<String>,
}

impl Follower {
    fn start(server: &str) -> Self {
        let mut child = command(server, &["events", "--follow", "-o", "json"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let out = lines(child.stdout.take().unwrap());
        let err = lines(child.stderr.take().unwrap());
        Self { child, out, err }
    }

    /// The next event of a revision.
    fn revision(&self) -> Option<u64> {
        self.revision_within(SOON)
    }

    /// The same. What is told of the rollouts that commits begin is passed over.
    fn revision_within(&self, time: Duration) -> Option<u64> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let event: Value = serde_json::from_str(&self.out.recv_timeout(left).ok()?).unwrap();
            let kind = event["kind"].as_str().unwrap();
            assert_eq!(event["fleet"], "default");
            if !kind.starts_with("rollout-") {
                assert_eq!(kind, "revision-committed");
                return event["revision"].as_u64();
            }
        }
    }

    /// Changes something until the stream has begun, which is not told; the last revision that it told.
    fn begin(&self, bench: &Bench) -> u64 {
        for number in 0..60 {
            write(bench, number);
            if let Some(mut last) = self.revision_within(Duration::from_secs(1)) {
                // What came in the same moment.
                while last < bench.revision() {
                    last = self.revision().unwrap();
                }
                return last;
            }
        }
        panic!("no event comes");
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn lines(from: impl std::io::Read + Send + 'static) -> mpsc::Receiver<String> {
    let (told, lines) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            told.send(line).ok();
        }
    });
    lines
}

/// One more revision.
fn write(bench: &Bench, number: usize) {
    let cluster = format!("clusters: [{{name: c{number}, discovery: api}}]");
    bench.run_with(&["apply", "-f", "-"], &cluster).expect(0);
}

#[test]
fn events_are_told_as_they_happen() {
    let bench = Bench::with_shop();
    let follower = Follower::start(&format!("http://{}", bench.server.admin()));
    let last = follower.begin(&bench);
    write(&bench, 100);
    assert_eq!(follower.revision(), Some(last + 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_breaks_goes_on_where_it_broke() {
    let bench = Bench::new();
    let mut relay = Relay::start(bench.server.admin().parse().unwrap())
        .await
        .unwrap();
    let follower = Follower::start(&format!("http://{}", relay.address()));
    let mut last = follower.begin(&bench);
    for round in 0..2 {
        relay.cut().await;
        let remark = follower.err.recv_timeout(SOON).unwrap();
        assert!(remark.ends_with("; trying again"), "{remark}");
        // While nobody hears it.
        for number in 0..3 {
            write(&bench, 100 + 10 * round + number);
        }
        relay.restore().await.unwrap();
        for _ in 0..3 {
            last += 1;
            assert_eq!(follower.revision(), Some(last));
        }
        // And what comes then, once.
        write(&bench, 200 + round);
        last += 1;
        assert_eq!(follower.revision(), Some(last));
    }
}

#[test]
fn who_may_not_listen_is_told_at_once() {
    let bench = Bench::new();
    let server = format!("http://{}", bench.server.admin());
    let events = ["events", "--follow", "--fleet", "nowhere"];
    let done = super::run(&server, &events, "").expect(1);
    assert!(done.err.contains("there is no fleet"), "{}", done.err);
}
