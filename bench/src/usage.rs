//! What a program has used, its children included, from `/proc` (proc(5)).

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// User space sees times in hundredths of a second on every Linux that we know of (`getconf CLK_TCK`).
const TICK: Duration = Duration::from_millis(10);

/// User and system time so far of a process and all that descend from it, those that have ended included.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let ticks = sum(process, |member| {
        let stat = fs::read_to_string(format!("/proc/{member}/stat"))?;
        let ticks = ticks(&stat).with_context(|| format!("no times in {stat:?}"))?;
        Ok(u64::from(ticks))
    })?;
    Ok(TICK * ticks as u32)
}

/// Memory in KiB: of one process what is resident, of several their parts of what they share.
pub(crate) fn memory_kib(process: u32) -> Result<u64> {
    if family(process)?.len() == 1 {
        return resident_kib(process);
    }
    sum(process, |member| field_kib(member, "smaps_rollup", "Pss:"))
}

/// Over all members; those that end while they are looked at count no more, and their times are their parent's.
fn sum(process: u32, of: impl Fn(u32) -> Result<u64>) -> Result<u64> {
    let descendants = family(process)?.into_iter().skip(1);
    let others: u64 = descendants.filter_map(|member| of(member).ok()).sum();
    Ok(of(process)? + others)
}

/// A process and all that descend from it.
pub(crate) fn family(process: u32) -> Result<Vec<u32>> {
    let mut others = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(other) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        // A process may have ended since.
        let stat = fs::read_to_string(format!("/proc/{other}/stat")).unwrap_or_default();
        others.extend(parent(&stat).map(|parent| (other, parent)));
    }
    let mut members = vec![process];
    let mut seen = 0;
    while seen < members.len() {
        let parent = members[seen];
        members.extend(
            others
                .iter()
                .filter(|other| other.1 == parent)
                .map(|other| other.0),
        );
        seen += 1;
    }
    Ok(members)
}

fn parent(stat: &str) -> Option<u32> {
    fields(stat)?.get(1)?.parse().ok()
}

/// Fields 14 to 17: its own times, and those of children that have ended.
fn ticks(stat: &str) -> Option<u32> {
    let times = fields(stat)?.get(11..15)?.to_vec();
    times.iter().map(|time| time.parse::<u32>().ok()).sum()
}

/// Resident memory of one process in KiB.
pub(crate) fn resident_kib(process: u32) -> Result<u64> {
    field_kib(process, "status", "VmRSS:")
}

/// The most resident memory since [`forget_peak`], in KiB.
pub(crate) fn peak_kib(process: u32) -> Result<u64> {
    field_kib(process, "status", "VmHWM:")
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

/// From the third field on, counted behind the name, which may hold spaces and parentheses.
fn fields(stat: &str) -> Option<Vec<&str>> {
    Some(stat.rsplit_once(") ")?.1.split(' ').collect())
}

fn field_kib(process: u32, file: &str, field: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/{file}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix(field));
    let value = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok());
    value.with_context(|| format!("process {process} shows no {field}"))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn times_are_found_behind_any_name() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 9 0 0 0 120 34 5 6 20 0 1 0 100 1000 10";
        assert_eq!((ticks(stat), parent(stat)), (Some(165), Some(1)));
        assert_eq!(ticks("7 (x) S"), None);
    }

    #[test]
    fn our_own_usage_can_be_read_and_a_child_belongs_to_it() {
        let own = std::process::id();
        cpu_time(own).unwrap();
        assert!(load_average().unwrap() >= 0.0);
        assert!(peak_kib(own).unwrap() >= resident_kib(own).unwrap() / 2);
        let alone = memory_kib(own).unwrap();
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let members = family(own).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(alone > 0 && members.contains(&child.id()), "{members:?}");
    }
}
