use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proto::session::{self, CauseCount, ClusterTraffic, Latencies, RouteTraffic};

use super::merged::{NAMES_MAX, RouteName};
use super::outcomes::{CAUSES_MAX, Outcomes};
use super::*;
use crate::rollout::observed::{Sides, Traffic as Observed};
use crate::rollout::touched::Touched;
use crate::sketch::Sketch;

/// Requests as an honest proxy reports them: `errors` of them were answered with a 5xx, and each took so long.
fn outcomes(requests: u64, errors: u64, ms: u64) -> session::Outcomes {
    let mut latencies = Sketch::default();
    for _ in 0..requests {
        latencies.record(Duration::from_millis(ms));
    }
    session::Outcomes {
        requests,
        classes: vec![0, requests - errors, 0, 0, errors],
        causes: vec![CauseCount {
            cause: "UC".to_owned(),
            count: errors,
        }],
        latencies: latencies.to_proto(),
        unanswered: 0,
    }
}

fn cluster(name: impl Into<String>, outcomes: session::Outcomes) -> ClusterTraffic {
    ClusterTraffic {
        cluster: name.into(),
        outcomes: Some(outcomes),
    }
}

fn route(name: impl Into<String>, outcomes: session::Outcomes) -> RouteTraffic {
    RouteTraffic {
        route: name.into(),
        outcomes: Some(outcomes),
        ..RouteTraffic::default()
    }
}

fn report(revisions: Vec<RevisionTraffic>) -> Report {
    Report {
        window_us: 5_000_000,
        revisions,
        sequence: 0,
    }
}

fn from(node: &str) -> Reporter {
    Reporter::new("f", node, 0)
}

fn one(revision: u64, requests: u64, errors: u64, ms: u64) -> Report {
    report(vec![RevisionTraffic {
        revision,
        total: Some(outcomes(requests, errors, ms)),
        no_route: 1,
        routes: vec![route("r", outcomes(requests, errors, ms))],
        clusters: vec![cluster("c", outcomes(requests, errors, ms))],
        ..RevisionTraffic::default()
    }])
}

fn at(rows: Vec<TrafficRow>, micros: i64) -> Vec<TrafficRow> {
    let at = Timestamp::from_micros(micros);
    rows.into_iter()
        .map(|row| TrafficRow { at, ..row })
        .collect()
}

fn observed(rows: &[TrafficRow], from: u64, to: u64, since: Timestamp) -> (Observed, Observed) {
    let mut tally = sum::Tally::new(from, to, None);
    tally.add(rows.iter().filter(|row| row.at >= since));
    tally.traffic()
}

#[test]
fn a_rollout_sees_both_revisions_since_a_time() {
    let traffic = Traffic::new("a".into());
    let mut rows = Vec::new();
    for (micros, requests) in [(10, 1_000), (20, 100), (30, 10)] {
        traffic.report(&from("n"), Some(&one(1, requests, 0, 10)));
        traffic.report(&from("m"), Some(&one(2, requests, requests / 10, 80)));
        traffic.report(&from("m"), Some(&one(3, requests, requests, 1)));
        rows.extend(at(rows_of(&traffic), micros));
    }
    let (new, old) = observed(&rows, 1, 2, Timestamp::from_micros(20));
    assert_eq!((new.requests, new.errors, new.no_route), (110, 11, 2));
    assert_eq!((old.requests, old.errors, old.no_route), (110, 0, 2));
    let p99 = |it: &Observed| it.latencies.quantile_ms(0.99);
    let (new_p99, old_p99) = (p99(&new).unwrap(), p99(&old).unwrap());
    assert!((60.0..=100.0).contains(&new_p99), "{new_p99}");
    assert!((7.5..=12.5).contains(&old_p99), "{old_p99}");
    let (new, old) = observed(&rows, 1, 9, Timestamp::from_micros(31));
    assert_eq!((new, old), Default::default());
}

