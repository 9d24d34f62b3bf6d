//! What every fleet is served now, one value for each class of client. The reconciler is the only writer; streams watch.
//! Nothing here is per node: ten thousand streams share two snapshots at most, and the differences between them.

pub mod served;
pub mod serving;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;

use crate::brake::Brake;
use crate::rollout::Rollout;

pub use self::served::Served;
pub use self::serving::{Moving, Picked, Serving};

/// So long after the store was last read leases are renewed by what it said then.
const RENEWED_WITHIN: Duration = Duration::from_mins(10);

/// One revision, as each class is served it.
pub type Classes = HashMap<ClientClass, Arc<Served>>;

/// What a fleet is served from a moment on.
#[derive(Clone, Debug)]
pub struct Publication {
    /// The fleet's change counter at that moment.
    pub change_seq: u64,
    /// Its counter of changes of what any node is to serve.
    pub assignment: u64,
    /// Its stable revision.
    pub stable: Classes,
    /// Its active rollout with the revision that it goes to, which is empty if it cannot be built.
    pub rollout: Option<(Arc<Rollout>, Classes)>,
}

/// What is served to all fleets.
#[derive(Debug, Default)]
pub struct Snapshots {
    fleets: RwLock<HashMap<String, FleetServing>>,
    /// When the store last said all of this.
    read: RwLock<Option<Instant>>,
}

#[derive(Debug, Default)]
struct FleetServing {
    change_seq: u64,
    /// The active rollout and its brake.
    braking: Option<(Arc<Rollout>, Arc<Brake>)>,
    classes: HashMap<ClientClass, watch::Sender<Serving>>,
}

impl Snapshots {
    /// Watches what clients of a class are served; `None` if the fleet is not known.
    pub fn watch(&self, fleet: &str, class: ClientClass) -> Option<watch::Receiver<Serving>> {
        Some(self.read().get(fleet)?.classes.get(&class)?.subscribe())
    }

    /// The store has just said all of this.
    pub fn were_read(&self) {
        let mut read = self.read.write().unwrap_or_else(PoisonError::into_inner);
        *read = Some(Instant::now());
    }

    /// Whether leases may be renewed by what is known here: what the store has not said for longer may have been taken back
    /// long ago.
    pub fn may_renew(&self) -> bool {
        let read = *self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.is_some_and(|read| read.elapsed() < RENEWED_WITHIN)
    }

    /// The change counter that a fleet was published at last; `None` if it was not.
    pub fn change_seq(&self, fleet: &str) -> Option<u64> {
        Some(self.read().get(fleet)?.change_seq)
    }

    /// Everything that anybody in a fleet is served, the newest revision first.
    pub fn all(&self, fleet: &str) -> Vec<Snapshot> {
        let fleets = self.read();
        let classes = fleets.get(fleet).map(|fleet| &fleet.classes);
        let of_class = |class| classes.and_then(|classes| classes.get(&class));
        let (mut new, mut stable) = (Vec::new(), Vec::new());
        for watched in ClientClass::ALL.into_iter().filter_map(of_class) {
            let serving = watched.borrow();
            let to = serving
                .moving
                .as_ref()
                .and_then(|moving| moving.to.as_ref());
            new.extend(to.map(|to| to.snapshot().clone()));
            stable.push(serving.stable.snapshot().clone());
        }
        new.append(&mut stable);
        new
    }

    /// Publishes what a fleet is served.
    pub fn publish(&self, fleet: &str, publication: Publication) {
        let Publication {
            change_seq,
            assignment,
            stable,
            rollout,
        } = publication;
        let mut fleets = self.write();
        let fleet = fleets.entry(fleet.to_owned()).or_default();
        fleet.change_seq = change_seq;
        fleet.brake(rollout.as_ref().map(|(rollout, _)| rollout));
        for (class, stable) in stable {
            let moving = rollout.as_ref().zip(fleet.braking.as_ref());
            let moving = moving.map(|((rollout, to), (_, brake))| Moving {
                rollout: rollout.clone(),
                to: to.get(&class).cloned(),
                brake: brake.clone(),
            });
            let serving = Serving {
                class,
                assignment,
                stable,
                moving,
            };
            match fleet.classes.get(&class) {
                Some(watched) => {
                    watched.send_replace(serving);
                }
                None => {
                    fleet.classes.insert(class, watch::Sender::new(serving));
                }
            }
        }
    }

