//! What operators do to a rollout: which verb is legal in which state, and what follows.

use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;

use crate::model::duration::Duration;
use crate::model::timestamp::Timestamp;

use super::{Change, EventKind, Paused, Rollout, State};

/// How long nodes have to go back before it is told that they have not.
const LATE: Duration = Duration::from_millis(60_000);

/// What an operator says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Verb {
    /// Nobody moves further. What fails still goes back.
    Pause,
    /// It goes on where it was paused.
    Resume,
    /// The bake ends now, and data that are missing are not waited for; before the first wave, more may change than
    /// `max_changed`. What fails still fails.
    Promote,
    /// The same, and what has not settled yet is not waited for either: the next nodes follow at once.
    Skip,
    /// The next wave may begin.
    Approve,
    /// All nodes go back.
    Abort,
}

/// Who says it, and why.
#[derive(Clone, Copy, Debug)]
pub struct Word<'a> {
    /// Who.
    pub actor: &'a str,
    /// Who committed the revision that the rollout goes to.
    pub revision_author: &'a str,
    /// Why; may be empty.
    pub reason: &'a str,
    /// Whether they may do everything in this fleet.
    pub is_admin: bool,
}

/// Why a verb changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerbError {
    /// The rollout is in a state in which it cannot be done.
    #[error("a rollout that is {state} cannot be {}", verb.done())]
    Illegal {
        /// What was asked.
        verb: Verb,
        /// The state.
        state: State,
    },
    /// The wave asks for the word of somebody else.
    #[error(
        "this wave is approved neither by who began the rollout nor by the author of its revision"
    )]
    SameHand,
    /// Only what has come to nothing is begun again.
    #[error(
        "a rollout that is {state} is not begun again; one that was rolled back or canceled can be"
    )]
    NotRetried {
        /// The state.
        state: State,
    },
}

impl Verb {
    /// The verb as it stands in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Promote => "promote",
            Self::Skip => "skip",
            Self::Approve => "approve",
            Self::Abort => "abort",
        }
    }

    /// What it is called in the audit trail, where every action names what it is done to.
    pub const fn action(self) -> &'static str {
        match self {
            Self::Pause => "pause-rollout",
            Self::Resume => "resume-rollout",
            Self::Promote => "promote-rollout",
            Self::Skip => "skip-wave",
            Self::Approve => "approve-rollout",
            Self::Abort => "abort-rollout",
        }
    }

    const fn done(self) -> &'static str {
        match self {
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Promote => "promoted",
            Self::Skip => "told to skip its wave",
            Self::Approve => "approved",
            Self::Abort => "aborted",
        }
    }
}

/// What becomes of a rollout by an operator's word.
pub fn apply(
    rollout: &Rollout,
    verb: Verb,
    word: Word<'_>,
    now: Timestamp,
) -> Result<Change, VerbError> {
    let next = match verb {
        Verb::Pause => pause(rollout, now),
        Verb::Resume => resume(rollout, now),
        Verb::Promote => promote(rollout),
        Verb::Skip => skip(rollout),
        Verb::Approve => approve(rollout, word)?,
        Verb::Abort => abort(rollout, word, now),
    };
    let state = rollout.state;
    let next = next.ok_or(VerbError::Illegal { verb, state })?;
    let mut detail = format!("{}: {}", word.actor, verb.as_str());
    if !word.reason.is_empty() {
        detail = format!("{detail}: {}", word.reason);
    }
    let data = json!({ "verb": verb, "actor": word.actor, "reason": word.reason });
    let mut events = vec![next.event(EventKind::Ordered, detail, Some(data))];
    if next.state.is_terminal() {
        let detail = next.outcome.clone().unwrap_or_default();
        events.push(next.event(EventKind::Ended, detail, None));
    }
    Ok(Change { next, events })
}

/// Whether a rollout may be begun again, with the same revision and strategy.
///
/// # Errors
/// It has not come to nothing: it goes on, or its revision was rolled out, or another rollout has taken its place.
pub fn may_retry(rollout: &Rollout) -> Result<(), VerbError> {
    match rollout.state {
        State::RolledBack | State::Canceled => Ok(()),
        state => Err(VerbError::NotRetried { state }),
    }
}

