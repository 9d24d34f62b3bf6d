//! What the control plane is told of requests: every one of them once, by the config that it began with.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use clap::Parser;
use proto::session::{Outcomes, Status, Traffic};
use proxy::bootstrap::Settings;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

use crate::support::config::{cluster, forward, forward_with, listener, merge};
use crate::support::proxy::free_place;
use crate::support::{Client, ControlPlane, PATIENCE, Proxy, Upstream};

const SWAPS: u64 = 100;

/// Reports added up.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    revisions: BTreeMap<u64, BTreeMap<String, Line>>,
    /// The highest number of a report.
    sequence: u64,
}

/// The outcomes of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Line {
    requests: u64,
    /// Answers by class; the last number is the unanswered.
    ends: [u64; 6],
    causes: BTreeMap<String, u64>,
    /// Requests of known duration.
    timed: u64,
}

impl Told {
    fn take_in(&mut self, traffic: &Traffic) {
        assert!(traffic.window_us > 0);
        if traffic.sequence > 0 {
            assert!(traffic.sequence <= self.sequence + 1, "one is missing");
            if traffic.sequence <= self.sequence {
                return;
            }
            self.sequence = traffic.sequence;
        }
        for revision in &traffic.revisions {
            let lines = self.revisions.entry(revision.revision).or_default();
            let mut add = |name: String, outcomes: &Option<Outcomes>| {
                lines
                    .entry(name)
                    .or_default()
                    .add(outcomes.as_ref().unwrap());
            };
            add("total".into(), &revision.total);
            for route in &revision.routes {
                let (host, name) = (&route.virtual_host, &route.route);
                let name = format!("route {}/{host}/{name}", route.route_configuration);
                add(name, &route.outcomes);
            }
            for cluster in &revision.clusters {
                add(format!("cluster {}", cluster.cluster), &cluster.outcomes);
            }
            assert!(revision.other_routes.is_none() && revision.other_clusters.is_none());
            lines.entry("no route".into()).or_default().requests += revision.no_route;
        }
    }

    /// All requests.
    fn requests(&self) -> u64 {
        let totals = self
            .revisions
            .values()
            .filter_map(|lines| lines.get("total"));
        totals.map(|line| line.requests).sum()
    }

    fn line(&self, revision: u64, name: &str) -> Line {
        let lines = self.revisions.get(&revision);
        let line = lines.and_then(|lines| lines.get(name));
        line.cloned().unwrap_or_default()
    }
}

impl Line {
    fn add(&mut self, outcomes: &Outcomes) {
        self.requests += outcomes.requests;
        let ends = outcomes.classes.iter().chain([&outcomes.unanswered]);
        for (sum, count) in self.ends.iter_mut().zip(ends) {
            *sum += count;
        }
        for cause in &outcomes.causes {
            *self.causes.entry(cause.cause.clone()).or_default() += cause.count;
        }
        self.timed += outcomes
            .latencies
            .as_ref()
            .unwrap()
            .counts
            .iter()
            .sum::<u64>();
    }
}

/// A whole proxy that reports often.
struct Reporting {
    place: SocketAddr,
    admin: SocketAddr,
    control_plane: ControlPlane,
    told: Told,
    runtime: Runtime,
    _stop: oneshot::Sender<()>,
}

impl Reporting {
    fn start(is_ours: bool, resources: impl Fn(SocketAddr) -> Vec<Value>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let place = free_place(1);
        let control_plane = ControlPlane::start(&runtime, is_ours, 1, &resources(place));
        let xds = format!("http://{}", control_plane.address);
        let flags = [
            "proxy",
            "--node-id",
            "edge-1",
            "--workers",
            "2",
            "--report-interval",
            "20ms",
        ];
        let flags = flags.into_iter().chain(["--xds", &xds]);
        let settings = Settings::try_parse_from(flags).unwrap();
        let proxy = runtime
            .block_on(proxy::app::Proxy::start(&settings))
            .unwrap();
        let admin = proxy.admin_address();
        let (stop, stopped) = oneshot::channel::<()>();
        runtime.spawn(proxy.run_until(async { drop(stopped.await) }));
        let reporting = Self {
            place,
            admin,
            control_plane,
            told: Told::default(),
            runtime,
            _stop: stop,
        };
        until(|| Client::try_connect(place).is_ok());
        reporting
    }

    fn get(&self, path: &str, times: usize) {
        for _ in 0..times {
            Client::connect(self.place).get(path);
        }
    }

    /// Makes another revision live.
    fn serve(&mut self, revision: u64, resources: &[Value]) {
        self.control_plane.serve(revision, resources);
        while self.next_status().live_revision != revision {}
    }

    /// Waits until so many requests have been told of.
    fn wait_for(&mut self, requests: u64) {
        while self.told.requests() < requests {
            self.next_status();
        }
        assert_eq!(self.told.requests(), requests);
    }

    fn next_status(&mut self) -> Status {
        let status = self.control_plane.status();
        if let Some(traffic) = &status.traffic {
            self.told.take_in(traffic);
        }
        status
    }

