//! Waiting for something outside this process to become true: asked often, given up at a deadline, with what was last seen.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep, timeout_at};

/// Between two questions: short beside what is measured, long enough to leave the cores to the programs.
const PAUSE: Duration = Duration::from_millis(5);

/// Asks until the answer is `Ok`. An `Err` is what was seen instead, for the message when the time is up.
pub async fn until<T>(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T> {
    let deadline = Instant::now() + within;
    let mut seen = "no answer yet".to_owned();
    loop {
        match timeout_at(deadline, ask()).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(other)) => seen = other,
            Err(_) => bail!("{what}: not within {within:?}; last seen: {seen}"),
        }
        if Instant::now() + PAUSE > deadline {
            bail!("{what}: not within {within:?}; last seen: {seen}");
        }
        sleep(PAUSE).await;
    }
}

/// [`until`] for a yes or no.
pub async fn until_true(
    what: &str,
    within: Duration,
    mut ask: impl AsyncFnMut() -> bool,
) -> Result<()> {
    until(what, within, async || {
        if ask().await {
            Ok(())
        } else {
            Err("no".to_owned())
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn the_first_good_answer_ends_the_wait() {
        let mut asked = 0;
        let answer = until("three", Duration::from_mins(1), async || {
            asked += 1;
            if asked == 3 {
                Ok("done")
            } else {
                Err(format!("{asked}"))
            }
        });
        assert_eq!(answer.await.unwrap(), "done");
    }

    #[tokio::test]
    async fn a_wait_in_vain_says_what_for_and_what_was_seen() {
        let never = until::<()>("the third proxy follows", SHORT, async || {
            Err("revision 4".to_owned())
        });
        let error = never.await.unwrap_err().to_string();
        assert_eq!(
            error,
            "the third proxy follows: not within 50ms; last seen: revision 4"
        );
    }

    #[tokio::test]
    async fn a_question_that_hangs_does_not_outlive_the_deadline() {
        let hangs = until_true("an answer", SHORT, async || std::future::pending().await);
        hangs.await.unwrap_err();
    }
}
