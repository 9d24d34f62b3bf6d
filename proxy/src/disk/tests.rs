mod interrupted;
mod killed;
mod speed;

use std::sync::Arc;

use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::envoy::config::endpoint::v3::ClusterLoadAssignment;
use envoy_types::pb::envoy::config::route::v3::{RouteConfiguration, VirtualHost};
use envoy_types::pb::google::protobuf::Duration;
use proptest::prelude::*;
use prost::Message;
use xds::resource::Resource;
use xds::type_url::ResourceType;
use xds::version::Version;

use super::simulated::Machine;
use super::*;

/// Never the end.
const ALWAYS: usize = usize::MAX;

fn resource(ty: ResourceType, message: &impl Message, version: &str) -> Arc<Resource> {
    let bytes = message.encode_to_vec().into();
    Arc::new(Resource::decode(ty, bytes, Some(Version::stated(version))).unwrap())
}

fn cluster(name: &str, timeout_s: i64, version: &str) -> Arc<Resource> {
    let message = Cluster {
        name: name.into(),
        connect_timeout: Some(Duration {
            seconds: 1 + timeout_s,
            nanos: 0,
        }),
        ..Default::default()
    };
    resource(ResourceType::Cluster, &message, version)
}

fn endpoints(name: &str, version: &str) -> Arc<Resource> {
    let message = ClusterLoadAssignment {
        cluster_name: name.into(),
        ..Default::default()
    };
    resource(ResourceType::ClusterLoadAssignment, &message, version)
}

fn host(name: &str, domain: &str) -> VirtualHost {
    VirtualHost {
        name: name.into(),
        domains: vec![domain.into()],
        ..Default::default()
    }
}

fn routes(name: &str, domain: &str, version: &str) -> Arc<Resource> {
    let message = RouteConfiguration {
        name: name.into(),
        virtual_hosts: vec![host("all", domain)],
        ..Default::default()
    };
    resource(ResourceType::RouteConfiguration, &message, version)
}

/// A revision that differs from its neighbours in some of its resources, and grows and shrinks.
fn revision(number: usize) -> Snapshot {
    let version = format!("v{number}");
    let count = 3 + number % 4;
    let clusters = (0..count).map(|index| {
        // Most stay as they are from one to the next.
        let age = (number + index) / 5;
        cluster(&format!("c{index}"), age as i64, &format!("v{age}"))
    });
    clusters
        .chain([endpoints("c0", &version), routes("r", "*", "same")])
        .collect()
}

fn disk(machine: &Machine) -> Disk {
    Disk::of_folders(machine.boot(ALWAYS), None).unwrap()
}

fn store(disk: &mut Disk, number: usize) {
    disk.store_tentative(&number.to_string(), &revision(number))
        .unwrap();
    disk.confirm().unwrap();
}

/// What a snapshot is, for comparison: type, name, version and bytes of every resource.
fn content(set: &Snapshot) -> Vec<(ResourceType, String, String, Vec<u8>)> {
    let resources = ResourceType::ALL
        .into_iter()
        .flat_map(|ty| set.set(ty).values());
    resources
        .map(|resource| {
            let (name, version) = (resource.name().to_string(), resource.version().to_string());
            (resource.ty(), name, version, resource.bytes().to_vec())
        })
        .collect()
}

/// The number of the revision that a fresh start finds, which must be whole, and what is said about damage.
fn found(machine: &Machine) -> (Option<usize>, Vec<String>) {
    let loaded = disk(machine).load();
    (number(loaded.revision), loaded.damaged)
}

/// The number of a revision, which must be whole.
fn number(found: Option<(String, Snapshot)>) -> Option<usize> {
    found.map(|(label, set)| {
        let number = label.parse().unwrap();
        assert_eq!(
            content(&set),
            content(&revision(number)),
            "revision {number}"
        );
        number
    })
}

#[test]
fn a_folder_that_is_new_holds_nothing_and_nothing_damaged() {
    assert_eq!(found(&Machine::new()), (None, vec![]));
}

#[test]
fn a_revision_that_was_not_confirmed_is_not_found_at_the_next_start() {
    let machine = Machine::new();
    store(&mut disk(&machine), 1);
    disk(&machine).store_tentative("2", &revision(2)).unwrap();
    assert_eq!(found(&machine), (Some(1), vec![]));
    let mut disk = disk(&machine);
    disk.store_tentative("3", &revision(3)).unwrap();
    disk.discard_tentative().unwrap();
    disk.confirm().unwrap();
    assert_eq!(found(&machine), (Some(1), vec![]));
}

#[test]
fn only_what_is_not_stored_yet_is_written() {
    let machine = Machine::new();
    let mut disk = disk(&machine);
    let big = |changed: i64| -> Snapshot {
        let clusters = (0..2000).map(|index| cluster(&format!("cluster-{index}"), 0, "same"));
        clusters
            .chain([cluster("changed", changed, &changed.to_string())])
            .collect()
    };
    let segment = |folder| machine.files(folder)["segment-0"];
    // Each of the two slots has to be filled once.
    for number in 0..2 {
        disk.store_tentative("x", &big(number)).unwrap();
        disk.confirm().unwrap();
    }
    let before = [segment(0), segment(1)];
    assert!(before[0] > 100_000);
    for number in 2..4 {
        disk.store_tentative("x", &big(number)).unwrap();
        disk.confirm().unwrap();
    }
    for (folder, before) in before.into_iter().enumerate() {
        let written = segment(folder) - before;
        assert!((1..300).contains(&written), "{written}");
    }
}

