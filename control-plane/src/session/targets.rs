//! What one proxy was told on its session. In: what it is to serve, and the assignments that it says it has seen. Out: whether
//! to tell it, and which revision an assignment stood for. Pure.

use std::collections::VecDeque;

use crate::rollout::want::Want;

/// So many targets are remembered of a proxy that does not say what it has seen.
const TOLD_MAX: usize = 64;

/// What a proxy was told, and has seen anywhere.
#[derive(Debug)]
pub(super) struct Targets {
    seen: u64,
    /// Assignment and what it asked for, in order; those that are older than the newest seen are dropped.
    told: VecDeque<(u64, Want)>,
}

impl Targets {
    /// Of a proxy that has seen this assignment elsewhere.
    pub(super) fn new(seen: u64) -> Self {
        Self {
            seen,
            told: VecDeque::new(),
        }
    }

    /// The proxy says what it has seen.
    pub(super) fn sees(&mut self, assignment: u64) {
        self.seen = self.seen.max(assignment);
        self.told.retain(|(told, _)| *told >= assignment);
    }

    /// Whether the proxy has seen more than this: then whoever says so waits until it knows more.
    pub(super) fn has_seen_more_than(&self, assignment: u64) -> bool {
        self.seen > assignment
    }

    /// Whether the proxy is to be told this. A lower revision is as good as a higher one, if its assignment is newer; what it was
    /// told last is no news, whatever changed for others.
    pub(super) fn tell(&mut self, assignment: u64, want: Want) -> bool {
        let last = self.told.back().map(|(_, want)| *want);
        if self.has_seen_more_than(assignment) || last == Some(want) {
            return false;
        }
        if self.told.len() == TOLD_MAX {
            self.told.pop_front();
        }
        self.told.push_back((assignment, want));
        true
    }

    /// Which revision an assignment stood for, if the proxy was told it here.
    pub(super) fn revision(&self, assignment: u64) -> Option<u64> {
        let mut told = self.told.iter().rev();
        told.find(|(told, _)| *told == assignment)
            .map(|(_, want)| want.revision)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::duration::Duration;
    use crate::rollout::want::Phase;

    #[test]
    fn going_back_is_told_and_what_is_known_is_not_told_again() {
        let mut targets = Targets::new(0);
        assert!(targets.tell(5, Want::for_good(2)));
        assert!(!targets.tell(5, Want::for_good(2)));
        assert!(targets.tell(6, Want::for_good(1)));
        // What changed for others is no news: whoever knows less wants the same of this one.
        assert!(!targets.tell(7, Want::for_good(1)));
        assert_eq!(targets.revision(5), Some(2));
        targets.sees(6);
        assert_eq!((targets.revision(5), targets.revision(6)), (None, Some(1)));
    }

    #[test]
    fn another_phase_or_lease_of_the_same_revision_is_news() {
        let mut targets = Targets::new(0);
        let activate = Want::for_good(2);
        let stage = activate.at_most(Phase::Stage);
        let leased = Want {
            lease: Some(Duration::from_millis(9)),
            ..activate
        };
        for want in [stage, leased, activate] {
            assert!(targets.tell(5, want), "{want:?}");
            assert!(!targets.tell(6, want), "{want:?}");
        }
    }

    #[test]
    fn who_has_seen_more_is_not_told() {
        let mut targets = Targets::new(9);
        assert!(!targets.tell(8, Want::for_good(3)));
        assert!(targets.tell(9, Want::for_good(3)));
        targets.sees(11);
        assert!(!targets.tell(10, Want::for_good(4)));
    }

    #[test]
    fn of_one_assignment_the_last_word_counts() {
        let mut targets = Targets::new(0);
        assert!(targets.tell(5, Want::for_good(1)) && targets.tell(5, Want::for_good(2)));
        assert_eq!(targets.revision(5), Some(2));
    }
}
