//! What differs between two configs, found by one walk along both: what they share is passed by without being read.

use std::cmp::Ordering;
use std::iter;
use std::sync::Arc;

use super::{Cluster, Config, Listener, Resource, Route, Set};

/// A resource that is not the same in two configs.
#[derive(Debug, PartialEq)]
pub struct Changed<'c, T> {
    /// Its name.
    pub name: &'c Arc<str>,
    /// What it was; `None` if it was not there.
    pub before: Option<&'c Arc<T>>,
    /// What it is; `None` if it is no longer there.
    pub after: Option<&'c Arc<T>>,
}

impl<'c, T> Changed<'c, T> {
    /// What it was and what it is, as far as it was or is there.
    pub fn versions(&self) -> impl Iterator<Item = &'c Arc<T>> + use<'c, T> {
        self.before.into_iter().chain(self.after)
    }
}

/// Every resource of a kind that two configs have differently, by name.
pub fn between<'c, T: PartialEq>(
    before: &'c Set<T>,
    after: &'c Set<T>,
) -> impl Iterator<Item = Changed<'c, T>> + use<'c, T> {
    let (mut old, mut new) = (before.iter().peekable(), after.iter().peekable());
    let next = move || {
        let order = match (old.peek(), new.peek()) {
            (None, None) => return None,
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((old, _)), Some((new, _))) => old.cmp(new),
        };
        let before = if order.is_le() { old.next() } else { None };
        let after = if order.is_ge() { new.next() } else { None };
        let (name, _) = before.or(after)?;
        Some(Changed {
            name,
            before: before.map(|(_, resource)| resource),
            after: after.map(|(_, resource)| resource),
        })
    };
    iter::from_fn(next).filter(|changed| match (changed.before, changed.after) {
        (Some(before), Some(after)) => !same(before, after),
        _ => true,
    })
}

impl Config {
    /// Whether two configs say the same.
    pub fn says_the_same(&self, other: &Self) -> bool {
        between(&self.listeners, &other.listeners).next().is_none()
            && between(&self.clusters, &other.clusters).next().is_none()
            && between(&self.routes, &other.routes).next().is_none()
    }

    /// Has what is equal in `other` there once for both.
    pub fn share_with(&mut self, other: &Self) {
        fn share<T: Resource>(config: &mut Config, other: &Config) {
            let mut theirs = T::set(other).iter().peekable();
            for (name, own) in T::set_mut(config) {
                while theirs.next_if(|(their, _)| *their < name).is_some() {}
                if let Some((_, their)) = theirs.next_if(|(their, _)| *their == name)
                    && !Arc::ptr_eq(own, their)
                    && own == their
                {
                    own.clone_from(their);
                }
            }
        }
        share::<Listener>(self, other);
        share::<Cluster>(self, other);
        share::<Route>(self, other);
    }
}

fn same<T: PartialEq>(one: &Arc<T>, other: &Arc<T>) -> bool {
    Arc::ptr_eq(one, other) || one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::btree_map;
    use proptest::prelude::*;

    fn set() -> impl Strategy<Value = Set<u8>> {
        let names = "[a-d]{1,2}".prop_map(Arc::from);
        btree_map(names, (0..3_u8).prop_map(Arc::new), 0..12)
    }

    proptest! {
        /// Taken over one by one, the differences make the second of the first; and none of them is none.
        #[test]
        fn differences_are_all_there_is(before in set(), after in set()) {
            let mut patched = before.clone();
            let mut last = None;
            for changed in between(&before, &after) {
                prop_assert!(changed.before != changed.after);
                prop_assert!(last < Some(changed.name));
                last = Some(changed.name);
                match changed.after {
                    Some(resource) => patched.insert(changed.name.clone(), resource.clone()),
                    None => patched.remove(changed.name),
                };
            }
            prop_assert_eq!(patched, after);
        }
    }

    #[test]
    fn what_is_equal_is_there_once() {
        use crate::model::document::tests::config;
        let yaml = "
            clusters: [{name: a, discovery: api}, {name: b, discovery: api}, {name: c, discovery: api}]";
        let base = config(yaml);
        let mut next = config(&yaml.replace("name: b,", "name: b, connect_timeout: 3s,"));
        next.remove::<Cluster>("a");
        next.share_with(&base);
        let shared = |name: &str| Arc::ptr_eq(&base.clusters[name], &next.clusters[name]);
        assert!(shared("c") && !shared("b"));
        assert!(!base.says_the_same(&next) && base.says_the_same(&config(yaml)));
    }
}
