//! What the clients of one class of a fleet are served at a moment: one revision, or the two of a rollout, and for each node
//! which of them. In: the fleet's row and its rollout's, as they stood together. Pure but for the brake.

use std::sync::Arc;

use xds::node::ClientClass;

use crate::brake::Brake;
use crate::rollout::Rollout;
use crate::rollout::selection::Member;
use crate::rollout::want::{Want, want};

use super::served::Served;

/// What the clients of one class of a fleet are served.
#[derive(Clone, Debug)]
pub struct Serving {
    /// The class.
    pub class: ClientClass,
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
    /// What it is to make of it.
    pub want: Want,
}

impl Serving {
    /// What a node is to be sent. Who is chosen here is across the brake: ask only for a node that is then sent it.
    pub fn pick(&self, node: Member<'_>) -> Picked {
        let stable = (&self.stable, Want::for_good(self.stable.revision()));
        let (served, want) = match (&self.moving, self.moved(node)) {
            (Some(moving), Some((to, want))) => match moving.brake.lets(node.id, want.phase) {
                Some(phase) => (to, want.at_most(phase)),
                None => stable,
            },
            _ => stable,
        };
        Picked {
            served: served.clone(),
            assignment: self.assignment,
            want,
        }
    }

    /// What a node is to have by the rows, to serve it or to get ready for it.
    pub fn wanted(&self, node: Member<'_>) -> &Arc<Served> {
        self.moved(node).map_or(&self.stable, |(to, _)| to)
    }

    /// What a node is to have that a rollout moves.
    fn moved(&self, node: Member<'_>) -> Option<(&Arc<Served>, Want)> {
        let moving = self.moving.as_ref()?;
        let rollout = Some(&*moving.rollout);
        let want = want(self.stable.revision(), rollout, node, self.class);
        let to = moving.to.as_ref();
        to.filter(|to| to.revision() == want.revision)
            .map(|to| (to, want))
    }
}

#[cfg(test)]
mod tests;
