use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Instant;

use proptest::prelude::*;
use proto::session::{Outcomes as Message, Traffic};
use xds::route::{Action, DirectResponse, PathMatch};

use crate::cause::Cause;
use crate::metrics::class_index;

use super::*;

const WORKERS: usize = 2;

#[derive(Clone, Debug)]
enum Step {
    /// A request of some config that is in use has ended.
    Count(Request),
    /// Another config goes live, as this revision.
    Swap(u64),
    /// What is live has another number.
    Renumber(u64),
    /// The last request of a config that is not live has ended.
    LetGo(usize),
    Collect,
    /// A session takes what waits; without one nobody does.
    Take,
}

#[derive(Clone, Debug)]
struct Request {
    config: usize,
    worker: usize,
    route: Option<usize>,
    to_cluster: bool,
    status: Option<u16>,
    us: u64,
}

/// A config in use.
struct InUse {
    revision: u64,
    outcomes: Arc<Outcomes>,
    books: [Rc<Books>; WORKERS],
    routes: Vec<Arc<Route>>,
}

/// Requests, unanswered ones, failed ones and microseconds, by revision and subject.
type Counts = BTreeMap<(u64, String), [u64; 4]>;

fn route(name: &str) -> Arc<Route> {
    Arc::new(Route {
        name: name.into(),
        path: PathMatch::Prefix("/".into()),
        conditions: None,
        action: Action::Respond(Box::new(DirectResponse {
            status: 200,
            body: bytes::Bytes::new(),
        })),
        edits: None,
    })
}

impl InUse {
    fn new(ledger: &Ledger, revision: u64, routes: usize) -> Self {
        let outcomes = ledger.track(revision, WORKERS).unwrap();
        Self {
            revision,
            books: std::array::from_fn(|worker| Books::following(None, &outcomes, worker)),
            routes: (0..routes)
                .map(|number| route(&format!("r{number:03}")))
                .collect(),
            outcomes,
        }
    }

    fn count(&self, request: &Request) {
        let books = &self.books[request.worker];
        let (table, host) = ("t".into(), "h".into());
        let route = request.route.map(|route| &self.routes[route]);
        let route = route.map(|route| books.route(Some(&table), &host, route));
        let cluster = request.to_cluster.then(|| books.cluster(&"c".into()));
        let end = End {
            class: request.status.map(|status| class_index(status) as u8),
            cause: request.status.is_none().then_some(Cause::DownstreamClosed),
            took_us: request.status.map(|_| request.us),
        };
        books.count(route, cluster, end);
    }
}

fn add(counts: &mut Counts, revision: u64, subject: String, more: [u64; 4]) {
    let sums = counts.entry((revision, subject)).or_default();
    for (sum, more) in sums.iter_mut().zip(more) {
        *sum += more;
    }
}

fn expect(counts: &mut Counts, revision: u64, request: &Request) {
    let gone = u64::from(request.status.is_none());
    let us = request.status.map_or(0, |_| request.us);
    let route = request.route.map(|route| format!("r{route:03}"));
    let cluster = request.to_cluster.then(|| "c".to_owned());
    for subject in ["total".to_owned()].into_iter().chain(route).chain(cluster) {
        add(counts, revision, subject, [1, gone, gone, us]);
    }
}

fn told(counts: &mut Counts, traffic: &Traffic) {
    for revision in &traffic.revisions {
        let mut line = |subject: &str, outcomes: &Option<Message>| {
            let Some(outcomes) = outcomes else { return };
            let latencies = outcomes.latencies.as_ref().unwrap();
            let answered: u64 = outcomes.classes.iter().sum();
            assert_eq!(answered + outcomes.unanswered, outcomes.requests);
            assert_eq!(latencies.counts.iter().sum::<u64>(), answered);
            let failed = outcomes.causes.iter().map(|cause| cause.count).sum();
            let numbers = [
                outcomes.requests,
                outcomes.unanswered,
                failed,
                latencies.sum_us,
            ];
            add(counts, revision.revision, subject.to_owned(), numbers);
        };
        line("total", &revision.total);
        for route in &revision.routes {
            line(&route.route, &route.outcomes);
        }
        for cluster in &revision.clusters {
            line(&cluster.cluster, &cluster.outcomes);
        }
        line("other routes", &revision.other_routes);
        line("other clusters", &revision.other_clusters);
    }
}

