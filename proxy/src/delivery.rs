//! Delivery: which config goes live, and when. In: the wire set as deltas build it, and the target of our own control
//! plane. Out: calls of a [`Switch`], and a [`Report`]. No I/O; the clock is a parameter.
//!
//! With our own control plane a revision is a whole: it is compiled when the wire set has the target's sums, held, and
//! switched to in one step. A target whose sums equal those of a config that is still held needs neither resources nor
//! compiling: going back is one small message. With a foreign control plane, whose updates have no borders, a wire set goes
//! live when its parts fit together (`fit`).

mod fit;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xds::compile::compile;
use xds::config::Config;
use xds::fast_lane::with_endpoints;
use xds::problem::Problem;
use xds::snapshot::Snapshot;
use xds::sum::RevisionSums;

use self::fit::{Decision, Fit};

/// How long after this machine refused a config it is tried again: a port that was taken may be free by then.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What the control plane wants this proxy to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    /// Grows with every change of what anybody is to serve.
    pub(crate) assignment: u64,
    /// The fleet's revision.
    pub(crate) revision: u64,
    /// How far to go.
    pub(crate) phase: Phase,
    /// By what the revision is known.
    pub(crate) sums: RevisionSums,
}

/// How far to go with a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Compile and bind; touch no traffic.
    Stage,
    /// Serve it.
    Activate,
}

/// What makes configs ready and live.
pub(crate) trait Switch {
    /// Does all that can fail or takes long. What is wrong on this machine comes back, and then nothing has changed.
    fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem>;
    /// Makes a config live; if it was staged last, that is one store. Whatever else was staged is forgotten.
    fn activate(&mut self, held: &Held);
    /// Puts newer endpoints into the live config; what is staged stays so.
    fn refresh(&mut self, held: &Held);
}

/// A config that can be switched to.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    /// Its revision; 0 with a foreign control plane.
    pub(crate) revision: u64,
    /// By what it is known.
    pub(crate) sums: RevisionSums,
    /// What it was compiled from, with the endpoints of that moment.
    pub(crate) wire_set: Snapshot,
    /// It, compiled.
    pub(crate) config: Arc<Config>,
}

/// What became of the target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// The highest assignment that was seen.
    pub(crate) assignment: u64,
    /// Where the target stands.
    pub(crate) state: State,
    /// The revision that is live; 0 if there is none or it has no number.
    pub(crate) live_revision: u64,
    /// The revision that is staged and not live; 0 if there is none.
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
    /// Resources are missing.
    Missing,
    /// It can be switched to.
    Staged,
    /// It is live.
    Active,
    /// It cannot be served.
    Refused,
}

/// Who decides.
#[derive(Debug)]
enum Guide {
    /// Not known yet whether the control plane is ours.
    Unknown,
    /// A foreign one: what fits goes live.
    Foreign,
    /// Ours; `None` until it has said what to serve.
    Ours(Option<Target>),
}

/// A target that cannot be served.
#[derive(Clone, Debug)]
struct Refused {
    assignment: u64,
    problems: Vec<Problem>,
    transient: bool,
}

/// The state of delivery; it outlives streams.
#[derive(Debug)]
pub(crate) struct Delivery<S> {
    switch: S,
    guide: Guide,
    patience: Duration,
    fit: Fit,
    due: Option<Instant>,
    live: Option<Held>,
    /// What was live before, for the way back.
    previous: Option<Held>,
    staged: Option<Held>,
    refused: Option<Refused>,
    /// What does not fit together in the wire set that was judged last.
    unfit: Vec<Problem>,
    assignment: u64,
    compilations: u64,
}

impl<S: Switch> Delivery<S> {
    /// `patience` is how long a foreign wire set that does not fit waits; `live` is what the switch serves already.
    pub(crate) fn new(switch: S, patience: Duration, live: Option<Held>) -> Self {
        Self {
            switch,
            guide: Guide::Unknown,
            patience,
            fit: Fit::new(patience),
            due: None,
            live,
            previous: None,
            staged: None,
            refused: None,
            unfit: Vec::new(),
            assignment: 0,
            compilations: 0,
        }
    }

