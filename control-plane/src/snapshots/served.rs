//! One revision as one class of client is served it, and what turns others into it: computed once for all streams.

use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use xds::snapshot::{Diff, Snapshot};
use xds::type_url::ResourceType;

/// Of so many others the differences are kept: those that streams come from are the revision before, the other one of a
/// rollout, and each of them with the endpoints of a moment ago.
const NEIGHBOURS_MAX: usize = 4;

/// A snapshot as it is served, with the revision it belongs to.
#[derive(Debug)]
pub struct Served {
    revision: u64,
    snapshot: Snapshot,
    neighbours: Mutex<Vec<Arc<Neighbour>>>,
}

/// Another snapshot that streams come from.
#[derive(Debug)]
struct Neighbour {
    /// Weak: a difference keeps no snapshot alive.
    older: Weak<Served>,
    since: [OnceLock<Arc<Diff>>; ResourceType::ALL.len()],
}

impl Served {
    /// The snapshot of a revision.
    pub fn new(revision: u64, snapshot: Snapshot) -> Arc<Self> {
        Arc::new(Self {
            revision,
            snapshot,
            neighbours: Mutex::default(),
        })
    }

    /// The fleet's revision.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The resources.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// What turns `older` into this. Streams move in crowds, so it is computed once for those that come from the same one.
    pub fn since(&self, older: &Arc<Self>, ty: ResourceType) -> Arc<Diff> {
        let neighbour = self.neighbour(older);
        let since = &neighbour.since[ty.index()];
        since
            .get_or_init(|| Arc::new(self.snapshot.diff(&older.snapshot, ty)))
            .clone()
    }

    fn neighbour(&self, older: &Arc<Self>) -> Arc<Neighbour> {
        let weak = Arc::downgrade(older);
        let mut neighbours = self
            .neighbours
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = neighbours
            .iter()
            .find(|known| Weak::ptr_eq(&known.older, &weak));
        if let Some(known) = known {
            return known.clone();
        }
        neighbours.retain(|known| known.older.strong_count() > 0);
        if neighbours.len() == NEIGHBOURS_MAX {
            neighbours.remove(0);
        }
        let neighbour = Arc::new(Neighbour {
            older: weak,
            since: Default::default(),
        });
        neighbours.push(neighbour.clone());
        neighbour
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TY: ResourceType = ResourceType::Cluster;

    fn served(revision: u64) -> Arc<Served> {
        Served::new(revision, Snapshot::default())
    }

    #[test]
    fn streams_share_one_difference_in_either_direction() {
        let (from, to) = (served(1), served(2));
        for (newer, older) in [(&to, &from), (&from, &to)] {
            let shared = newer.since(older, TY);
            let again = newer.since(older, TY);
            assert!(Arc::ptr_eq(&shared, &again));
        }
        // Others do not drive it out at once.
        let before = to.since(&from, TY);
        let others: Vec<_> = (3..6).map(served).collect();
        for other in &others {
            to.since(other, TY);
        }
        assert!(Arc::ptr_eq(&before, &to.since(&from, TY)));
    }

    #[test]
    fn what_is_kept_is_bounded_and_keeps_nothing_alive() {
        let newest = served(9);
        let others: Vec<_> = (0..8).map(served).collect();
        for other in &others {
            newest.since(other, TY);
        }
        assert_eq!(newest.neighbours.lock().unwrap().len(), NEIGHBOURS_MAX);
        let kept: Vec<_> = others.iter().map(Arc::downgrade).collect();
        drop(others);
        assert!(kept.iter().all(|other| other.strong_count() == 0));
        newest.since(&served(10), TY);
        assert_eq!(newest.neighbours.lock().unwrap().len(), 1);
    }
}
