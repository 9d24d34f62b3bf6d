//! `cargo xtask soak`: the property tests and the fuzzer for as long as one likes, each round with another seed. The first
//! failure ends it, and the command that shows the same failure again is printed. What `cargo xtask test` runs once, with
//! fewer cases, is all that is run here; nothing is installed and no other program is started.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

use crate::run::run_until;
use crate::workspace;

/// Of the time, so much is the fuzzer's.
const FUZZ_SHARE: u32 = 4;
/// A step that takes longer hangs: on two cores the longest takes less than a minute.
const STEP_MAX: Duration = Duration::from_mins(10);
/// Both builds, from nothing; they do not count as soaking.
const BUILD_MAX: Duration = Duration::from_mins(20);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long; the step that is running then is finished.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..))]
    minutes: u32,
    /// Where the seeds begin, as an earlier run has printed it. From the clock if there is none.
    #[arg(long)]
    seed: Option<u32>,
}

/// Property tests that are run together.
#[derive(Debug, PartialEq, Eq)]
struct Suite {
    /// The folder of the crate.
    package: &'static str,
    /// Modules whose names no other crate has.
    modules: &'static [&'static str],
    /// Cases of each of them in a round: 10 to 30 s on two cores, so that a failure is not long to see again.
    cases: u32,
}

/// In the order in which they run.
const SUITES: [Suite; 6] = [
    Suite {
        package: "control-plane",
        modules: &["rollout::tests", "rollout::advance"],
        cases: 20_000,
    },
    Suite {
        package: "e2e",
        modules: &["convergence"],
        cases: 10_000,
    },
    Suite {
        package: "control-plane",
        modules: &[
            "ads::held::tests",
            "snapshots::serving::tests",
            "traffic::tests",
            "sketch",
        ],
        cases: 2_000,
    },
    Suite {
        package: "xds",
        modules: &[
            "route_index::tests",
            "prefix_tree",
            "snapshot::tests",
            "route::substitution",
        ],
        cases: 5_000,
    },
    Suite {
        package: "http-wire",
        modules: &[
            "canonical::tests",
            "h1::lines::tests",
            "h1::request",
            "h1::response::tests",
        ],
        cases: 20_000,
    },
    Suite {
        package: "proxy",
        modules: &["disk::tests", "outcomes::tests"],
        cases: 1_000,
    },
];

/// What one run does.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    seed: u32,
    fuzz: Duration,
    properties: Duration,
}

/// Some property tests with a seed.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    suite: &'static Suite,
    seed: u32,
}

impl Plan {
    fn new(arguments: &Arguments, clock: u32) -> Self {
        let whole = Duration::from_mins(arguments.minutes.into());
        let fuzz = whole / FUZZ_SHARE;
        Self {
            seed: arguments.seed.unwrap_or(clock),
            fuzz,
            properties: whole.saturating_sub(fuzz),
        }
    }

    /// The steps, without an end: every suite, then every suite with the next seed.
    fn steps(&self) -> impl Iterator<Item = Step> {
        let first = self.seed;
        (0..).flat_map(move |round: u32| {
            SUITES.iter().map(move |suite| Step {
                suite,
                seed: first.wrapping_add(round),
            })
        })
    }
}

impl Step {
    fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("PROPTEST_CASES", self.suite.cases.to_string()),
            ("PROPTEST_RNG_SEED", self.seed.to_string()),
            // The seed is all that is needed; no file appears among the sources.
            ("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "1".into()),
        ]
    }

    fn command(&self) -> Command {
        let mut command = tests();
        command.arg("--quiet").arg("--");
        command.args(
            self.suite
                .modules
                .iter()
                .map(|module| format!("{module}::")),
        );
        command.envs(self.environment());
        command
    }

    /// As one types it in the workspace.
    fn again(&self) -> String {
        let environment = self.environment();
        let environment = environment
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        let command = self.command();
        let arguments = command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned());
        let words = environment.chain(["cargo".into()]).chain(arguments);
        words.collect::<Vec<_>>().join(" ")
    }
}