#[test]
fn what_is_the_newest_confirmed_one_already_is_not_stored_again() {
    let machine = Machine::new();
    store(&mut disk(&machine), 1);
    store(&mut disk(&machine), 2);
    let mut disk = disk(&machine);
    disk.load();
    let before = machine.steps();
    store(&mut disk, 2);
    assert_eq!(machine.steps(), before);
    // The one before is still there to fall back to.
    machine.damage(1, "confirmed", |file| file[20] ^= 1);
    assert_eq!(found(&machine).0, Some(1));
}

#[test]
fn a_version_that_is_used_twice_for_different_content_is_told_apart() {
    let machine = Machine::new();
    let set = |timeout_s| -> Snapshot { [cluster("c", timeout_s, "1")].into_iter().collect() };
    let mut first = disk(&machine);
    for timeout_s in 0..4 {
        first.store_tentative("x", &set(timeout_s)).unwrap();
        first.confirm().unwrap();
        let found = disk(&machine).load().revision.unwrap().1;
        assert_eq!(content(&found), content(&set(timeout_s)));
    }
}

#[test]
fn files_that_nobody_needs_are_removed_and_the_folder_does_not_grow_for_ever() {
    let machine = Machine::new();
    let mut disk = disk(&machine);
    let live = 2000;
    for number in 0..200 {
        let clusters = (0..live)
            .map(|index| cluster(&format!("cluster-{index}"), number, &number.to_string()));
        let set: Snapshot = clusters.collect();
        disk.store_tentative("x", &set).unwrap();
        if number % 3 != 0 {
            disk.confirm().unwrap();
        }
        for folder in 0..2 {
            let files = machine.files(folder);
            assert!(files.len() <= 4, "{files:?}");
            assert!(files.values().sum::<usize>() < live * 130 * 8, "{files:?}");
        }
    }
}

#[test]
fn a_damaged_file_is_named_and_the_confirmed_revision_before_is_found() {
    let machine = Machine::new();
    let mut first = disk(&machine);
    (1..=6).for_each(|number| store(&mut first, number));
    // Revision 6 is in the second folder, revision 5 in the first.
    for (folder, left) in [(0, 6), (1, 5)] {
        for (file, length) in machine.files(folder) {
            for at in (0..length).step_by(5) {
                let changes: [fn(&mut Vec<u8>, usize); 2] =
                    [|file, at| file[at] ^= 0x40, |file, at| file.truncate(at)];
                for change in changes {
                    let mut whole = Vec::new();
                    machine.damage(folder, &file, |content| {
                        whole.clone_from(content);
                        change(content, at);
                    });
                    let (number, damaged) = found(&machine);
                    // A byte of a record that nobody needs any more harms nobody.
                    let expected = if damaged.is_empty() { 6 } else { left };
                    assert_eq!(number, Some(expected), "{file} at {at}");
                    assert!(
                        damaged.iter().all(|text| text.contains(&file)),
                        "{damaged:?}"
                    );
                    machine.damage(folder, &file, |content| *content = whole);
                }
            }
        }
    }
}

#[test]
fn after_a_fall_back_the_damaged_slot_is_the_next_to_be_filled() {
    let machine = Machine::new();
    let mut first = disk(&machine);
    (1..=4).for_each(|number| store(&mut first, number));
    machine.damage(1, "segment-0", Vec::clear);
    let mut next = disk(&machine);
    assert_eq!(next.load().revision.unwrap().0, "3");
    store(&mut next, 5);
    assert_eq!(found(&machine), (Some(5), vec![]));
    machine.damage(1, "confirmed", Vec::clear);
    assert_eq!(found(&machine).0, Some(3));
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let first = Disk::open(folder.path()).unwrap();
    let error = Disk::open(folder.path()).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ResourceBusy);
    drop(first);
    Disk::open(folder.path()).unwrap();
}

/// Some resources of some names, each in one of a few states.
fn any_set() -> impl Strategy<Value = Snapshot> {
    let one = (0..3_u8, 0..6_usize, 0..3_i64, "[a-z0-9\u{e9}]{0,3}");
    prop::collection::vec(one, 0..12).prop_map(|resources| {
        let resource = |(kind, name, state, version): (u8, usize, i64, String)| {
            let name = format!("name-{name}");
            match kind {
                0 => cluster(&name, state, &version),
                1 => endpoints(&name, &version),
                _ => routes(&name, &format!("{state}.example"), &version),
            }
        };
        resources.into_iter().map(resource).collect()
    })
}

proptest! {
    #[test]
    fn what_is_loaded_is_what_was_stored(sets in prop::collection::vec((any_set(), any::<bool>()), 1..8)) {
        let machine = Machine::new();
        let mut open = disk(&machine);
        for (number, (set, restart)) in sets.iter().enumerate() {
            open.store_tentative(&number.to_string(), set).unwrap();
            open.confirm().unwrap();
            let mut fresh = disk(&machine);
            let (label, loaded) = fresh.load().revision.unwrap();
            prop_assert_eq!(label, number.to_string());
            prop_assert_eq!(content(&loaded), content(set));
            // Either way the next one finds what it needs.
            if *restart {
                open = fresh;
            }
        }
    }
}
