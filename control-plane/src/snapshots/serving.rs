//! What the clients of one class of a fleet are served at a moment: one revision, or the two of a rollout, and for each node
//! which of them. In: the fleet's row and its rollout's, as they stood together. Pure but for the brake.

use std::sync::Arc;

use crate::brake::Brake;
use crate::rollout::Rollout;
use crate::rollout::selection::Member;
use crate::rollout::want::want;

use super::served::Served;

/// What the clients of one class of a fleet are served.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The fleet's counter of changes of what any node is to serve.
    pub assignment: u64,
    /// The revision that all are served while no rollout runs, and that those are who were not chosen.
    pub stable: Arc<Served>,
    /// The rollout that runs.
    pub moving: Option<Moving>,
}

/// A rollout that runs.
#[derive(Clone, Debug)]
pub struct Moving {
    /// Its row.
    pub rollout: Arc<Rollout>,
    /// The revision that it goes to; `None` if that cannot be built, which no node waits for.
    pub to: Option<Arc<Served>>,
    /// Its brake here.
    pub brake: Arc<Brake>,
}

/// What one node is served.
#[derive(Clone, Debug)]
pub struct Picked {
    /// The snapshot.
    pub served: Arc<Served>,
    /// By which assignment.
    pub assignment: u64,
}

impl Serving {
    /// What a node is to be sent. Who is chosen here is across the brake: ask only for a node that is then sent it.
    pub fn pick(&self, node: Member<'_>) -> Picked {
        let wanted = self.wanted(node);
        let moves = |moving: &Moving| {
            let to = moving.to.as_ref();
            to.is_some_and(|to| Arc::ptr_eq(to, wanted)) && !moving.brake.lets(node.id)
        };
        let braked = self.moving.as_ref().is_some_and(moves);
        Picked {
            served: if braked { &self.stable } else { wanted }.clone(),
            assignment: self.assignment,
        }
    }

    /// What a node is to have by the rows.
    pub fn wanted(&self, node: Member<'_>) -> &Arc<Served> {
        let Some(moving) = &self.moving else {
            return &self.stable;
        };
        let revision = want(self.stable.revision(), Some(&moving.rollout), node);
        let to = moving.to.as_ref();
        to.filter(|to| to.revision() == revision)
            .unwrap_or(&self.stable)
    }
}

#[cfg(test)]
mod tests;
