use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::ads::testing::{cluster, served};

const TY: ResourceType = ResourceType::Cluster;

fn wildcard() -> Subscription {
    let mut subscription = Subscription::default();
    subscription.update(TY, &[], &[]);
    subscription
}

fn named(names: &[&str]) -> Subscription {
    let mut subscription = Subscription::default();
    subscription.update(
        TY,
        &names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<Vec<_>>(),
        &[],
    );
    subscription
}

fn names(content: &Content) -> Vec<&str> {
    content
        .changed
        .iter()
        .map(|resource| &**resource.name())
        .collect()
}

#[test]
fn a_wildcard_is_answered_even_if_there_is_nothing_and_only_once() {
    let (mut held, all, nothing) = (Held::new(TY, Absence::Answered), wildcard(), served([]));
    held.ask_all();
    assert!(held.has_pending(&all, &nothing, Part::Additions));
    assert!(held.send(&all, &nothing, Part::Additions, "1").is_some());
    held.acknowledge("1");
    assert!(!held.has_pending(&all, &nothing, Part::Additions));
}

#[test]
fn a_name_that_does_not_exist_is_answered_and_sent_once_it_is_made() {
    let (mut held, one) = (Held::new(TY, Absence::Answered), named(&["a"]));
    held.ask(&"a".into());
    let content = held.send(&one, &served([]), Part::Additions, "1").unwrap();
    assert_eq!(content.removed, ["a".into()]);
    held.acknowledge("1");
    let content = held
        .send(&one, &served([cluster("a", 1)]), Part::Additions, "2")
        .unwrap();
    assert_eq!(names(&content), ["a"]);
}

#[test]
fn a_name_that_is_asked_for_again_is_sent_again_although_it_did_not_change() {
    let (mut held, one, target) = (
        Held::new(TY, Absence::Answered),
        named(&["a"]),
        served([cluster("a", 1)]),
    );
    held.ask(&"a".into());
    held.send(&one, &target, Part::Additions, "1").unwrap();
    held.acknowledge("1");
    assert!(!held.has_pending(&one, &target, Part::Additions));
    held.ask(&"a".into());
    assert_eq!(
        names(&held.send(&one, &target, Part::Additions, "2").unwrap()),
        ["a"]
    );
}

#[test]
fn what_is_removed_and_made_again_with_the_same_content_is_sent_again() {
    let (mut held, all, there) = (
        Held::new(TY, Absence::Answered),
        wildcard(),
        served([cluster("a", 1)]),
    );
    held.send(&all, &there, Part::Additions, "1").unwrap();
    held.acknowledge("1");
    let content = held.send(&all, &served([]), Part::Removals, "2").unwrap();
    assert_eq!(content.removed, ["a".into()]);
    held.acknowledge("2");
    assert_eq!(
        names(&held.send(&all, &there, Part::Additions, "3").unwrap()),
        ["a"]
    );
}

#[test]
fn what_was_refused_is_not_sent_again_until_it_changes_and_its_neighbours_are() {
    let (mut held, all) = (Held::new(TY, Absence::Answered), wildcard());
    let target = served([cluster("bad", 1), cluster("good", 1)]);
    held.send(&all, &target, Part::Additions, "1").unwrap();
    assert_eq!(
        held.refuse("1", "Error adding cluster bad: no"),
        Some(vec!["bad".into()])
    );
    assert_eq!(
        names(&held.send(&all, &target, Part::Additions, "2").unwrap()),
        ["good"]
    );
    held.acknowledge("2");
    assert!(held.has_refused(&target) && !held.has_pending(&all, &target, Part::Additions));
    assert!(
        !held.has_refused(&served([cluster("good", 1)])),
        "it is no longer wanted"
    );
    let mended = served([cluster("bad", 2), cluster("good", 1)]);
    assert_eq!(
        names(&held.send(&all, &mended, Part::Additions, "3").unwrap()),
        ["bad"]
    );
    held.acknowledge("3");
    assert!(!held.has_refused(&mended));
}

