//! The one place that changes what is live. It runs on the side runtime; the workers only read.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::SystemTime;

use tokio::sync::mpsc::UnboundedSender;
use xds::config::Config;
use xds::problem::Problem;

use crate::metrics::Metrics;

use super::sockets::{Handover, Plan, Sockets};
use super::{Live, Retired, Shared};

/// Makes configs live. There is one in a process, and whoever holds it decides what is served.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
    retired: Arc<Retired>,
    metrics: Arc<Metrics>,
    sockets: Sockets,
    staged: Option<(Arc<Config>, Plan)>,
}

impl Writer {
    /// The writer for a set of workers. `bind` stands in for the wildcard address of listeners.
    pub(crate) fn new(
        shared: Arc<Shared>,
        retired: Arc<Retired>,
        metrics: Arc<Metrics>,
        workers: Vec<UnboundedSender<Handover>>,
        bind: Option<IpAddr>,
    ) -> Self {
        Self {
            shared,
            retired,
            metrics,
            sockets: Sockets::new(workers, bind),
            staged: None,
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

    /// Makes a config live: binds unless it was staged, swaps, listens, in this order. What else was staged is forgotten.
    ///
    /// Returns what only this machine can know, such as an address that cannot be bound; everything else is served all
    /// the same. Requests that have begun keep the config they began with, and no connection is closed but those of
    /// sockets that the config no longer asks for.
    pub fn activate(&mut self, config: &Arc<Config>) -> Vec<Problem> {
        match self.staged.take() {
            Some((staged, plan)) if has_same_listeners(&staged, config) => {
                self.carry_out(config, plan, Vec::new())
            }
            _ => self.apply(config),
        }
    }

    /// Makes a config live that was not staged; what is staged stays so.
    pub fn apply(&mut self, config: &Config) -> Vec<Problem> {
        let mut problems = Vec::new();
        let plan = self.sockets.prepare(config, &mut problems);
        self.carry_out(config, plan, problems)
    }

    fn carry_out(
        &mut self,
        config: &Config,
        plan: Plan,
        mut problems: Vec<Problem>,
    ) -> Vec<Problem> {
        let before = self.shared.current();
        let live = Live::following(&before, config, &plan.addresses, &self.metrics);
        drop(before);
        self.retired.take_in(self.shared.publish(Arc::new(live)));
        self.sockets.carry_out(plan, config, &mut problems);
        self.sockets.wake_workers();
        self.retired.sweep();
        let mut status = self.shared.status();
        status.since = Some(SystemTime::now());
        status.problems.clone_from(&problems);
        problems
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
