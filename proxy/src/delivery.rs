//! Delivery: which config goes live, and when. In: the wire set as deltas build it, and the target of our own control
//! plane. Out: calls of a [`Switch`], and a [`Report`]. No I/O; the clock is a parameter.
//!
//! With our own control plane a revision is a whole: it is compiled when the wire set has the target's sums, held, and
//! switched to in one step. A target whose sums equal those of a config that is still held needs neither resources nor
//! compiling: going back is one small message. With a foreign control plane, whose updates have no borders, a wire set goes
//! live when its parts fit together (`fit`). Either way it first *warms*: the names of its clusters are looked up.

mod fit;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xds::compile::{Before, compile_after};
use xds::config::Config;
use xds::fast_lane::{with_answers, with_endpoints};
use xds::problem::{Code, Problem};
use xds::resource::cluster::dns::Query;
use xds::snapshot::Snapshot;
use xds::sum::RevisionSums;
use xds::type_url::ResourceType;

use self::fit::{Decision, Fit};
use crate::dns::Answers;

/// How long after this machine refused a config it is tried again: a port that was taken may be free by then.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// How long a config that is to go live waits for the first answers to its names. Names without an answer by then have no
/// endpoints until one comes; the rest of the config must not wait for them.
const WARMING_MAX: Duration = Duration::from_secs(5);

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
    /// The same with addresses that names stand for: these are not kept for the next start.
    fn readdress(&mut self, held: &Held);
    /// What is live is another revision from now on: one that differs in nothing.
    fn renumber(&mut self, revision: u64);
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
    /// Its parts fitted together, so that what differs from it can be compiled alone.
    fits: bool,
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
    /// A control plane that holds a rollout up may send a node elsewhere by the same assignment.
    revision: u64,
    problems: Vec<Problem>,
    transient: bool,
}