#[test]
fn a_refusal_that_names_nobody_stops_the_whole_response_until_any_of_it_changes() {
    let (mut held, all, target) = (
        Held::new(TY, Absence::Answered),
        wildcard(),
        served([cluster("x1", 1), cluster("x2", 1)]),
    );
    held.send(&all, &target, Part::Additions, "1").unwrap();
    held.refuse("1", "something is wrong");
    assert!(!held.has_pending(&all, &target, Part::Additions));
    let more = served([cluster("x1", 1), cluster("x2", 1), cluster("y", 1)]);
    assert_eq!(
        names(&held.send(&all, &more, Part::Additions, "2").unwrap()),
        ["y"]
    );
    held.acknowledge("2");
    let changed = served([cluster("x1", 1), cluster("x2", 2), cluster("y", 1)]);
    assert_eq!(
        names(&held.send(&all, &changed, Part::Additions, "3").unwrap()),
        ["x1", "x2"]
    );
}

#[test]
fn what_may_have_been_taken_from_a_refused_response_is_removed_when_it_is_gone() {
    let (mut held, all) = (Held::new(TY, Absence::Answered), wildcard());
    let target = served([cluster("bad", 1), cluster("good", 1)]);
    held.send(&all, &target, Part::Additions, "1").unwrap();
    held.refuse("1", "bad and good");
    let content = held.send(&all, &served([]), Part::Removals, "2").unwrap();
    assert_eq!(content.removed, ["bad".into(), "good".into()]);
}

#[test]
fn a_stale_nonce_says_nothing() {
    let (mut held, all, target) = (
        Held::new(TY, Absence::Answered),
        wildcard(),
        served([cluster("a", 1)]),
    );
    held.send(&all, &target, Part::Additions, "2").unwrap();
    assert!(!held.acknowledge("1") && held.refuse("1", "a").is_none());
    assert!(held.is_in_flight() && !held.has_refused(&target));
}

#[test]
fn a_client_that_comes_back_gets_only_what_differs() {
    let (mut held, all) = (Held::new(TY, Absence::Answered), wildcard());
    let target = served([cluster("same", 1), cluster("changed", 2), cluster("new", 1)]);
    let versions =
        |resource: Arc<Resource>| (resource.name().to_string(), resource.version().to_string());
    held.holds_initially(&HashMap::from([
        versions(cluster("same", 1)),
        versions(cluster("changed", 1)),
        versions(cluster("gone", 1)),
    ]));
    assert_eq!(
        names(&held.send(&all, &target, Part::Additions, "1").unwrap()),
        ["changed", "new"]
    );
    held.acknowledge("1");
    assert_eq!(
        held.send(&all, &target, Part::Removals, "2")
            .unwrap()
            .removed,
        ["gone".into()]
    );
}

#[test]
fn a_wildcard_that_comes_later_brings_what_the_names_did_not_cover() {
    let mut held = Held::new(TY, Absence::Answered);
    let mut subscription = named(&["a"]);
    let target = served([cluster("a", 1), cluster("b", 1)]);
    held.ask(&"a".into());
    held.send(&subscription, &target, Part::Additions, "1")
        .unwrap();
    held.acknowledge("1");
    assert!(subscription.update(TY, &["*".into()], &[]).widened);
    held.ask_all();
    held.widen(&subscription);
    let content = held
        .send(&subscription, &target, Part::Additions, "2")
        .unwrap();
    assert_eq!(names(&content), ["b"]);
}

#[test]
fn where_absence_cannot_be_said_a_name_waits_until_it_is_made() {
    let mut held = Held::new(TY, Absence::Silent);
    let one = named(&["a"]);
    held.ask(&"a".into());
    assert!(!held.has_pending(&one, &served([]), Part::Additions));
    assert!(held.send(&one, &served([]), Part::Additions, "1").is_none());
    let made = served([cluster("a", 1)]);
    assert_eq!(
        names(&held.send(&one, &made, Part::Additions, "1").unwrap()),
        ["a"]
    );
}

