//! The session of a simulated client of ours: what it reports, as our proxy reports it. A target is active as soon as the
//! wire set has its revision, for nothing is compiled here. Pure.

use proto::session::{State, Target};

/// What is known on one connection.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    assignment: u64,
    /// The revision of the newest target.
    target: u64,
    /// The revision of the newest response that was acknowledged.
    wire: u64,
    live: u64,
    reported: Option<Report>,
}

/// What is said to the control plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) state: State,
    pub(crate) assignment: u64,
    pub(crate) live: u64,
}

impl Progress {
    /// Of a client that comes back with this revision live, by this assignment; 0 if it is new.
    pub(crate) fn from(live: u64, assignment: u64) -> Self {
        Self {
            assignment,
            target: live,
            wire: live,
            live,
            reported: None,
        }
    }

    /// A response was acknowledged.
    pub(crate) fn acknowledged(&mut self, revision: u64) {
        self.wire = self.wire.max(revision);
    }

    /// A target came; one that is older than what was seen says nothing.
    pub(crate) fn target(&mut self, target: &Target) {
        if target.assignment >= self.assignment {
            self.assignment = target.assignment;
            self.target = target.revision;
        }
    }

    /// Whether it serves its newest target.
    pub(crate) fn is_active(&self) -> bool {
        self.target > 0 && self.live == self.target
    }

    /// What to report now, if it is news; `holds_all` once every type was answered.
    pub(crate) fn report(&mut self, holds_all: bool) -> Option<Report> {
        if holds_all && self.wire >= self.target {
            self.live = self.target;
        }
        let state = match self.target {
            0 => State::Unspecified,
            target if target == self.live => State::Active,
            _ => State::Missing,
        };
        let report = Report {
            state,
            assignment: self.assignment,
            live: self.live,
        };
        (self.reported.replace(report) != Some(report)).then_some(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(revision: u64) -> Target {
        Target {
            assignment: revision,
            revision,
            ..Default::default()
        }
    }

    fn states(progress: &mut Progress, holds_all: bool) -> Option<(State, u64)> {
        progress
            .report(holds_all)
            .map(|report| (report.state, report.live))
    }

    #[test]
    fn a_target_is_missing_until_its_resources_are_there() {
        let mut progress = Progress::from(0, 0);
        assert_eq!(states(&mut progress, false), Some((State::Unspecified, 0)));
        progress.target(&target(2));
        assert_eq!(states(&mut progress, false), Some((State::Missing, 0)));
        progress.acknowledged(2);
        assert_eq!(states(&mut progress, false), None);
        assert_eq!(states(&mut progress, true), Some((State::Active, 2)));
        assert_eq!(states(&mut progress, true), None);
        // Resources first, then the target: no word in between.
        progress.acknowledged(3);
        assert_eq!(states(&mut progress, true), None);
        progress.target(&target(3));
        assert_eq!(states(&mut progress, true), Some((State::Active, 3)));
    }

    #[test]
    fn who_comes_back_is_active_with_what_it_has() {
        let mut progress = Progress::from(7, 7);
        assert_eq!(states(&mut progress, false), Some((State::Active, 7)));
        progress.target(&target(7));
        assert!(progress.is_active() && progress.report(true).is_none());
    }
}
