//! A real process is killed while it writes to a real folder. The process is this test's own program, started again.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use super::*;

const FOLDER: &str = "SIGNALBOX_TEST_DISK";
const KILLS: usize = 200;

/// Stores one revision after the other, marked until it is confirmed, and says which are, until it is killed.
fn store_until_killed(folder: &Path) {
    let mut disk = Disk::open(folder).unwrap();
    let first = disk
        .load()
        .revision
        .map_or(0, |(label, _)| label.parse::<usize>().unwrap() + 1);
    for number in first.. {
        disk.mark(Some(&number.to_string())).unwrap();
        let label = number.to_string();
        disk.store_tentative(&label, &revision(number)).unwrap();
        disk.mark(None).unwrap();
        disk.confirm().unwrap();
        let mut out = std::io::stdout().lock();
        writeln!(out, "\nconfirmed {number}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn a_process_that_is_killed_again_and_again_finds_what_it_said_was_confirmed() {
    // The child runs this same test, and is told so.
    if let Some(folder) = env::var_os(FOLDER) {
        store_until_killed(Path::new(&folder));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut random = fastrand::Rng::with_seed(3);
    let mut newest = None;
    for _ in 0..KILLS {
        let later = Duration::from_micros(random.u64(..20_000));
        let said = run_and_kill(folder.path(), random.usize(..3), later);
        let loaded = Disk::open(folder.path()).unwrap().load();
        assert!(loaded.damaged.is_empty(), "{:?}", loaded.damaged);
        let found = number(loaded.revision);
        let mark = loaded.mark.map(|mark| mark.parse::<usize>().unwrap());
        assert!(mark.is_none() || mark > found, "{mark:?} at {found:?}");
        assert!(
            found >= said && found >= newest,
            "{found:?} although {said:?} after {newest:?}"
        );
        newest = found;
    }
    assert!(newest > Some(KILLS), "{newest:?}");
}

/// Waits for some confirmations, then strikes a little later; returns the last revision that was said to be confirmed.
#[expect(
    clippy::disallowed_methods,
    reason = "the pause is the moment of the kill, not a wait for something"
)]
fn run_and_kill(folder: &Path, confirmations: usize, later: Duration) -> Option<usize> {
    let name = "disk::tests::killed::a_process_that_is_killed_again_and_again_finds_what_it_said_was_confirmed";
    let mut child = Command::new(env::current_exe().unwrap())
        .args([name, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut said = lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("confirmed ")?.parse().ok());
    let first = said.by_ref().take(confirmations).last();
    thread::sleep(later);
    child.kill().unwrap();
    child.wait().unwrap();
    // What it wrote between that and its end.
    said.last().or(first)
}
