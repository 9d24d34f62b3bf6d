//! Traffic in `/metrics`. Counters of what nodes of this replica have reported; and, the same at every replica, how the whole
//! fleet fared within the last minute. The number of series is bounded: the last revisions of each fleet, and of the newest
//! minute the routes with the most requests.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

use super::merged::{Merged, RouteName};
use super::outcomes::{Outcomes, add};

/// The time that fleet-wide series are about.
pub const WINDOW: Duration = Duration::from_mins(1);
/// So many revisions of a fleet are counted: those that something was last reported of.
const REVISIONS_MAX: usize = 8;
/// So many routes of a fleet have series, over all its revisions.
const ROUTES_MAX: usize = 100;
const QUANTILES: [(f64, &str); 3] = [(0.5, "0.5"), (0.95, "0.95"), (0.99, "0.99")];

/// The series.
#[derive(Debug, Default)]
pub struct Series(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counted: BTreeMap<String, Counted>,
    revisions: Vec<OfRevision>,
    routes: Vec<Route>,
}

/// What was counted of a fleet.
#[derive(Debug, Default)]
struct Counted {
    reports: u64,
    revisions: BTreeMap<u64, Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// The number of the fleet's report that was last of this revision.
    newest: u64,
    requests: u64,
    errors: u64,
    no_route: u64,
}

#[derive(Debug)]
struct OfRevision {
    fleet: String,
    revision: u64,
    seconds: [Option<f64>; QUANTILES.len()],
}

#[derive(Debug)]
struct Route {
    fleet: String,
    revision: u64,
    name: RouteName,
    requests: u64,
    errors: u64,
    seconds: [Option<f64>; QUANTILES.len()],
}

impl Series {
    /// Counts a report.
    pub(super) fn count(&self, fleet: &str, revision: u64, merged: &Merged) {
        let mut state = self.state();
        if !state.counted.contains_key(fleet) {
            state.counted.insert(fleet.to_owned(), Counted::default());
        }
        if let Some(counted) = state.counted.get_mut(fleet) {
            counted.add(revision, merged);
        }
    }