    /// A new connection: who is at the other end must show again. What is live stays. One who does not say within the
    /// patience for missing parts is taken for a foreign one.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.guide = Guide::Unknown;
        self.due = Some(now + self.patience);
    }

    /// The connection is gone. Who did not show will not.
    pub(crate) fn disconnected(&mut self) {
        if matches!(self.guide, Guide::Unknown) {
            self.due = None;
        }
    }

    /// The control plane is ours.
    pub(crate) fn is_ours(&mut self) {
        self.due = None;
        self.guide = Guide::Ours(None);
    }

    /// The control plane is a foreign one.
    pub(crate) fn is_foreign(&mut self, wire_set: &Snapshot, answered: bool, now: Instant) {
        self.guide = Guide::Foreign;
        self.wire_set_changed(wire_set, answered, now);
    }

    /// The wire set changed. `answered`: the server has answered all that must be answered before anything can fit.
    pub(crate) fn wire_set_changed(&mut self, wire_set: &Snapshot, answered: bool, now: Instant) {
        match &self.guide {
            Guide::Foreign => self.judge(wire_set, answered, now),
            Guide::Unknown | Guide::Ours(_) => {
                self.refresh_endpoints(wire_set);
                self.pursue(wire_set, now);
            }
        }
    }

    /// The control plane said what to serve. An older word than one that was heard is ignored.
    pub(crate) fn target(&mut self, target: Target, wire_set: &Snapshot, now: Instant) {
        if target.assignment < self.assignment {
            return;
        }
        self.assignment = target.assignment;
        self.guide = Guide::Ours(Some(target));
        self.pursue(wire_set, now);
    }

    /// When to call [`Delivery::time_has_come`]: a wire set that did not fit is judged again, or what this machine refused is
    /// tried again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// [`Delivery::due`] has passed.
    pub(crate) fn time_has_come(&mut self, wire_set: &Snapshot, answered: bool, now: Instant) {
        self.due = None;
        self.refused.take_if(|refused| refused.transient);
        if matches!(self.guide, Guide::Unknown) {
            self.guide = Guide::Foreign;
        }
        self.wire_set_changed(wire_set, answered, now);
    }

    /// What became of the target.
    pub(crate) fn report(&self) -> Report {
        let target = match &self.guide {
            Guide::Ours(target) => target.as_ref(),
            Guide::Unknown | Guide::Foreign => None,
        };
        let refused = self
            .refused
            .as_ref()
            .filter(|refused| refused.assignment == self.assignment);
        let has = |held: &Option<Held>| {
            let sums = held.as_ref().map(|held| held.sums);
            sums.is_some() && sums == target.map(|target| target.sums)
        };
        let state = match target {
            None => State::None,
            Some(_) if refused.is_some() => State::Refused,
            Some(_) if has(&self.live) => State::Active,
            Some(_) if has(&self.staged) => State::Staged,
            Some(_) => State::Missing,
        };
        Report {
            assignment: self.assignment,
            state,
            live_revision: self.live.as_ref().map_or(0, |held| held.revision),
            staged_revision: self.staged.as_ref().map_or(0, |held| held.revision),
            problems: refused
                .map(|refused| refused.problems.clone())
                .unwrap_or_default(),
            transient: refused.is_some_and(|refused| refused.transient),
        }
    }

    /// What does not fit together in the wire set that was judged last.
    pub(crate) fn unfit(&self) -> &[Problem] {
        &self.unfit
    }

    // === a foreign control plane ===

    fn judge(&mut self, wire_set: &Snapshot, answered: bool, now: Instant) {
        let (held, problems) = self.compile(wire_set, 0);
        match self.fit.judge(answered, &problems, now) {
            Decision::Activate => {
                self.due = None;
                self.go_live(held);
            }
            Decision::Wait(due) => self.due = Some(due),
        }
        self.unfit = problems;
    }

    // === our own control plane ===

    /// Goes as far with the target as its phase says and the wire set allows.
    fn pursue(&mut self, wire_set: &Snapshot, now: Instant) {
        let Guide::Ours(Some(target)) = &self.guide else {
            return;
        };
        let target = target.clone();
        if let Some(live) = self.live.as_mut().filter(|live| live.sums == target.sums) {
            live.revision = target.revision;
            return;
        }
        if self
            .refused
            .as_ref()
            .is_some_and(|refused| refused.assignment == target.assignment)
        {
            return;
        }
        let Some(held) = self
            .held(&target)
            .or_else(|| self.stage(&target, wire_set, now))
        else {
            return;
        };
        match target.phase {
            Phase::Stage => self.staged = Some(held),
            Phase::Activate => self.go_live(held),
        }
    }

    /// The target, if it is at hand already.
    fn held(&mut self, target: &Target) -> Option<Held> {
        let held = [&self.staged, &self.previous];
        let held = held
            .into_iter()
            .flatten()
            .find(|held| held.sums == target.sums)?;
        Some(Held {
            revision: target.revision,
            ..held.clone()
        })
    }

    /// Compiles the target and makes it ready, if the wire set has it whole.
    fn stage(&mut self, target: &Target, wire_set: &Snapshot, now: Instant) -> Option<Held> {
        if wire_set.revision_sums() != target.sums {
            return None;
        }
        let (held, mut problems) = self.compile(wire_set, target.revision);
        let transient = problems.is_empty();
        if transient {
            problems = self.switch.stage(&held.config);
            self.due = (!problems.is_empty()).then(|| now + RETRY_PAUSE);
        }
        if problems.is_empty() {
            self.refused = None;
            return Some(held);
        }
        self.refused = Some(Refused {
            assignment: target.assignment,
            problems,
            transient,
        });
        None
    }

    fn refresh_endpoints(&mut self, wire_set: &Snapshot) {
        for held in [&mut self.previous, &mut self.staged].into_iter().flatten() {
            held.refresh(wire_set);
        }
        if let Some(live) = &mut self.live
            && live.refresh(wire_set)
        {
            self.switch.refresh(live);
        }
    }

    // === both ===

    fn compile(&mut self, wire_set: &Snapshot, revision: u64) -> (Held, Vec<Problem>) {
        self.compilations += 1;
        Held::new(revision, wire_set.clone())
    }

    fn go_live(&mut self, held: Held) {
        self.switch.activate(&held);
        self.staged = None;
        let before = self.live.replace(held);
        // With a foreign control plane every change is a step of its own, and there is no way back to offer.
        self.previous = before.filter(|before| before.revision > 0);
    }
}

impl Held {
    /// Compiles a wire set; says what does not fit together in it.
    pub(crate) fn new(revision: u64, wire_set: Snapshot) -> (Self, Vec<Problem>) {
        let (config, problems) = compile(&wire_set);
        let (sums, config) = (wire_set.revision_sums(), Arc::new(config));
        let held = Self {
            revision,
            sums,
            wire_set,
            config,
        };
        (held, problems)
    }

    /// Takes newer endpoints; `false` if there are none.
    fn refresh(&mut self, wire_set: &Snapshot) -> bool {
        let Some(config) = with_endpoints(&self.config, wire_set) else {
            return false;
        };
        self.config = Arc::new(config);
        let endpoints = xds::type_url::ResourceType::ClusterLoadAssignment;
        self.wire_set
            .replace(endpoints, wire_set.set(endpoints).clone());
        true
    }
}

#[cfg(test)]
mod tests;
