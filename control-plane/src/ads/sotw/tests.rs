use envoy_types::pb::google::rpc::Status;

use super::*;
use crate::ads::order::REMOVAL_PATIENCE;
use crate::ads::testing::{cluster, eds_cluster, endpoints, served};

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::ClusterLoadAssignment;
const LDS: ResourceType = ResourceType::Listener;

fn ask(names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        resource_names: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn ack(response: &Response, names: &[&str]) -> DiscoveryRequest {
    DiscoveryRequest {
        version_info: response.version.to_string(),
        response_nonce: response.nonce.clone(),
        ..ask(names)
    }
}

fn nack(response: &Response, names: &[&str], message: &str) -> DiscoveryRequest {
    let error_detail = Some(Status {
        code: 13,
        message: message.into(),
        details: Vec::new(),
    });
    DiscoveryRequest {
        error_detail,
        response_nonce: response.nonce.clone(),
        ..ask(names)
    }
}

fn names(response: &Response) -> Vec<&str> {
    let names = response.resources.iter();
    names.map(|resource| &**resource.name()).collect()
}

fn state(resources: impl IntoIterator<Item = Arc<Resource>>) -> (SotwState, Instant) {
    let now = Instant::now();
    (SotwState::new(served(resources), now), now)
}

#[test]
fn clusters_come_whole_also_for_one_change_and_endpoints_only_what_was_asked_for() {
    let (mut state, now) = state([
        eds_cluster("a", 1),
        eds_cluster("b", 1),
        endpoints("a"),
        endpoints("b"),
    ]);
    state.request(CDS, &ask(&[]));
    let first = state.next_response(now).unwrap();
    assert_eq!((first.ty, names(&first)), (CDS, vec!["a", "b"]));
    assert_eq!(state.request(CDS, &ack(&first, &[])), Meaning::Ack);
    state.request(EDS, &ask(&["b"]));
    let endpoints_of_b = state.next_response(now).unwrap();
    assert_eq!(
        (endpoints_of_b.ty, names(&endpoints_of_b)),
        (EDS, vec!["b"])
    );
    state.request(EDS, &ack(&endpoints_of_b, &["b"]));
    assert!(state.next_response(now).is_none() && state.is_settled());

    state.retarget(
        served([
            eds_cluster("a", 2),
            eds_cluster("b", 1),
            endpoints("a"),
            endpoints("b"),
        ]),
        now,
    );
    let changed = state.next_response(now).unwrap();
    assert_eq!(names(&changed), ["a", "b"]);
    assert_ne!(changed.version, first.version);
}

#[test]
fn nothing_is_sent_without_a_change_and_a_version_means_content() {
    let (mut state, now) = state([cluster("a", 1)]);
    state.request(CDS, &ask(&[]));
    let first = state.next_response(now).unwrap();
    state.request(CDS, &ack(&first, &[]));
    state.request(CDS, &ack(&first, &[]));
    assert!(state.next_response(now).is_none());
    state.retarget(served([cluster("a", 1)]), now);
    assert!(state.next_response(now).is_none());
    let (mut elsewhere, now) = self::state([cluster("a", 1)]);
    elsewhere.request(CDS, &ask(&["a"]));
    assert_eq!(elsewhere.next_response(now).unwrap().version, first.version);
}

#[test]
fn a_request_with_a_stale_nonce_is_ignored_whole() {
    let (mut state, now) = state([endpoints("a"), endpoints("b")]);
    state.request(EDS, &ask(&["a"]));
    let first = state.next_response(now).unwrap();
    let stale = DiscoveryRequest {
        response_nonce: "0".into(),
        ..ask(&["a", "b"])
    };
    assert_eq!(state.request(EDS, &stale), Meaning::Names);
    assert!(state.next_response(now).is_none());
    assert_eq!(state.request(EDS, &ack(&first, &["a", "b"])), Meaning::Ack);
    assert_eq!(names(&state.next_response(now).unwrap()), ["b"]);
}

#[test]
fn names_change_with_the_same_version_and_each_new_one_is_answered_also_the_second_time() {
    let (mut state, now) = state([endpoints("a"), endpoints("b")]);
    state.request(EDS, &ask(&["a"]));
    let first = state.next_response(now).unwrap();
    state.request(EDS, &ack(&first, &["a"]));
    assert_eq!(
        state.request(EDS, &ack(&first, &["a", "b"])),
        Meaning::Names
    );
    let second = state.next_response(now).unwrap();
    assert_eq!(names(&second), ["b"]);
    state.request(EDS, &ack(&second, &["b"]));
    assert!(state.next_response(now).is_none());
    state.request(EDS, &ack(&second, &["a", "b"]));
    assert_eq!(names(&state.next_response(now).unwrap()), ["a"]);
}

#[test]
fn an_empty_list_is_everything_only_until_a_name_was_sent() {
    let (mut state, now) = state([cluster("a", 1), cluster("b", 1)]);
    state.request(CDS, &ask(&["a"]));
    let first = state.next_response(now).unwrap();
    assert_eq!(names(&first), ["a"]);
    state.request(CDS, &ack(&first, &[]));
    assert!(state.next_response(now).is_none());
    state.request(CDS, &ack(&first, &["*"]));
    assert_eq!(names(&state.next_response(now).unwrap()), ["a", "b"]);
}

#[test]
fn named_listeners_that_do_not_exist_are_answered_and_endpoints_wait() {
    let (mut state, now) = state([]);
    state.request(LDS, &ask(&["x"]));
    state.request(EDS, &ask(&["x"]));
    let answer = state.next_response(now).unwrap();
    assert_eq!((answer.ty, names(&answer)), (LDS, vec![]));
    assert!(!answer.version.text().is_empty());
    state.request(LDS, &ack(&answer, &["x"]));
    assert!(state.next_response(now).is_none());
    state.retarget(served([endpoints("x")]), now);
    assert_eq!(names(&state.next_response(now).unwrap()), ["x"]);
}

#[test]
fn a_cluster_that_is_gone_goes_when_what_took_its_place_is_acknowledged() {
    let (mut state, now) = state([cluster("old", 1)]);
    state.request(CDS, &ask(&[]));
    let first = state.next_response(now).unwrap();
    state.request(CDS, &ack(&first, &[]));
    state.retarget(served([cluster("new", 1)]), now);
    let both = state.next_response(now).unwrap();
    assert_eq!(names(&both), ["new", "old"]);
    assert!(state.next_response(now).is_none());
    state.request(CDS, &ack(&both, &[]));
    let one = state.next_response(now).unwrap();
    assert_eq!(names(&one), ["new"]);
    assert!(!state.is_settled());
    state.request(CDS, &ack(&one, &[]));
    assert!(state.next_response(now).is_none() && state.is_settled());
}

#[test]
fn what_was_refused_is_not_sent_again_and_takes_nothing_away() {
    let (mut state, now) = state([cluster("old", 1)]);
    state.request(CDS, &ask(&[]));
    let first = state.next_response(now).unwrap();
    state.request(CDS, &ack(&first, &[]));
    state.retarget(served([cluster("bad", 1), cluster("good", 1)]), now);
    let both = state.next_response(now).unwrap();
    let meaning = state.request(CDS, &nack(&both, &[], "bad: no"));
    let resources = vec!["bad".into()];
    assert_eq!(
        meaning,
        Meaning::Nack {
            message: "bad: no".into(),
            resources
        }
    );
    let late = now + REMOVAL_PATIENCE * 2;
    assert!(state.next_response(late).is_none() && state.removals_due().is_none());
    // Going back: what may be there is kept, what was refused is not.
    state.retarget(served([cluster("old", 1)]), late);
    let back = state.next_response(late).unwrap();
    assert_eq!(names(&back), ["old", "good"]);
    state.request(CDS, &ack(&back, &[]));
    assert_eq!(names(&state.next_response(late).unwrap()), ["old"]);
}

#[test]
fn endpoints_come_again_after_their_cluster_and_do_not_wait_for_its_acknowledgement() {
    let (mut state, now) = state([eds_cluster("a", 1), endpoints("a")]);
    state.request(CDS, &ask(&[]));
    state.request(EDS, &ask(&["a"]));
    while let Some(response) = state.next_response(now) {
        let names: &[&str] = if response.ty == EDS { &["a"] } else { &[] };
        state.request(response.ty, &ack(&response, names));
    }
    assert!(state.is_settled());
    state.retarget(served([eds_cluster("a", 2), endpoints("a")]), now);
    let types = std::iter::from_fn(|| state.next_response(now)).map(|response| response.ty);
    assert_eq!(types.collect::<Vec<_>>(), [CDS, EDS]);
}

#[test]
fn only_the_newest_is_sent_when_an_acknowledgement_comes_late() {
    let (mut state, now) = state([cluster("a", 1)]);
    state.request(CDS, &ask(&[]));
    let first = state.next_response(now).unwrap();
    for content in 2..5 {
        state.retarget(served([cluster("a", content)]), now);
        assert!(state.next_response(now).is_none());
    }
    state.request(CDS, &ack(&first, &[]));
    let newest = state.next_response(now).unwrap();
    assert_eq!(newest.resources[0].version(), cluster("a", 4).version());
    state.request(CDS, &ack(&newest, &[]));
    assert!(state.next_response(now).is_none());
}
