//! `?wait=30s&until=…`: an answer that comes when a rollout is so far, or when the time is over.

use axum::http::Uri;
use serde::Deserialize;
use tokio::time::Instant;
use utoipa::IntoParams;

use crate::api::ApiState;
use crate::api::problem::{Kind, Problem, Result};
use crate::model::duration::Duration;
use crate::rollout::{Rollout, State};

/// Longest wait: a minute.
const WAIT_MAX: Duration = Duration::from_millis(60_000);
/// How often a rollout is read without a hint.
const LOOK: std::time::Duration = std::time::Duration::from_millis(250);
/// The id that means whichever is the newest.
const LATEST: &str = "latest";

/// How long an answer may wait, and for what.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::api) struct Waiting {
    /// At most so long, one minute if it is more.
    #[param(value_type = Option<String>, example = "30s")]
    wait: Option<Duration>,
    /// For what: `ended`; `wave:N`, that the wave of this position has begun; `version:N`, that the row has another version;
    /// or a state. Whatever ends the rollout ends the wait. `ended` if not given.
    #[param(example = "ended")]
    until: Option<String>,
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Until {
    Ended,
    Wave(u32),
    Version(u64),
    State(State),
}

/// Reads a rollout when it is so far.
pub(super) async fn read(
    waiting: &Waiting,
    state: &ApiState,
    fleet: &str,
    id: &str,
) -> Result<Rollout> {
    let until = waiting.until()?;
    let wait = waiting.wait.unwrap_or_default().min(WAIT_MAX);
    let deadline = Instant::now() + std::time::Duration::from_millis(wait.as_millis());
    let mut hints = state.store.hints();
    loop {
        hints.mark_unchanged();
        let rollout = find(state, fleet, id).await?;
        if until.is_met(&rollout) || Instant::now() >= deadline {
            return Ok(rollout);
        }
        tokio::select! {
            () = state.shutdown.cancelled() => return Ok(rollout),
            () = tokio::time::sleep_until(deadline) => {}
            () = tokio::time::sleep(LOOK) => {}
            _ = hints.changed() => {}
        }
    }
}

impl Waiting {
    fn until(&self) -> Result<Until> {
        let Some(text) = self.until.as_deref() else {
            return Ok(Until::Ended);
        };
        let number = |prefix| {
            text.strip_prefix(prefix)
                .and_then(|number: &str| number.parse().ok())
        };
        let state = |text: &str| serde_json::from_value(text.into()).ok().map(Until::State);
        let until = match text {
            "ended" => Some(Until::Ended),
            _ => number("wave:")
                .map(|wave: u64| Until::Wave(u32::try_from(wave).unwrap_or(u32::MAX)))
                .or_else(|| number("version:").map(Until::Version))
                .or_else(|| state(text)),
        };
        until.ok_or_else(|| {
            Problem::new(
                Kind::BadRequest,
                "`until` is `ended`, `wave:N`, `version:N` or the name of a state",
            )
        })
    }
}

impl Until {
    fn is_met(self, rollout: &Rollout) -> bool {
        rollout.state.is_terminal()
            || match self {
                Self::Ended => false,
                Self::Wave(wave) => rollout.wave >= wave,
                Self::Version(version) => rollout.row_version != version,
                Self::State(state) => rollout.state == state,
            }
    }
}

/// A rollout by its id, or the newest.
pub(super) async fn find(state: &ApiState, fleet: &str, id: &str) -> Result<Rollout> {
    if id != LATEST {
        return Ok(state.store.rollout(fleet, id).await?);
    }
    let newest = state.store.rollouts(fleet, None, 1).await?.into_iter();
    newest.last().ok_or_else(|| {
        Problem::new(
            Kind::NotFound,
            "nothing has been rolled out in this fleet yet",
        )
    })
}

/// How much longer than others a request may take, by what it asks for.
pub(in crate::api) fn patience(uri: &Uri) -> std::time::Duration {
    let waits = uri.path().contains("/rollouts/")
        && uri.query().is_some_and(|query| {
            query
                .split('&')
                .any(|parameter| parameter.starts_with("wait="))
        });
    let longest = if waits { WAIT_MAX.as_millis() } else { 0 };
    std::time::Duration::from_millis(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(text: &str) -> Option<Until> {
        let waiting = Waiting {
            wait: None,
            until: Some(text.to_owned()),
        };
        waiting.until().ok()
    }

    #[test]
    fn what_is_waited_for_is_said_in_four_ways() {
        assert_eq!(until("ended"), Some(Until::Ended));
        assert_eq!(until("wave:2"), Some(Until::Wave(2)));
        assert_eq!(until("version:7"), Some(Until::Version(7)));
        assert_eq!(until("baking"), Some(Until::State(State::Baking)));
        for wrong in ["", "wave:", "wave:x", "version", "bakin"] {
            assert_eq!(until(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_who_waits_gets_more_time() {
        let patience = |uri: &str| patience(&uri.parse().unwrap()).as_secs();
        assert_eq!(patience("/v1/fleets/a/rollouts/latest?wait=30s"), 60);
        assert_eq!(patience("/v1/fleets/a/rollouts/latest?until=ended"), 0);
        assert_eq!(patience("/v1/fleets/a/config?wait=30s"), 0);
    }
}
