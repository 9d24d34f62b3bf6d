//! Delivery: which config goes live, when, and for how long. In: the wire set as deltas build it, and the target of our own
//! control plane. Out: calls of a [`Switch`], and a [`Report`]. No I/O; the clock is a parameter.
//!
//! With our own control plane a revision is a whole: it is compiled when the wire set has the target's sums, held, and
//! switched to in one step. A target whose sums equal those of a config that is still held needs neither resources nor
//! compiling: going back is one small message, or, when a *lease* runs out, none at all. With a foreign control plane, whose
//! updates have no borders, a wire set goes live when its parts fit together (`fit`). Either way it first *warms*: the names of
//! its clusters are looked up.
//!
//! - `target`: what is wanted, and for how long.
//! - `held`: a config that can be switched to.
//! - `switch`: what the machine does.
//! - `fit`: when a wire set of a foreign control plane may go live, pure.
//! - `activation`: going live, and back.
//! - `pursuit`: from a target to what is ready.
//! - `report`: what the control plane is told.

mod activation;
mod fit;
mod held;
mod pursuit;
mod report;
mod switch;
mod target;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use xds::problem::Problem;
use xds::resource::cluster::dns::Query;
use xds::snapshot::Snapshot;

use self::activation::{Staged, Warming};
use self::fit::{Decision, Fit};
use self::pursuit::{Pursuit, Refused};
use crate::dns::Answers;

pub(crate) use self::held::Held;
pub(crate) use self::report::{Report, State};
pub(crate) use self::switch::Switch;
pub(crate) use self::target::{Assigned, Lease, Phase, Target, Tenure};

/// How long after this machine refused a config it is tried again: a port that was taken may be free by then.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// Who decides.
#[derive(Debug)]
enum Guide {
    /// Not known yet whether the control plane is ours.
    Unknown,
    /// A foreign one: what fits goes live.
    Foreign,
    /// Ours; `None` until it has said what to serve, and when the lease of that has run out.
    Ours(Option<Box<Pursuit>>),
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
    /// How long what is live is to be.
    tenure: Tenure,
    /// The way back: what was live before; under a lease what was last live without one.
    fallback: Option<Held>,
    staged: Option<Staged>,
    warming: Option<Warming>,
    /// What is known of the names of all these configs.
    answers: Arc<Answers>,
    refused: Option<Refused>,
    /// What was left last and is not taken again, until a higher assignment comes. There is one: of the two revisions that a
    /// fleet's nodes may be sent to, nobody leases the stable one.
    left: Option<Assigned>,
    /// What a restart knows that it is not to take again.
    marked: Option<Assigned>,
    /// The assignment whose clusters have no endpoints yet, and until when they are waited for.
    lacking: Option<(u64, Instant)>,
    /// What does not fit together in the wire set that was judged last.
    unfit: Vec<Problem>,
    assignment: u64,
    compilations: u64,
    reverts: u64,
}

impl<S: Switch> Delivery<S> {
    /// `patience` is how long a foreign wire set that does not fit waits; `live` is what the switch serves already. `left` is
    /// what an earlier life of the proxy says not to take again: its lease had run out or was running.
    pub(crate) fn new(
        switch: S,
        patience: Duration,
        live: Option<Held>,
        left: Option<Assigned>,
    ) -> Self {
        Self {
            switch,
            guide: Guide::Unknown,
            patience,
            fit: Fit::new(patience),
            due: None,
            live,
            tenure: Tenure::Lasting,
            fallback: None,
            staged: None,
            warming: None,
            answers: Arc::default(),
            refused: None,
            left,
            marked: left,
            lacking: None,
            unfit: Vec::new(),
            assignment: left.map_or(0, |left| left.assignment),
            compilations: 0,
            reverts: 0,
        }
    }

    /// What was live before a restart goes live again, when its names have been looked up.
    pub(crate) fn recall(&mut self, held: Held, now: Instant) {
        self.activate(held, Tenure::Lasting, now);
    }

    /// The names that must be known for what is held; one may come several times.
    pub(crate) fn queries(&self) -> impl Iterator<Item = &Arc<Query>> {
        let held = self.live.iter().chain(self.aside());
        held.flat_map(|held| held.config.queries())
    }

    /// There are other answers: everything that is held gets them.
    pub(crate) fn answered(&mut self, answers: Arc<Answers>, now: Instant) {
        self.answers = answers;
        let staged = self.staged.as_mut().map(|staged| &mut staged.held);
        for held in self.fallback.iter_mut().chain(staged) {
            held.readdress(&self.answers);
        }
        if let Some(live) = &mut self.live
            && live.readdress(&self.answers)
        {
            self.switch.readdress(live);
        }
        self.look_at_clock(now);
    }

    /// When to call [`Delivery::look_at_clock`]: something has warmed for long enough, or a lease runs out.
    pub(crate) fn alone_by(&self) -> Option<Instant> {
        let warming = self.warming.as_ref();
        let staged = self.staged.as_ref().and_then(|staged| staged.warm_by);
        let pursued = match &self.guide {
            Guide::Ours(Some(pursuit)) => pursuit.tenure.lease(),
            Guide::Ours(None) | Guide::Unknown | Guide::Foreign => None,
        };
        let warmed = warming.and_then(|warming| warming.tenure.lease());
        let leases = [self.tenure.lease(), warmed, pursued].into_iter().flatten();
        let names = warming.map(|warming| warming.until).into_iter();
        let all = names.chain(staged).chain(leases.map(|lease| lease.until));
        all.min()
    }