fn request() -> impl Strategy<Value = Request> {
    let status = prop::option::weighted(0.9, prop::sample::select(vec![101, 200, 404, 503]));
    let route = prop::option::weighted(0.9, 0..3usize);
    (
        0..9usize,
        0..WORKERS,
        route,
        any::<bool>(),
        status,
        0..1u64 << 40,
    )
        .prop_map(|(config, worker, route, to_cluster, status, us)| Request {
            config,
            worker,
            route,
            to_cluster,
            status,
            us,
        })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => request().prop_map(Step::Count),
        1 => (1..6u64).prop_map(Step::Swap),
        1 => (1..6u64).prop_map(Step::Renumber),
        1 => any::<usize>().prop_map(Step::LetGo),
        2 => Just(Step::Collect),
        1 => Just(Step::Take),
    ]
}

proptest! {
    #[test]
    fn every_request_is_told_of_once_by_its_revision(steps in prop::collection::vec(step(), 0..200)) {
        let ledger = Ledger::default();
        ledger.open(Instant::now());
        let (mut expected, mut counted) = (Counts::new(), Counts::new());
        // The last one is live.
        let mut configs = vec![InUse::new(&ledger, 1, 3)];
        for step in steps {
            match step {
                Step::Count(request) => {
                    let config = &configs[request.config % configs.len()];
                    config.count(&request);
                    expect(&mut expected, config.revision, &request);
                }
                Step::Swap(revision) => configs.push(InUse::new(&ledger, revision, 3)),
                Step::Renumber(revision) => {
                    let live = configs.last_mut().unwrap();
                    ledger.renumber(&live.outcomes, revision);
                    live.revision = revision;
                }
                Step::LetGo(config) if configs.len() > 1 => {
                    configs.remove(config % (configs.len() - 1));
                }
                Step::LetGo(_) => {}
                Step::Collect => ledger.collect(),
                Step::Take => {
                    if let Some(traffic) = ledger.take(Instant::now()) {
                        told(&mut counted, &traffic);
                    }
                }
            }
        }
        drop(configs);
        ledger.collect();
        if let Some(traffic) = ledger.take(Instant::now()) {
            told(&mut counted, &traffic);
        }
        prop_assert_eq!(counted, expected);
        ledger.collect();
        prop_assert!(ledger.take(Instant::now()).is_none());
        prop_assert_eq!(ledger.tracked(), 0);
    }
}

/// What happens between the ledger and a control plane that counts a number once.
#[derive(Clone, Debug)]
enum Way {
    Count,
    Collect,
    /// What is to be sent is sent, so many times in all.
    Send(usize),
    /// Whatever was counted is said to be.
    Hear,
    /// The session breaks and there is another one.
    Break,
    /// So much time goes by.
    Wait(u64),
}

fn way() -> impl Strategy<Value = Way> {
    prop_oneof![
        3 => Just(Way::Count),
        3 => Just(Way::Collect),
        3 => (0..3_usize).prop_map(Way::Send),
        2 => Just(Way::Hear),
        1 => Just(Way::Break),
        1 => (1..20_u64).prop_map(Way::Wait),
    ]
}