#[test]
fn what_a_rollout_touches_is_told_apart_from_the_rest() {
    let touched = Touched {
        routes: ["r".to_owned()].into(),
        clusters: ["d".to_owned()].into(),
        hosts: ["h".to_owned()].into(),
    };
    let row = |revision, requests| {
        let traffic = Traffic::new("a".into());
        let mut report = one(revision, requests, 1, 10);
        report.revisions[0].routes[0].virtual_host = "web/h".to_owned();
        traffic.report(&from("n"), Some(&report));
        rows_of(&traffic)
    };
    let (old, new) = (row(1, 1_000), row(2, 100));
    let mut tally = sum::Tally::new(1, 2, Some(Arc::new(touched)));
    tally.add(old.iter().chain(&new));
    let parts = tally.parts().unwrap();
    let names: Vec<_> = parts
        .changed
        .iter()
        .map(|(part, _)| part.to_string())
        .collect();
    // Its cluster is `c`, which nothing touches.
    assert_eq!(names, ["route r", "host web/h"]);
    let requests = |sides: &Sides| (sides.new.requests, sides.old.requests);
    assert_eq!(requests(&parts.routes), (100, 1_000));
    assert_eq!(requests(&parts.other_clusters), (100, 1_000));
    assert_eq!(requests(&parts.clusters), (0, 0));
    let untold = sum::Tally::new(1, 2, None);
    assert_eq!(untold.parts(), None);
}

#[test]
fn load_reports_alone_tell_no_latency() {
    let traffic = Traffic::new("a".into());
    let mut without = one(2, 10, 1, 5);
    without.revisions[0].total.as_mut().unwrap().latencies = None;
    traffic.report(&from("n"), Some(&without));
    let (new, _) = observed(&rows_of(&traffic), 1, 2, Timestamp::default());
    assert_eq!(
        (new.requests, new.errors, new.latencies.count()),
        (10, 1, 0)
    );
}

#[test]
fn a_row_that_cannot_be_read_is_no_row() {
    let row = TrafficRow {
        fleet: "f".into(),
        revision: 2,
        at: Timestamp::default(),
        body: b"\xff\xff".to_vec(),
    };
    assert_eq!(
        observed(std::slice::from_ref(&row), 1, 2, Timestamp::default()),
        Default::default()
    );
    assert!(sum::by_revision(&[row]).is_empty());
}

#[test]
fn what_could_not_be_written_is_merged_with_what_comes() {
    let traffic = Traffic::new("a".into());
    traffic.report(&from("n"), Some(&one(1, 5, 1, 10)));
    let batch = traffic.begin();
    traffic.report(&from("n"), Some(&one(1, 7, 0, 10)));
    traffic.put_back(batch);
    let merged = &sum::by_revision(&rows_of(&traffic))[&1];
    assert_eq!((merged.total.requests, merged.total.errors()), (12, 1));
    assert_eq!(merged.total.latencies.count(), 12);
    assert!(rows_of(&traffic).is_empty(), "it is written once");
}

#[test]
fn a_row_names_those_with_the_most_requests() {
    let traffic = Traffic::new("a".into());
    let routes = (0..NAMES_MAX as u64 + 50).map(|i| route(format!("r{i:05}"), outcomes(i, 0, 1)));
    let all: u64 = (0..NAMES_MAX as u64 + 50).sum();
    let revision = RevisionTraffic {
        revision: 1,
        routes: routes.collect(),
        clusters: vec![cluster("x".repeat(10_000), outcomes(3, 0, 1))],
        ..RevisionTraffic::default()
    };
    traffic.report(&from("n"), Some(&report(vec![revision])));
    let rows = rows_of(&traffic);
    assert!(rows[0].body.len() < 20_000, "{}", rows[0].body.len());
    let merged = &sum::by_revision(&rows)[&1];
    assert_eq!(merged.routes.named.len(), ROW_NAMES);
    let named: u64 = merged.routes.named.values().map(|r| r.requests).sum();
    assert_eq!(named + merged.routes.other.requests, all);
    let least = RouteName {
        route_configuration: String::new(),
        virtual_host: String::new(),
        route: format!("r{:05}", NAMES_MAX - ROW_NAMES),
    };
    assert!(merged.routes.named.contains_key(&least));
    assert!(merged.clusters.named.is_empty());
    assert_eq!(merged.clusters.other.requests, 3);
}

