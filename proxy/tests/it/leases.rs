//! What is live under a lease: the whole program, a control plane that says what the test says, and clients that ask all the time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use proto::session::{Phase, State, Status};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::support::config::listener;
use crate::support::proxy::free_place;
use crate::support::{Client, ControlPlane, PATIENCE, Pace, Process, Word};

const CLIENTS: usize = 3;

/// A proxy with a data folder, and what it is told.
struct Edge {
    place: SocketAddr,
    control_plane: ControlPlane,
    data_dir: TempDir,
    process: Option<Process>,
    _runtime: Runtime,
}

impl Edge {
    /// One that serves revision 1 for good.
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let place = free_place(1);
        let control_plane = ControlPlane::start(&runtime, true, 1, &resources(place, 1));
        let data_dir = tempfile::tempdir().unwrap();
        let process = Process::start(control_plane.address, data_dir.path());
        let edge = Self {
            place,
            control_plane,
            data_dir,
            process: Some(process),
            _runtime: runtime,
        };
        edge.wait_for(|status| status.live_revision == 1);
        edge.wait_until_kept(1);
        edge
    }

    fn say(&self, word: Word) {
        let resources = resources(self.place, word.revision);
        self.control_plane.say(word, &resources);
    }

    /// The first status from now on that is so.
    fn wait_for(&self, mut is_so: impl FnMut(&Status) -> bool) -> Status {
        let start = Instant::now();
        loop {
            let status = self.control_plane.status();
            if is_so(&status) {
                return status;
            }
            assert!(start.elapsed() < PATIENCE, "{status:?}");
        }
    }

    fn admin(&self, path: &str) -> String {
        self.process.as_ref().unwrap().admin(path)
    }

    fn dump(&self) -> Value {
        serde_json::from_str(&self.admin("/config_dump")).unwrap()
    }

    /// Waits until a restart would find this revision.
    fn wait_until_kept(&self, revision: u64) {
        until(|| self.dump()["disk"]["revision"] == json!(revision));
    }

    /// Waits until a restart would know that it is not to take something again.
    fn wait_until_marked(&self) {
        until(|| self.data_dir.path().join("revisions/mark").exists());
    }

    /// Kills the proxy and starts it again.
    fn restart(&mut self) {
        self.process.take().unwrap().kill();
        while self.control_plane.status_at_hand().is_some() {}
        let process = Process::start(self.control_plane.address, self.data_dir.path());
        self.process = Some(process);
        until(|| Client::try_connect(self.place).is_ok());
    }

    /// Which revision answers.
    fn answers(&self) -> String {
        Client::connect(self.place).get("/").text()
    }

    /// Asks all the time, on connections that are kept, while something goes on. Every request must be answered; returns how many
    /// each revision has answered.
    fn under_load(&self, goes_on: impl FnOnce()) -> BTreeMap<String, usize> {
        let over = AtomicBool::new(false);
        let clients = || {
            let mut answered = BTreeMap::new();
            let mut client = Client::connect(self.place);
            while !over.load(Ordering::Relaxed) {
                let response = client.get("/");
                assert_eq!(response.status(), 200);
                *answered.entry(response.text()).or_insert(0) += 1;
            }
            answered
        };
        thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(clients)).collect();
            let end = End(&over);
            goes_on();
            drop(end);
            let mut sum = BTreeMap::new();
            for client in clients {
                for (revision, count) in client.join().unwrap() {
                    *sum.entry(revision).or_insert(0) += count;
                }
            }
            sum
        })
    }
}

/// Ends the load, also when the test fails meanwhile.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        thread::yield_now();
    }
}

/// A revision says its number.
fn resources(place: SocketAddr, revision: u64) -> Vec<Value> {
    let body = json!({"inline_string": revision.to_string()});
    let route = json!({"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": body}});
    vec![listener("web", place, vec![route])]
}

fn leased(revision: u64, lease: Duration) -> Word {
    Word {
        lease,
        ..Word::serve(revision)
    }
}