    /// Does what needs no control plane: goes back when a lease has run out, and makes live what has warmed enough.
    pub(crate) fn look_at_clock(&mut self, now: Instant) {
        self.end_leases(now);
        self.look_at_names(now);
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
        self.end_leases(now);
        match &self.guide {
            Guide::Foreign => self.judge(wire_set, answered, now),
            Guide::Unknown | Guide::Ours(_) => {
                self.refresh_endpoints(wire_set);
                self.pursue(wire_set, now);
            }
        }
    }

    /// The control plane said what to serve. An older word than one that was heard is ignored, and so is one that was left.
    pub(crate) fn target(&mut self, target: Target, wire_set: &Snapshot, now: Instant) {
        self.end_leases(now);
        if target.assignment < self.assignment || self.left == Some(target.assigned()) {
            return;
        }
        self.assignment = target.assignment;
        self.left
            .take_if(|left| left.assignment < target.assignment);
        self.mark(self.tenure);
        if self
            .staged
            .take_if(|staged| staged.held.sums != target.sums)
            .is_some()
        {
            self.switch.unstage();
        }
        // A replica that lags may still lease what was confirmed by another: what was confirmed stays so.
        let tenure = if self.has_confirmed(&target) {
            Tenure::Lasting
        } else {
            target.tenure(now)
        };
        self.guide = Guide::Ours(Some(Box::new(Pursuit { target, tenure })));
        self.pursue(wire_set, now);
    }

    /// When to call [`Delivery::time_has_come`]: a wire set that did not fit is judged again, what this machine refused is tried
    /// again, something has warmed for long enough, or a lease runs out.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.alone_by()).min()
    }

    /// [`Delivery::due`] has passed.
    pub(crate) fn time_has_come(&mut self, wire_set: &Snapshot, answered: bool, now: Instant) {
        self.look_at_clock(now);
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

    /// What a restart would serve, and what a lease goes back to. `None`: nothing has been served yet but under leases.
    pub(crate) fn confirmed(&self) -> Option<&Held> {
        if self.tenure.is_lasting() {
            self.live.as_ref()
        } else {
            self.fallback.as_ref()
        }
    }

    /// The lease of what is live, if it has one.
    pub(crate) fn lease(&self) -> Option<Lease> {
        self.tenure.lease()
    }

    /// What is not taken again, until a higher assignment comes.
    pub(crate) fn left(&self) -> Option<Assigned> {
        self.left
    }

    /// How often a lease has run out and what was live before it went live again.
    pub(crate) fn reverts(&self) -> u64 {
        self.reverts
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
                self.activate(held, Tenure::Lasting, now);
            }
            Decision::Wait(due) => self.due = Some(due),
        }
        self.unfit = problems;
    }

    // === both ===

    fn compile(&mut self, wire_set: &Snapshot, revision: u64) -> (Held, Vec<Problem>) {
        self.compilations += 1;
        Held::after(self.live.as_ref(), revision, wire_set.clone())
    }

    fn refresh_endpoints(&mut self, wire_set: &Snapshot) {
        let warming = self.warming.as_mut().map(|warming| &mut warming.held);
        let staged = self.staged.as_mut().map(|staged| &mut staged.held);
        for held in self.fallback.iter_mut().chain(staged).chain(warming) {
            held.refresh(wire_set);
        }
        if let Some(live) = &mut self.live
            && live.refresh(wire_set)
        {
            self.switch.refresh(live, self.tenure.is_lasting());
        }
    }

    /// Whether a target is what would be gone back to, or is about to be live for good.
    fn has_confirmed(&self, target: &Target) -> bool {
        let warming = self.warming.as_ref();
        let warming = warming.filter(|warming| warming.tenure.is_lasting());
        let warming = warming.map(|warming| &warming.held);
        let mut confirmed = self.confirmed().into_iter().chain(warming);
        confirmed.any(|held| held.revision == target.revision && held.sums == target.sums)
    }

    /// The names of the endpoints of what is live, of what is about to be, and of what a lease goes back to: they are asked for
    /// as long as these are held, whatever the wire set refers to. Without a lease the way back is a short cut, and who sends the
    /// node there sends its endpoints, too.
    pub(crate) fn endpoint_names(&self) -> impl Iterator<Item = &Arc<str>> {
        let fallback = self.fallback.iter().filter(|_| !self.tenure.is_lasting());
        let held = self.live.iter().chain(fallback).chain(self.next());
        held.flat_map(Held::endpoint_names)
    }

    /// What is held beside what is live.
    fn aside(&self) -> impl Iterator<Item = &Held> {
        self.fallback.iter().chain(self.next())
    }

    /// What is ready to be live, or becomes so.
    fn next(&self) -> impl Iterator<Item = &Held> {
        let warming = self.warming.as_ref().map(|warming| &warming.held);
        let staged = self.staged.as_ref().map(|staged| &staged.held);
        staged.into_iter().chain(warming)
    }
}

#[cfg(test)]
mod tests;