    /// The brake of the rollout that goes to this revision, if one runs.
    pub fn brake(&self, fleet: &str, to: u64) -> Option<Arc<Brake>> {
        let fleets = self.read();
        let (rollout, brake) = fleets.get(fleet)?.braking.as_ref()?;
        (rollout.to == to).then(|| brake.clone())
    }

    /// Has every stream of a fleet look again.
    pub fn look_again(&self, fleet: &str) {
        if let Some(fleet) = self.read().get(fleet) {
            for watched in fleet.classes.values() {
                watched.send_modify(|_| {});
            }
        }
    }

    /// Forgets fleets that are gone; their streams see their watch close.
    pub fn forget_all_but(&self, keep: impl Fn(&str) -> bool) {
        self.write().retain(|fleet, _| keep(fleet));
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, FleetServing>> {
        self.fleets.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<String, FleetServing>> {
        self.fleets.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FleetServing {
    /// A rollout keeps its brake from row to row.
    fn brake(&mut self, rollout: Option<&Arc<Rollout>>) {
        let before = self.braking.take();
        self.braking = rollout.map(|rollout| {
            let brake = match before {
                Some((before, brake)) if before.id == rollout.id => {
                    brake.read(rollout);
                    brake
                }
                _ => Arc::new(Brake::new(rollout)),
            };
            (rollout.clone(), brake)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brake::tests::rollout;

    fn classes(revision: u64) -> Classes {
        [(
            ClientClass::Envoy,
            Served::new(revision, Snapshot::default()),
        )]
        .into()
    }

    #[tokio::test(start_paused = true)]
    async fn leases_are_renewed_while_the_store_was_read_not_long_ago() {
        let snapshots = Snapshots::default();
        assert!(!snapshots.may_renew());
        snapshots.were_read();
        tokio::time::advance(RENEWED_WITHIN.mul_f64(0.99)).await;
        assert!(snapshots.may_renew());
        tokio::time::advance(RENEWED_WITHIN.mul_f64(0.02)).await;
        assert!(!snapshots.may_renew());
    }

    fn publication(rollout: Option<(Arc<Rollout>, Classes)>) -> Publication {
        Publication {
            change_seq: 1,
            assignment: 1,
            stable: classes(1),
            rollout,
        }
    }

    #[test]
    fn an_unknown_fleet_has_no_snapshot() {
        let snapshots = Snapshots::default();
        snapshots.publish("default", publication(None));
        let watched = snapshots.watch("default", ClientClass::Envoy).unwrap();
        assert_eq!(watched.borrow().stable.revision(), 1);
        let unknown = snapshots.watch("default", ClientClass::Signalbox);
        assert!(unknown.is_none());
        assert!(snapshots.watch("other", ClientClass::Envoy).is_none());
    }

    #[test]
    fn a_rollout_keeps_its_brake_from_row_to_row_and_the_next_one_has_its_own() {
        let snapshots = Snapshots::default();
        let publish = |id: &str, row_version: u64| {
            let row = Rollout {
                id: id.to_owned(),
                row_version,
                ..rollout()
            };
            let row = Some((Arc::new(row), classes(2)));
            snapshots.publish("default", publication(row));
            snapshots.brake("default", 2).unwrap()
        };
        let first = publish("a", 1);
        first.pull("n");
        assert!(Arc::ptr_eq(&first, &publish("a", 2)));
        assert!(first.is_pulled());
        assert!(!publish("b", 1).is_pulled());
        assert!(snapshots.brake("default", 1).is_none());
        snapshots.publish("default", publication(None));
        assert!(snapshots.brake("default", 2).is_none());
    }
}