fn pause(rollout: &Rollout, now: Timestamp) -> Option<Rollout> {
    let goes = matches!(
        rollout.state,
        State::Validating
            | State::AwaitingApproval
            | State::Advancing
            | State::Staging
            | State::Settling
            | State::Baking
    );
    goes.then(|| rollout.paused_at(now))
}

fn resume(rollout: &Rollout, now: Timestamp) -> Option<Rollout> {
    let paused = rollout.paused.as_ref();
    let paused = paused.filter(|_| rollout.state == State::Paused)?;
    let deadline = paused
        .left_us
        .map(|left| Timestamp::from_micros(now.as_micros().saturating_add(left)));
    Some(Rollout {
        state: paused.state,
        paused: None,
        deadline,
        outcome: None,
        ..rollout.clone()
    })
}

fn promote(rollout: &Rollout) -> Option<Rollout> {
    // Before anybody has moved there is one thing that only an operator lets pass.
    let may_be_held = rollout.state == State::Advancing
        && rollout.selection.is_empty()
        && rollout.strategy.gates.max_changed.is_some();
    ((rollout.state == State::Baking || may_be_held) && !rollout.promoted).then(|| Rollout {
        promoted: true,
        ..rollout.clone()
    })
}

fn skip(rollout: &Rollout) -> Option<Rollout> {
    let waits = matches!(rollout.state, State::Settling | State::Baking);
    (waits && !rollout.promoted).then(|| Rollout {
        promoted: true,
        ..rollout.clone()
    })
}

fn approve(rollout: &Rollout, word: Word<'_>) -> Result<Option<Rollout>, VerbError> {
    if rollout.state != State::AwaitingApproval {
        return Ok(None);
    }
    let approval = rollout.current().and_then(|wave| wave.approval);
    let same = word.actor == rollout.created_by || word.actor == word.revision_author;
    // What is urgent may find nobody else awake.
    let may_alone = rollout.urgent && word.is_admin;
    if approval.is_some_and(|approval| approval.by_another) && same && !may_alone {
        return Err(VerbError::SameHand);
    }
    Ok(Some(Rollout {
        state: State::Advancing,
        approved_by: Some(word.actor.to_owned()),
        ..rollout.clone()
    }))
}

fn abort(rollout: &Rollout, word: Word<'_>, now: Timestamp) -> Option<Rollout> {
    if rollout.state.is_terminal() || rollout.state == State::RollingBack {
        return None;
    }
    let why = match word.reason {
        "" => format!("{} aborted it", word.actor),
        reason => format!("{} aborted it: {reason}", word.actor),
    };
    if rollout.selection.is_empty() {
        return Some(Rollout {
            state: State::Canceled,
            paused: None,
            deadline: None,
            ended_at: Some(now),
            outcome: Some(why),
            ..rollout.clone()
        });
    }
    Some(rollout.going_back(why, now))
}

impl Rollout {
    /// The same, with all nodes on their way back.
    pub(super) fn going_back(&self, why: String, now: Timestamp) -> Self {
        Self {
            state: State::RollingBack,
            paused: None,
            deadline: Some(now.after(LATE)),
            outcome: Some(why),
            ..self.clone()
        }
    }