    /// What all replicas have written of the last minute, by fleet and revision: all fleets that there are.
    pub(super) fn replace(&self, fleets: &BTreeMap<String, BTreeMap<u64, Merged>>) {
        let (revisions, routes) = (revisions(fleets), routes(fleets));
        let mut state = self.state();
        state.counted.retain(|fleet, _| fleets.contains_key(fleet));
        (state.revisions, state.routes) = (revisions, routes);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counted {
    fn add(&mut self, revision: u64, merged: &Merged) {
        self.reports += 1;
        let counts = self.revisions.entry(revision).or_default();
        counts.newest = self.reports;
        add(&mut counts.requests, merged.total.requests);
        add(&mut counts.errors, merged.total.errors());
        add(&mut counts.no_route, merged.no_route);
        if self.revisions.len() > REVISIONS_MAX {
            let oldest = self
                .revisions
                .iter()
                .min_by_key(|(_, counts)| counts.newest);
            if let Some(oldest) = oldest.map(|(revision, _)| *revision) {
                self.revisions.remove(&oldest);
            }
        }
    }
}

fn revisions(fleets: &BTreeMap<String, BTreeMap<u64, Merged>>) -> Vec<OfRevision> {
    let mut made = Vec::new();
    for (fleet, revisions) in fleets {
        // The newest; what a row says is what somebody reported, and may be anything.
        for (revision, merged) in revisions.iter().rev().take(REVISIONS_MAX) {
            made.push(OfRevision {
                fleet: fleet.clone(),
                revision: *revision,
                seconds: seconds(&merged.total),
            });
        }
    }
    made
}

fn routes(fleets: &BTreeMap<String, BTreeMap<u64, Merged>>) -> Vec<Route> {
    let mut made = Vec::new();
    for (fleet, revisions) in fleets {
        let named = revisions.iter().flat_map(|(revision, merged)| {
            let named = merged.routes.named.iter();
            named.map(move |(name, outcomes)| (*revision, name, outcomes))
        });
        let mut named: Vec<_> = named.collect();
        named.sort_by_key(|(_, _, outcomes)| std::cmp::Reverse(outcomes.requests));
        for (revision, name, outcomes) in named.into_iter().take(ROUTES_MAX) {
            made.push(Route {
                fleet: fleet.clone(),
                revision,
                name: name.clone(),
                requests: outcomes.requests,
                errors: outcomes.errors(),
                seconds: seconds(outcomes),
            });
        }
    }
    made
}

fn seconds(outcomes: &Outcomes) -> [Option<f64>; QUANTILES.len()] {
    QUANTILES.map(|(q, _)| outcomes.latencies.quantile_ms(q).map(|ms| ms / 1_000.0))
}

impl Collector for Series {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let state = self.state();
        encode_counters(&state, &mut encoder)?;
        encode_revisions(&state, &mut encoder)?;
        encode_routes(&state, &mut encoder)
    }
}

fn encode_counters(state: &State, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    type Part = fn(&Counts) -> u64;
    let parts: [(&str, &str, Part); 3] = [
        (
            "traffic_requests",
            "Requests that nodes of this replica report, by the revision that served them",
            |counts| counts.requests,
        ),
        (
            "traffic_errors",
            "Those of them that were answered with a 5xx",
            |counts| counts.errors,
        ),
        (
            "traffic_no_route",
            "Those of them that matched no route",
            |counts| counts.no_route,
        ),
    ];
    for (name, help, part) in parts {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (fleet, counted) in &state.counted {
            for (revision, counts) in &counted.revisions {
                let labels = [("fleet", fleet.clone()), ("revision", revision.to_string())];
                ConstCounter::new(part(counts)).encode(family.encode_family(&labels)?)?;
            }
        }
    }
    Ok(())
}

fn encode_revisions(state: &State, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    let help = "How long requests of the whole fleet took within the last minute";
    let mut family = encoder.encode_descriptor(
        "traffic_latency",
        help,
        Some(&Unit::Seconds),
        MetricType::Gauge,
    )?;
    for revision in &state.revisions {
        for ((_, quantile), seconds) in QUANTILES.iter().zip(revision.seconds) {
            let Some(seconds) = seconds else { continue };
            let labels = [
                ("fleet", revision.fleet.clone()),
                ("revision", revision.revision.to_string()),
                ("quantile", (*quantile).to_owned()),
            ];
            ConstGauge::new(seconds).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

fn encode_routes(state: &State, encoder: &mut DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
    type Part = fn(&Route) -> u64;
    let parts: [(&str, &str, Part); 2] = [
        (
            "traffic_route_requests",
            "Requests of the whole fleet within the last minute, by route",
            |route| route.requests,
        ),
        (
            "traffic_route_errors",
            "Those of them that were answered with a 5xx",
            |route| route.errors,
        ),
    ];
    for (name, help, part) in parts {
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for route in &state.routes {
            ConstGauge::new(part(route) as f64).encode(family.encode_family(&route.labels())?)?;
        }
    }
    let help = "How long requests of the whole fleet took within the last minute, by route";
    let mut family = encoder.encode_descriptor(
        "traffic_route_latency",
        help,
        Some(&Unit::Seconds),
        MetricType::Gauge,
    )?;
    for route in &state.routes {
        for ((_, quantile), seconds) in QUANTILES.iter().zip(route.seconds) {
            let Some(seconds) = seconds else { continue };
            let mut labels = route.labels();
            labels.push(("quantile", (*quantile).to_owned()));
            ConstGauge::new(seconds).encode(family.encode_family(&labels)?)?;
        }
    }
    Ok(())
}

impl Route {
    fn labels(&self) -> Vec<(&'static str, String)> {
        vec![
            ("fleet", self.fleet.clone()),
            ("revision", self.revision.to_string()),
            ("route_configuration", self.name.route_configuration.clone()),
            ("virtual_host", self.name.virtual_host.clone()),
            ("route", self.name.route.clone()),
        ]
    }
}
