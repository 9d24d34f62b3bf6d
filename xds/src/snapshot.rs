//! A set of resources that are served together. Immutable once shared: changing one makes a new one, and what did not
//! change is shared between the two, so that a diff of neighbours looks only at what differs.

mod set;

use std::sync::Arc;

use crate::resource::Resource;
use crate::sum::{RevisionSums, SetSum};
use crate::type_url::ResourceType;

pub use self::set::ResourceSet;

/// Resources of all types.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    sets: [Arc<ResourceSet>; ResourceType::ALL.len()],
    /// Kept up to date with every change.
    sums: [SetSum; ResourceType::ALL.len()],
}

/// What turns the resources of one type from an older snapshot into those of a newer one.
#[derive(Clone, Debug, Default)]
pub struct Diff {
    /// New, or with another version.
    pub changed: Vec<Arc<Resource>>,
    /// No longer there.
    pub removed: Vec<Arc<str>>,
}

impl Snapshot {
    /// The resources of one type, sorted by name.
    pub fn set(&self, ty: ResourceType) -> &Arc<ResourceSet> {
        &self.sets[ty.index()]
    }

    /// One resource.
    pub fn get(&self, ty: ResourceType, name: &str) -> Option<&Arc<Resource>> {
        self.sets[ty.index()].get(name)
    }

    /// Puts a resource in place of what had its name.
    pub fn insert(&mut self, resource: Arc<Resource>) {
        let index = resource.ty().index();
        self.sums[index].add(&resource);
        let set = Arc::make_mut(&mut self.sets[index]);
        if let Some(before) = set.insert(resource) {
            self.sums[index].remove(&before);
        }
    }

    /// Takes a resource out.
    pub fn remove(&mut self, ty: ResourceType, name: &str) -> Option<Arc<Resource>> {
        if !self.sets[ty.index()].contains_key(name) {
            return None;
        }
        let removed = Arc::make_mut(&mut self.sets[ty.index()]).remove(name)?;
        self.sums[ty.index()].remove(&removed);
        Some(removed)
    }

    /// Replaces all resources of a type.
    pub fn replace(&mut self, ty: ResourceType, set: Arc<ResourceSet>) {
        let mut sum = SetSum::default();
        for resource in set.values() {
            sum.add(resource);
        }
        self.sums[ty.index()] = sum;
        self.sets[ty.index()] = set;
    }

    /// The sum of the resources of one type.
    pub fn sum(&self, ty: ResourceType) -> SetSum {
        self.sums[ty.index()]
    }

    /// The sums that tell whether this is a given revision.
    pub fn revision_sums(&self) -> RevisionSums {
        RevisionSums::new(|ty| self.sum(ty))
    }

    /// Whether both are known, without looking into them, to have the same resources.
    pub fn shares_all(&self, other: &Self) -> bool {
        let sets = self.sets.iter().zip(&other.sets);
        sets.into_iter().all(|(own, other)| Arc::ptr_eq(own, other))
    }

    /// How many resources there are, of all types.
    pub fn len(&self) -> usize {
        self.sets.iter().map(|set| set.len()).sum()
    }

    /// Whether there is no resource at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What turns `older`'s resources of one type into this one's.
    pub fn diff(&self, older: &Self, ty: ResourceType) -> Diff {
        let mut diff = Diff::default();
        self.set(ty)
            .for_each_change(older.set(ty), |new, old| match (new, old) {
                (Some(new), Some(old)) if new.version() == old.version() => {}
                (Some(new), _) => diff.changed.push(new.clone()),
                (None, Some(old)) => diff.removed.push(old.name().clone()),
                (None, None) => {}
            });
        diff
    }
}

impl FromIterator<Arc<Resource>> for Snapshot {
    fn from_iter<I: IntoIterator<Item = Arc<Resource>>>(resources: I) -> Self {
        let mut snapshot = Self::default();
        for resource in resources {
            snapshot.insert(resource);
        }
        snapshot
    }
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.changed.is_empty() && self.removed.is_empty()
    }
}

#[cfg(test)]
mod tests;
