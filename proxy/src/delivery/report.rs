//! What the control plane is told of the target.

use xds::problem::Problem;

use super::held::Held;
use super::switch::Switch;
use super::target::{Phase, Target};
use super::{Delivery, Guide};

/// What became of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The highest assignment that was seen.
    pub(crate) assignment: u64,
    /// Where the target stands.
    pub(crate) state: State,
    /// The revision that `state` speaks of; 0 if it speaks of none.
    pub(crate) state_revision: u64,
    /// The revision that is live; 0 if there is none or it has no number.
    pub(crate) live_revision: u64,
    /// The revision that can be switched to at once and is not live; 0 if there is none.
    pub(crate) staged_revision: u64,
    /// Why the target was refused.
    pub(crate) problems: Vec<Problem>,
    /// It was refused for a reason that may go away by itself.
    pub(crate) transient: bool,
}

/// Where a target stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum State {
    /// There is none.
    #[default]
    None,
    /// Resources are missing, or the addresses of names.
    Missing,
    /// It can be switched to.
    Staged,
    /// It is live.
    Active,
    /// It cannot be served.
    Refused,
    /// Its lease has run out. It is not taken again.
    Reverted,
}

impl<S: Switch> Delivery<S> {
    /// What became of the target; without one, of the assignment that was left.
    pub(crate) fn report(&self) -> Report {
        let target = match &self.guide {
            Guide::Ours(Some(pursuit)) => Some(&pursuit.target),
            Guide::Ours(None) | Guide::Unknown | Guide::Foreign => None,
        };
        let about = target.map(Target::assigned).or(self.left);
        let refused = self.refused.as_ref();
        let refused = refused.filter(|refused| about == Some(refused.of));
        let state = match target {
            _ if refused.is_some() => State::Refused,
            Some(target) => self.state_of(target),
            None if about.is_some() => State::Reverted,
            None => State::None,
        };
        let problems = refused.map(|refused| refused.problems.clone());
        Report {
            assignment: self.assignment,
            state,
            state_revision: about.map_or(0, |about| about.revision),
            live_revision: self.live.as_ref().map_or(0, |held| held.revision),
            staged_revision: match target {
                Some(target) if state == State::Staged => target.revision,
                _ => self.ready().map_or(0, |held| held.revision),
            },
            problems: problems.unwrap_or_default(),
            transient: refused.is_some_and(|refused| refused.transient),
        }
    }

    fn state_of(&self, target: &Target) -> State {
        if let Some(live) = &self.live
            && live.sums == target.sums
        {
            // What differs in nothing but its number is not that revision before it is told to be.
            return match target.phase {
                Phase::Stage if live.revision != target.revision => State::Staged,
                Phase::Stage | Phase::Activate => State::Active,
            };
        }
        match self.ready() {
            Some(ready) if ready.sums == target.sums => State::Staged,
            _ => State::Missing,
        }
    }

    /// What can be switched to at once.
    fn ready(&self) -> Option<&Held> {
        let staged = self.staged.as_ref()?;
        staged.warm_by.is_none().then_some(&staged.held)
    }
}