    /// Waits until the control plane is there or not.
    fn wait_for_connection(&self, connected: bool) {
        let line = format!("xds_connected {}", u8::from(connected));
        until(|| {
            Client::connect(self.admin)
                .get("/metrics")
                .text()
                .contains(&line)
        });
    }
}

fn until(mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < PATIENCE, "it takes too long");
        thread::yield_now();
    }
}

/// A route with a name.
fn named(name: &str, mut route: Value) -> Value {
    merge(&mut route, json!({"name": name}));
    route
}

fn direct(path: &str, status: u16) -> Value {
    json!({"match": {"prefix": path}, "direct_response": {"status": status}})
}

fn resources(place: SocketAddr, upstream: SocketAddr) -> Vec<Value> {
    let routes = vec![
        named("ok", direct("/ok", 200)),
        named("broken", direct("/broken", 500)),
        named("up", forward("/up", "a")),
        named("down", forward("/down", "empty")),
    ];
    vec![
        cluster("a", &[upstream]),
        cluster("empty", &[]),
        listener("web", place, routes),
    ]
}

fn line(ends: [u64; 6], causes: &[(&str, u64)]) -> Line {
    let requests = ends.iter().sum();
    Line {
        requests,
        ends,
        causes: causes
            .iter()
            .map(|(cause, count)| ((*cause).to_owned(), *count))
            .collect(),
        timed: requests,
    }
}

#[test]
fn reports_of_two_revisions_add_up_to_the_requests_also_after_the_control_plane_was_away() {
    let upstream = Upstream::named("a");
    let mut proxy = Reporting::start(true, |place| resources(place, upstream.address));
    let place = proxy.place;
    for (path, times) in [
        ("/ok", 5),
        ("/broken", 4),
        ("/up", 3),
        ("/down", 2),
        ("/else", 1),
    ] {
        proxy.get(path, times);
    }
    proxy.wait_for(15);
    let told = |name| proxy.told.line(1, name);
    assert_eq!(told("route web/all/ok"), line([0, 5, 0, 0, 0, 0], &[]));
    assert_eq!(told("route web/all/broken"), line([0, 0, 0, 0, 4, 0], &[]));
    assert_eq!(told("route web/all/up"), line([0, 3, 0, 0, 0, 0], &[]));
    assert_eq!(told("cluster a"), told("route web/all/up"));
    assert_eq!(
        told("route web/all/down"),
        line([0, 0, 0, 0, 2, 0], &[("UH", 2)])
    );
    assert_eq!(told("cluster empty"), told("route web/all/down"));
    assert_eq!(
        told("total"),
        line([0, 8, 0, 1, 6, 0], &[("NR", 1), ("UH", 2)])
    );
    assert_eq!(told("no route").requests, 1);

    // Nobody takes a report while the control plane is away.
    proxy.control_plane.set_open(false);
    proxy.wait_for_connection(false);
    proxy.get("/ok", 7);
    proxy.control_plane.set_open(true);
    proxy.wait_for(22);
    assert_eq!(
        proxy.told.line(1, "route web/all/ok"),
        line([0, 12, 0, 0, 0, 0], &[])
    );

    let mut changed = resources(place, upstream.address);
    changed[2] = listener("web", place, vec![named("ok", direct("/ok", 503))]);
    proxy.serve(2, &changed);
    proxy.get("/ok", 6);
    proxy.wait_for(28);
    assert_eq!(proxy.told.line(2, "total"), line([0, 0, 0, 0, 6, 0], &[]));
    assert_eq!(
        proxy.told.line(2, "route web/all/ok"),
        proxy.told.line(2, "total")
    );
    assert_eq!(proxy.told.line(1, "total").requests, 22);

    // The same resources as another revision: nothing is built, and the number counts.
    proxy.serve(3, &changed);
    proxy.get("/ok", 2);
    proxy.wait_for(30);
    assert_eq!(proxy.told.line(3, "total").requests, 2);
}

#[test]
fn a_foreign_control_plane_is_told_nothing() {
    let upstream = Upstream::named("a");
    let proxy = Reporting::start(false, |place| resources(place, upstream.address));
    proxy.get("/up", 3);
    proxy.control_plane.serve(2, &[]);
    proxy
        .runtime
        .block_on(async { tokio::task::yield_now().await });
    until(|| Client::try_connect(proxy.place).is_err());
    assert!(proxy.control_plane.status_at_hand().is_none());
}

#[test]
fn a_sample_tells_what_routing_saw_and_no_values() {
    let upstream = Upstream::named("a");
    let mut proxy = Reporting::start(true, |place| resources(place, upstream.address));
    proxy.get("/a/../up?token=secret&lang=secret", 1);
    let samples = loop {
        if let Some(samples) = proxy.next_status().samples {
            break samples;
        }
    };
    let [sample] = &samples.samples[..] else {
        panic!("{samples:?}");
    };
    assert_eq!((&*sample.listener, &*sample.method), ("web", "GET"));
    assert_eq!((&*sample.path, sample.requests), ("/up", 1));
    assert_eq!(sample.query, ["lang", "token"]);
    assert!(sample.headers.contains(&"x-forwarded-for".to_owned()));
    assert!(!format!("{samples:?}").contains("secret"));
    assert_eq!(samples.left_out, 0);
}

