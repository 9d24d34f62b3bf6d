use std::collections::BTreeMap;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::Duration;
use proptest::prelude::*;
use prost::Message;

use super::*;

const CDS: ResourceType = ResourceType::Cluster;

fn cluster(name: u16, content: u8) -> Arc<Resource> {
    let message = Cluster {
        name: format!("c{name}"),
        connect_timeout: Some(Duration {
            seconds: i64::from(content) + 1,
            nanos: 0,
        }),
        ..Default::default()
    };
    Arc::new(Resource::decode(CDS, message.encode_to_vec().into(), None).unwrap())
}

#[test]
fn a_diff_names_what_is_new_changed_and_gone() {
    let old: Snapshot = [cluster(1, 1), cluster(2, 1), cluster(3, 1)]
        .into_iter()
        .collect();
    let new: Snapshot = [cluster(1, 1), cluster(2, 2), cluster(4, 1)]
        .into_iter()
        .collect();
    let diff = new.diff(&old, CDS);
    let changed: Vec<&str> = diff
        .changed
        .iter()
        .map(|resource| &**resource.name())
        .collect();
    assert_eq!(
        (changed, diff.removed),
        (vec!["c2", "c4"], vec!["c3".into()])
    );
    assert!(old.diff(&old.clone(), CDS).is_empty());
}

#[test]
fn a_version_counts_in_the_sum_and_so_does_the_number_of_resources() {
    let sum = |resources: &[(u16, u8)]| {
        let resources = resources
            .iter()
            .map(|(name, content)| cluster(*name, *content));
        resources.collect::<Snapshot>().revision_sums()
    };
    assert_ne!(sum(&[(1, 1)]), sum(&[(1, 2)]));
    assert_ne!(sum(&[(1, 1)]), sum(&[(1, 1), (2, 1)]));
    assert_eq!(sum(&[]), RevisionSums::default());
}

/// A set and what it must be, after some steps: names, contents, and whether to insert or to remove.
fn after(
    steps: &[(u16, u8, bool)],
    mut set: Snapshot,
) -> (Snapshot, BTreeMap<Arc<str>, Arc<Resource>>) {
    let mut wanted: BTreeMap<_, _> = set
        .set(CDS)
        .iter()
        .map(|(name, resource)| (name.clone(), resource.clone()))
        .collect();
    for (name, content, inserts) in steps {
        let resource = cluster(*name, *content);
        if *inserts {
            wanted.insert(resource.name().clone(), resource.clone());
            set.insert(resource);
        } else {
            let removed = set.remove(CDS, resource.name());
            assert_eq!(
                removed.is_some(),
                wanted.remove(&**resource.name()).is_some()
            );
        }
    }
    (set, wanted)
}

fn steps(max: usize) -> impl Strategy<Value = Vec<(u16, u8, bool)>> {
    proptest::collection::vec((0u16..700, 0u8..3, prop::bool::weighted(0.7)), 0..max)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_set_is_what_a_map_would_be_whatever_was_done_to_build_it(steps in steps(2000), prefix in "c[0-9]{0,2}") {
        let (built, wanted) = after(&steps, Snapshot::default());
        let set = built.set(CDS);
        prop_assert_eq!(set.len(), wanted.len());
        prop_assert!(set.iter().map(|(name, it)| (name, Arc::as_ptr(it))).eq(wanted.iter().map(|(name, it)| (name, Arc::as_ptr(it)))));
        for name in 0..700 {
            let name = format!("c{name}");
            let (found, wanted) = (set.get(&name), wanted.get(&*name));
            prop_assert_eq!(found.map(Arc::as_ptr), wanted.map(Arc::as_ptr));
        }
        let beginning = wanted.keys().filter(|name| name.starts_with(&prefix));
        prop_assert!(set.beginning_with(prefix.clone()).map(|it| it.name()).eq(beginning));
    }

    #[test]
    fn a_diff_is_the_same_whether_the_sets_share_anything_or_not(first in steps(1500), more in steps(200)) {
        let (older, _) = after(&first, Snapshot::default());
        let (newer, wanted) = after(&more, older.clone());
        let apart: Snapshot = wanted.into_values().collect();
        let (shared, unshared) = (newer.diff(&older, CDS), apart.diff(&older, CDS));
        let names = |diff: &Diff| diff.changed.iter().map(|it| it.name().clone()).collect::<Vec<_>>();
        prop_assert_eq!(names(&shared), names(&unshared));
        prop_assert_eq!(&shared.removed, &unshared.removed);
        let mut rebuilt = older.clone();
        for name in &shared.removed {
            rebuilt.remove(CDS, name);
        }
        shared.changed.into_iter().for_each(|it| rebuilt.insert(it));
        prop_assert_eq!(rebuilt.sum(CDS), newer.sum(CDS));
        // What was shared is as it was.
        prop_assert_eq!(older.sum(CDS), after(&first, Snapshot::default()).0.sum(CDS));
    }
}

proptest! {
    #[test]
    fn equal_sets_have_equal_sums_whatever_was_done_to_build_them(
        steps in proptest::collection::vec((0u16..6, 0u8..3, 0u8..3), 0..60),
    ) {
        let mut built = Snapshot::default();
        for (name, content, kind) in steps {
            match kind {
                0 => { built.remove(CDS, &format!("c{name}")); }
                1 => built.replace(CDS, built.set(CDS).clone()),
                _ => built.insert(cluster(name, content)),
            }
        }
        let straight: Snapshot = built.set(CDS).values().cloned().collect();
        prop_assert_eq!(built.revision_sums(), straight.revision_sums());
        let sum = built.sum(CDS);
        prop_assert_eq!(SetSum::from_parts(sum.count, &sum.to_bytes()), Some(sum));
        prop_assert_eq!(sum.count as usize, built.len());
    }
}