    /// The same, with nobody moving further; what was left of its state's time is kept.
    pub(super) fn paused_at(&self, now: Timestamp) -> Self {
        let left_us = self
            .deadline
            .map(|deadline| (deadline.as_micros() - now.as_micros()).max(0));
        Self {
            state: State::Paused,
            paused: Some(Paused {
                state: self.state,
                left_us,
                only: None,
            }),
            deadline: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::begin::{Begin, Terms, begin};
    use crate::rollout::built_in::built_in;
    use crate::rollout::strategy::Approval;

    fn rollout(state: State) -> Rollout {
        let mut strategy = built_in("canary-then-all").unwrap();
        strategy.waves[0].approval = Some(Approval { by_another: true });
        let what = Begin {
            id: "r",
            fleet: "f",
            from: 1,
            to: 2,
            strategy: &strategy,
            reason: "",
            by: "ann",
            validators: false,
            instead_of: None,
            terms: Terms::default(),
        };
        let (mut rollout, _) = begin(what, Timestamp::default());
        rollout.state = state;
        if state != State::AwaitingApproval {
            rollout.selection.nodes.insert("n".to_owned());
        }
        if state == State::Paused {
            rollout.paused = Some(Paused {
                state: State::Baking,
                left_us: Some(7),
                only: None,
            });
        }
        rollout
    }

    fn say(rollout: &Rollout, verb: Verb, actor: &str) -> Result<Rollout, VerbError> {
        let word = Word {
            actor,
            revision_author: "bob",
            reason: "why",
            is_admin: false,
        };
        apply(rollout, verb, word, Timestamp::from_micros(100)).map(|change| change.next)
    }

    #[test]
    fn each_verb_is_legal_in_some_states_and_names_the_others() {
        use State::{
            Advancing, AwaitingApproval, Baking, Canceled, Completed, Paused, RolledBack,
            RollingBack, Settling, Staging, Superseded, Validating,
        };
        let all = [
            Validating,
            AwaitingApproval,
            Advancing,
            Staging,
            Settling,
            Baking,
            Paused,
            RollingBack,
            Completed,
            RolledBack,
            Canceled,
            Superseded,
        ];
        for (verb, legal) in [
            (Verb::Pause, &all[..6]),
            (Verb::Resume, &[Paused][..]),
            (Verb::Promote, &[Baking][..]),
            (Verb::Skip, &all[4..6]),
            (Verb::Approve, &[AwaitingApproval][..]),
            (Verb::Abort, &all[..7]),
        ] {
            for state in all {
                let result = say(&rollout(state), verb, "eve");
                assert_eq!(
                    result.is_ok(),
                    legal.contains(&state),
                    "{verb:?} in {state}"
                );
                if let Err(error) = result {
                    assert_eq!(error, VerbError::Illegal { verb, state });
                }
            }
        }
    }

    #[test]
    fn time_does_not_run_while_it_is_paused() {
        let mut baking = rollout(State::Baking);
        baking.deadline = Some(Timestamp::from_micros(130));
        let paused = say(&baking, Verb::Pause, "eve").unwrap();
        assert_eq!((paused.state, paused.deadline), (State::Paused, None));
        let word = Word {
            actor: "eve",
            revision_author: "bob",
            reason: "",
            is_admin: false,
        };
        let later = Timestamp::from_micros(1_000);
        let resumed = apply(&paused, Verb::Resume, word, later).unwrap().next;
        assert_eq!(resumed.state, State::Baking);
        assert_eq!(resumed.deadline, Some(Timestamp::from_micros(1_030)));
    }

    #[test]
    fn a_wave_can_ask_for_the_word_of_somebody_else() {
        let asks = rollout(State::AwaitingApproval);
        for same in ["ann", "bob"] {
            assert_eq!(say(&asks, Verb::Approve, same), Err(VerbError::SameHand));
        }
        let approved = say(&asks, Verb::Approve, "eve").unwrap();
        assert_eq!(approved.state, State::Advancing);
        assert_eq!(approved.approved_by.as_deref(), Some("eve"));
    }

    #[test]
    fn only_an_admin_approves_alone_and_only_what_is_urgent() {
        for (urgent, is_admin) in [(false, false), (false, true), (true, false), (true, true)] {
            let asks = Rollout {
                urgent,
                ..rollout(State::AwaitingApproval)
            };
            let word = Word {
                actor: "ann",
                revision_author: "ann",
                reason: "",
                is_admin,
            };
            let said = apply(&asks, Verb::Approve, word, Timestamp::default());
            assert_eq!(said.is_ok(), urgent && is_admin, "{urgent} {is_admin}");
        }
    }

    #[test]
    fn only_what_has_come_to_nothing_is_begun_again() {
        use State::{Baking, Canceled, Completed, Paused, RolledBack, RollingBack, Superseded};
        for state in [Baking, Completed, Paused, RollingBack, Superseded] {
            let refused = may_retry(&rollout(state));
            assert_eq!(refused, Err(VerbError::NotRetried { state }));
        }
        for state in [RolledBack, Canceled] {
            assert_eq!(may_retry(&rollout(state)), Ok(()));
        }
    }

    #[test]
    fn before_anybody_has_moved_there_is_nothing_to_take_back() {
        let ended = say(&rollout(State::AwaitingApproval), Verb::Abort, "eve").unwrap();
        assert_eq!(ended.state, State::Canceled);
        let back = say(&rollout(State::Settling), Verb::Abort, "eve").unwrap();
        assert_eq!(back.state, State::RollingBack);
        assert_eq!(back.outcome.as_deref(), Some("eve aborted it: why"));
    }
}
