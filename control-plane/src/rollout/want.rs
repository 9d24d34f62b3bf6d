//! What a node is to serve, and how far it is to go with it: a pure function of the fleet's row, the row of its active rollout and
//! the node.
//!
//! ```text
//!   not chosen → chosen: our own proxies stage → activated: under the wave's lease → confirmed: for good
//! ```
//!
//! Each part of the fleet contains the one after it. Clients that know no stages get the new revision when the wave is
//! activated, so nobody serves it before everybody who can say so could.

use std::collections::BTreeSet;

use xds::node::ClientClass;

use super::selection::{Member, Selection};
use super::{Rollout, State};
use crate::model::duration::Duration;

/// What a node is to serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Want {
    /// The revision.
    pub revision: u64,
    /// How far to go with it.
    pub phase: Phase,
    /// How long it is served unless that is said again; `None`: for good.
    pub lease: Option<Duration>,
}

/// How far a node is to go with a revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// It gets ready to serve it, and goes on with what it serves.
    Stage,
    /// It serves it.
    Activate,
}

impl Want {
    /// To serve a revision for good.
    pub const fn for_good(revision: u64) -> Self {
        Self {
            revision,
            phase: Phase::Activate,
            lease: None,
        }
    }

    /// The same, no further than this.
    #[must_use]
    pub fn at_most(self, phase: Phase) -> Self {
        let phase = self.phase.min(phase);
        Self {
            phase,
            lease: self.lease.filter(|_| phase == Phase::Activate),
            ..self
        }
    }
}

/// What a node of a class is to serve. `stable` is the fleet's stable revision, `rollout` its active rollout if it has one.
pub fn want(stable: u64, rollout: Option<&Rollout>, node: Member<'_>, class: ClientClass) -> Want {
    match rollout {
        Some(rollout) => rollout
            .gives(node, class)
            .unwrap_or(Want::for_good(rollout.from)),
        None => Want::for_good(stable),
    }
}

/// What a row says of who is to serve what: rows that say the same are told apart by nobody who is served.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orders<'a> {
    chosen: Option<&'a Selection>,
    activated: Option<&'a Selection>,
    confirmed: Option<&'a Selection>,
    lease: Option<Duration>,
    only: Option<&'a BTreeSet<String>>,
}

impl Rollout {
    /// Who has been told to serve the new revision; they are among those who are chosen.
    pub fn activated(&self) -> &Selection {
        self.activated.as_ref().unwrap_or(&self.selection)
    }

    /// Who is to serve the new revision for good; they are among those who are activated.
    pub fn confirmed(&self) -> &Selection {
        self.confirmed.as_ref().unwrap_or(self.activated())
    }

    /// How long those serve the new revision who are activated and not confirmed, unless that is said again. The last wave has no
    /// lease: when it is over there is nothing left to go back to.
    pub fn lease(&self) -> Option<Duration> {
        let is_last = self.wave as usize + 1 >= self.strategy.waves.len();
        let wave = self.current().filter(|_| !is_last)?;
        Some(wave.lease()).filter(|lease| lease.as_millis() > 0)
    }

    /// What a node has of the new revision; `None` if it is to have the old one.
    fn gives(&self, node: Member<'_>, class: ClientClass) -> Option<Want> {
        if self.state == State::Completed {
            return Some(Want::for_good(self.to));
        }
        if !self.takes() || !self.leaves(node) {
            return None;
        }
        if node.is_validator() {
            return Some(Want::for_good(self.to));
        }
        let is_in = |selection: &Selection| selection.contains(&self.salt, node);
        if is_in(self.activated()) {
            let lease = self.lease().filter(|_| !is_in(self.confirmed()));
            return Some(Want {
                lease,
                ..Want::for_good(self.to)
            });
        }
        let stages = class == ClientClass::Signalbox && is_in(self.given());
        stages.then_some(Want {
            phase: Phase::Stage,
            ..Want::for_good(self.to)
        })
    }

