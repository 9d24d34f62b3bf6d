//! How many files a process may open: each simulated client is a socket here and one in the control plane.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

/// For whatever is no client's socket.
const OTHERS: usize = 256;

/// Lets a process open enough files for so many connections. What the system does not allow is an error that says so.
pub(crate) fn raise(process: u32, connections: usize) -> Result<()> {
    let (soft, hard) = limits(process)?;
    let needed = connections + OTHERS;
    if soft >= needed {
        return Ok(());
    }
    let wanted = format!("--nofile={needed}:{}", hard.max(needed));
    let output = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &wanted])
        .output()
        .context("prlimit (util-linux)")?;
    ensure!(
        output.status.success(),
        "{connections} clients need {needed} open files, and the limit is {hard}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// The soft and the hard limit, from proc(5).
fn limits(process: u32) -> Result<(usize, usize)> {
    let limits = std::fs::read_to_string(format!("/proc/{process}/limits"))?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .context("no limit of open files")?;
    let number = |word: &str| match word {
        "unlimited" => Some(usize::MAX),
        word => word.parse().ok(),
    };
    let mut numbers = line.split_whitespace().map_while(number);
    numbers
        .next()
        .zip(numbers.next())
        .with_context(|| format!("no numbers in {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_limit_can_be_read_and_is_enough_for_few() {
        let (soft, hard) = limits(std::process::id()).unwrap();
        assert!(soft > 0 && soft <= hard);
        raise(std::process::id(), 1).unwrap();
    }
}
