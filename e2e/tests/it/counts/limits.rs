//! The limits, all of them. Each is what was measured when it was last set and how far above that a run may come; lower the
//! number when the proxy has become better, and say why in the commit when it has to rise.

use anyhow::{Result, ensure};

/// One count and what it may be at most.
pub(super) struct Limit {
    pub(super) what: &'static str,
    measured: f64,
    /// As a part of `measured`.
    tolerance: f64,
}

/// How much better than its limit says a count may be before it asks to be lowered.
const SLACK: f64 = 0.1;

pub(super) const INSTRUCTIONS_1: Limit = limit(
    "user instructions per request, 1 connection",
    27_270.0,
    0.03,
);
pub(super) const INSTRUCTIONS_64: Limit = limit(
    "user instructions per request, 64 connections",
    24_340.0,
    0.03,
);
/// Two to read and two to write; the rest is waiting for events, which 64 connections share.
pub(super) const SYSTEM_CALLS_1: Limit = limit("system calls per request, 1 connection", 6.0, 0.03);
pub(super) const SYSTEM_CALLS_64: Limit =
    limit("system calls per request, 64 connections", 4.03, 0.05);
pub(super) const ALLOCATIONS: Limit = limit("heap allocations per request", 3.99, 0.02);
pub(super) const IDLE_CONNECTION: Limit = limit("bytes per idle connection", 19_040.0, 0.05);
pub(super) const HOST: Limit = limit("bytes per route with a host of its own", 1_158.0, 0.05);
pub(super) const PATH: Limit = limit("bytes per route of one host", 602.0, 0.05);

const fn limit(what: &'static str, measured: f64, tolerance: f64) -> Limit {
    Limit {
        what,
        measured,
        tolerance,
    }
}

impl Limit {
    pub(super) fn check(&self, count: f64) -> Result<()> {
        let (what, measured) = (self.what, self.measured);
        let most = measured * (1.0 + self.tolerance);
        println!("{what}: {count:.2} (at most {most:.2})");
        ensure!(
            count <= most,
            "{what}: {count:.2}, over {most:.2}: it was {measured} when the limit was set"
        );
        if count < measured * (1.0 - SLACK) {
            println!("{what}: better than its limit, which can be lowered to {count:.2}");
        }
        Ok(())
    }
}
