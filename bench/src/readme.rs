//! The README's tables: results of a full run → Markdown, between two markers. Pure but for the file.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::results::{FLOOR, Measured, OURS, PeerResult, Results};
use crate::scenario::{self, Kind, Placement, Scenario, Traffic};

const BEGIN: &str = "<!-- measurements: made by `cargo xtask bench table` -->\n";
const END: &str = "<!-- end of measurements -->";
/// Whose columns there are, in this order; ours is the last.
const PEERS: [&str; 5] = [FLOOR, "nginx", "HAProxy", "Envoy", OURS];

/// With 100,000 hosts: what HAProxy takes, and a tenth more.
const MEMORY_GOAL: &str = "≤ 45";

/// Writes the tables into the README.
pub(crate) fn update(results: Option<&Results>) -> Result<()> {
    let file = file();
    let text = fs::read_to_string(&file)?;
    fs::write(&file, with_tables(&text, results)?)?;
    println!("written: README.md");
    Ok(())
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")
}

fn with_tables(readme: &str, results: Option<&Results>) -> Result<String> {
    let (before, rest) = readme
        .split_once(BEGIN)
        .context("the README has no place for measurements")?;
    let (_, after) = rest
        .split_once(END)
        .context("the README's measurements have no end")?;
    Ok(format!("{before}{BEGIN}{}{END}{after}", tables(results)))
}

fn tables(results: Option<&Results>) -> String {
    let Some(results) = results else {
        return "\nNot measured yet: `cargo xtask bench full`.\n\n".to_owned();
    };
    let of = |wanted: fn(&Kind) -> bool| {
        let measured = results.scenarios.iter().filter_map(move |measured| {
            let scenario = scenario::find(&measured.name)?;
            wanted(&scenario.kind).then_some((scenario, measured))
        });
        measured.collect::<Vec<_>>()
    };
    let closed = of(|kind| matches!(kind, Kind::Traffic(Traffic { rate: None, .. })));
    let open = of(|kind| matches!(kind, Kind::Traffic(Traffic { rate: Some(_), .. })));
    let mut text = format!("\n{}\n", preface(results));
    section(
        &mut text,
        "CPU time for a request, µs",
        &closed,
        |scenario| scenario.goal,
        |measured, peer| {
            let cost = peer.number("cpu_median_us")?;
            let ratio = if peer.name == OURS {
                peer.number("cpu_of_l4")
                    .map(|ratio| format!("L4 {ratio:.2}"))
            } else {
                peer.number("cpu_of_signalbox")
                    .map(|ratio| format!("{ratio:.2}"))
            };
            let one_route = measured
                .peer("Signalbox, 1 route")
                .filter(|_| peer.name == OURS);
            let one_route = one_route.and_then(|one| one.number("cpu_of_signalbox"));
            let more = one_route.map_or_else(String::new, |of| {
                format!(", 1 route {:+.0} %", (1.0 / of - 1.0) * 100.0)
            });
            Some(format!(
                "{cost:.1} ({}{more})",
                ratio.unwrap_or_else(|| "–".to_owned())
            ))
        },
    );
    let tables: Vec<_> = closed
        .iter()
        .copied()
        .filter(|(scenario, _)| matches!(scenario.kind, Kind::Traffic(traffic) if traffic.table.routes() > 1))
        .collect();
    section(
        &mut text,
        "Memory with so many routes, MiB",
        &tables,
        |scenario| match scenario.name {
            "hosts-100000" => MEMORY_GOAL,
            _ => "",
        },
        |_, peer| Some(format!("{:.0}", peer.number("start_kib")? / 1024.0)),
    );
    section(
        &mut text,
        "Latency at a fixed rate, p50 / p99, µs",
        &open,
        |scenario| scenario.goal,
        |_, peer| {
            Some(format!(
                "{:.0} / {:.0}",
                peer.number("p50_us")?,
                peer.number("p99_us")?
            ))
        },
    );
    let reloads = of(|kind| matches!(kind, Kind::Reload { .. }));
    section(
        &mut text,
        "Until the new route answers, ms (failed requests; p99 before → after, µs)",
        &reloads,
        |scenario| scenario.goal,
        |_, peer| {
            let told = peer.number("told_ms").filter(|_| peer.name == OURS);
            let committed =
                told.map_or_else(String::new, |told| format!(", committed after {told:.0}"));
            Some(format!(
                "{:.0}{committed} ({:.0}; {:.0} → {:.0})",
                peer.number("answers_ms")?,
                peer.number("failed")?,
                peer.number("p99_before_us")?,
                peer.number("p99_after_us")?,
            ))
        },
    );
    let idle = of(|kind| matches!(kind, Kind::Idle { .. }));
    section(
        &mut text,
        "Memory, MiB (KiB for each idle connection)",
        &idle,
        |scenario| scenario.goal,
        |_, peer| {
            Some(format!(
                "{:.1} ({:.1})",
                peer.number("memory_kib")? / 1024.0,
                peer.number("connection_kib")?
            ))
        },
    );
    text
}

