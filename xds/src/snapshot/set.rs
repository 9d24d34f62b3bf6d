//! Resources of one type by name. Sorted runs of shared pointers: a set that differs from another in one resource shares all
//! runs with it but one, so that a change among a hundred thousand copies a hundred, and a diff of the two looks at no more.

use std::cmp::Ordering;
use std::sync::Arc;

use crate::resource::Resource;

/// Resources of a run at most. A change copies one run and the list of all runs: with 100,000 resources that is 128 and 800
/// pointers, about the least that the two can be together.
const RUN: usize = 128;

/// Resources by name.
#[derive(Clone, Debug, Default)]
pub struct ResourceSet {
    /// Each sorted by name and not empty; so are they among each other.
    runs: Vec<Arc<Vec<Arc<Resource>>>>,
    len: usize,
}

impl ResourceSet {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<Resource>> {
        let run = self.runs.get(self.run_of(name))?;
        let index = place_in(run, name).ok()?;
        Some(&run[index])
    }

    /// Whether there is one of this name.
    pub fn contains_key(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// All of them with their names, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, &Arc<Resource>)> {
        self.values().map(|resource| (resource.name(), resource))
    }

    /// Their names, sorted.
    pub fn keys(&self) -> impl Iterator<Item = &Arc<str>> {
        self.values().map(|resource| resource.name())
    }

    /// All of them, sorted by name.
    pub fn values(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.runs.iter().flat_map(|run| run.iter())
    }

    /// Those whose name begins with a text, sorted by name.
    pub fn beginning_with(&self, prefix: String) -> impl Iterator<Item = &Arc<Resource>> {
        let first = self.run_of(&prefix);
        let run = self.runs.get(first);
        let skip = run.map_or(0, |run| {
            place_in(run, &prefix).unwrap_or_else(|place| place)
        });
        let rest = self.runs[first..].iter().flat_map(|run| run.iter());
        rest.skip(skip)
            .take_while(move |resource| resource.name().starts_with(&prefix))
    }

    /// Calls `visit` with every resource that is not the same object in both sets, in the order of names: as it is here, and
    /// as it is in `older`.
    pub fn for_each_change<'s>(
        &'s self,
        older: &'s Self,
        mut visit: impl FnMut(Option<&'s Arc<Resource>>, Option<&'s Arc<Resource>>),
    ) {
        let (mut new, mut old) = (Walk::of(self), Walk::of(older));
        loop {
            while new.skip_if_shared(&mut old) {}
            let (here, there) = (new.peek(), old.peek());
            match (here, there) {
                (None, None) => return,
                (Some(_), None) => visit(new.next(), None),
                (None, Some(_)) => visit(None, old.next()),
                (Some(here), Some(there)) => match here.name().cmp(there.name()) {
                    Ordering::Less => visit(new.next(), None),
                    Ordering::Greater => visit(None, old.next()),
                    Ordering::Equal => {
                        let (here, there) = (new.next(), old.next());
                        let same = here.zip(there).is_some_and(|(a, b)| Arc::ptr_eq(a, b));
                        if !same {
                            visit(here, there);
                        }
                    }
                },
            }
        }
    }

    /// Puts a resource in place of what had its name, and returns that.
    pub(super) fn insert(&mut self, resource: Arc<Resource>) -> Option<Arc<Resource>> {
        let at = self.run_of(resource.name());
        let Some(run) = self.runs.get_mut(at) else {
            self.append(resource);
            return None;
        };
        let place = place_in(run, resource.name());
        let run = Arc::make_mut(run);
        match place {
            Ok(index) => Some(std::mem::replace(&mut run[index], resource)),
            Err(index) => {
                run.insert(index, resource);
                if run.len() > RUN {
                    let upper = run.split_off(RUN / 2);
                    self.runs.insert(at + 1, Arc::new(upper));
                }
                self.len += 1;
                None
            }
        }
    }

    /// Adds what comes behind all others. Runs that are filled in order are full.
    fn append(&mut self, resource: Arc<Resource>) {
        match self.runs.last_mut().filter(|run| run.len() < RUN) {
            Some(run) => Arc::make_mut(run).push(resource),
            None => self.runs.push(Arc::new(vec![resource])),
        }
        self.len += 1;
    }

    /// Takes a resource out.
    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<Resource>> {
        let at = self.run_of(name);
        let run = self.runs.get_mut(at)?;
        let index = place_in(run, name).ok()?;
        let run = Arc::make_mut(run);
        let removed = run.remove(index);
        if run.is_empty() {
            self.runs.remove(at);
        }
        self.len -= 1;
        Some(removed)
    }

    /// The run that has this name or would have it in its middle; one behind the last if the name comes behind all.
    fn run_of(&self, name: &str) -> usize {
        self.runs
            .partition_point(|run| run.last().is_some_and(|last| **last.name() < *name))
    }
}

fn place_in(run: &[Arc<Resource>], name: &str) -> Result<usize, usize> {
    run.binary_search_by(|resource| (**resource.name()).cmp(name))
}

/// A place in a set, on the way to its end.
struct Walk<'s> {
    runs: &'s [Arc<Vec<Arc<Resource>>>],
    /// In the first of the runs.
    index: usize,
}

impl<'s> Walk<'s> {
    fn of(set: &'s ResourceSet) -> Self {
        Self {
            runs: &set.runs,
            index: 0,
        }
    }

    fn peek(&self) -> Option<&'s Arc<Resource>> {
        self.runs.first()?.get(self.index)
    }

    fn next(&mut self) -> Option<&'s Arc<Resource>> {
        let run = self.runs.first()?;
        let resource = run.get(self.index)?;
        self.index += 1;
        if self.index == run.len() {
            (self.runs, self.index) = (&self.runs[1..], 0);
        }
        Some(resource)
    }

    /// Goes past a run at whose beginning both are.
    fn skip_if_shared(&mut self, other: &mut Self) -> bool {
        let (Some(own), Some(others), 0, 0) = (
            self.runs.first(),
            other.runs.first(),
            self.index,
            other.index,
        ) else {
            return false;
        };
        let shared = Arc::ptr_eq(own, others);
        if shared {
            (self.runs, other.runs) = (&self.runs[1..], &other.runs[1..]);
        }
        shared
    }
}
