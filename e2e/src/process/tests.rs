use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;

use super::*;

const SOON: Duration = Duration::from_secs(10);

fn shell(script: &str) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Spawn::new("shell", command).start().unwrap()
}

fn number(line: &str) -> Option<u32> {
    line.parse().ok()
}

/// Running: there and not a zombie.
fn runs(id: u32) -> bool {
    let state = std::fs::read_to_string(PathBuf::from(format!("/proc/{id}/stat")));
    state.is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn the_ready_line_is_found_and_what_came_before_is_kept() {
    let mut process = shell("echo one >&2; echo ready port=7; exec sleep 60");
    let port = process
        .line("ready", SOON, |line| {
            number(line.strip_prefix("ready port=")?)
        })
        .await
        .unwrap();
    assert_eq!(port, 7);
    process
        .line("the log line", SOON, |line| (line == "one").then_some(()))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_child_that_ends_before_it_is_ready_says_so_with_its_last_lines() {
    let mut process = shell("echo cannot bind >&2; exit 3");
    let error = process
        .line("it is ready", SOON, |_| None::<()>)
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("before it is ready")
            && error.contains("exit status: 3")
            && error.contains("cannot bind"),
        "{error}"
    );
}

#[tokio::test]
async fn a_child_that_is_never_ready_is_given_up() {
    let error = shell("exec sleep 60")
        .line("it is ready", Duration::from_millis(50), |_| None::<()>)
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("it is ready: not within 50ms"),
        "{error}"
    );
}

#[tokio::test]
async fn term_lets_the_child_end_in_order() {
    let mut process =
        shell("trap 'echo drained; exit 0' TERM; echo ready; while :; do sleep 0.05; done");
    process
        .line("ready", SOON, |line| (line == "ready").then_some(()))
        .await
        .unwrap();
    process.terminate(SOON).await.unwrap();
    // Its last line may still be on its way when it is gone already.
    process
        .line("its last line", SOON, |line| {
            (line == "drained").then_some(())
        })
        .await
        .unwrap();
    assert!(
        process.signal(Signal::Term).is_err(),
        "its number may be another's by now"
    );
}

#[tokio::test]
async fn a_dropped_child_is_gone_with_its_whole_group() {
    let mut process = shell("sleep 60 & echo $!; exec sleep 60");
    let grandchild = process.line("a number", SOON, number).await.unwrap();
    let child = process.id();
    drop(process);
    assert!(!runs(child));
    wait::until_true("the grandchild is gone", SOON, async || !runs(grandchild))
        .await
        .unwrap();
}

/// Set for the process that plays the owner below.
const OWNER: &str = "SIGNALBOX_TEST_OWNER";

#[tokio::test]
async fn a_killed_owner_takes_its_children_along() {
    if std::env::var_os(OWNER).is_some() {
        let process = shell("exec sleep 60");
        println!("child={};", process.id());
        return std::future::pending().await;
    }
    let mut owner = Command::new(std::env::current_exe().unwrap());
    owner
        .args([
            "--exact",
            "--nocapture",
            "process::tests::a_killed_owner_takes_its_children_along",
        ])
        .env(OWNER, "1");
    let mut owner = owner
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let stdout = owner.stdout.take().unwrap();
    let child = tokio::task::spawn_blocking(move || {
        let mut lines = BufReader::new(stdout).lines().map_while(Result::ok);
        lines
            .find_map(|line| number(line.split_once("child=")?.1.strip_suffix(';')?))
            .unwrap()
    });
    let child = child.await.unwrap();
    assert!(runs(child));
    owner.kill().unwrap();
    owner.wait().unwrap();
    wait::until_true("the child is gone", SOON, async || !runs(child))
        .await
        .unwrap();
}