fn preface(results: &Results) -> String {
    let of = |field: &str| {
        let value = &results.machine[field];
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    let versions = results
        .scenarios
        .first()
        .map_or_else(String::new, |measured| {
            let others = PEERS
                .iter()
                .filter(|name| **name != FLOOR && **name != OURS);
            let peers = others.filter_map(|name| measured.peer(name));
            let versions: Vec<_> = peers
                .map(|peer| format!("{} {}", peer.name, short(&peer.version)))
                .collect();
            versions.join(", ")
        });
    format!(
        "{} with {} cores, Linux {}; {versions}. All with keep-alive and no access log, {} interleaved rounds, medians. In parentheses:
what a peer takes of what Signalbox takes in the same round (below 1 it is cheaper), and for Signalbox what it takes of the L4 forwarder,
which reads nothing and so is the floor. The goals are given in the same way.",
        of("processor"),
        of("cores"),
        of("kernel"),
        results.rounds,
    )
}

fn short(version: &str) -> &str {
    version.split('-').next().unwrap_or_default()
}

fn section(
    text: &mut String,
    title: &str,
    scenarios: &[(&Scenario, &Measured)],
    goal: impl Fn(&Scenario) -> &'static str,
    cell: impl Fn(&Measured, &PeerResult) -> Option<String>,
) {
    if scenarios.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n| {title} | {} | goal |", PEERS.join(" | "));
    let _ = writeln!(text, "|---|{}---|", "---|".repeat(PEERS.len()));
    for (scenario, measured) in scenarios {
        let cells = PEERS.map(|name| {
            let cell = measured.peer(name).and_then(|peer| cell(measured, peer));
            cell.unwrap_or_else(|| "–".to_owned())
        });
        let _ = writeln!(
            text,
            "| {} | {} | {} |",
            what(scenario),
            cells.join(" | "),
            goal(scenario)
        );
    }
    text.push('\n');
}

fn what(scenario: &Scenario) -> String {
    match scenario.kind {
        Kind::Traffic(Traffic {
            placement: Placement::TwoUnpinned,
            ..
        }) if !scenario.what.contains("workers") => format!("{}, two workers", scenario.what),
        _ => scenario.what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::Sample;

    #[test]
    fn the_readme_shows_what_was_measured() {
        let readme = fs::read_to_string(file()).unwrap();
        let results = Results::read("full").unwrap();
        let wanted = with_tables(&readme, results.as_ref()).unwrap();
        assert!(
            readme == wanted,
            "README.md differs from bench/results/full.json: run `cargo xtask bench table`"
        );
    }

    #[test]
    fn a_cell_tells_the_cost_and_who_is_ahead() {
        let peer = |name: &str, cpu_us| PeerResult {
            name: name.to_owned(),
            rounds: vec![Sample::of_cpu(cpu_us)],
            ..Default::default()
        };
        let peers = vec![peer(FLOOR, 10.0), peer("nginx", 15.0), peer(OURS, 20.0)];
        let measured = Measured::of_rounds("small-64", peers, Vec::new());
        let text = tables(Some(&Results::new(1, 1.0, vec![measured])));
        let row = "| small GET, 64 connections, one worker | 10.0 (0.50) | 15.0 (0.75) | – | – | 20.0 (L4 2.00) | L4 ≤ 1.30; 1.5, 1.5, 6 |";
        assert!(text.contains(row), "{text}");
    }

    #[test]
    fn what_stands_around_the_tables_stays() {
        let readme = format!("a\n{BEGIN}old{END}\nb\n");
        let new = with_tables(&readme, None).unwrap();
        assert!(new.starts_with("a\n") && new.ends_with("\nb\n") && !new.contains("old"));
        assert_eq!(with_tables(&new, None).unwrap(), new);
        assert!(with_tables("a", None).is_err());
    }
}
