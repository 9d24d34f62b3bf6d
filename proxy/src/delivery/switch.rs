//! What delivery asks of the machine that it runs on.

use std::sync::Arc;

use xds::config::Config;
use xds::problem::Problem;

use super::held::Held;
use super::target::Assigned;

/// What makes configs ready and live, and has a restart find what is to be served then.
pub(crate) trait Switch {
    /// Does all that can fail or takes long, in place of what was staged before. What is wrong on this machine comes back, and
    /// then nothing is staged.
    fn stage(&mut self, config: &Arc<Config>) -> Vec<Problem>;
    /// Forgets what is staged, with its sockets.
    fn unstage(&mut self);
    /// Makes a config live; if it was staged last, that is one store. Whatever else was staged is forgotten. `lasting`: a restart
    /// is to serve it, too.
    fn activate(&mut self, held: &Held, lasting: bool);
    /// Puts newer endpoints into the live config; what is staged stays so.
    fn refresh(&mut self, held: &Held, lasting: bool);
    /// The same with addresses that names stand for: these are not kept for the next start.
    fn readdress(&mut self, held: &Held);
    /// What is live has another number from now on: that of a revision that differs in nothing.
    fn renumber(&mut self, held: &Held, lasting: bool);
    /// What is live lasts from now on: a restart is to serve it, too.
    fn confirm(&mut self);
    /// A restart is not to take this again: its lease is running, or has run out. `None`: there is no such thing.
    fn mark(&mut self, left: Option<Assigned>);
    /// The lease of `left` has run out; what is live now has this revision.
    fn lease_has_run_out(&mut self, left: Assigned, live_revision: u64);
}
