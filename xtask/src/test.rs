//! `cargo xtask test`: everything that must hold before a change lands, in parts with a time budget each.
//! A part that fails or takes longer than its budget fails the run; nothing is skipped.

use std::fmt;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;

use crate::run::{run_until, succeeds};
use crate::{tools, workspace};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Run only this part; may be given more than once.
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// In the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// PostgreSQL's programs, Envoy, Node, valgrind, strace and packages for Python and Node: found or installed.
    Tools,
    /// rustfmt's check.
    Fmt,
    /// Every target of every crate.
    Build,
    /// Clippy, warnings denied.
    Clippy,
    /// The proxy as it ships: what it costs is counted by tests.
    Shipped,
    /// Unit, integration and end-to-end tests.
    Tests,
    /// The examples in the documentation.
    Doctests,
    /// The demo, to its first answers.
    Demo,
}

/// All parts together, from a fresh clone on two cores.
const TOTAL_BUDGET: Duration = Duration::from_mins(30);

impl Part {
    /// How long it may take on two cores in a fresh clone: half as much again as it does take, or more.
    fn budget(self) -> Duration {
        match self {
            Self::Tools | Self::Clippy => Duration::from_mins(2),
            Self::Fmt => Duration::from_secs(30),
            Self::Build => Duration::from_secs(330),
            Self::Shipped => Duration::from_secs(270),
            Self::Tests => Duration::from_mins(12),
            Self::Doctests => Duration::from_mins(1),
            Self::Demo => Duration::from_secs(150),
        }
    }

    fn run(self, deadline: Instant) -> Result<()> {
        match self {
            Self::Tools => tools::provide_for_tests(deadline),
            Self::Fmt => run_until(
                workspace::cargo().args(["fmt", "--all", "--check"]),
                deadline,
            ),
            // All targets at once: tests and programs then agree on the features of what they share, and it is built once.
            Self::Build => run_until(
                workspace::cargo().args(["build", "--workspace", "--all-targets"]),
                deadline,
            ),
            Self::Clippy => run_until(&mut workspace::clippy(), deadline),
            Self::Shipped => run_until(
                workspace::cargo().args(["build", "--profile", "dist", "--package", "proxy"]),
                deadline,
            ),
            Self::Tests => run_until(&mut tests(), deadline),
            Self::Doctests => run_until(
                workspace::cargo().args(["test", "--workspace", "--doc"]),
                deadline,
            ),
            Self::Demo => run_until(&mut demo(), deadline),
        }
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.pad(value.as_ref().map_or("", |value| value.get_name()))
    }
}

pub(crate) fn test(arguments: &Arguments) -> Result<()> {
    let chosen = |part: &Part| arguments.only.is_empty() || arguments.only.contains(part);
    let parts: Vec<_> = Part::value_variants()
        .iter()
        .copied()
        .filter(chosen)
        .collect();
    let mut took = Vec::new();
    for part in parts {
        println!("\n=== {part} (budget {})", shown(part.budget()));
        let started = Instant::now();
        let outcome = part.run(started + part.budget());
        took.push((part, started.elapsed()));
        if outcome.is_err() {
            report(&took);
        }
        outcome.with_context(|| format!("part {part} failed"))?;
    }
    report(&took);
    let sum: Duration = took.iter().map(|(_, took)| *took).sum();
    ensure!(
        sum <= TOTAL_BUDGET,
        "over the budget of {} for all parts",
        shown(TOTAL_BUDGET)
    );
    Ok(())
}

/// All of them, also those marked `#[ignore]`. With nextest where it is there, for its time limit per test.
fn tests() -> Command {
    let mut command = workspace::cargo();
    if succeeds(workspace::cargo().args(["nextest", "--version"])) {
        command.args(["nextest", "run", "--workspace", "--run-ignored", "all"]);
    } else {
        command.args([
            "test",
            "--workspace",
            "--all-targets",
            "--no-fail-fast",
            "--",
            "--include-ignored",
        ]);
    }
    command
}

/// The demo as a newcomer starts it, in a process of its own that the budget can end. Not by this program's own path: the
/// build may have put another file in its place.
fn demo() -> Command {
    let mut command = workspace::cargo();
    command.args([
        "run",
        "--quiet",
        "--package",
        "xtask",
        "--",
        "demo",
        "--exit-after-ready",
    ]);
    command
}

fn report(took: &[(Part, Duration)]) {
    println!("\n{:<10} {:>12} {:>12}", "part", "took", "budget");
    for (part, took) in took {
        println!(
            "{part:<10} {:>12} {:>12}",
            shown(*took),
            shown(part.budget())
        );
    }
    let sum = took.iter().map(|(_, took)| *took).sum();
    println!(
        "{:<10} {:>12} {:>12}",
        "sum",
        shown(sum),
        shown(TOTAL_BUDGET)
    );
}

/// `3 min 20 s`, `20 s` or `0.4 s`.
fn shown(duration: Duration) -> String {
    let (minutes, seconds) = (duration.as_secs() / 60, duration.as_secs() % 60);
    match (minutes, seconds) {
        (0, 0..10) => format!("{:.1} s", duration.as_secs_f64()),
        (0, _) => format!("{seconds} s"),
        (_, 0) => format!("{minutes} min"),
        _ => format!("{minutes} min {seconds} s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budgets_of_the_parts_fit_into_the_whole() {
        let sum: Duration = Part::value_variants()
            .iter()
            .map(|part| part.budget())
            .sum();
        assert!(sum <= TOTAL_BUDGET, "{}", shown(sum));
    }

    #[test]
    fn durations_are_shown_as_people_say_them() {
        let shown_all =
            [0.04, 9.96, 59.9, 60.0, 200.0].map(|seconds| shown(Duration::from_secs_f64(seconds)));
        assert_eq!(
            shown_all,
            ["0.0 s", "10.0 s", "59 s", "1 min", "3 min 20 s"]
        );
    }
}
