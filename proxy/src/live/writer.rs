//! The one place that changes what is live. It runs on the side runtime; the workers only read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;
use xds::config::Config;
use xds::problem::Problem;

use crate::metrics::Metrics;
use crate::outcomes::{Ledger, Outcomes};

use super::sockets::{Handover, Plan, Sockets};
use super::{Live, Retired, Shared};

/// Makes configs live. There is one in a process, and whoever holds it decides what is served.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    retired: Arc<Retired>,
    metrics: Arc<Metrics>,
    ledger: Arc<Ledger>,
    sockets: Sockets,
    staged: Option<(Arc<Config>, Plan)>,
    /// The number of what is live; 0 if it has none.
    revision: u64,
}

impl Writer {
    /// The writer for a set of workers. `bind` stands in for the wildcard address of listeners.
    pub(crate) fn new(
        shared: Arc<Shared>,
        retired: Arc<Retired>,
        metrics: Arc<Metrics>,
        ledger: Arc<Ledger>,
        workers: Vec<UnboundedSender<Handover>>,
        bind: Option<IpAddr>,
    ) -> Self {
        Self {
            shared,
            retired,
            metrics,
            ledger,
            sockets: Sockets::new(workers, bind),
            staged: None,
            revision: 0,
        }
    }

    /// Binds what a config asks for and is not open yet, and keeps it until the config goes live or another is staged. No
    /// traffic is touched. Returns what only this machine can know; then nothing is kept.
    pub fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.staged = None;
        let plan = self.sockets.prepare(config, &mut problems);
        self.staged = Some((config.clone(), plan)).filter(|_| problems.is_empty());
        problems
    }

    /// Forgets what is staged: its sockets that are not in use are closed.
    pub fn unstage(&mut self) {
        self.staged = None;
    }

    /// Makes a config live: binds unless it was staged, swaps, listens, in this order. What else was staged is forgotten.
    ///
    /// Returns what only this machine can know, such as an address that cannot be bound; everything else is served all
    /// the same. Requests that have begun keep the config they began with, and no connection is closed but those of
    /// sockets that the config no longer asks for. `revision` is its number, by which its requests are reported; 0 if it
    /// has none.
    pub fn activate(&mut self, config: &Arc<Config>, revision: u64) -> Vec<Problem> {
        match self.staged.take() {
            Some((staged, plan)) if has_same_listeners(&staged, config) => {
                self.carry_out(config, revision, plan, Vec::new())
            }
            _ => self.apply(config, revision),
        }
    }

    /// Makes a config live that was not staged; what is staged stays so.
    pub fn apply(&mut self, config: &Config, revision: u64) -> Vec<Problem> {
        let mut problems = Vec::new();
        let plan = self.sockets.prepare(config, &mut problems);
        self.carry_out(config, revision, plan, problems)
    }

    /// What is live has another number from now on.
    pub fn renumber(&mut self, revision: u64) {
        self.revision = revision;
        if let Some(outcomes) = &self.shared.current().outcomes {
            self.ledger.renumber(outcomes, revision);
        }
    }

    fn carry_out(
        &mut self,
        config: &Config,
        revision: u64,
        plan: Plan,
        mut problems: Vec<Problem>,
    ) -> Vec<Problem> {
        let before = self.shared.current();
        let outcomes = self.outcomes(&before, config, revision);
        let live = Live::following(&before, config, &plan.addresses, &self.metrics, outcomes);
        drop(before);
        self.revision = revision;
        self.retired.take_in(self.shared.publish(Arc::new(live)));
        self.sockets.carry_out(plan, config, &mut problems);
        self.sockets.wake_workers();
        self.retired.sweep();
        let mut status = self.shared.status();
        status.since = Some(SystemTime::now());
        status.problems.clone_from(&problems);
        problems
    }

    /// Where the requests of the next config are counted: on, where the last one's were, if only endpoints have changed.
    fn outcomes(&self, before: &Live, config: &Config, revision: u64) -> Option<Arc<Outcomes>> {
        let goes_on = self.revision == revision && before.has_listeners_of(config);
        match before.outcomes.as_ref().filter(|_| goes_on) {
            Some(same) => Some(same.clone()),
            None => self.ledger.track(revision, self.metrics.workers()),
        }
    }

    /// Where each live listener is reached, by its name.
    pub fn listening(&self) -> BTreeMap<Arc<str>, SocketAddr> {
        let live = self.shared.current();
        let listeners = live.listeners.iter();
        listeners
            .filter_map(|listener| Some((listener.served.listener.name.clone(), listener.address?)))
            .collect()
    }
}

/// Whether two configs ask for the same sockets because they are one but for endpoints, which come and go by themselves.
fn has_same_listeners(one: &Config, other: &Config) -> bool {
    let (one, other) = (&one.listeners, &other.listeners);
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|(one, other)| Arc::ptr_eq(one, other))
}
