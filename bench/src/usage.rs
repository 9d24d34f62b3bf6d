//! What a process has used, from `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// User space sees times in hundredths of a second on every Linux that we know of (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time of all its threads so far.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    ticks(&stat)
        .map(|ticks| TICK * ticks)
        .with_context(|| format!("no times in {stat:?}"))
}

/// Fields 14 and 15, counted behind the name, which may hold spaces and parentheses.
fn ticks(stat: &str) -> Option<u32> {
    let fields: Vec<&str> = stat.rsplit_once(") ")?.1.split(' ').collect();
    Some(fields.get(11)?.parse::<u32>().ok()? + fields.get(12)?.parse::<u32>().ok()?)
}

/// Resident memory in KiB.
pub(crate) fn resident_kib(process: u32) -> Result<u64> {
    memory_kib(process, "VmRSS:")
}

/// The most resident memory since [`forget_peak`], in KiB.
pub(crate) fn peak_kib(process: u32) -> Result<u64> {
    memory_kib(process, "VmHWM:")
}

/// Lets the peak begin anew.
pub(crate) fn forget_peak(process: u32) -> Result<()> {
    fs::write(format!("/proc/{process}/clear_refs"), "5")
        .with_context(|| format!("the peak of process {process} cannot be reset"))
}

/// How many threads ran or waited for a core on this machine, over the last minute (proc(5), `/proc/loadavg`).
pub(crate) fn load_average() -> Result<f64> {
    let load = fs::read_to_string("/proc/loadavg")?;
    let first = load.split_whitespace().next();
    let first = first.and_then(|first| first.parse().ok());
    first.context("/proc/loadavg shows no number")
}

fn memory_kib(process: u32, field: &str) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    value.with_context(|| format!("process {process} shows no {field}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 9 0 0 0 120 34 5 6 20 0 1 0 100 1000 10";
        assert_eq!(ticks(stat), Some(154));
        assert_eq!(ticks("7 (x) S"), None);
    }

    #[test]
    fn our_own_usage_can_be_read() {
        cpu_time(std::process::id()).unwrap();
        assert!(load_average().unwrap() >= 0.0);
        let resident = resident_kib(std::process::id()).unwrap();
        assert!(resident > 0 && peak_kib(std::process::id()).unwrap() >= resident / 2);
    }
}
