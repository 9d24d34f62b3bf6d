//! What was read last, for readers who cannot wait until the database is back. In: what the store's own reads and writes
//! see on their way. Out: the same, with the moment at which it was the truth. It is bounded, and it never says that
//! something is not there.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::node_status::NodeStatus;
use super::{Fleet, Revision};
use crate::model::Config;
use crate::translate::FastLane;

/// So many revisions of a fleet are kept, the newest; two pages of the API's list.
const REVISIONS_MAX: usize = 200;
/// So many nodes are kept, of all fleets together: some 50 MiB. A fleet that does not fit is not kept at all, for a part
/// of its nodes would look like all of them.
const NODES_MAX: usize = 50_000;

/// Something that was read some time ago.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept<T> {
    /// What was read.
    pub value: T,
    /// When it was last known to be the newest.
    pub at: Instant,
}

/// All nodes of a fleet, by id.
pub type Census = BTreeMap<String, NodeStatus>;

/// What was read last of each fleet.
#[derive(Debug, Default)]
pub struct Memory(Mutex<HashMap<String, OfFleet>>);

#[derive(Debug, Default)]
struct OfFleet {
    row: Option<Kept<Fleet>>,
    /// The newest config read or written. A revision never changes, so this is never wrong, only old.
    config: Option<(u64, Arc<Config>)>,
    endpoints: Option<FastLane>,
    revisions: BTreeMap<u64, Revision>,
    nodes: Option<Kept<Arc<Census>>>,
}

impl Memory {
    /// All fleets, by name.
    pub fn fleets(&self) -> Option<Kept<Vec<Fleet>>> {
        let rows = self.fleets_of_all();
        let oldest = rows.iter().map(|row| row.at).min()?;
        let mut fleets: Vec<_> = rows.into_iter().map(|row| row.value).collect();
        fleets.sort_by(|one, other| one.name.cmp(&other.name));
        Some(Kept {
            value: fleets,
            at: oldest,
        })
    }

    /// One fleet.
    pub fn fleet(&self, name: &str) -> Option<Kept<Fleet>> {
        self.lock().get(name)?.row.clone()
    }

    /// The newest revision whose config is known, and its config.
    pub fn newest_config(&self, fleet: &str) -> Option<Kept<(u64, Arc<Config>)>> {
        self.of(fleet, |known, _| known.config.clone())
    }

    /// The config of a revision.
    pub fn config_at(&self, fleet: &str, revision: u64) -> Option<Kept<Arc<Config>>> {
        self.of(fleet, |known, _| match revision {
            0 => Some(Arc::default()),
            _ => known.config_at(revision),
        })
    }

    /// The endpoints of all clusters.
    pub fn endpoints(&self, fleet: &str) -> Option<Kept<FastLane>> {
        self.of(fleet, |known, _| known.endpoints.clone())
    }

    /// One revision.
    pub fn revision(&self, fleet: &str, number: u64) -> Option<Kept<Revision>> {
        self.of(fleet, |known, _| known.revisions.get(&number).cloned())
    }

