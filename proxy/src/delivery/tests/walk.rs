//! Targets, leases, the passing of time, lost connections and restarts in any order, against a model that knows no configs.

use proptest::prelude::*;

use super::leases::LEASE;
use super::*;

/// What may happen.
#[derive(Clone, Debug)]
enum Step {
    /// A target, by an assignment that is so much higher than the last one, or lower.
    Target {
        higher: i64,
        revision: u64,
        phase: Phase,
        /// In tenths of [`LEASE`].
        lease: Option<u32>,
        /// Whether its resources are there.
        whole: bool,
    },
    /// The resources of the target come.
    Resources,
    /// So many tenths of [`LEASE`] pass.
    Time(u32),
    /// The connection is lost, and there is another one.
    Reconnect,
    /// The process is killed and started again.
    Restart,
}

/// What should be.
#[derive(Debug, Default)]
struct Model {
    live: Option<u64>,
    /// By which word what is live is leased, and until when.
    lease: Option<(Assigned, Instant)>,
    /// What was live last without a lease.
    confirmed: Option<u64>,
    seen: u64,
    left: Option<Assigned>,
    /// The target, and when its lease ends.
    target: Option<(Target, Option<Instant>)>,
}

impl Model {
    fn time(&mut self, now: Instant) {
        if let Some((of, _)) = self.lease.take_if(|(_, until)| *until <= now) {
            self.leave(of);
            self.live = self.confirmed.or(self.live);
        }
        let ended =
            |(_, until): &mut (Target, Option<Instant>)| until.is_some_and(|until| until <= now);
        if let Some((target, _)) = self.target.take_if(ended) {
            self.leave(target.assigned());
        }
    }

    fn leave(&mut self, of: Assigned) {
        if of.assignment == self.seen {
            self.left = Some(of);
        }
    }

    /// `false` if it is ignored.
    fn target(&mut self, target: &Target, now: Instant) -> bool {
        self.time(now);
        if target.assignment < self.seen || self.left == Some(target.assigned()) {
            return false;
        }
        self.seen = target.assignment;
        self.left
            .take_if(|left| left.assignment < target.assignment);
        let is_confirmed = self.confirmed == Some(target.revision);
        let lease = target.lease.filter(|_| !is_confirmed);
        self.target = Some((target.clone(), lease.map(|lease| now + lease)));
        true
    }

    /// The target can be served.
    fn reach(&mut self) {
        if let Some((target, until)) = &self.target
            && target.phase == Phase::Activate
        {
            self.live = Some(target.revision);
            self.lease = until.map(|until| (target.assigned(), until));
            if until.is_none() {
                self.confirmed = self.live;
            }
        }
    }

    fn restart(&mut self) {
        let left = self.lease.map(|(of, _)| of).or(self.left);
        *self = Self {
            live: self.confirmed,
            confirmed: self.confirmed,
            seen: left.map_or(0, |left| left.assignment),
            left,
            ..Self::default()
        };
    }
}

/// Some revisions are equal in all but their number.
fn content(revision: u64) -> Snapshot {
    wire_set(1 + revision as usize % 3)
}

fn any_step() -> impl Strategy<Value = Step> {
    let phase = prop_oneof![1 => Just(Phase::Stage), 3 => Just(Phase::Activate)];
    let lease = prop_oneof![1 => Just(None), 2 => (1..12_u32).prop_map(Some)];
    let target = (-1..=2_i64, 1..=5_u64, phase, lease, any::<bool>());
    let target = target.prop_map(|(higher, revision, phase, lease, whole)| Step::Target {
        higher,
        revision,
        phase,
        lease: lease.filter(|_| phase == Phase::Activate),
        whole,
    });
    prop_oneof![
        6 => target,
        2 => Just(Step::Resources),
        4 => (1..12_u32).prop_map(Step::Time),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
    ]
}

/// Lets the clock tell delivery what is due, as its loop does.
fn let_time_pass(delivery: &mut Delivery<Recorder>, set: &Snapshot, now: Instant) {
    while delivery.due().is_some_and(|due| due <= now) {
        delivery.time_has_come(set, true, now);
    }
}

fn walk(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let (mut model, mut delivery, mut now) = (Model::default(), ours(), now());
    let mut set = Snapshot::default();
    for step in steps {
        match step {
            Step::Target {
                higher,
                revision,
                phase,
                lease,
                whole,
            } => {
                let target = Target {
                    assignment: model.seen.saturating_add_signed(higher),
                    revision,
                    phase,
                    lease: lease.map(|tenths| LEASE * tenths / 10),
                    sums: content(revision).revision_sums(),
                };
                let is_taken = model.target(&target, now);
                if whole && is_taken {
                    set = content(revision);
                }
                delivery.target(target, &set, now);
                // What is at hand needs no resources: then it may be there or not.
                let is_there = delivery.report().live_revision == revision;
                if is_taken
                    && (set.revision_sums() == content(revision).revision_sums() || is_there)
                {
                    model.reach();
                }
            }
            Step::Resources => {
                model.time(now);
                if let Some((target, _)) = &model.target {
                    set = content(target.revision);
                    delivery.wire_set_changed(&set, true, now);
                    model.reach();
                }
            }
            Step::Time(tenths) => {
                let compilations = delivery.compilations;
                for _ in 0..tenths {
                    now += LEASE / 10;
                    let_time_pass(&mut delivery, &set, now);
                    model.time(now);
                }
                prop_assert_eq!(delivery.compilations, compilations);
            }
            Step::Reconnect => {
                delivery.disconnected();
                delivery.connected(now);
                prop_assert_eq!(
                    delivery.report().state == State::Reverted,
                    model.left.is_some()
                );
                delivery.is_ours();
                model.target = None;
            }
            Step::Restart => {
                let Recorder { kept, marked, .. } = delivery.switch;
                set = kept
                    .as_ref()
                    .map_or_else(Snapshot::default, |kept| kept.wire_set.clone());
                delivery = Delivery::new(Recorder::default(), PATIENCE, kept.clone(), marked);
                delivery.switch.live.clone_from(&kept);
                delivery.switch.kept = kept;
                delivery.switch.marked = marked;
                delivery.is_ours();
                model.restart();
            }
        }
        let revision = |held: &Held| held.revision;
        prop_assert_eq!(delivery.report().live_revision, model.live.unwrap_or(0));
        prop_assert_eq!(delivery.switch.live.as_ref().map(revision), model.live);
        prop_assert_eq!(delivery.confirmed().map(revision), model.confirmed);
        prop_assert_eq!(delivery.switch.kept.as_ref().map(revision), model.confirmed);
        prop_assert_eq!(delivery.left(), model.left);
        let lease = delivery.lease().map(|lease| (lease.of, lease.until));
        prop_assert_eq!(lease, model.lease);
    }
    Ok(())
}

proptest! {
    #[test]
    fn nothing_is_live_past_its_lease_and_what_was_confirmed_last_is_gone_back_to(steps in prop::collection::vec(any_step(), 1..60)) {
        walk(steps)?;
    }
}
