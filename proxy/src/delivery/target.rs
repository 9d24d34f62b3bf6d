//! What our own control plane wants this proxy to serve, and for how long.

use std::time::Duration;

use tokio::time::Instant;
use xds::sum::RevisionSums;

/// What the control plane wants this proxy to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Grows with every change of what anybody is to serve.
    pub(crate) assignment: u64,
    /// The fleet's revision.
    pub(crate) revision: u64,
    /// How far to go.
    pub(crate) phase: Phase,
    /// How long it is to be live from the target's receipt, unless it is said again; `None`: it lasts.
    pub(crate) lease: Option<Duration>,
    /// By what the revision is known.
    pub(crate) sums: RevisionSums,
}

/// How far to go with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Compile, bind and look names up; touch no traffic.
    Stage,
    /// Serve it.
    Activate,
}

/// A revision as it was assigned. A control plane that holds a rollout up may send a node elsewhere by the same assignment, so
/// the number of the assignment alone does not say what was meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// The assignment.
    pub(crate) assignment: u64,
    /// The revision.
    pub(crate) revision: u64,
}

/// How long a config is to be live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tenure {
    /// Until it is told otherwise.
    Lasting,
    /// Until then, unless it is said again.
    Leased(Lease),
    /// Its lease has run out and there was nothing to go back to: to serve nothing would be worse.
    RunOut,
}

/// A config that is live for so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    /// By which word.
    pub(crate) of: Assigned,
    /// By the clock that no setting of the time moves.
    pub(crate) until: Instant,
}

impl Target {
    /// The revision as it is assigned.
    pub(crate) fn assigned(&self) -> Assigned {
        Assigned {
            assignment: self.assignment,
            revision: self.revision,
        }
    }

    /// How long it is to be live, if it was received now.
    pub(super) fn tenure(&self, now: Instant) -> Tenure {
        match self.lease {
            None => Tenure::Lasting,
            Some(lease) => Tenure::Leased(Lease {
                of: self.assigned(),
                until: now + lease,
            }),
        }
    }
}

impl Tenure {
    /// Whether it has no end.
    pub(super) fn is_lasting(self) -> bool {
        self == Self::Lasting
    }

    /// The lease, if there is one that has not been seen to run out.
    pub(super) fn lease(self) -> Option<Lease> {
        match self {
            Self::Leased(lease) => Some(lease),
            Self::Lasting | Self::RunOut => None,
        }
    }

    /// The lease, if it has run out.
    pub(super) fn run_out(self, now: Instant) -> Option<Assigned> {
        let lease = self.lease()?;
        (lease.until <= now).then_some(lease.of)
    }
}