proptest! {
    #[test]
    fn every_request_counts_once_whatever_is_lost_or_comes_twice(ways in prop::collection::vec(way(), 0..100)) {
        let mut now = Instant::now();
        let ledger = Ledger::default();
        ledger.open(now);
        let config = InUse::new(&ledger, 1, 1);
        let (mut requests, mut counted, mut taken) = (0, 0, 0);
        let mut count = |report: &Traffic, taken: &mut u64| {
            // There is no gap: the next one comes when the one before was taken.
            assert!((1..=*taken + 1).contains(&report.sequence));
            if report.sequence > *taken {
                *taken = report.sequence;
                counted += report.revisions[0].total.as_ref().unwrap().requests;
            }
            counted
        };
        for way in ways {
            match way {
                Way::Count => {
                    config.count(&ok(0));
                    requests += 1;
                }
                Way::Collect => ledger.collect(),
                Way::Send(times) => if let Some(report) = ledger.send(now) {
                    for _ in 0..times {
                        prop_assert!(count(&report, &mut taken) <= requests);
                    }
                    prop_assert!(ledger.send(now).is_none(), "one is on its way");
                },
                Way::Hear => ledger.is_taken(taken),
                Way::Break => ledger.begin_session(),
                Way::Wait(seconds) => now += std::time::Duration::from_secs(seconds),
            }
        }
        ledger.collect();
        for _ in 0..2 {
            ledger.begin_session();
            if let Some(report) = ledger.send(now) {
                count(&report, &mut taken);
            }
            ledger.is_taken(taken);
        }
        prop_assert_eq!(counted, requests);
        ledger.begin_session();
        prop_assert!(ledger.send(now).is_none());
    }
}

fn ok(route: usize) -> Request {
    Request {
        config: 0,
        worker: route % WORKERS,
        route: Some(route),
        to_cluster: true,
        status: Some(200),
        us: 1000,
    }
}

#[test]
fn of_many_routes_those_with_the_most_requests_have_a_line_of_their_own() {
    let ledger = Ledger::default();
    ledger.open(Instant::now());
    let config = InUse::new(&ledger, 1, 500);
    // First everybody once, then the last ones twice: they move up while the report waits.
    for number in 0..500 {
        config.count(&ok(number));
    }
    ledger.collect();
    for number in (400..500).chain(400..500) {
        config.count(&ok(number));
    }
    ledger.collect();
    let traffic = ledger.take(Instant::now()).unwrap();
    let revision = &traffic.revisions[0];
    let names: Vec<&str> = revision.routes.iter().map(|route| &*route.route).collect();
    let expected: Vec<String> = (400..500)
        .chain(0..100)
        .map(|number| format!("r{number:03}"))
        .collect();
    assert_eq!(names, expected);
    let requests = |outcomes: &Option<Message>| outcomes.as_ref().unwrap().requests;
    // What they had before they moved up stays with the others.
    assert!(
        revision.routes[..100]
            .iter()
            .all(|route| requests(&route.outcomes) == 2)
    );
    let named: u64 = revision
        .routes
        .iter()
        .map(|route| requests(&route.outcomes))
        .sum();
    assert_eq!(named + requests(&revision.other_routes), 700);
    assert_eq!(requests(&revision.total), 700);
}

#[test]
fn of_many_revisions_the_oldest_lose_their_number_and_no_request() {
    let ledger = Ledger::default();
    ledger.open(Instant::now());
    for revision in 1..=20 {
        InUse::new(&ledger, revision, 1).count(&ok(0));
        ledger.collect();
    }
    assert_eq!(ledger.tracked(), 0);
    let traffic = ledger.take(Instant::now()).unwrap();
    let requests =
        |revision: &proto::session::RevisionTraffic| revision.total.as_ref().unwrap().requests;
    let told: Vec<(u64, u64)> = traffic
        .revisions
        .iter()
        .map(|revision| (revision.revision, requests(revision)))
        .collect();
    let newest = (14..=20).rev().map(|revision| (revision, 1));
    let expected: Vec<(u64, u64)> = newest.chain([(0, 13)]).collect();
    assert_eq!(told, expected);
}

#[test]
fn who_wants_no_reports_has_no_slots() {
    assert!(Ledger::default().track(1, WORKERS).is_none());
}
