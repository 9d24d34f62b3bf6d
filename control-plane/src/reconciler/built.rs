//! What was built of a fleet, kept beside what it was built from: a revision is built again only if endpoints changed, and
//! then without reading its config again. Pure; building takes seconds for large configs, so it runs beside everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use xds::snapshot::Snapshot;

use crate::model::Config;
use crate::snapshots::{Classes, Served};
use crate::translate::{FastLane, Translation};

/// What was built of one fleet: the revisions that its rows refer to, and no others.
#[derive(Clone, Debug, Default)]
pub(super) struct Built {
    /// The endpoints that all of them have.
    endpoints: Arc<FastLane>,
    revisions: BTreeMap<u64, Revision>,
}

/// A revision with what was made of it.
#[derive(Clone, Debug)]
struct Revision {
    config: Arc<Config>,
    /// With the endpoints of then.
    translation: Arc<Translation>,
    /// Empty if there are other endpoints now.
    classes: Classes,
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
            classes: Classes::new(),
            ..revision.clone()
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

    /// Builds a revision. What is not different from one that was built, or was `validated`, is not built again; resources
    /// are shared with `earlier` as well.
    ///
    /// # Errors
    /// What `xds` refuses. A config that was validated has none.
    pub(super) fn build(
        &mut self,
        number: u64,
        config: Arc<Config>,
        validated: Option<Arc<Translation>>,
        earlier: &[Snapshot],
    ) -> Result<(), Problems> {
        let base = self.nearest(number, &config, validated);
        let next = base.next(config.clone(), self.endpoints.clone(), earlier);
        let translation = Arc::new(next.whole()?);
        let snapshots = translation.snapshots().iter();
        let classes =
            snapshots.map(|(class, snapshot)| (*class, Served::new(number, snapshot.clone())));
        let revision = Revision {
            config,
            classes: classes.collect(),
            translation,
        };
        self.revisions.insert(number, revision);
        Ok(())
    }

    /// What a revision is built from: its own translation with other endpoints; what was validated, if it is that; else
    /// the newest that was built.
    fn nearest(
        &self,
        number: u64,
        config: &Arc<Config>,
        validated: Option<Arc<Translation>>,
    ) -> Arc<Translation> {
        let is_it = |translation: &Arc<Translation>| Arc::ptr_eq(translation.config(), config);
        let translation = |revision: &Revision| revision.translation.clone();
        let own = self.revisions.get(&number).map(translation);
        let newest = self.revisions.values().next_back().map(translation);
        let near = own.or(validated.clone().filter(is_it));
        near.or(newest).or(validated).unwrap_or_default()
    }

    /// Forgets all other revisions.
    pub(super) fn keep(&mut self, wanted: &[u64]) {
        self.revisions.retain(|number, _| wanted.contains(number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use xds::node::ClientClass;

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
            let config = Arc::new(config(&text));
            built.build(number, config, None, &[]).unwrap();
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
