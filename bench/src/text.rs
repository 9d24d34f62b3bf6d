//! Results as tables in a terminal. Pure.

use std::fmt::Write as _;

use crate::results::{Measured, PeerResult};
use crate::scenario::{Kind, Scenario};
use crate::statistics::{Sample, paired};

/// The names of the two builds of a comparison.
pub(crate) const OLD: &str = "old";
pub(crate) const NEW: &str = "new";

/// Of a number: its heading, its name in the results, by what it is divided, its decimals.
type Column = (&'static str, &'static str, f64, usize);

const TRAFFIC: &[Column] = &[
    ("CPU µs best", "cpu_best_us", 1.0, 2),
    ("median", "cpu_median_us", 1.0, 2),
    ("x L4", "cpu_of_l4", 1.0, 2),
    ("x Signalbox", "cpu_of_signalbox", 1.0, 2),
    ("requests/s", "requests_per_s", 1.0, 0),
    ("p50 µs", "p50_us", 1.0, 0),
    ("p99 µs", "p99_us", 1.0, 0),
    ("MiB", "memory_kib", 1024.0, 1),
    ("start s", "start_s", 1.0, 1),
];
const RELOAD: &[Column] = &[
    ("answers ms", "answers_ms", 1.0, 1),
    ("told ms", "told_ms", 1.0, 1),
    ("CPU s", "cpu_s", 1.0, 2),
    ("failed", "failed", 1.0, 0),
    ("reconnects", "reconnects", 1.0, 0),
    ("p99 µs before", "p99_before_us", 1.0, 0),
    ("after", "p99_after_us", 1.0, 0),
    ("MiB at start", "start_kib", 1024.0, 1),
    ("peak", "memory_peak_kib", 1024.0, 1),
    ("changes", "changes", 1.0, 0),
];
const IDLE: &[Column] = &[
    ("MiB", "memory_kib", 1024.0, 1),
    ("KiB/connection", "connection_kib", 1.0, 2),
];
const BUILDS: &[Column] = &[
    ("CPU µs best", "cpu_best_us", 1.0, 2),
    ("median", "cpu_median_us", 1.0, 2),
    ("x L4", "cpu_of_l4", 1.0, 2),
    ("requests/s", "requests_per_s", 1.0, 0),
    ("p50 µs", "p50_us", 1.0, 0),
    ("p99 µs", "p99_us", 1.0, 0),
    ("MiB", "memory_kib", 1024.0, 1),
];

pub(crate) fn scenario(scenario: &Scenario, measured: &Measured) -> String {
    let columns = match scenario.kind {
        Kind::Traffic(_) => TRAFFIC,
        Kind::Reload { .. } => RELOAD,
        Kind::Idle { .. } => IDLE,
    };
    let mut text = table(columns, &measured.peers);
    for line in &measured.left_out {
        text.push_str(line);
        text.push('\n');
    }
    text
}

/// Both builds and what the new one takes of the old one's, paired by round.
pub(crate) fn comparison(scenario: &Scenario, measured: &Measured) -> String {
    let mut text = table(BUILDS, &measured.peers);
    let rounds = |name| measured.peer(name).map_or(&[][..], |peer| &peer.rounds);
    let ratio = |of: fn(&Sample) -> f64| paired(rounds(NEW), rounds(OLD), of);
    let _ = writeln!(
        text,
        "{}, new of old: CPU {:.3}, requests/s {:.3}, p50 {:.3}, p99 {:.3}",
        scenario.name,
        ratio(|sample| sample.cpu_us),
        ratio(|sample| sample.requests_per_s),
        ratio(|sample| sample.p50_us),
        ratio(|sample| sample.p99_us),
    );
    text
}

fn table(columns: &[Column], peers: &[PeerResult]) -> String {
    let mut text = format!("{:<22}", "");
    for (heading, ..) in columns {
        let _ = write!(text, " {heading:>14}");
    }
    text.push('\n');
    for peer in peers {
        let version = peer.version.split('-').next().unwrap_or_default();
        let _ = write!(text, "{:<22}", format!("{} {version}", peer.name));
        for (_, name, unit, decimals) in columns {
            let cell = match peer.number(name) {
                Some(number) => format!("{:.decimals$}", number / unit),
                None => "–".to_owned(),
            };
            let _ = write!(text, " {cell:>14}");
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::find;

    fn build(name: &str, cpu_us: &[f64]) -> PeerResult {
        PeerResult {
            name: name.to_owned(),
            rounds: cpu_us
                .iter()
                .map(|cpu_us| Sample::of_cpu(*cpu_us))
                .collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_comparison_ends_with_ratios_paired_by_round() {
        let peers = vec![build(OLD, &[10.0, 30.0]), build(NEW, &[5.0, 15.0])];
        let measured = Measured::of_rounds("small-64", peers, Vec::new());
        let text = comparison(find("small-64").unwrap(), &measured);
        assert!(text.contains("small-64, new of old: CPU 0.500,"), "{text}");
    }

    #[test]
    fn who_is_left_out_is_named_and_what_is_unknown_is_a_dash() {
        let measured = Measured {
            name: "idle".to_owned(),
            peers: vec![build("nginx", &[])],
            left_out: vec!["Envoy is left out: not installed".to_owned()],
        };
        let text = scenario(find("idle").unwrap(), &measured);
        assert!(text.contains('–') && text.ends_with("Envoy is left out: not installed\n"));
    }
}
