//! Promises D1 to D8 of the data plane: a corpus of requests and of responses, most of them malformed or ambiguous, played
//! against the proxy (`e2e/corpus/`, which says what must come of each). What reached the upstream and what reached the client
//! is read by two readers that share no code; nothing may be read in two ways, nothing may arrive that the client did not
//! mean, and no case may end a worker.

mod case;
mod random;
mod random_responses;
mod requests;
mod responses;
mod stage;

use std::fmt::Write as _;

use anyhow::{Result, ensure};

use self::case::Case;
use self::stage::Stage;

/// The files of requests, and how many cases each has.
const REQUESTS: &[(&str, usize)] = &[
    ("content_length", 42),
    ("transfer_encoding", 45),
    ("both_lengths", 16),
    ("lines", 33),
    ("field_names", 35),
    ("request_line", 52),
    ("targets", 83),
    ("host", 49),
    ("chunks", 47),
    ("trailers", 24),
    ("hop_by_hop", 27),
    ("connections", 29),
    ("unread_bodies", 17),
    ("splitting", 12),
];

/// The files of responses, and how many cases each has.
const RESPONSES: &[(&str, usize)] = &[
    ("content_length", 28),
    ("transfer_encoding", 44),
    ("no_body", 29),
    ("status_lines", 37),
    ("heads", 34),
    ("endings", 11),
    ("early", 12),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_is_read_in_two_ways() -> Result<()> {
    let mut stage = Stage::start().await?;
    tokio::task::block_in_place(|| play(&mut stage, "requests", REQUESTS, 150, requests::play))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_response_is_read_in_two_ways() -> Result<()> {
    let mut stage = Stage::start().await?;
    tokio::task::block_in_place(|| play(&mut stage, "responses", RESPONSES, 60, responses::play))
}

/// Plays all classes, and tells all faults at the end.
fn play(
    stage: &mut Stage,
    folder: &str,
    classes: &[(&str, usize)],
    least: usize,
    play: fn(&Stage, &Case) -> Result<()>,
) -> Result<()> {
    let mut faults = String::new();
    let mut sum = 0;
    for (class, count) in classes {
        let cases = case::read(folder, class)?;
        println!("{folder}/{class}: {}", cases.len());
        ensure!(
            cases.len() == *count,
            "{folder}/{class} has {} cases, not {count}",
            cases.len()
        );
        sum += count;
        for case in &cases {
            let played = play(stage, case);
            // Whatever went wrong, the next case begins with nothing.
            stage.recorder.take()?;
            if let Err(fault) = played {
                write!(faults, "\n{folder}/{class}: {}: {fault:#}", case.name)?;
            }
        }
        stage.check_alive()?;
    }
    println!("{folder}: {sum}");
    ensure!(sum >= least, "{sum} of at least {least} cases");
    ensure!(faults.is_empty(), "{faults}");
    Ok(())
}
