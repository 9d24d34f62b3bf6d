//! What was built of a fleet, kept beside what it was built from: a revision is built again only if endpoints changed, and
//! then without reading its config again. Pure; building takes seconds for large configs, so it runs beside everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use xds::node::ClientClass;
use xds::snapshot::Snapshot;

use crate::model::Config;
use crate::snapshots::{Classes, Served};
use crate::translate::{self, FastLane};

/// What was built of one fleet: the revisions that its rows refer to, and no others.
#[derive(Clone, Debug, Default)]
pub(super) struct Built {
    /// The endpoints that all of them have.
    endpoints: Arc<FastLane>,
    revisions: BTreeMap<u64, Revision>,
}

/// A revision with its config.
#[derive(Clone, Debug)]
pub(super) struct Revision {
    pub(super) config: Arc<Config>,
    pub(super) classes: Classes,
}

/// Why a revision cannot be served.
pub(super) type Problems = Vec<xds::problem::Problem>;

impl Built {
    /// What is left of it with these endpoints: the configs are, what is served is only if nothing changed.
    pub(super) fn with(&self, endpoints: FastLane) -> Self {
        if *self.endpoints == endpoints {
            return self.clone();
        }
        let without = |revision: &Revision| Revision {
            config: revision.config.clone(),
            classes: Classes::new(),
        };
        let revisions = self.revisions.iter();
        Self {
            endpoints: Arc::new(endpoints),
            revisions: revisions
                .map(|(number, it)| (*number, without(it)))
                .collect(),
        }
    }

    /// The config of a revision, if it is at hand.
    pub(super) fn config(&self, number: u64) -> Option<&Arc<Config>> {
        Some(&self.revisions.get(&number)?.config)
    }

    /// A revision as it is served; empty if it is not built.
    pub(super) fn classes(&self, number: u64) -> Classes {
        let revision = self.revisions.get(&number);
        revision.map(|it| it.classes.clone()).unwrap_or_default()
    }

    /// Builds a revision; what did not change is shared with all that was built, and with `earlier`.
    ///
    /// # Errors
    /// What `xds` refuses. A config that was validated has none.
    pub(super) fn build(
        &mut self,
        number: u64,
        config: Arc<Config>,
        earlier: &[Snapshot],
    ) -> Result<(), Problems> {
        let built = self.revisions.values().rev();
        let built = built.flat_map(|revision| in_order(&revision.classes));
        let mut earlier: Vec<Snapshot> = built.chain(earlier).cloned().collect();
        let mut classes = Classes::new();
        for class in ClientClass::ALL {
            let known: Vec<&Snapshot> = earlier.iter().collect();
            let snapshot = translate::snapshot(&config, &self.endpoints, class, &known)?;
            earlier.push(snapshot.clone());
            classes.insert(class, Served::new(number, snapshot));
        }
        self.revisions.insert(number, Revision { config, classes });
        Ok(())
    }

    /// Forgets all other revisions.
    pub(super) fn keep(&mut self, wanted: &[u64]) {
        self.revisions.retain(|number, _| wanted.contains(number));
    }
}

fn in_order(classes: &Classes) -> impl Iterator<Item = &Snapshot> {
    let served = ClientClass::ALL.into_iter();
    served.filter_map(|class| Some(classes.get(&class)?.snapshot()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoints;
    use crate::model::document::tests::config;

    fn built() -> Built {
        let mut built = Built::default();
        for (number, timeout) in [(1, 1), (2, 2)] {
            let text = format!(
                "
                listeners: [{{name: web, address: 0.0.0.0, port: 80}}]
                clusters: [{{name: a, discovery: api}}, {{name: b, discovery: api, connect_timeout: {timeout}s}}]"
            );
            built.build(number, Arc::new(config(&text)), &[]).unwrap();
        }
        built
    }

    #[test]
    fn the_same_endpoints_change_nothing_and_others_need_no_config() {
        let before = built();
        let same = before.with(FastLane::new());
        let others = FastLane::from([("a".into(), Arc::new(Endpoints::default()))]);
        let changed = before.with(others);
        for number in [1, 2] {
            for (class, served) in before.classes(number) {
                assert!(Arc::ptr_eq(&same.classes(number)[&class], &served));
            }
            assert!(changed.classes(number).is_empty());
            assert!(changed.config(number).is_some());
        }
    }

    #[test]
    fn what_two_revisions_have_alike_is_there_once_and_what_no_row_names_is_dropped() {
        let mut built = built();
        let resource = |built: &Built, number: u64, name: &str| {
            let classes = built.classes(number);
            let set = classes[&ClientClass::Envoy].snapshot();
            let resource = set.get(xds::type_url::ResourceType::Cluster, name);
            resource.unwrap().clone()
        };
        let alike = |name| Arc::ptr_eq(&resource(&built, 1, name), &resource(&built, 2, name));
        assert!(alike("a") && !alike("b"));
        let weak = Arc::downgrade(&built.classes(1)[&ClientClass::Envoy]);
        built.keep(&[2]);
        assert_eq!(weak.strong_count(), 0);
        assert!(built.config(1).is_none() && built.config(2).is_some());
    }
}