pub(crate) fn soak(arguments: &Arguments) -> Result<()> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH)?.subsec_nanos();
    let plan = Plan::new(arguments, clock);
    println!(
        "seed {}: cargo xtask soak --minutes {} --seed {}",
        plan.seed, arguments.minutes, plan.seed
    );
    fs::create_dir_all(found())?;
    let built = Instant::now() + BUILD_MAX;
    run_until(tests().arg("--no-run"), built)?;
    run_until(&mut fuzzer(plan.seed, Duration::from_secs(1)), built)?;

    println!(
        "\n=== fuzzing `decode` for {} s, seed {}",
        plan.fuzz.as_secs(),
        plan.seed
    );
    run_until(
        &mut fuzzer(plan.seed, plan.fuzz),
        Instant::now() + plan.fuzz + STEP_MAX,
    )
    .context(
        "the input is in xds/fuzz/artifacts/decode; xds/fuzz/README.md says what to do with it",
    )?;

    let end = Instant::now() + plan.properties;
    let (mut steps, mut cases) = (0_u32, 0_u64);
    for step in plan.steps().take_while(|_| Instant::now() < end) {
        let (names, count) = (step.suite.modules.join(", "), step.suite.cases);
        println!(
            "\n=== {}: {names}; {count} cases, seed {}",
            step.suite.package, step.seed
        );
        run_until(&mut step.command(), Instant::now() + STEP_MAX)
            .with_context(|| format!("to see it again: {}", step.again()))?;
        steps += 1;
        cases += u64::from(count);
    }
    println!("\nno failure in {steps} steps, each test of them with its cases: {cases} in sum");
    Ok(())
}

/// The tests of the whole workspace: what is asked of one crate alone would be built anew with other features.
fn tests() -> Command {
    let mut command = workspace::cargo();
    command.args(["test", "--workspace", "--lib", "--test", "it"]);
    command
}

/// What it finds goes into a folder of the build, not among the inputs that the sources keep.
fn fuzzer(seed: u32, time: Duration) -> Command {
    let mut command = Command::new(workspace::root().join("xds/fuzz/run-on-stable.sh"));
    command
        .arg(format!("-max_total_time={}", time.as_secs().max(1)))
        // 0 would be a seed of its own choice.
        .arg(format!("-seed={}", seed.max(1)))
        .arg("-print_final_stats=1")
        .arg(found());
    command
}

fn found() -> PathBuf {
    workspace::root().join("target/soak/decode")
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(words: &[&str]) -> Result<Plan, clap::Error> {
        let words = [&["soak"], words].concat();
        Line::try_parse_from(words).map(|line| Plan::new(&line.arguments, 99))
    }

    #[test]
    fn the_shares_are_the_whole_and_the_seed_is_the_one_given() {
        let given = plan(&["--minutes", "2", "--seed", "7"]).unwrap();
        let expected = Plan {
            seed: 7,
            fuzz: Duration::from_secs(30),
            properties: Duration::from_secs(90),
        };
        assert_eq!(given, expected);
        let by_itself = plan(&[]).unwrap();
        assert_eq!(by_itself.seed, 99);
        assert_eq!(
            by_itself.fuzz + by_itself.properties,
            Duration::from_mins(10)
        );
        assert!(plan(&["--minutes", "0"]).is_err());
        assert!(plan(&["--seed", "-1"]).is_err());
    }

    #[test]
    fn every_suite_runs_in_every_round_and_every_round_has_a_seed_of_its_own() {
        let plan = plan(&["--seed", "4294967295"]).unwrap();
        let steps: Vec<_> = plan.steps().take(2 * SUITES.len()).collect();
        for (round, seed) in [(0, u32::MAX), (1, 0)] {
            for (suite, step) in SUITES.iter().zip(&steps[round * SUITES.len()..]) {
                assert_eq!(*step, Step { suite, seed });
            }
        }
    }

    #[test]
    fn a_step_says_how_it_is_run_again() {
        let suite = &Suite {
            package: "p",
            modules: &["a::tests", "b"],
            cases: 5,
        };
        assert_eq!(
            Step { suite, seed: 3 }.again(),
            "PROPTEST_CASES=5 PROPTEST_RNG_SEED=3 PROPTEST_DISABLE_FAILURE_PERSISTENCE=1 \
             cargo test --workspace --lib --test it --quiet -- a::tests:: b::"
        );
    }

    /// Of a module that was moved no test would run, and nobody would notice.
    #[test]
    fn every_module_that_is_named_is_there_with_a_property() {
        for suite in &SUITES {
            for module in suite.modules {
                let file = format!("{}.rs", module.replace("::", "/"));
                let folders = ["src", "tests/it"]
                    .map(|folder| workspace::root().join(suite.package).join(folder));
                let texts = folders
                    .map(|folder| std::fs::read_to_string(folder.join(&file)).unwrap_or_default());
                assert!(
                    texts.iter().any(
                        |text| text.contains("proptest! {") || text.contains("TestRunner::new")
                    ),
                    "{module} of {}",
                    suite.package
                );
            }
        }
    }
}