/// What was collected since the last call.
fn collect(proxy: &Proxy, told: &mut Told) {
    proxy.ledger().collect();
    if let Some(traffic) = proxy.ledger().take(Instant::now()) {
        told.take_in(&traffic);
    }
}

#[test]
fn swaps_under_load_lose_no_count() {
    let upstream = Upstream::named("a");
    let mut proxy = Proxy::start();
    proxy.ledger().open(Instant::now());
    let mut told = Told::default();
    let swap = |proxy: &mut Proxy, revision: u64| {
        proxy.revision = revision;
        let header = json!({"header": {"key": "x-revision", "value": revision.to_string()}});
        let mut route = named("all", forward("/", "a"));
        merge(&mut route, json!({"response_headers_to_add": [header]}));
        proxy.serve(vec![route], vec![cluster("a", &[upstream.address])]);
    };
    swap(&mut proxy, 1);
    let address = proxy.address();
    let answered = Mutex::new(BTreeMap::<u64, u64>::new());
    let over = AtomicBool::new(false);
    let requests = || answered.lock().unwrap().values().sum::<u64>();
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::connect(address);
                while !over.load(Ordering::Relaxed) {
                    let response = client.get("/");
                    let revision = response.field("x-revision").unwrap().parse().unwrap();
                    *answered.lock().unwrap().entry(revision).or_default() += 1;
                }
            });
        }
        for revision in 2..=SWAPS {
            let before = requests();
            swap(&mut proxy, revision);
            collect(&proxy, &mut told);
            while requests() == before && !thread::panicking() {
                thread::yield_now();
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    until(|| {
        collect(&proxy, &mut told);
        told.requests() >= requests()
    });
    for (revision, count) in &*answered.lock().unwrap() {
        let expected = line([0, *count, 0, 0, 0, 0], &[]);
        for name in ["total", "route web/all/all", "cluster a"] {
            assert_eq!(told.line(*revision, name), expected, "{name} of {revision}");
        }
    }
    assert_eq!(told.requests(), requests());
}

#[test]
fn a_client_that_goes_away_has_no_answer_and_one_that_leaves_in_the_middle_has_a_cause() {
    let upstream = Upstream::scripted(|_, stream| {
        let request = crate::support::http::read_head(&mut BufReader::new(&stream));
        if request.unwrap().unwrap().start.contains("/begun") {
            (&stream)
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst")
                .unwrap();
        }
        // The proxy ends it.
        let _ = std::io::Read::read(&mut &stream, &mut [0]);
    });
    let mut proxy = Proxy::start();
    proxy.ledger().open(Instant::now());
    proxy.serve(
        vec![named("r", forward("/", "a"))],
        vec![cluster("a", &[upstream.address])],
    );
    let mut begun = proxy.connect();
    begun.send("GET /begun HTTP/1.1\r\nhost: a\r\n\r\n");
    begun.receive_head();
    begun.close();
    let mut silent = proxy.connect();
    silent.send("GET /silent HTTP/1.1\r\nhost: a\r\n\r\n");
    silent.close();
    let mut told = Told::default();
    until(|| {
        collect(&proxy, &mut told);
        told.requests() == 2
    });
    let expected = Line {
        requests: 2,
        ends: [0, 1, 0, 0, 0, 1],
        causes: BTreeMap::from([("DC".to_owned(), 2)]),
        timed: 0,
    };
    assert_eq!(told.line(0, "total"), expected);
    assert_eq!(told.line(0, "route web/all/r"), expected);
    assert_eq!(told.line(0, "cluster a"), expected);
}

#[test]
fn a_switch_to_another_protocol_counts_when_it_is_agreed_on() {
    let upstream = Upstream::scripted(|_, stream| {
        crate::support::http::read_head(&mut BufReader::new(&stream)).unwrap();
        let agreed = b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n";
        (&stream).write_all(agreed).unwrap();
        let _ = std::io::Read::read(&mut &stream, &mut [0]);
    });
    let mut proxy = Proxy::start();
    proxy.ledger().open(Instant::now());
    let websocket = json!({"upgrade_configs": [{"upgrade_type": "websocket"}]});
    let route = named("r", forward_with("/", "a", websocket));
    proxy.serve(vec![route], vec![cluster("a", &[upstream.address])]);
    let mut client = proxy.connect();
    client.send("GET / HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n");
    assert_eq!(client.receive_head().status(), 101);
    let mut told = Told::default();
    until(|| {
        collect(&proxy, &mut told);
        told.requests() == 1
    });
    let expected = Line {
        requests: 1,
        ends: [1, 0, 0, 0, 0, 0],
        ..Line::default()
    };
    assert_eq!(told.line(0, "route web/all/r"), expected);
    assert_eq!(told.line(0, "cluster a"), expected);
}
