//! Our own control plane: goes as far with its target as that says and the wire set allows.

use tokio::time::Instant;
use xds::problem::{Code, Problem};
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use super::held::Held;
use super::switch::Switch;
use super::target::{Assigned, Phase, Target, Tenure};
use super::{Delivery, Guide, RETRY_PAUSE};

/// A target, and how long it is to be live.
#[derive(Clone, Debug)]
pub(super) struct Pursuit {
    pub(super) target: Target,
    pub(super) tenure: Tenure,
}

/// A target that cannot be served.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) of: Assigned,
    pub(super) problems: Vec<Problem>,
    pub(super) transient: bool,
}

impl<S: Switch> Delivery<S> {
    /// Goes as far with the target as its phase says and the wire set allows.
    pub(super) fn pursue(&mut self, wire_set: &Snapshot, now: Instant) {
        let Guide::Ours(Some(pursuit)) = &self.guide else {
            return;
        };
        let Pursuit { target, tenure } = Pursuit::clone(pursuit);
        if let Some(live) = &self.live
            && live.sums == target.sums
        {
            if target.phase == Phase::Activate {
                self.keep(&target, tenure);
            }
            return;
        }
        let refused = self.refused.as_ref();
        if refused.is_some_and(|refused| refused.of == target.assigned()) {
            return;
        }
        let Some(held) = self.ready_for(&target, wire_set, now) else {
            return;
        };
        match target.phase {
            Phase::Stage => self.hold(held, now),
            Phase::Activate => self.activate(held, tenure, now),
        }
    }

    /// The target is live already: it may get another number, and another tenure.
    fn keep(&mut self, target: &Target, tenure: Tenure) {
        self.drop_warming();
        let Some(live) = &mut self.live else { return };
        let is_confirmed = tenure.is_lasting() && !self.tenure.is_lasting();
        let is_renumbered = live.revision != target.revision;
        if is_renumbered && self.tenure.is_lasting() && !tenure.is_lasting() {
            self.fallback = Some(live.clone());
        }
        live.revision = target.revision;
        self.tenure = tenure;
        self.mark(tenure);
        match &self.live {
            Some(live) if is_renumbered => self.switch.renumber(live, tenure.is_lasting()),
            _ if is_confirmed => self.switch.confirm(),
            _ => {}
        }
    }

    /// The target, if it is at hand or the wire set has it whole, and this machine can serve it.
    fn ready_for(&mut self, target: &Target, wire_set: &Snapshot, now: Instant) -> Option<Held> {
        let is_target = |held: &&Held| held.sums == target.sums;
        let numbered = |held: &Held| Held {
            revision: target.revision,
            ..held.clone()
        };
        let staged = self.staged.as_ref().map(|staged| &staged.held);
        if let Some(staged) = staged.filter(is_target) {
            return Some(numbered(staged));
        }
        let warming = self.warming.as_ref().map(|warming| &warming.held);
        let mut held = warming.into_iter().chain(&self.fallback);
        match held.find(is_target).map(numbered) {
            // It was served before, or is about to be: to go there must not fail for a port alone.
            Some(held) if target.phase == Phase::Activate => Some(held),
            Some(held) => self.bind(held, Vec::new(), true, target, now),
            None => self.compile_whole(target, wire_set, now),
        }
    }

    /// Compiles the target and makes it ready, if the wire set has it whole.
    fn compile_whole(
        &mut self,
        target: &Target,
        wire_set: &Snapshot,
        now: Instant,
    ) -> Option<Held> {
        if wire_set.revision_sums() != target.sums {
            return None;
        }
        let (held, problems) = self.compile(wire_set, target.revision);
        let lacks_endpoints = lacks_endpoints_alone(&problems);
        if lacks_endpoints && now < self.lacking(target, now) {
            return None;
        }
        let transient = problems.is_empty() || lacks_endpoints;
        self.bind(held, problems, transient, target, now)
    }

    /// Binds what the target needs. It is refused if that fails or something is wrong with it already; then all of it is said.
    fn bind(
        &mut self,
        held: Held,
        mut problems: Vec<Problem>,
        transient: bool,
        target: &Target,
        now: Instant,
    ) -> Option<Held> {
        self.staged = None;
        problems.extend(self.switch.stage(&held.config));
        if transient {
            self.due = (!problems.is_empty()).then(|| now + RETRY_PAUSE);
        }
        if problems.is_empty() {
            self.refused = None;
            return Some(held);
        }
        self.switch.unstage();
        self.refused = Some(Refused {
            of: target.assigned(),
            problems,
            transient,
        });
        None
    }

    /// Until when the endpoints of a target are waited for: they are no part of the revision and may come after all that is.
    fn lacking(&mut self, target: &Target, now: Instant) -> Instant {
        let until = match self.lacking {
            Some((assignment, until)) if assignment == target.assignment => until,
            _ => now + self.patience,
        };
        self.lacking = Some((target.assignment, until));
        self.due = Some(until);
        until
    }
}

/// Whether nothing is wrong but that clusters have no endpoints: they are what a cluster refers to.
fn lacks_endpoints_alone(problems: &[Problem]) -> bool {
    let is_of_cluster = |problem: &Problem| {
        let resource = problem.resource.as_ref();
        resource.is_some_and(|resource| resource.ty == ResourceType::Cluster)
    };
    let mut problems = problems.iter().peekable();
    problems.peek().is_some()
        && problems.all(|problem| problem.code == Code::MissingReference && is_of_cluster(problem))
}
