use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::Duration;
use proptest::prelude::*;
use prost::Message;

use super::*;

const CDS: ResourceType = ResourceType::Cluster;

fn cluster(name: u8, content: u8) -> Arc<Resource> {
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
    let sum = |resources: &[(u8, u8)]| {
        let resources = resources
            .iter()
            .map(|(name, content)| cluster(*name, *content));
        resources.collect::<Snapshot>().revision_sums()
    };
    assert_ne!(sum(&[(1, 1)]), sum(&[(1, 2)]));
    assert_ne!(sum(&[(1, 1)]), sum(&[(1, 1), (2, 1)]));
    assert_eq!(sum(&[]), RevisionSums::default());
}

proptest! {
    #[test]
    fn equal_sets_have_equal_sums_whatever_was_done_to_build_them(
        steps in proptest::collection::vec((0u8..6, 0u8..3, 0u8..3), 0..60),
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
