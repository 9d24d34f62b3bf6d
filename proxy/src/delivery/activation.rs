//! How a config goes live, what it leaves behind as the way back, and how a lease takes that way.

use std::time::Duration;

use tokio::time::Instant;

use super::held::Held;
use super::switch::Switch;
use super::target::{Assigned, Tenure};
use super::{Delivery, Guide};

/// How long a config waits for the first answers to its names. Names without an answer by then have no endpoints until one
/// comes; the rest of the config must not wait for them.
pub(super) const WARMING_MAX: Duration = Duration::from_secs(5);

/// A config that goes live when its names have been looked up, or then.
#[derive(Debug)]
pub(super) struct Warming {
    pub(super) held: Held,
    pub(super) tenure: Tenure,
    pub(super) until: Instant,
}

/// A config that waits for the word to go live.
#[derive(Debug)]
pub(super) struct Staged {
    pub(super) held: Held,
    /// Until when its names are waited for; `None`: it could go live at once.
    pub(super) warm_by: Option<Instant>,
}

impl<S: Switch> Delivery<S> {
    /// Has a config that is bound wait for the word to go live.
    pub(super) fn hold(&mut self, mut held: Held, now: Instant) {
        self.warming
            .take_if(|warming| warming.held.sums == held.sums);
        match &mut self.staged {
            Some(staged) if staged.held.sums == held.sums => staged.held.revision = held.revision,
            _ => {
                held.readdress(&self.answers);
                self.staged = Some(Staged {
                    held,
                    warm_by: Some(now + WARMING_MAX),
                });
            }
        }
        self.look_at_staged(now);
    }

    /// Makes a config live, when it is warm. What follows one that warms does not wait longer than that would have.
    pub(super) fn activate(&mut self, held: Held, tenure: Tenure, now: Instant) {
        let staged = self.staged.as_ref();
        let until = match staged.filter(|staged| staged.held.sums == held.sums) {
            Some(staged) => staged.warm_by.unwrap_or(now),
            None => {
                let warming = self.warming.as_ref();
                warming.map_or(now + WARMING_MAX, |warming| warming.until)
            }
        };
        self.warm(
            Warming {
                held,
                tenure,
                until,
            },
            now,
        );
    }

    /// Looks whether what warms or is staged has become warm.
    pub(super) fn look_at_names(&mut self, now: Instant) {
        if let Some(warming) = self.warming.take() {
            self.warm(warming, now);
        }
        self.look_at_staged(now);
    }

    /// Ends what has run out, and goes back. To be called before anything goes live.
    pub(super) fn end_leases(&mut self, now: Instant) {
        if let Some(left) = self.tenure.run_out(now) {
            // First, so that there is no moment in which a restart would take it again.
            self.leave(left);
            self.go_back(now);
            self.tell(left);
        }
        // What had not gone live by the end of its lease does not any more.
        let warming = self.warming.as_ref();
        if let Some(left) = warming.and_then(|warming| warming.tenure.run_out(now)) {
            self.drop_warming();
            if self.leave(left) {
                self.tell(left);
            }
        }
        if let Guide::Ours(Some(pursuit)) = &self.guide
            && let Some(left) = pursuit.tenure.run_out(now)
        {
            self.guide = Guide::Ours(None);
            if self.leave(left) {
                self.tell(left);
            }
        }
    }

    /// Gives up what warms, with its sockets.
    pub(super) fn drop_warming(&mut self) {
        if self.warming.take().is_some() && self.staged.is_none() {
            self.switch.unstage();
        }
    }

    /// Has a restart know what it is not to take again, if what is live has this tenure.
    pub(super) fn mark(&mut self, tenure: Tenure) {
        let marked = tenure.lease().map(|lease| lease.of).or(self.left);
        if self.marked != marked {
            self.marked = marked;
            self.switch.mark(marked);
        }
    }

    fn warm(&mut self, mut warming: Warming, now: Instant) {
        warming.held.readdress(&self.answers);
        if self.answers.cover(&warming.held.config) || now >= warming.until {
            self.warming = None;
            self.go_live(warming.held, warming.tenure, now);
        } else {
            self.warming = Some(warming);
        }
    }

    fn look_at_staged(&mut self, now: Instant) {
        if let Some(staged) = &mut self.staged
            && let Some(warm_by) = staged.warm_by
            && (self.answers.cover(&staged.held.config) || now >= warm_by)
        {
            staged.warm_by = None;
        }
    }

    fn go_live(&mut self, held: Held, tenure: Tenure, now: Instant) {
        let fallback = self.fallback.as_ref();
        let is_fallback = fallback.is_some_and(|fallback| fallback.sums == held.sums);
        let staged = self.staged.take();
        // Before, so that a machine that ends right after has heard of it.
        self.mark(tenure);
        self.switch.activate(&held, tenure.is_lasting());
        let before = self.live.replace(held);
        // What was live under leases alone is nothing to go back to: that stays what was live before them.
        if self.tenure.is_lasting() || (is_fallback && tenure.is_lasting()) {
            // With a foreign control plane every change is a step of its own, and there is no way back to offer. A lease needs one.
            let is_offered = |held: &Held| held.revision > 0 || !tenure.is_lasting();
            self.fallback = before.filter(is_offered);
        }
        self.tenure = tenure;
        if let Some(staged) = staged
            && !self
                .live
                .as_ref()
                .is_some_and(|live| live.sums == staged.held.sums)
        {
            self.stage_again(staged, now);
        }
    }

    /// What is staged was bound beside other sockets than are open now.
    fn stage_again(&mut self, staged: Staged, now: Instant) {
        if self.switch.stage(&staged.held.config).is_empty() {
            self.staged = Some(staged);
        } else {
            self.pursue_soon(now);
        }
    }

    /// Goes back to what was last live without a lease. That compiles nothing and waits for nothing.
    fn go_back(&mut self, now: Instant) {
        match self.fallback.clone() {
            Some(held) => {
                self.reverts += 1;
                self.go_live(held, Tenure::Lasting, now);
            }
            None => {
                self.tenure = Tenure::RunOut;
                self.mark(self.tenure);
            }
        }
        // The target may be another one by now, such as to stage what was left.
        self.pursue_soon(now);
    }

    /// Does not take this again. A higher assignment has made that needless. `false` if it was left before.
    fn leave(&mut self, left: Assigned) -> bool {
        if self.left == Some(left) {
            return false;
        }
        if left.assignment == self.assignment {
            self.left = Some(left);
        }
        self.mark(self.tenure);
        true
    }

    fn tell(&mut self, left: Assigned) {
        let live = self.live.as_ref();
        self.switch
            .lease_has_run_out(left, live.map_or(0, |live| live.revision));
    }

    fn pursue_soon(&mut self, now: Instant) {
        // While it is not known who is there, that something is due means another thing.
        if matches!(self.guide, Guide::Ours(Some(_))) {
            self.due = Some(now);
        }
    }
}
