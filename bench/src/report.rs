//! Samples → a table for people and a JSON file for the record. Pure but for the printing and the file.

use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use serde_json::{Value, json};

use crate::machine;
use crate::wrk::Figures;

/// One measurement of one peer.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Processor time of the peer for one request, user and system.
    cpu_us: f64,
    requests_per_second: f64,
    p50_us: f64,
    p99_us: f64,
}

impl Sample {
    pub(crate) fn of(figures: &Figures, cpu_time: Duration) -> Self {
        Self {
            cpu_us: micros(cpu_time) / figures.requests as f64,
            requests_per_second: figures.requests_per_second,
            p50_us: micros(figures.p50),
            p99_us: micros(figures.p99),
        }
    }
}

fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// All measurements of one peer, by round.
pub(crate) struct Series {
    name: &'static str,
    version: String,
    pub(crate) samples: Vec<Sample>,
    pub(crate) resident_kib: u64,
}

impl Series {
    pub(crate) fn of(name: &'static str, version: &str) -> Self {
        Self {
            name,
            version: version.to_owned(),
            samples: Vec::new(),
            resident_kib: 0,
        }
    }

    fn median(&self, of: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(of).collect())
    }

    fn best_cpu_us(&self) -> f64 {
        self.samples
            .iter()
            .map(|sample| sample.cpu_us)
            .fold(f64::INFINITY, f64::min)
    }

    /// The median of the ratios of processor time in the same round.
    fn cost_against(&self, floor: &Self) -> f64 {
        let ratios = self
            .samples
            .iter()
            .zip(&floor.samples)
            .map(|(sample, floor)| sample.cpu_us / floor.cpu_us);
        median(ratios.collect())
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

/// The table; the first series is the floor that the others are compared with.
pub(crate) fn print(series: &[Series], missing: &[String]) {
    println!(
        "\n{:<22} {:>21} {:>7} {:>10} {:>9} {:>9} {:>8}",
        "", "CPU µs/request", "x L4", "requests/s", "p50 µs", "p99 µs", "MiB"
    );
    println!(
        "{:<22} {:>10} {:>10} {:>7} {:>10} {:>9} {:>9} {:>8}",
        "", "best", "median", "", "", "", "", ""
    );
    for peer in series {
        println!(
            "{:<22} {:>10.2} {:>10.2} {:>7.2} {:>10.0} {:>9.0} {:>9.0} {:>8.1}",
            format!(
                "{} {}",
                peer.name,
                peer.version.split('-').next().unwrap_or_default()
            ),
            peer.best_cpu_us(),
            peer.median(|sample| sample.cpu_us),
            peer.cost_against(&series[0]),
            peer.median(|sample| sample.requests_per_second),
            peer.median(|sample| sample.p50_us),
            peer.median(|sample| sample.p99_us),
            peer.resident_kib as f64 / 1024.0,
        );
    }
    println!(
        "\nx L4: median over the rounds of CPU time per request against the forwarder's in the same round."
    );
    for line in missing {
        println!("{line}");
    }
}

/// The series as they are recorded.
pub(crate) fn peers(series: &[Series]) -> Value {
    let peers = series.iter().map(|peer| peer_json(peer, &series[0]));
    json!({ "peers": peers.collect::<Vec<_>>() })
}

/// Writes what was measured, and where and when, as `bench/results/NAME.json`; the history is version control's.
pub(crate) fn write(name: &str, scenario: &str, mut results: Value) -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("results");
    fs::create_dir_all(&folder)?;
    let measured = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    results["scenario"] = scenario.into();
    results["measured_at_unix"] = measured.into();
    results["machine"] = machine::description();
    let file = folder.join(format!("{name}.json"));
    fs::write(&file, format!("{results:#}\n"))?;
    println!("written: bench/results/{name}.json");
    Ok(())
}

fn peer_json(peer: &Series, floor: &Series) -> Value {
    json!({
        "name": peer.name,
        "version": peer.version,
        "cpu_us_per_request": {"best": rounded(peer.best_cpu_us()), "median": rounded(peer.median(|sample| sample.cpu_us))},
        "cpu_against_l4_paired_median": rounded(peer.cost_against(floor)),
        "requests_per_second_median": peer.median(|sample| sample.requests_per_second).round(),
        "p50_us_median": peer.median(|sample| sample.p50_us).round(),
        "p99_us_median": peer.median(|sample| sample.p99_us).round(),
        "resident_kib": peer.resident_kib,
        "rounds": peer.samples.iter().map(|sample| json!({
            "cpu_us_per_request": rounded(sample.cpu_us),
            "requests_per_second": sample.requests_per_second.round(),
            "p50_us": sample.p50_us.round(),
            "p99_us": sample.p99_us.round(),
        })).collect::<Vec<_>>(),
    })
}

/// With two digits behind the point.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(cpu_us: &[f64]) -> Series {
        let sample = |cpu_us: &f64| Sample {
            cpu_us: *cpu_us,
            requests_per_second: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
        };
        Series {
            samples: cpu_us.iter().map(sample).collect(),
            ..Series::of("peer", "1")
        }
    }

    #[test]
    fn processor_time_is_divided_among_the_requests() {
        let figures = Figures {
            requests: 1_000,
            requests_per_second: 1.0,
            p50: Duration::from_micros(5),
            p99: Duration::from_millis(1),
        };
        let sample = Sample::of(&figures, Duration::from_millis(20));
        assert!((sample.cpu_us - 20.0).abs() < 1e-9 && (sample.p99_us - 1_000.0).abs() < 1e-9);
    }

    #[test]
    fn ratios_are_paired_by_round() {
        // The machine was twice as slow in the second round, for both alike.
        let (peer, floor) = (series(&[20.0, 40.0, 20.0]), series(&[10.0, 20.0, 10.0]));
        assert!((peer.cost_against(&floor) - 2.0).abs() < 1e-9);
        assert!((peer.best_cpu_us() - 20.0).abs() < 1e-9);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert!((median(vec![4.0, 1.0, 3.0, 2.0]) - 2.5).abs() < 1e-9);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
    }
}
