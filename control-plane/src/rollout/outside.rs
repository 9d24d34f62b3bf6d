//! Gates that look outside of the fleet: at the clock, at freeze windows, at what webhooks say. Values in, verdicts out.

use serde_json::{Map, json};

use crate::model::timestamp::Timestamp;

use super::gate::verdict;
use super::observed::Observed;
use super::verdict::{Gate, Outcome, Verdict};
use super::webhook::{self, Occasion, OnError, Reply};
use super::window;
use super::{Rollout, State};

/// How these gates stand in the rollout's state.
pub(super) fn judge(rollout: &Rollout, observed: &Observed, now: Timestamp) -> Vec<Verdict> {
    match rollout.state {
        State::Advancing => before(rollout, observed, now),
        State::Baking => webhooks(rollout, observed).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// What stands before a wave, or before the turn of a zone: those that are in the way, and webhooks that were asked.
pub(super) fn before(rollout: &Rollout, observed: &Observed, now: Timestamp) -> Vec<Verdict> {
    let mut verdicts: Vec<Verdict> = schedule(rollout, now).into_iter().collect();
    verdicts.extend(freeze(rollout, observed, now));
    if rollout.state == State::Advancing {
        verdicts.extend(webhooks(rollout, observed));
    }
    verdicts
}

fn schedule(rollout: &Rollout, now: Timestamp) -> Option<Verdict> {
    let at = rollout.not_before.filter(|at| now < *at)?;
    let detail = format!("not before {at}");
    let numbers = [("not_before", json!(at))];
    Some(verdict(Gate::Schedule, Outcome::Hold, detail, numbers))
}

fn freeze(rollout: &Rollout, observed: &Observed, now: Timestamp) -> Option<Verdict> {
    if rollout.urgent {
        return None;
    }
    let frozen = window::frozen(&observed.freeze, now)?;
    let end = match frozen.until {
        Some(until) => format!("until {until}"),
        None => "without an end that could be seen".to_owned(),
    };
    Some(verdict(
        Gate::Freeze,
        Outcome::Hold,
        format!("frozen ({}) {end}", frozen.name),
        [
            ("window", json!(frozen.name)),
            ("until", json!(frozen.until)),
        ],
    ))
}

/// What all webhooks together say that are asked here; `None` if none is. Who has not answered holds.
fn webhooks(rollout: &Rollout, observed: &Observed) -> Option<Verdict> {
    let asked = webhook::asked(rollout);
    if asked.is_empty() {
        return None;
    }
    let occasion = Occasion::of(rollout);
    let mut all = Outcome::Pass;
    let mut details = Vec::new();
    let mut replies = Map::new();
    for hook in asked {
        let mut answers = observed.answers.iter();
        let answer = answers.find(|answer| answer.name == hook.name && answer.occasion == occasion);
        let (outcome, word) = match answer.map(|answer| answer.reply) {
            None => (Outcome::Hold, "has not answered yet"),
            Some(Reply::Pass) => (Outcome::Pass, "says pass"),
            Some(Reply::Wait) => (Outcome::Hold, "says wait"),
            Some(Reply::Fail) => (Outcome::Fail, "says fail"),
            Some(Reply::Error) if hook.on_error == OnError::Fail => {
                (Outcome::Fail, "cannot be asked")
            }
            Some(Reply::Error) => (Outcome::Hold, "cannot be asked"),
        };
        all = match (all, outcome) {
            (Outcome::Fail, _) | (_, Outcome::Fail) => Outcome::Fail,
            (Outcome::Hold, _) | (_, Outcome::Hold) => Outcome::Hold,
            (Outcome::Pass, Outcome::Pass) => Outcome::Pass,
        };
        let why = answer.map_or("", |answer| answer.message.as_str());
        details.push(match why {
            "" => format!("{} {word}", hook.name),
            why => format!("{} {word}: {why}", hook.name),
        });
        replies.insert(hook.name.clone(), json!(answer.map(|answer| answer.reply)));
    }
    let numbers = [("replies", json!(replies))];
    Some(verdict(Gate::Webhooks, all, details.join("; "), numbers))
}

#[cfg(test)]
mod tests;