#[test]
fn metrics_tell_of_counts_at_once_and_of_the_fleet_when_it_was_read() {
    let traffic = Traffic::new("a".into());
    traffic.report(&from("n"), Some(&one(7, 100, 3, 10)));
    let mut metrics = crate::metrics::Metrics::default();
    metrics.show(traffic.series());
    let text = metrics.render().unwrap();
    for line in [
        r#"signalbox_traffic_requests_total{fleet="f",revision="7"} 100"#,
        r#"signalbox_traffic_errors_total{fleet="f",revision="7"} 3"#,
        r#"signalbox_traffic_no_route_total{fleet="f",revision="7"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let read = sum::by_revision(&rows_of(&traffic));
    traffic.series.replace(&[("f".to_owned(), read)].into());
    let text = metrics.render().unwrap();
    for line in [
        r#"signalbox_traffic_latency_seconds{fleet="f",revision="7",quantile="0.99"} 0.0"#,
        r#"signalbox_traffic_route_requests{fleet="f",revision="7",route_configuration="",virtual_host="",route="r"} 100"#,
        r#"signalbox_traffic_route_latency_seconds{fleet="f",revision="7",route_configuration="",virtual_host="",route="r",quantile="0.5"} 0.0"#,
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    traffic.series.replace(&BTreeMap::new());
    let text = metrics.render().unwrap();
    assert!(
        !text.contains(r#"fleet="f""#),
        "a fleet that is gone: {text}"
    );
}

#[test]
fn series_are_of_the_last_revisions() {
    let traffic = Traffic::new("a".into());
    for revision in 1..=100 {
        traffic.report(&from("n"), Some(&one(revision, 1, 0, 1)));
    }
    let mut metrics = crate::metrics::Metrics::default();
    metrics.show(traffic.series());
    let text = metrics.render().unwrap();
    let lines = text
        .lines()
        .filter(|line| line.starts_with("signalbox_traffic_requests_total"));
    assert_eq!(lines.count(), REVISIONS_MAX);
    assert!(text.contains(r#"revision="100""#), "{text}");
}

fn rows_of(traffic: &Traffic) -> Vec<TrafficRow> {
    traffic.begin().rows(&[])
}

/// Any outcomes, most of them nonsense.
fn any_outcomes() -> impl Strategy<Value = session::Outcomes> {
    let causes = vec((".{0,40}", any::<u64>()), 0..40);
    let latencies = (
        vec(any::<u32>(), 0..8),
        vec(any::<u64>(), 0..8),
        any::<u64>(),
    );
    let classes = vec(any::<u64>(), 0..8);
    (any::<u64>(), classes, causes, latencies, any::<u64>()).prop_map(
        |(requests, classes, causes, (buckets, counts, sum_us), unanswered)| session::Outcomes {
            requests,
            classes,
            causes: causes
                .into_iter()
                .map(|(cause, count)| CauseCount { cause, count })
                .collect(),
            latencies: Some(Latencies {
                buckets,
                counts,
                sum_us,
            }),
            unanswered,
        },
    )
}

fn any_revision() -> impl Strategy<Value = RevisionTraffic> {
    let routes = vec((".{0,4}", any_outcomes()), 0..4);
    let clusters = vec(("[a-c]{0,600}", any_outcomes()), 0..4);
    let others = (any_outcomes(), any_outcomes());
    (
        any::<u64>(),
        any::<u64>(),
        any_outcomes(),
        routes,
        clusters,
        others,
    )
        .prop_map(
            |(revision, no_route, total, routes, clusters, (other_routes, other_clusters))| {
                RevisionTraffic {
                    revision,
                    total: Some(total),
                    no_route,
                    routes: routes.into_iter().map(|(name, o)| route(name, o)).collect(),
                    other_routes: Some(other_routes),
                    clusters: clusters
                        .into_iter()
                        .map(|(name, o)| cluster(name, o))
                        .collect(),
                    other_clusters: Some(other_clusters),
                }
            },
        )
}

fn is_bounded(outcomes: &Outcomes) -> bool {
    outcomes.causes.len() <= CAUSES_MAX && outcomes.causes.keys().all(|cause| cause.len() <= 32)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn whatever_is_reported_costs_bounded_memory(reports in vec(vec(any_revision(), 0..12), 0..6)) {
        let traffic = Traffic::new("a".into());
        for revisions in reports {
            traffic.report(&from("n"), Some(&report(revisions)));
        }
        let batch = traffic.begin();
        let pending = &batch.pending;
        for merged in pending.values().flat_map(BTreeMap::values) {
            prop_assert!(merged.clusters.named.keys().all(|name| name.len() <= 512));
            let parts = merged.routes.named.values().chain(merged.clusters.named.values());
            prop_assert!(parts.chain([&merged.total]).all(is_bounded));
        }
        prop_assert!(pending.values().all(|revisions| revisions.len() <= REVISIONS_MAX));
        let rows = batch.rows(&[]);
        prop_assert_eq!(sum::by_revision(&rows).len(), rows.len());
        for row in &rows {
            let (new, _) = observed(&rows, 0, row.revision, row.at);
            prop_assert!(new.errors <= new.requests && new.no_route <= new.requests);
        }
    }

    #[test]
    fn rows_of_several_replicas_are_the_whole(reports in vec((0usize..3, 0u64..3, 0u64..50, 0u64..500), 1..40)) {
        let whole = Traffic::new("all".into());
        let replicas = ["a", "b", "c"].map(|name| Traffic::new(name.into()));
        let mut rows = Vec::new();
        for (replica, revision, requests, ms) in reports {
            let report = one(revision, requests, requests / 3, ms);
            whole.report(&from("n"), Some(&report));
            replicas[replica].report(&from("n"), Some(&report));
            if ms % 7 == 0 {
                rows.extend(rows_of(&replicas[replica]));
            }
        }
        rows.extend(replicas.iter().flat_map(|replica| rows_of(replica)));
        prop_assert_eq!(sum::by_revision(&rows), sum::by_revision(&rows_of(&whole)));
    }
}

/// What may happen to reports on the way.
#[derive(Clone, Debug)]
enum Step {
    /// A node has served requests.
    Serve(usize, u64),
    /// A node sends what it has to say; it may be lost.
    Send(usize, bool),
    /// A node has a session with the other replica, or a new one with the same.
    Connect(usize, usize),
    /// A node hears what was taken, if it is told on the session that it has.
    Hear(usize),
    /// A replica begins to write.
    Begin(usize),
    /// What it was writing is written or not, and it comes to know so or not.
    End(usize, bool, bool),
    /// A replica ends and another one takes its place.
    Kill(usize),
}

/// A proxy: what the ledger does, with one number.
struct Sender {
    reporter: Reporter,
    replica: usize,
    taken: tokio::sync::watch::Receiver<u64>,
    served: u64,
    waiting: u64,
    sequence: u64,
    sent: Option<u64>,
}

impl Sender {
    fn new(number: u64) -> Self {
        let reporter = Reporter::new("f", "n", number);
        Self {
            taken: reporter.taken(),
            reporter,
            replica: 0,
            served: 0,
            waiting: 0,
            sequence: 0,
            sent: None,
        }
    }

    fn connect(&mut self, replica: usize) {
        self.reporter = Reporter::new("f", "n", self.reporter.number);
        self.taken = self.reporter.taken();
        self.replica = replica;
    }

    fn hear(&mut self) {
        let taken = *self.taken.borrow_and_update();
        self.sent.take_if(|_| taken >= self.sequence);
    }

    fn next(&mut self) -> Option<Report> {
        if self.sent.is_none() {
            let waiting = std::mem::take(&mut self.waiting);
            self.sent = Some(waiting).filter(|requests| *requests > 0);
            self.sequence += u64::from(self.sent.is_some());
        }
        let requests = self.sent?;
        Some(Report {
            sequence: self.sequence,
            ..one(1, requests, 0, 1)
        })
    }
}

/// The store: a transaction that notes numbers and adds rows.
#[derive(Default)]
struct Noted {
    numbers: BTreeMap<u64, u64>,
    rows: Vec<TrafficRow>,
}

impl Noted {
    fn write(&mut self, batch: &Batch) -> Vec<bool> {
        let mut note = |number: &crate::store::rollout::ReportNumber| {
            let known = self.numbers.entry(number.reporter).or_default();
            let is_new = *known < number.sequence;
            *known = number.sequence.max(*known);
            is_new
        };
        let new: Vec<bool> = batch.numbered.numbers().iter().map(&mut note).collect();
        self.rows.extend(batch.rows(&new));
        new
    }

    fn requests(&self) -> u64 {
        let revisions = sum::by_revision(&self.rows);
        revisions.get(&1).map_or(0, |merged| merged.total.requests)
    }
}

fn any_step() -> impl Strategy<Value = Step> {
    let (node, replica) = (0..3_usize, 0..2_usize);
    prop_oneof![
        3 => (node.clone(), 1..50_u64).prop_map(|(node, requests)| Step::Serve(node, requests)),
        3 => (node.clone(), any::<bool>()).prop_map(|(node, arrives)| Step::Send(node, arrives)),
        1 => (node.clone(), replica.clone()).prop_map(|(node, replica)| Step::Connect(node, replica)),
        2 => node.prop_map(Step::Hear),
        2 => replica.clone().prop_map(Step::Begin),
        2 => (replica.clone(), any::<bool>(), any::<bool>()).prop_map(|(replica, done, known)| Step::End(replica, done, known)),
        1 => replica.prop_map(Step::Kill),
    ]
}

proptest! {
    /// Reports and answers are lost, come twice and to another replica; transactions fail, also after they were committed;
    /// replicas end.
    #[test]
    fn every_request_of_a_numbered_report_counts_once(steps in vec(any_step(), 0..120)) {
        let mut replicas = [0, 1].map(|_| (Traffic::new("r".into()), None));
        let mut nodes: Vec<Sender> = (1..=3).map(Sender::new).collect();
        let mut store = Noted::default();
        for step in steps {
            match step {
                Step::Serve(node, requests) => {
                    nodes[node].served += requests;
                    nodes[node].waiting += requests;
                }
                Step::Send(node, arrives) => {
                    let node = &mut nodes[node];
                    if let Some(report) = node.next().filter(|_| arrives) {
                        replicas[node.replica].0.report(&node.reporter, Some(&report));
                    }
                }
                Step::Connect(node, replica) => nodes[node].connect(replica),
                Step::Hear(node) => nodes[node].hear(),
                Step::Begin(replica) => {
                    let (traffic, writing) = &mut replicas[replica];
                    writing.get_or_insert_with(|| traffic.begin());
                }
                Step::End(replica, done, known) => {
                    let (traffic, writing) = &mut replicas[replica];
                    if let Some(batch) = writing.take() {
                        let new = if done { store.write(&batch) } else { Vec::new() };
                        if done && known {
                            traffic.is_written(batch, &new);
                        } else {
                            traffic.put_back(batch);
                        }
                    }
                }
                Step::Kill(replica) => {
                    replicas[replica] = (Traffic::new("r".into()), None);
                    for node in nodes.iter_mut().filter(|node| node.replica == replica) {
                        node.connect(1 - replica);
                    }
                }
            }
            prop_assert!(store.requests() <= nodes.iter().map(|node| node.served).sum());
        }
        // In the end all goes well.
        for _ in 0..3 {
            for node in &mut nodes {
                node.hear();
                if let Some(report) = node.next() {
                    replicas[node.replica].0.report(&node.reporter, Some(&report));
                }
            }
            for (traffic, writing) in &mut replicas {
                let batch = writing.take().unwrap_or_else(|| traffic.begin());
                let new = store.write(&batch);
                traffic.is_written(batch, &new);
            }
        }
        prop_assert_eq!(store.requests(), nodes.iter().map(|node| node.served).sum::<u64>());
        prop_assert!(replicas.iter().all(|(traffic, _)| traffic.begin().is_empty()));
    }
}
