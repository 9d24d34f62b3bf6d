//! Outcomes → a table for people and JSON for the record. Pure but for the printing.

use std::time::Duration;

use serde_json::{Value, json};

use super::board::quantile;
use super::course::{Commits, Outcome, Phase};
use crate::statistics::rounded;

/// The goals of the design: memory of an idle client, p99 of commit → ACK, and bytes beside the resource itself.
const GOAL_KIB: f64 = 60.0;

/// One outcome.
pub(crate) fn print(outcome: &Outcome) {
    let clients = outcome.course.clients;
    println!(
        "\n{}, {clients} clients, {} resources; load average before: {}",
        outcome.course.kind.name(),
        outcome.course.resources,
        outcome.load_before,
    );
    print_phase("all connect at once", &outcome.connect, clients);
    println!(
        "  at rest: {:.1} MiB, without clients {:.1} MiB: {:.1} KiB a client (goal {GOAL_KIB:.0}); processor a second: {} ms, clients {} ms",
        mib(outcome.idle_kib),
        mib(outcome.empty_kib),
        outcome.kib_per_client(),
        outcome.idle.control_plane.as_millis(),
        outcome.idle.clients.as_millis(),
    );
    print_commits(&outcome.commits, clients);
    print_phase("all come back at once", &outcome.come_back, clients);
    println!("  at rest again: {:.1} MiB", mib(outcome.settled_kib));
}

fn print_phase(what: &str, phase: &Phase, clients: usize) {
    println!(
        "  {what}: p50 {} ms, p99 {} ms, last {} ms; peak {:.1} MiB; processor {:.2} s, clients {:.2} s; {:.1} KiB down, {:.1} KiB up a client; {} connections broke",
        millis(&phase.times, 0.5),
        millis(&phase.times, 0.99),
        millis(&phase.times, 1.0),
        mib(phase.peak_kib),
        phase.cost.control_plane.as_secs_f64(),
        phase.cost.clients.as_secs_f64(),
        phase.bytes.received as f64 / 1024.0 / clients as f64,
        phase.bytes.sent as f64 / 1024.0 / clients as f64,
        phase.broken.early + phase.broken.late,
    );
    if !phase.broken.reasons().is_empty() {
        println!("    {}", phase.broken.reasons());
    }
}

fn print_commits(commits: &Commits, clients: usize) {
    let count = commits.last.len();
    println!(
        "  commit → ACK: p50 {} ms, p99 {} ms; → last ACK: p50 {} ms, worst {} ms; the API's answer: p50 {} ms",
        millis(&commits.acknowledged, 0.5),
        millis(&commits.acknowledged, 0.99),
        millis(&commits.last, 0.5),
        millis(&commits.last, 1.0),
        millis(&commits.api, 0.5),
    );
    if !commits.active.is_empty() {
        println!(
            "  commit → reported active: p50 {} ms, p99 {} ms, last {} ms",
            millis(&commits.active, 0.5),
            millis(&commits.active, 0.99),
            millis(&commits.active, 1.0),
        );
    }
    println!(
        "  commit → rollout completed: p50 {} ms, worst {} ms; {} connections broke",
        millis(&commits.completed, 0.5),
        millis(&commits.completed, 1.0),
        commits.broken,
    );
    let each = commits.cost.divided(count as f64);
    let per = |bytes: u64| bytes as f64 / count as f64 / clients as f64;
    println!(
        "  a commit: processor {} ms, clients {} ms; a client {:.0} bytes down ({:.0} xDS, {:.0} session, the rest HTTP/2), {:.0} up; peak {:.1} MiB",
        each.control_plane.as_millis(),
        each.clients.as_millis(),
        per(commits.bytes.received),
        per(commits.bytes.responses),
        per(commits.bytes.targets),
        per(commits.bytes.sent),
        mib(commits.peak_kib),
    );
}

/// All outcomes, for `bench/results`.
pub(crate) fn json(outcomes: &[Outcome]) -> Value {
    let fleets = outcomes.iter().map(outcome_json);
    json!({ "fleets": fleets.collect::<Vec<_>>() })
}

fn outcome_json(outcome: &Outcome) -> Value {
    json!({
        "clients": outcome.course.clients,
        "kind": outcome.course.kind.name(),
        "resources": outcome.course.resources,
        "load_average_before": outcome.load_before,
        "version": env!("CARGO_PKG_VERSION"),
        "resident_kib": {
            "without_clients": outcome.empty_kib,
            "at_rest": outcome.idle_kib,
            "at_rest_again": outcome.settled_kib,
            "per_client": rounded(outcome.kib_per_client()),
        },
        "idle_cpu_ms_per_second": {
            "control_plane": outcome.idle.control_plane.as_millis(),
            "clients": outcome.idle.clients.as_millis(),
        },
        "connect": phase_json(&outcome.connect, outcome.course.clients),
        "commit": commits_json(&outcome.commits, outcome.course.clients),
        "come_back": phase_json(&outcome.come_back, outcome.course.clients),
    })
}

fn phase_json(phase: &Phase, clients: usize) -> Value {
    json!({
        "ms": times_json(&phase.times),
        "peak_kib": phase.peak_kib,
        "broken_connections": phase.broken.early + phase.broken.late,
        "broken_for": phase.broken.reasons(),
        "cpu_ms": {
            "control_plane": phase.cost.control_plane.as_millis(),
            "clients": phase.cost.clients.as_millis(),
        },
        "bytes_per_client": {
            "down": phase.bytes.received / clients as u64,
            "up": phase.bytes.sent / clients as u64,
        },
    })
}

fn commits_json(commits: &Commits, clients: usize) -> Value {
    let count = commits.last.len();
    let each = commits.cost.divided(count as f64);
    let per = |bytes: u64| (bytes as f64 / count as f64 / clients as f64).round();
    json!({
        "api_ms": times_json(&commits.api),
        "to_ack_ms": times_json(&commits.acknowledged),
        "to_last_ack_ms": times_json(&commits.last),
        "to_active_ms": times_json(&commits.active),
        "to_completed_ms": times_json(&commits.completed),
        "broken_connections": commits.broken,
        "cpu_ms_per_commit": {
            "control_plane": each.control_plane.as_millis(),
            "clients": each.clients.as_millis(),
        },
        "peak_kib": commits.peak_kib,
        "bytes_per_client_and_commit": {
            "down": per(commits.bytes.received),
            "down_xds_messages": per(commits.bytes.responses),
            "down_session_messages": per(commits.bytes.targets),
            "up": per(commits.bytes.sent),
        },
    })
}

/// Nothing if nothing was measured.
fn times_json(ordered: &[Duration]) -> Value {
    if ordered.is_empty() {
        return Value::Null;
    }
    json!({
        "p50": millis(ordered, 0.5),
        "p99": millis(ordered, 0.99),
        "last": millis(ordered, 1.0),
    })
}

fn millis(ordered: &[Duration], share: f64) -> u64 {
    quantile(ordered, share).as_millis() as u64
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

impl Outcome {
    /// What an idle client takes of the control plane's resident memory.
    pub(crate) fn kib_per_client(&self) -> f64 {
        self.idle_kib.saturating_sub(self.empty_kib) as f64 / self.course.clients as f64
    }
}