#[test]
fn a_lease_that_runs_out_leads_back_fails_no_request_and_is_not_taken_again() {
    let edge = Edge::start();
    let answered = edge.under_load(|| {
        edge.say(leased(2, Duration::from_millis(300)));
        edge.wait_for(|status| status.live_revision == 2);
        let reverted = edge.wait_for(|status| status.state() == State::Reverted);
        assert_eq!(
            (
                reverted.assignment,
                reverted.state_revision,
                reverted.live_revision
            ),
            (2, 2, 1)
        );
        assert_eq!(edge.answers(), "1");
        // What is said after that is heard in its order: the same again first.
        edge.say(leased(2, Duration::from_mins(1)));
        edge.say(Word {
            phase: Phase::Stage,
            ..Word::serve(3)
        });
        let staged = edge.wait_for(|status| status.state() == State::Staged);
        assert_eq!((staged.live_revision, staged.staged_revision), (1, 3));
        edge.say(Word {
            assignment: 4,
            ..Word::serve(2)
        });
        edge.wait_for(|status| status.live_revision == 2);
        assert_eq!(edge.answers(), "2");
    });
    assert_eq!(answered.keys().collect::<Vec<_>>(), ["1", "2"]);
    let metrics = edge.admin("/metrics");
    for line in [
        "signalbox_proxy_config_reverts_total 1\n",
        "signalbox_proxy_config_live_revision 2\n",
        "signalbox_proxy_config_confirmed_revision 2\n",
        "signalbox_proxy_config_lease_seconds 0\n",
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
}

#[test]
fn a_lease_runs_out_without_a_control_plane_and_the_next_one_hears_of_it_first() {
    let edge = Edge::start();
    edge.under_load(|| {
        edge.say(leased(2, Duration::from_millis(500)));
        edge.wait_for(|status| status.live_revision == 2);
        let xds = edge.dump()["xds"].clone();
        assert_eq!(
            (&xds["live_revision"], &xds["confirmed_revision"]),
            (&json!(2), &json!(1))
        );
        assert!(xds["lease_seconds_left"].as_f64().unwrap() > 0.0, "{xds}");
        edge.control_plane.set_open(false);
        until(|| edge.answers() == "1");
        let left = json!({"assignment": 2, "revision": 2});
        until(|| edge.dump()["xds"]["left"] == left);
        edge.control_plane.set_open(true);
        let first = edge.wait_for(|status| status.reporter > 0);
        assert_eq!(
            (
                first.state(),
                first.assignment,
                first.state_revision,
                first.live_revision
            ),
            (State::Reverted, 2, 2, 1)
        );
        edge.say(Word {
            assignment: 3,
            ..Word::serve(1)
        });
        edge.wait_for(|status| status.state() == State::Active);
        assert_eq!(edge.answers(), "1");
    });
}

#[test]
fn a_lease_that_is_renewed_goes_on_and_one_that_is_confirmed_has_no_end() {
    let edge = Edge::start();
    let lease = Duration::from_secs(1);
    edge.under_load(|| {
        edge.say(leased(2, lease));
        edge.wait_for(|status| status.live_revision == 2);
        let (start, mut pace) = (Instant::now(), Pace::every(lease / 20));
        while start.elapsed() < lease * 2 {
            pace.wait();
            edge.say(leased(2, lease));
            assert_eq!(edge.answers(), "2");
        }
        edge.say(Word::serve(2));
        until(|| edge.dump()["xds"]["confirmed_revision"] == json!(2));
        edge.control_plane.set_open(false);
        let start = Instant::now();
        while start.elapsed() < lease * 2 {
            pace.wait();
            assert_eq!(edge.answers(), "2");
        }
    });
    assert!(
        edge.admin("/metrics")
            .contains("signalbox_proxy_config_reverts_total 0\n")
    );
}

#[test]
fn who_is_killed_under_a_lease_serves_what_was_confirmed_and_does_not_take_it_again() {
    let mut edge = Edge::start();
    edge.say(leased(2, Duration::from_mins(1)));
    edge.wait_for(|status| status.live_revision == 2);
    edge.wait_until_marked();
    edge.control_plane.set_open(false);
    edge.restart();
    assert_eq!(edge.answers(), "1");

    // The control plane knows nothing of it, and says the same as before.
    edge.control_plane.set_open(true);
    let first = edge.wait_for(|status| status.reporter > 0);
    assert_eq!(
        (
            first.state(),
            first.assignment,
            first.state_revision,
            first.live_revision
        ),
        (State::Reverted, 2, 2, 1)
    );
    edge.say(leased(2, Duration::from_mins(1)));
    edge.say(Word {
        phase: Phase::Stage,
        ..Word::serve(3)
    });
    let staged = edge.wait_for(|status| status.state() == State::Staged);
    assert_eq!(staged.live_revision, 1);

    // By a higher assignment it is taken again, and when that is confirmed a restart serves it.
    edge.say(Word {
        assignment: 4,
        ..leased(2, Duration::from_mins(1))
    });
    edge.wait_for(|status| status.live_revision == 2);
    edge.say(Word {
        assignment: 4,
        ..Word::serve(2)
    });
    edge.wait_until_kept(2);
    edge.control_plane.set_open(false);
    edge.restart();
    assert_eq!(edge.answers(), "2");
    assert_eq!(edge.dump()["xds"]["left"], Value::Null);
}