#[derive(Clone, Debug)]
enum Event {
    Target(Vec<(u8, u8)>),
    Send(bool),
    Ack,
    Nack(u8),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        proptest::collection::btree_map(0u8..5, 0u8..3, 0..5)
            .prop_map(|content| Event::Target(content.into_iter().collect())),
        any::<bool>().prop_map(Event::Send),
        Just(Event::Ack),
        (0u8..5).prop_map(Event::Nack),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    /// A client that drops refused responses as a whole, and otherwise does as it is told, ends with the target, less
    /// the versions that it refused.
    #[test]
    fn whatever_happens_on_the_way_the_client_ends_with_what_it_is_to_be_served(events in proptest::collection::vec(event(), 0..40)) {
        let (mut held, all) = (Held::new(TY, Absence::Answered), wildcard());
        held.ask_all();
        let mut client: BTreeMap<Arc<str>, Version> = BTreeMap::new();
        let mut refused: Vec<BTreeMap<Arc<str>, Version>> = Vec::new();
        // In a response that was refused, and not acknowledged since.
        let mut unknown: BTreeSet<Arc<str>> = BTreeSet::new();
        let stands = |group: &BTreeMap<Arc<str>, Version>, target: &Arc<Served>| {
            group.iter().all(|(name, version)| target.snapshot().get(TY, name).map(|wanted| wanted.version()) == Some(version))
        };
        let mut target = served([]);
        let mut sent: Option<(String, Content)> = None;
        let mut nonce = 0;
        let drain = [Event::Ack, Event::Send(true), Event::Ack, Event::Send(false), Event::Ack];
        for event in events.into_iter().chain(drain.iter().cycle().take(60).cloned()) {
            match event {
                Event::Target(content) => target = served(content.iter().map(|(name, content)| cluster(&format!("c{name}"), *content))),
                Event::Send(additions) if sent.is_none() => {
                    let part = if additions { Part::Additions } else { Part::Removals };
                    let pending = held.has_pending(&all, &target, part);
                    nonce += 1;
                    sent = held.send(&all, &target, part, &nonce.to_string()).map(|content| (nonce.to_string(), content));
                    prop_assert_eq!(pending, sent.is_some());
                    for resource in sent.iter().flat_map(|(_, content)| &content.changed) {
                        let known = |group: &&BTreeMap<Arc<str>, Version>| group.get(resource.name()) == Some(resource.version());
                        prop_assert!(!refused.iter().filter(known).any(|group| stands(group, &target)), "refused content was sent again");
                        let held = client.get(resource.name()) == Some(resource.version());
                        prop_assert!(!held || unknown.contains(resource.name()), "what the client holds was sent again");
                    }
                }
                Event::Ack => if let Some((nonce, content)) = sent.take() {
                    prop_assert!(held.acknowledge(&nonce));
                    let names = content.changed.iter().map(|resource| resource.name()).chain(&content.removed);
                    for name in names { unknown.remove(name); }
                    for resource in content.changed {
                        for group in &mut refused { group.remove(resource.name()); }
                        client.insert(resource.name().clone(), resource.version().clone());
                    }
                    for name in content.removed {
                        for group in &mut refused { group.remove(&name); }
                        client.remove(&name);
                    }
                },
                Event::Nack(bad) => if let Some((nonce, content)) = sent.take_if(|(_, content)| !content.changed.is_empty()) {
                    let name = format!("c{bad}");
                    prop_assert!(held.refuse(&nonce, &name).is_some());
                    let named = content.changed.iter().any(|resource| **resource.name() == *name);
                    unknown.extend(content.changed.iter().map(|resource| resource.name().clone()));
                    let bad = content.changed.iter().filter(|resource| !named || **resource.name() == *name);
                    let group: BTreeMap<_, _> = bad.map(|resource| (resource.name().clone(), resource.version().clone())).collect();
                    for earlier in &mut refused { earlier.retain(|name, _| !group.contains_key(name)); }
                    refused.push(group);
                },
                Event::Send(_) => {}
            }
            refused.retain(|group| !group.is_empty());
        }
        for resource in target.snapshot().set(TY).values() {
            let known = |group: &&BTreeMap<Arc<str>, Version>| group.get(resource.name()) == Some(resource.version());
            let is_refused = refused.iter().filter(known).any(|group| stands(group, &target));
            prop_assert!(client.get(resource.name()) == Some(resource.version()) || is_refused);
        }
        prop_assert!(client.keys().all(|name| target.snapshot().get(TY, name).is_some()));
    }
}

#[test]
fn the_cursor_goes_with_a_target_that_differs_in_nothing_and_stays_where_one_differs() {
    let (mut held, all) = (Held::new(TY, Absence::Answered), wildcard());
    held.ask_all();
    held.send(&all, &served([cluster("a", 1)]), Part::Additions, "1");
    held.acknowledge("1");
    let same = served([cluster("a", 1)]);
    held.follow(&same);
    assert!(Arc::ptr_eq(held.cursor.as_ref().unwrap(), &same));
    let other = served([cluster("a", 2)]);
    held.follow(&other);
    assert!(Arc::ptr_eq(held.cursor.as_ref().unwrap(), &same));
    let content = held.send(&all, &other, Part::Additions, "2").unwrap();
    assert_eq!(names(&content), ["a"]);
}