    /// What the row says of who is to serve what.
    pub fn orders(&self) -> Orders<'_> {
        let takes = self.gives_any();
        Orders {
            chosen: takes.then(|| self.given()),
            activated: takes.then(|| self.activated()),
            confirmed: takes.then(|| self.confirmed()),
            lease: self.lease().filter(|_| takes),
            only: self.only().filter(|_| takes),
        }
    }

    /// Whether anybody can be given the new revision.
    pub fn gives_any(&self) -> bool {
        let nobody = self.selection.is_empty() && self.state != State::Validating;
        self.takes() && !self.state.is_terminal() && !nobody
    }

    /// Whether nodes that are chosen are given the new revision.
    fn takes(&self) -> bool {
        match self.state {
            State::RollingBack | State::RolledBack | State::Canceled | State::Superseded => false,
            State::Validating
            | State::AwaitingApproval
            | State::Advancing
            | State::Staging
            | State::Settling
            | State::Baking
            | State::Paused
            | State::Completed => true,
        }
    }

    /// Whether nodes that are chosen get ready. While the rollout is paused they do not: a proxy that has just started, and
    /// has nothing to go on with meanwhile, would serve nothing for as long as that takes.
    fn stages(&self) -> bool {
        self.activated.is_some() && self.state != State::Paused
    }

    /// Who is given the new revision, to get ready for or to serve.
    fn given(&self) -> &Selection {
        if self.stages() {
            &self.selection
        } else {
            self.activated()
        }
    }

    /// Whether a pause leaves a node that is chosen the new revision.
    fn leaves(&self, node: Member<'_>) -> bool {
        self.only().is_none_or(|only| only.contains(node.id))
    }

    fn only(&self) -> Option<&BTreeSet<String>> {
        self.paused.as_ref()?.only.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::model::timestamp::Timestamp;
    use crate::rollout::begin::{Begin, Terms, begin};
    use crate::rollout::built_in::built_in;

    const PROXY: ClientClass = ClientClass::Signalbox;

    fn chosen(nodes: &[&str]) -> Selection {
        Selection {
            nodes: nodes.iter().map(ToString::to_string).collect(),
            ..Selection::default()
        }
    }

    /// In its first wave, with these nodes chosen and those activated.
    fn rollout(nodes: &[&str], activated: &[&str]) -> Rollout {
        let what = Begin {
            id: "r",
            fleet: "f",
            from: 1,
            to: 2,
            strategy: &built_in("canary-then-all").unwrap(),
            reason: "",
            by: "",
            validators: false,
            instead_of: None,
            terms: Terms::default(),
        };
        Rollout {
            state: State::Staging,
            selection: chosen(nodes),
            activated: Some(chosen(activated)),
            ..begin(what, Timestamp::default()).0
        }
    }

    fn wants(rollout: &Rollout, id: &str, class: ClientClass) -> (u64, Phase, bool) {
        let labels = BTreeMap::new();
        let node = Member {
            id,
            zone: "",
            labels: &labels,
        };
        let want = want(1, Some(rollout), node, class);
        (want.revision, want.phase, want.lease.is_some())
    }

    #[test]
    fn who_is_chosen_gets_ready_if_it_can_and_serves_it_when_the_wave_is_activated() {
        use Phase::{Activate, Stage};
        let mut row = rollout(&["a", "b"], &["b"]);
        assert_eq!(wants(&row, "a", PROXY), (2, Stage, false));
        assert_eq!(wants(&row, "a", ClientClass::Envoy), (1, Activate, false));
        assert_eq!(wants(&row, "b", ClientClass::Envoy), (2, Activate, true));
        assert_eq!(wants(&row, "c", PROXY), (1, Activate, false));
        row.state = State::Paused;
        assert_eq!(wants(&row, "a", PROXY), (1, Activate, false));
        assert_eq!(wants(&row, "b", PROXY), (2, Activate, true));
        row.state = State::RollingBack;
        assert_eq!(wants(&row, "b", PROXY), (1, Activate, false));
    }

    #[test]
    fn a_validator_has_it_before_and_after_everybody_else_and_for_good() {
        let mut row = rollout(&[], &[]);
        let labels = BTreeMap::from([("role".to_owned(), "validator".to_owned())]);
        let node = Member {
            id: "a",
            zone: "",
            labels: &labels,
        };
        for (state, revision) in [
            (State::Validating, 2),
            (State::AwaitingApproval, 2),
            (State::Staging, 2),
            (State::RollingBack, 1),
        ] {
            row.state = state;
            for class in ClientClass::ALL {
                let wants = want(1, Some(&row), node, class);
                assert_eq!(wants, Want::for_good(revision), "{state}");
            }
        }
    }

    #[test]
    fn a_lease_is_for_those_who_are_not_confirmed_and_not_in_the_last_wave() {
        let mut row = rollout(&["a", "b"], &["a", "b"]);
        row.confirmed = Some(chosen(&["a"]));
        assert!(!wants(&row, "a", PROXY).2 && wants(&row, "b", PROXY).2);
        row.strategy.waves[0].lease = Some(Duration::from_millis(0));
        assert!(!wants(&row, "b", PROXY).2);
        row.strategy.waves[0].lease = None;
        row.wave = 3;
        assert!(!wants(&row, "b", PROXY).2);
        // A row of a version that knew neither stages nor leases.
        row.wave = 0;
        (row.activated, row.confirmed) = (None, None);
        assert_eq!(wants(&row, "b", PROXY), (2, Phase::Activate, false));
    }
}