/// A config that goes live when its names have been looked up, or then.
#[derive(Debug)]
struct Warming {
    held: Held,
    until: Instant,
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
    warming: Option<Warming>,
    /// What is known of the names of all these configs.
    answers: Arc<Answers>,
    refused: Option<Refused>,
    /// The assignment whose clusters have no endpoints yet, and until when they are waited for.
    lacking: Option<(u64, Instant)>,
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
            warming: None,
            answers: Arc::default(),
            refused: None,
            lacking: None,
            unfit: Vec::new(),
            assignment: 0,
            compilations: 0,
        }
    }

    /// What was live before a restart goes live again, when its names have been looked up.
    pub(crate) fn recall(&mut self, held: Held, now: Instant) {
        self.activate(held, now);
    }

    /// The names that must be known for what is held; one may come several times.
    pub(crate) fn queries(&self) -> impl Iterator<Item = &Arc<Query>> {
        let warming = self.warming.as_ref().map(|warming| &warming.held);
        let held = [&self.live, &self.previous, &self.staged];
        let held = held.into_iter().flatten().chain(warming);
        held.flat_map(|held| held.config.queries())
    }

    /// There are other answers: everything that is held gets them.
    pub(crate) fn answered(&mut self, answers: Arc<Answers>, now: Instant) {
        self.answers = answers;
        for held in [&mut self.previous, &mut self.staged].into_iter().flatten() {
            held.readdress(&self.answers);
        }
        if let Some(live) = &mut self.live
            && live.readdress(&self.answers)
        {
            self.switch.readdress(live);
        }
        self.look_at_warming(now);
    }

    /// When a config that warms has done so for long enough.
    pub(crate) fn warm_by(&self) -> Option<Instant> {
        self.warming.as_ref().map(|warming| warming.until)
    }

    /// Makes live what has warmed enough.
    pub(crate) fn look_at_warming(&mut self, now: Instant) {
        if let Some(Warming { held, until }) = self.warming.take() {
            self.activate_by(held, until, now);
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

    /// When to call [`Delivery::time_has_come`]: a wire set that did not fit is judged again, what this machine refused is tried
    /// again, or something has warmed for long enough.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.warm_by()).min()
    }

    /// [`Delivery::due`] has passed.
    pub(crate) fn time_has_come(&mut self, wire_set: &Snapshot, answered: bool, now: Instant) {
        self.look_at_warming(now);
        if self.due.is_none_or(|due| now < due) {
            return;
        }
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
        let refused = self.refused.as_ref();
        let refused = refused.filter(|refused| target.is_some_and(|target| refused.is_of(target)));
        let warming = self.warming.as_ref().map(|warming| &warming.held);
        let ready = [self.staged.as_ref(), warming].into_iter().flatten();
        let is_target = |held: &Held| target.is_some_and(|target| target.sums == held.sums);
        let state = match target {
            None => State::None,
            Some(_) if refused.is_some() => State::Refused,
            Some(_) if self.live.as_ref().is_some_and(is_target) => State::Active,
            Some(_) if ready.clone().any(is_target) => State::Staged,
            Some(_) => State::Missing,
        };
        Report {
            assignment: self.assignment,
            state,
            live_revision: self.live.as_ref().map_or(0, |held| held.revision),
            staged_revision: ready.clone().next().map_or(0, |held| held.revision),
            problems: refused
                .map(|refused| refused.problems.clone())
                .unwrap_or_default(),
            transient: refused.is_some_and(|refused| refused.transient),
        }
    }

    /// Whether a foreign control plane is followed.
    pub(crate) fn follows_foreign(&self) -> bool {
        matches!(self.guide, Guide::Foreign)
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
                self.activate(held, now);
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
            if live.revision != target.revision {
                live.revision = target.revision;
                self.switch.renumber(target.revision);
            }
            if target.phase == Phase::Activate {
                self.warming = None;
            }
            return;
        }
        if self
            .refused
            .as_ref()
            .is_some_and(|refused| refused.is_of(&target))
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
            Phase::Activate => self.activate(held, now),
        }
    }

    /// The target, if it is at hand already.
    fn held(&mut self, target: &Target) -> Option<Held> {
        let warming = self.warming.as_ref().map(|warming| &warming.held);
        let held = [&self.staged, &self.previous].into_iter().flatten();
        let held = held.chain(warming).find(|held| held.sums == target.sums)?;
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
        let lacks_endpoints = lacks_endpoints_alone(&problems);
        if lacks_endpoints && now < self.lacking(target, now) {
            return None;
        }
        let transient = problems.is_empty() || lacks_endpoints;
        if problems.is_empty() {
            problems = self.switch.stage(&held.config);
        }
        if transient {
            self.due = (!problems.is_empty()).then(|| now + RETRY_PAUSE);
        }
        if problems.is_empty() {
            self.refused = None;
            return Some(held);
        }
        self.refused = Some(Refused {
            assignment: target.assignment,
            revision: target.revision,
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

    fn refresh_endpoints(&mut self, wire_set: &Snapshot) {
        let warming = self.warming.as_mut().map(|warming| &mut warming.held);
        let held = [&mut self.previous, &mut self.staged].into_iter().flatten();
        for held in held.chain(warming) {
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
        Held::after(self.live.as_ref(), revision, wire_set.clone())
    }

    /// Makes a config live, when it is warm. What follows one that warms does not wait longer than that would have.
    fn activate(&mut self, held: Held, now: Instant) {
        let until = self.warm_by().unwrap_or(now + WARMING_MAX);
        self.activate_by(held, until, now);
    }

    fn activate_by(&mut self, mut held: Held, until: Instant, now: Instant) {
        held.readdress(&self.answers);
        if self.answers.cover(&held.config) || now >= until {
            self.warming = None;
            self.go_live(held);
        } else {
            self.warming = Some(Warming { held, until });
        }
    }

    fn go_live(&mut self, held: Held) {
        self.switch.activate(&held);
        self.staged = None;
        let before = self.live.replace(held);
        // With a foreign control plane every change is a step of its own, and there is no way back to offer.
        self.previous = before.filter(|before| before.revision > 0);
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

impl Refused {
    /// Whether this is what was refused.
    fn is_of(&self, target: &Target) -> bool {
        (self.assignment, self.revision) == (target.assignment, target.revision)
    }
}

impl Held {
    /// Compiles a wire set; says what does not fit together in it.
    pub(crate) fn new(revision: u64, wire_set: Snapshot) -> (Self, Vec<Problem>) {
        Self::after(None, revision, wire_set)
    }

    /// As [`Self::new`]; of what is held already, only what differs is compiled.
    fn after(before: Option<&Self>, revision: u64, wire_set: Snapshot) -> (Self, Vec<Problem>) {
        let before = before.filter(|before| before.fits).map(|before| Before {
            snapshot: &before.wire_set,
            config: &before.config,
        });
        let (config, problems) = compile_after(&wire_set, before);
        let (sums, config) = (wire_set.revision_sums(), Arc::new(config));
        let held = Self {
            revision,
            sums,
            wire_set,
            config,
            fits: problems.is_empty(),
        };
        (held, problems)
    }

    /// Whether some of its endpoints are found by name.
    pub(crate) fn waits_for_names(&self) -> bool {
        self.config.queries().next().is_some()
    }

    /// Takes the addresses that its names stand for; `false` if they are no others.
    fn readdress(&mut self, answers: &Answers) -> bool {
        let config = with_answers(&self.config, |query| answers.addresses(query));
        match config {
            Some(config) => {
                self.config = Arc::new(config);
                true
            }
            None => false,
        }
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
