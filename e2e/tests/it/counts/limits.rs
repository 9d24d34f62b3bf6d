//! The limits, all of them. Each is what was measured when it was last set, and what a run may have at most. Lower both when the
//! proxy has become better, and say why in the commit when they have to rise.

use anyhow::{Result, ensure};

/// One count and what it may be at most.
pub(super) struct Limit {
    pub(super) what: &'static str,
    measured: f64,
    most: f64,
}

/// The part by which a count may be better before it asks for a lower limit.
const SLACK: f64 = 0.1;

pub(super) const INSTRUCTIONS_1: Limit = limit(
    "user instructions per request, 1 connection",
    13_460.0,
    13_850.0,
);
pub(super) const INSTRUCTIONS_64: Limit = limit(
    "user instructions per request, 64 connections",
    11_510.0,
    11_850.0,
);
/// Two to read, two to write, two to wait for events.
pub(super) const SYSTEM_CALLS_1: Limit = limit("system calls per request, 1 connection", 6.0, 6.1);
/// Waiting for events is shared by those that came together.
pub(super) const SYSTEM_CALLS_64: Limit =
    limit("system calls per request, 64 connections", 4.05, 4.25);
/// None: what is left is that starting differs by a few hundred from run to run.
pub(super) const ALLOCATIONS: Limit = limit("heap allocations per request", 0.0, 0.05);
pub(super) const IDLE_CONNECTION: Limit = limit("bytes per idle connection", 2_195.0, 2_450.0);
pub(super) const HOST: Limit = limit("bytes per route with a host of its own", 824.0, 900.0);
pub(super) const PATH: Limit = limit("bytes per route of one host", 519.0, 560.0);

const fn limit(what: &'static str, measured: f64, most: f64) -> Limit {
    Limit {
        what,
        measured,
        most,
    }
}

impl Limit {
    pub(super) fn check(&self, count: f64) -> Result<()> {
        let Self {
            what,
            measured,
            most,
        } = self;
        println!("{what}: {count:.2} (at most {most})");
        ensure!(
            count <= *most,
            "{what}: {count:.2}, and at most {most} may be; {measured} was measured when the limit was set"
        );
        if measured - count > SLACK * measured.max(1.0) {
            println!("{what}: better than {measured}; the limit can be lowered");
        }
        Ok(())
    }
}
