//! The load: `wrk`, closed loop, one thread on a core of its own choosing by us. In: an address. Out: its figures as values.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

/// How the load is put on.
pub(crate) struct Load {
    pub(crate) program: PathBuf,
    pub(crate) core: usize,
    pub(crate) connections: u32,
    /// Whole seconds: `wrk` knows no others.
    pub(crate) seconds: u32,
}

/// What `wrk` saw.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figures {
    pub(crate) requests: u64,
    pub(crate) requests_per_second: f64,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
}

impl Load {
    /// One run. Answers other than 2xx and socket errors are an error: such a run measures something else.
    pub(crate) async fn run(&self, target: SocketAddr) -> Result<Figures> {
        let mut command = Command::new("taskset");
        command
            .args(["--cpu-list", &self.core.to_string()])
            .arg(&self.program);
        command.args([
            "--threads",
            "1",
            "--connections",
            &self.connections.to_string(),
        ]);
        command
            .args(["--duration", &format!("{}s", self.seconds), "--latency"])
            .arg(format!("http://{target}/"));
        let output = command.kill_on_drop(true).output().await?;
        let text = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "wrk: {}{text}",
            String::from_utf8_lossy(&output.stderr)
        );
        read(&text).with_context(|| format!("what wrk said:\n{text}"))
    }
}

fn read(text: &str) -> Result<Figures> {
    for trouble in ["Non-2xx", "Socket errors"] {
        ensure!(!text.contains(trouble), "the load met trouble");
    }
    let field = |find: &dyn Fn(&str) -> Option<&str>, what: &str| {
        text.lines()
            .find_map(|line| find(line.trim()))
            .map(str::trim)
            .with_context(|| format!("{what} is missing"))
    };
    let requests = field(
        &|line| Some(line.split_once(" requests in ")?.0),
        "the number of requests",
    )?;
    let rate = field(&|line| line.strip_prefix("Requests/sec:"), "the rate")?;
    let p50 = field(&|line| line.strip_prefix("50%"), "the median")?;
    let p99 = field(&|line| line.strip_prefix("99%"), "the 99th percentile")?;
    Ok(Figures {
        requests: requests.parse()?,
        requests_per_second: rate.parse()?,
        p50: duration(p50).context("the median is no duration")?,
        p99: duration(p99).context("the 99th percentile is no duration")?,
    })
}

/// `574.00us`, `1.02ms`, `2.50s`.
fn duration(text: &str) -> Option<Duration> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0)];
    let (number, unit) = units
        .iter()
        .find_map(|(suffix, unit)| Some((text.strip_suffix(suffix)?, unit)))?;
    Duration::try_from_secs_f64(number.parse::<f64>().ok()? * unit).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OUTPUT: &str = "Running 1s test @ http://127.0.0.1:9001/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     0.95ms  101.05us   3.44ms   89.80%
    Req/Sec    67.35k     2.94k   72.04k    70.00%
  Latency Distribution
     50%  574.00us
     75%    0.98ms
     90%    1.02ms
     99%    1.34ms
  67012 requests in 1.00s, 11.44MB read
Requests/sec:  66968.61
Transfer/sec:     11.43MB
";

    #[test]
    fn figures_are_read_from_what_wrk_prints() {
        let figures = read(OUTPUT).unwrap();
        assert_eq!(
            (figures.requests, figures.requests_per_second),
            (67_012, 66_968.61)
        );
        assert_eq!(
            (figures.p50.as_micros(), figures.p99.as_micros()),
            (574, 1_340)
        );
    }

    #[test]
    fn a_run_with_failed_requests_is_no_measurement() {
        read(&format!("{OUTPUT}  Non-2xx or 3xx responses: 3\n")).unwrap_err();
        read(&format!(
            "{OUTPUT}  Socket errors: connect 0, read 1, write 0, timeout 0\n"
        ))
        .unwrap_err();
        read("unable to connect").unwrap_err();
    }

    #[test]
    fn durations_have_three_units() {
        let micros =
            ["574.00us", "1.02ms", "2.50s"].map(|text| duration(text).unwrap().as_micros());
        assert_eq!(micros, [574, 1_020, 2_500_000]);
        assert_eq!(duration("fast"), None);
    }
}
