//! `quick`, `full`, `compare`, `table`: which scenarios, how often, and where the results go.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::measure::{self, Effort};
use crate::peers::Who;
use crate::results::{self, Measured, Results};
use crate::scenario::{self, Kind, Scenario};
use crate::{readme, text};

/// The results that the README shows.
const FULL: &str = "full";

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Only this scenario; may be given several times. Nothing is written then
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// How often each peer is measured
    #[arg(long, default_value_t = 5, value_parser = at_least_one)]
    rounds: usize,
    /// How long each measurement takes
    #[arg(long, default_value_t = 1.0)]
    seconds: f64,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Comparison {
    /// A build of signalbox-proxy
    old: PathBuf,
    /// Another one
    new: PathBuf,
    #[command(flatten)]
    options: Options,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| "a number from 1 on".to_owned())
}

impl Options {
    fn effort(&self) -> Effort {
        Effort {
            rounds: self.rounds,
            seconds: self.seconds,
        }
    }

    fn choose(&self, default: &[&str]) -> Result<Vec<Scenario>> {
        scenario::choose(default, &self.only).map_err(anyhow::Error::msg)
    }
}

/// One scenario or two, in less than three minutes.
pub(crate) async fn quick(options: &Options) -> Result<()> {
    let results = run(options, scenario::QUICK).await?;
    keep(&results, options, "quick").map(drop)
}

/// All scenarios; the README's table is made anew.
pub(crate) async fn full(options: &Options) -> Result<()> {
    let results = run(options, &[]).await?;
    if keep(&results, options, FULL)? {
        table()?;
    }
    Ok(())
}

/// The README's table out of the last full results.
pub(crate) fn table() -> Result<()> {
    readme::update(Results::read(FULL)?.as_ref())
}

/// Two builds of the proxy, side by side.
pub(crate) async fn compare(comparison: &Comparison) -> Result<()> {
    let options = &comparison.options;
    for build in [&comparison.old, &comparison.new] {
        ensure!(build.is_file(), "{} is no program", build.display());
    }
    let builds = [
        Who::Forwarder,
        Who::Build(text::OLD, comparison.old.clone()),
        Who::Build(text::NEW, comparison.new.clone()),
    ];
    for scenario in options.choose(scenario::COMPARE)? {
        ensure!(
            matches!(scenario.kind, Kind::Traffic(_)),
            "{} cannot be compared: it has no rounds",
            scenario.name
        );
        let measured = measure::scenario(&scenario, options.effort(), Some(&builds)).await?;
        println!("{}", text::comparison(&scenario, &measured));
    }
    Ok(())
}

async fn run(options: &Options, default: &[&str]) -> Result<Results> {
    let start = Instant::now();
    let mut scenarios = Vec::new();
    for scenario in options.choose(default)? {
        let measured = measure::scenario(&scenario, options.effort(), None).await;
        // What cannot be measured is told of, and does not take the rest with it.
        let measured = measured.unwrap_or_else(|error| Measured {
            name: scenario.name.to_owned(),
            peers: Vec::new(),
            left_out: vec![format!("{} was not measured: {error:#}", scenario.name)],
        });
        println!("{}", text::scenario(&scenario, &measured));
        scenarios.push(measured);
    }
    println!("took {:.0?}", start.elapsed());
    Ok(Results::new(options.rounds, options.seconds, scenarios))
}

/// Whether it was written: results of some scenarios must not stand for those of all.
fn keep(results: &Results, options: &Options, name: &str) -> Result<bool> {
    if options.only.is_empty() {
        let file = results::write(name, results)?;
        println!("written: {}", file.display());
    } else {
        println!("not written: not all scenarios were measured");
    }
    Ok(options.only.is_empty())
}