    /// Revisions from the newest, as [`super::Store::revisions`]; `None` if one of them is not known.
    pub fn revisions(
        &self,
        fleet: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Option<Kept<Vec<Revision>>> {
        self.of(fleet, |known, row| {
            let last = before.map_or(row.head, |before| row.head.min(before.saturating_sub(1)));
            let first = (last + 1).saturating_sub(u64::from(limit)).max(1);
            let wanted = (first..=last).rev();
            wanted
                .map(|number| known.revisions.get(&number).cloned())
                .collect()
        })
    }

    /// All nodes, as they were when all of them were last read.
    pub fn nodes(&self, fleet: &str) -> Option<Kept<Arc<Census>>> {
        self.lock().get(fleet)?.nodes.clone()
    }

    /// Keeps all nodes of a fleet, read at a time.
    pub fn keep_nodes(&self, fleet: &str, nodes: Arc<Census>, at: Instant) {
        let mut fleets = self.lock();
        let others = fleets.iter().filter(|(name, _)| *name != fleet);
        let others = others.filter_map(|(_, known)| known.nodes.as_ref());
        let count = nodes.len() + others.map(|kept| kept.value.len()).sum::<usize>();
        if let Some(known) = fleets.get_mut(fleet) {
            known.nodes = (count <= NODES_MAX).then_some(Kept { value: nodes, at });
        }
    }

    /// Keeps the rows of all fleets there are, and forgets the others.
    pub(super) fn keep_fleets(&self, rows: &[Fleet]) {
        let at = Instant::now();
        let mut fleets = self.lock();
        fleets.retain(|name, _| rows.iter().any(|row| row.name == *name));
        for row in rows {
            fleets.entry(row.name.clone()).or_default().put(row, at);
        }
    }

    /// Keeps the row of a fleet.
    pub(super) fn keep_fleet(&self, row: &Fleet) {
        let mut fleets = self.lock();
        let known = fleets.entry(row.name.clone()).or_default();
        known.put(row, Instant::now());
    }

    /// Keeps the config of a revision, unless a newer one is known.
    pub(super) fn keep_config(&self, fleet: &str, revision: u64, config: &Arc<Config>) {
        let mut fleets = self.lock();
        let known = fleets.entry(fleet.to_owned()).or_default();
        if known
            .config
            .as_ref()
            .is_none_or(|(number, _)| *number < revision)
        {
            known.config = Some((revision, config.clone()));
        }
        if let Some(row) = &mut known.row {
            row.value.head = row.value.head.max(revision);
        }
    }

    /// The config of a revision, whether or not the fleet's row was read.
    pub(super) fn known_config(&self, fleet: &str, revision: u64) -> Option<Arc<Config>> {
        self.lock().get(fleet)?.config_at(revision)
    }

    /// The config that is known, if it is of an earlier revision than this.
    pub(super) fn config_before(&self, fleet: &str, revision: u64) -> Option<(u64, Arc<Config>)> {
        let known = self.lock().get(fleet)?.config.clone();
        known.filter(|(number, _)| *number < revision)
    }

    pub(super) fn keep_endpoints(&self, fleet: &str, endpoints: &FastLane) {
        if let Some(known) = self.lock().get_mut(fleet) {
            known.endpoints = Some(endpoints.clone());
        }
    }

    pub(super) fn keep_revisions(&self, fleet: &str, revisions: &[Revision]) {
        if let Some(known) = self.lock().get_mut(fleet) {
            let numbered = revisions.iter().map(|one| (one.number, one.clone()));
            known.revisions.extend(numbered);
            while known.revisions.len() > REVISIONS_MAX {
                known.revisions.pop_first();
            }
        }
    }

    /// Something of a fleet that was the newest when the fleet's row was last read.
    fn of<T>(
        &self,
        fleet: &str,
        pick: impl FnOnce(&OfFleet, &Fleet) -> Option<T>,
    ) -> Option<Kept<T>> {
        let fleets = self.lock();
        let known = fleets.get(fleet)?;
        let row = known.row.as_ref()?;
        Some(Kept {
            value: pick(known, &row.value)?,
            at: row.at,
        })
    }

    fn fleets_of_all(&self) -> Vec<Kept<Fleet>> {
        let fleets = self.lock();
        let rows = fleets.values().filter_map(|known| known.row.clone());
        rows.collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, OfFleet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OfFleet {
    fn put(&mut self, row: &Fleet, at: Instant) {
        self.row = Some(Kept {
            value: row.clone(),
            at,
        });
    }

    fn config_at(&self, revision: u64) -> Option<Arc<Config>> {
        let known = self.config.as_ref();
        let known = known.filter(|(number, _)| *number == revision);
        known.map(|(_, config)| config.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::timestamp::Timestamp;
    use crate::store::FleetSettings;

    fn fleet(name: &str, head: u64) -> Fleet {
        Fleet {
            name: name.to_owned(),
            head,
            stable: head,
            assignment: head,
            held: None,
            change_seq: head,
            created_at: Timestamp::from_micros(0),
            settings: FleetSettings::default(),
        }
    }

    fn revision(number: u64) -> Revision {
        Revision {
            number,
            hash: [0; 32],
            author: "ada".to_owned(),
            message: String::new(),
            created_at: Timestamp::from_micros(0),
        }
    }

    fn node(id: &str) -> NodeStatus {
        NodeStatus {
            fleet: String::new(),
            id: id.to_owned(),
            replica: String::new(),
            connected: true,
            class: String::new(),
            user_agent: String::new(),
            zone: String::new(),
            labels: BTreeMap::new(),
            connected_at: Timestamp::from_micros(0),
            wanted_revision: None,
            sent_revision: None,
            acked_revision: None,
            live_revision: None,
            staged_revision: None,
            refused: None,
            problems: Vec::new(),
            updated_at: Timestamp::from_micros(0),
        }
    }

    fn numbers(memory: &Memory, before: Option<u64>, limit: u32) -> Option<Vec<u64>> {
        let kept = memory.revisions("a", before, limit)?;
        Some(kept.value.iter().map(|one| one.number).collect())
    }

    #[test]
    fn a_page_of_revisions_is_known_whole_or_not_at_all() {
        let memory = Memory::default();
        memory.keep_revisions("a", &[revision(1)]);
        assert_eq!(numbers(&memory, None, 1), None);
        memory.keep_fleets(&[fleet("a", 0)]);
        assert_eq!(numbers(&memory, None, 10), Some(Vec::new()));
        memory.keep_fleets(&[fleet("a", 5)]);
        memory.keep_revisions("a", &[5, 4, 2].map(revision));
        assert_eq!(numbers(&memory, None, 2), Some(vec![5, 4]));
        assert_eq!(numbers(&memory, None, 3), None);
        assert_eq!(numbers(&memory, Some(5), 1), Some(vec![4]));
        assert_eq!(numbers(&memory, Some(3), 1), Some(vec![2]));
        memory.keep_revisions("a", &[3, 1].map(revision));
        assert_eq!(numbers(&memory, Some(9), 100), Some(vec![5, 4, 3, 2, 1]));
        assert_eq!(numbers(&memory, Some(1), 100), Some(Vec::new()));
    }

    #[test]
    fn of_too_many_revisions_the_newest_stay() {
        let memory = Memory::default();
        memory.keep_fleets(&[fleet("a", 300)]);
        let all: Vec<_> = (1..=300).map(revision).collect();
        memory.keep_revisions("a", &all);
        assert!(memory.revision("a", 100).is_none() && memory.revision("a", 101).is_some());
    }

    #[test]
    fn what_is_gone_is_forgotten_and_what_a_commit_has_made_is_the_head() {
        let memory = Memory::default();
        memory.keep_fleets(&[fleet("a", 1), fleet("b", 1)]);
        memory.keep_config("a", 2, &Arc::default());
        assert_eq!(memory.fleet("a").unwrap().value.head, 2);
        assert_eq!(memory.newest_config("a").unwrap().value.0, 2);
        assert!(memory.config_at("a", 1).is_none() && memory.config_at("a", 0).is_some());
        assert!(memory.config_at("nope", 0).is_none());
        memory.keep_fleets(&[fleet("b", 1)]);
        assert!(memory.fleet("a").is_none() && memory.newest_config("a").is_none());
    }

    #[test]
    fn the_nodes_of_a_fleet_are_kept_whole_or_not_at_all() {
        let memory = Memory::default();
        let nodes = |count: usize| {
            let one = |index: usize| {
                let id = format!("n{index}");
                (id.clone(), node(&id))
            };
            Arc::new((0..count).map(one).collect::<Census>())
        };
        memory.keep_fleets(&[fleet("a", 1), fleet("b", 1)]);
        let at = Instant::now();
        memory.keep_nodes("a", nodes(NODES_MAX - 1), at);
        memory.keep_nodes("b", nodes(2), at);
        let count = |name| memory.nodes(name).map(|kept| kept.value.len());
        assert_eq!((count("a"), count("b")), (Some(NODES_MAX - 1), None));
        memory.keep_nodes("a", nodes(3), at);
        memory.keep_nodes("b", nodes(2), at);
        assert_eq!((count("a"), count("b")), (Some(3), Some(2)));
    }
}
