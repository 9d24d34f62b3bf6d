//! Which revision a node is to serve: a pure function of the fleet's row, the row of its active rollout and the node.

use super::selection::Member;
use super::{Rollout, State};

/// The revision that a node is to serve. `stable` is the fleet's stable revision, `rollout` its active rollout if it has one.
pub fn want(stable: u64, rollout: Option<&Rollout>, node: Member<'_>) -> u64 {
    match rollout {
        Some(rollout) if rollout.chooses(node) => rollout.to,
        Some(rollout) => rollout.from,
        None => stable,
    }
}

impl Rollout {
    /// Whether a pause leaves a node that is chosen the new revision.
    fn leaves(&self, node: Member<'_>) -> bool {
        let only = self.paused.as_ref().and_then(|paused| paused.only.as_ref());
        only.is_none_or(|only| only.contains(node.id))
    }

    /// Whether a node is to have the new revision.
    pub fn chooses(&self, node: Member<'_>) -> bool {
        let takes = match self.state {
            State::RollingBack | State::RolledBack | State::Canceled | State::Superseded => false,
            State::Completed => return true,
            State::AwaitingApproval
            | State::Advancing
            | State::Settling
            | State::Baking
            | State::Paused => true,
        };
        takes && self.selection.contains(&self.salt, node) && self.leaves(node)
    }
}
