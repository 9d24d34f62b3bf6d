//! What every fleet is served now, one snapshot for each class of client. The reconciler is the only writer; streams
//! watch. Nothing here is per node: ten thousand streams share one snapshot and one diff to the one before.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, RwLock, Weak};

use tokio::sync::watch;
use xds::node::ClientClass;
use xds::snapshot::{Diff, Snapshot};
use xds::type_url::ResourceType;

/// A snapshot as it is served, with the revision it belongs to.
#[derive(Debug)]
pub struct Served {
    revision: u64,
    change_seq: u64,
    snapshot: Snapshot,
    previous: Weak<Served>,
    since_previous: [OnceLock<Arc<Diff>>; ResourceType::ALL.len()],
}

impl Served {
    /// A snapshot that comes after `previous`, if there is one.
    pub fn new(
        revision: u64,
        change_seq: u64,
        snapshot: Snapshot,
        previous: Weak<Self>,
    ) -> Arc<Self> {
        Arc::new(Self {
            revision,
            change_seq,
            snapshot,
            previous,
            since_previous: Default::default(),
        })
    }

    /// The fleet's revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The fleet's change counter when this was built; endpoints count as well.
    pub fn change_seq(&self) -> u64 {
        self.change_seq
    }

    /// The resources.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What turns `older` into this. For the snapshot before this one it is computed once for all streams.
    pub fn since(&self, older: &Arc<Self>, ty: ResourceType) -> Arc<Diff> {
        let compute = || Arc::new(self.snapshot.diff(&older.snapshot, ty));
        if Weak::ptr_eq(&self.previous, &Arc::downgrade(older)) {
            return self.since_previous[ty.index()].get_or_init(compute).clone();
        }
        compute()
    }
}

type Watched = watch::Sender<Arc<Served>>;

/// The served snapshots of all fleets.
#[derive(Debug, Default)]
pub struct Snapshots {
    fleets: RwLock<HashMap<String, HashMap<ClientClass, Watched>>>,
}

impl Snapshots {
    /// Watches what clients of a class are served; `None` if the fleet is not known.
    pub fn watch(&self, fleet: &str, class: ClientClass) -> Option<watch::Receiver<Arc<Served>>> {
        let fleets = self
            .fleets
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Some(fleets.get(fleet)?.get(&class)?.subscribe())
    }

    /// The change counter that a fleet's snapshots were built at; `None` if there are none.
    pub fn change_seq(&self, fleet: &str) -> Option<u64> {
        let fleets = self
            .fleets
            .read()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        fleets
            .get(fleet)?
            .values()
            .map(|watched| watched.borrow().change_seq)
            .min()
    }

    /// Publishes new snapshots of a fleet, one a class.
    pub fn publish(
        &self,
        fleet: &str,
        revision: u64,
        change_seq: u64,
        snapshots: Vec<(ClientClass, Snapshot)>,
    ) {
        let mut fleets = self
            .fleets
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let classes = fleets.entry(fleet.to_owned()).or_default();
        for (class, snapshot) in snapshots {
            match classes.get(&class) {
                Some(watched) => {
                    let previous = Arc::downgrade(&watched.borrow());
                    watched.send_replace(Served::new(revision, change_seq, snapshot, previous));
                }
                None => {
                    classes.insert(
                        class,
                        watch::Sender::new(Served::new(
                            revision,
                            change_seq,
                            snapshot,
                            Weak::new(),
                        )),
                    );
                }
            }
        }
    }

    /// Forgets a fleet that is gone; its streams see their watch close.
    pub fn forget_all_but(&self, keep: impl Fn(&str) -> bool) {
        self.fleets
            .write()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .retain(|fleet, _| keep(fleet));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn revision_of(snapshots: &Snapshots, class: ClientClass) -> Option<u64> {
        snapshots
            .watch("default", class)
            .map(|watched| watched.borrow().revision())
    }

    #[test]
    fn an_unknown_fleet_has_no_snapshot() {
        let snapshots = Snapshots::default();
        snapshots.publish(
            "default",
            1,
            1,
            vec![(ClientClass::Envoy, Snapshot::default())],
        );
        assert_eq!(revision_of(&snapshots, ClientClass::Envoy), Some(1));
        assert_eq!(revision_of(&snapshots, ClientClass::Signalbox), None);
        assert!(snapshots.watch("other", ClientClass::Envoy).is_none());
    }

    #[test]
    fn neighbours_share_one_diff() {
        let snapshots = Snapshots::default();
        let publish = |seq| {
            snapshots.publish(
                "default",
                seq,
                seq,
                vec![(ClientClass::Envoy, Snapshot::default())],
            );
        };
        publish(1);
        let watched = snapshots.watch("default", ClientClass::Envoy).unwrap();
        let first = watched.borrow().clone();
        publish(2);
        let second = watched.borrow().clone();
        let (a, b) = (
            second.since(&first, ResourceType::Cluster),
            second.since(&first, ResourceType::Cluster),
        );
        assert!(Arc::ptr_eq(&a, &b));
    }
}
