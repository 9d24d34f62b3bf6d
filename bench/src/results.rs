//! What was measured, as values that are written to `bench/results/` and read again. Pure but for the files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::machine;
use crate::statistics::{Sample, best, median, paired, rounded};

/// The floor, with which costs are compared.
pub(crate) const FLOOR: &str = "L4 forwarder";
/// Whom it is all about.
pub(crate) const OURS: &str = "Signalbox";

/// Of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Value,
    pub(crate) measured_at_unix: u64,
    pub(crate) rounds: usize,
    pub(crate) seconds: f64,
    pub(crate) scenarios: Vec<Measured>,
}

/// One scenario.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) name: String,
    pub(crate) peers: Vec<PeerResult>,
    /// Who was not measured, and why.
    pub(crate) left_out: Vec<String>,
}

/// One peer. The numbers' names end with their unit, or are ratios (`…_of_l4`, `…_of_signalbox`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct PeerResult {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) numbers: BTreeMap<String, f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) rounds: Vec<Sample>,
}

impl Results {
    pub(crate) fn new(rounds: usize, seconds: f64, scenarios: Vec<Measured>) -> Self {
        Self {
            machine: machine::description(),
            measured_at_unix: now_unix(),
            rounds,
            seconds,
            scenarios,
        }
    }

    /// What was written last, if anything was.
    pub(crate) fn read(name: &str) -> Result<Option<Self>> {
        let file = file(name);
        if !file.exists() {
            return Ok(None);
        }
        let text = fs::read_to_string(&file)?;
        let results = serde_json::from_str(&text);
        results
            .with_context(|| format!("{}", file.display()))
            .map(Some)
    }
}

/// Writes `bench/results/NAME.json`; the history is version control's.
pub(crate) fn write(name: &str, results: &impl Serialize) -> Result<PathBuf> {
    let file = file(name);
    let text = serde_json::to_string_pretty(results)?;
    fs::write(&file, format!("{text}\n"))?;
    Ok(file)
}

/// When something was measured.
pub(crate) fn now_unix() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn file(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    folder.join(format!("{name}.json"))
}

impl Measured {
    pub(crate) fn peer(&self, name: &str) -> Option<&PeerResult> {
        self.peers.iter().find(|peer| peer.name == name)
    }

    /// Of rounds that were interleaved: medians, and ratios against the floor and ours in the same round.
    pub(crate) fn of_rounds(name: &str, mut peers: Vec<PeerResult>, left_out: Vec<String>) -> Self {
        let rounds_of = |name| {
            let peer = peers.iter().find(|peer| peer.name == name);
            peer.map(|peer| peer.rounds.clone()).unwrap_or_default()
        };
        let (floor, ours) = (rounds_of(FLOOR), rounds_of(OURS));
        let cpu = |sample: &Sample| sample.cpu_us;
        for peer in &mut peers {
            let rounds = peer.rounds.clone();
            let mut number = |name: &str, value: f64| peer.put(name, value);
            number("cpu_best_us", best(&rounds, cpu));
            number("cpu_median_us", median(&rounds, cpu));
            number(
                "requests_per_s",
                median(&rounds, |sample| sample.requests_per_s),
            );
            number("p50_us", median(&rounds, |sample| sample.p50_us));
            number("p99_us", median(&rounds, |sample| sample.p99_us));
            number("cpu_of_l4", paired(&rounds, &floor, cpu));
            number("cpu_of_signalbox", paired(&rounds, &ours, cpu));
            number("p50_of_l4", paired(&rounds, &floor, |sample| sample.p50_us));
            number("p99_of_l4", paired(&rounds, &floor, |sample| sample.p99_us));
        }
        Self {
            name: name.to_owned(),
            peers,
            left_out,
        }
    }
}

impl PeerResult {
    /// Two decimals; what could not be computed is not there.
    pub(crate) fn put(&mut self, name: &str, value: f64) {
        if value.is_finite() {
            self.numbers.insert(name.to_owned(), rounded(value));
        }
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.numbers.get(name).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(name: &str, cpu_us: &[f64]) -> PeerResult {
        let rounds = cpu_us.iter().map(|cpu_us| Sample::of_cpu(*cpu_us));
        PeerResult {
            name: name.to_owned(),
            rounds: rounds.collect(),
            ..Default::default()
        }
    }

    #[test]
    fn costs_are_compared_with_the_floor_and_with_ours() {
        let peers = vec![
            peer(FLOOR, &[10.0, 20.0]),
            peer("nginx", &[20.0, 40.0]),
            peer(OURS, &[16.0, 32.0]),
        ];
        let measured = Measured::of_rounds("small-64", peers, Vec::new());
        let number = |peer, number| measured.peer(peer).and_then(|peer| peer.number(number));
        assert_eq!(number("nginx", "cpu_of_l4"), Some(2.0));
        assert_eq!(number("nginx", "cpu_of_signalbox"), Some(1.25));
        assert_eq!(number(OURS, "cpu_of_l4"), Some(1.6));
        assert_eq!(number(OURS, "cpu_best_us"), Some(16.0));
    }

    #[test]
    fn a_ratio_to_somebody_who_is_not_there_is_no_number() {
        let measured = Measured::of_rounds("small-64", vec![peer("nginx", &[20.0])], Vec::new());
        assert_eq!(measured.peers[0].number("cpu_of_l4"), None);
    }

    #[test]
    fn what_is_written_can_be_read() {
        let measured = Measured::of_rounds(
            "small-64",
            vec![peer(OURS, &[20.0])],
            vec!["nginx: why".to_owned()],
        );
        let results = Results::new(1, 0.5, vec![measured]);
        let text = serde_json::to_string_pretty(&results).unwrap();
        assert_eq!(serde_json::from_str::<Results>(&text).unwrap(), results);
    }
}
