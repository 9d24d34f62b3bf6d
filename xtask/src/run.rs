//! Running a program in the foreground: its output is ours, its failure an error that names the command.

use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// Between asking an overdue program to end and killing it.
const GRACE: Duration = Duration::from_secs(10);

/// Shows and runs a command.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("starting {}", shown(command)))?;
    check(command, status)
}

/// [`run`], ended when the deadline passes, which is an error.
pub(crate) fn run_until(command: &mut Command, deadline: Instant) -> Result<()> {
    println!("$ {}", shown(command));
    let child = command
        .spawn()
        .with_context(|| format!("starting {}", shown(command)))?;
    let status = with_watchdog(child, deadline)?
        .with_context(|| format!("over its time: {}", shown(command)))?;
    check(command, status)
}

/// Whether a command runs and succeeds; its output is dropped.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Waits for a child; `None` if it had to be ended. Asked first: a test runner then ends its tests.
fn with_watchdog(mut child: Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    let id = child.id().to_string();
    let (ended, is_over) = mpsc::channel::<()>();
    let watchdog = thread::spawn(move || {
        let over = |wait: Duration| {
            matches!(
                is_over.recv_timeout(wait),
                Err(mpsc::RecvTimeoutError::Timeout)
            )
        };
        let overdue = over(deadline.saturating_duration_since(Instant::now()));
        if overdue {
            succeeds(Command::new("kill").args(["-TERM", &id]));
            if over(GRACE) {
                succeeds(Command::new("kill").args(["-KILL", &id]));
            }
        }
        overdue
    });
    let status = child.wait()?;
    drop(ended);
    let overdue = watchdog.join().expect("the watchdog does not panic");
    Ok((!overdue).then_some(status))
}

fn check(command: &Command, status: ExitStatus) -> Result<()> {
    if !status.success() {
        bail!("{status}: {}", shown(command));
    }
    Ok(())
}

/// As one would type it: the program without its folder.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let program = program.file_name().unwrap_or(program.as_os_str());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(seconds: u64) -> Instant {
        Instant::now() + Duration::from_secs(seconds)
    }

    #[test]
    fn a_failing_command_is_named() {
        let error = run(Command::new("sh").args(["-c", "exit 3"]))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "exit status: 3: sh -c exit 3");
    }

    #[test]
    fn a_command_that_ends_in_time_keeps_its_own_result() {
        run_until(&mut Command::new("true"), within(60)).unwrap();
        run_until(&mut Command::new("false"), within(60)).unwrap_err();
    }

    #[test]
    fn a_command_over_its_time_is_ended() {
        let started = Instant::now();
        let error = run_until(Command::new("sleep").arg("60"), started)
            .unwrap_err()
            .to_string();
        assert_eq!(error, "over its time: sleep 60");
        assert!(started.elapsed() < GRACE);
    }
}
