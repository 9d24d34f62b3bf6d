use envoy_types::pb::google::rpc::Status;

use super::*;
use crate::ads::order::REMOVAL_PATIENCE;
use crate::ads::testing::{cluster, eds_cluster, endpoints, routes, served};

const CDS: ResourceType = ResourceType::Cluster;
const EDS: ResourceType = ResourceType::ClusterLoadAssignment;
const RDS: ResourceType = ResourceType::RouteConfiguration;

fn subscribe(names: &[&str]) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        resource_names_subscribe: names.iter().map(|name| (*name).to_owned()).collect(),
        ..Default::default()
    }
}

fn ack(response: &Response) -> DeltaDiscoveryRequest {
    DeltaDiscoveryRequest {
        response_nonce: response.nonce.clone(),
        ..Default::default()
    }
}

fn nack(response: &Response, message: &str) -> DeltaDiscoveryRequest {
    let error_detail = Some(Status {
        code: 13,
        message: message.into(),
        details: Vec::new(),
    });
    DeltaDiscoveryRequest {
        error_detail,
        ..ack(response)
    }
}

fn types(state: &mut DeltaState, now: Instant) -> Vec<ResourceType> {
    std::iter::from_fn(|| state.next_response(now))
        .map(|response| response.ty)
        .collect()
}

#[test]
fn endpoints_do_not_wait_for_the_acknowledgement_of_clusters() {
    let now = Instant::now();
    let mut state = DeltaState::new(
        served([eds_cluster("a", 1), endpoints("a")]),
        Removals::AfterAcknowledgement,
        now,
    );
    state.request(EDS, &subscribe(&["a"]));
    state.request(CDS, &subscribe(&[]));
    assert_eq!(types(&mut state, now), [CDS, EDS]);
    assert!(!state.is_settled());
}

#[test]
fn routes_wait_for_the_acknowledgement_of_clusters_or_a_while() {
    let now = Instant::now();
    let fresh = |removals| {
        let target = served([eds_cluster("a", 1), endpoints("a"), routes("r")]);
        let mut state = DeltaState::new(target, removals, now);
        state.request(RDS, &subscribe(&["r"]));
        state.request(CDS, &subscribe(&[]));
        state
    };
    let mut acknowledged = fresh(Removals::AfterAcknowledgement);
    let clusters = acknowledged.next_response(now).unwrap();
    // Envoy asks for the endpoints of a cluster that warms, and acknowledges it when they have come.
    acknowledged.request(EDS, &subscribe(&["a"]));
    assert_eq!(types(&mut acknowledged, now), [EDS]);
    acknowledged.request(CDS, &ack(&clusters));
    assert_eq!(acknowledged.removals_due(), None);
    assert_eq!(types(&mut acknowledged, now), [RDS]);

    let mut late = fresh(Removals::AfterAcknowledgement);
    assert_eq!(types(&mut late, now), [CDS]);
    let due = late.removals_due().unwrap();
    assert_eq!(types(&mut late, due), [RDS]);
    assert_eq!(late.removals_due(), None);

    let mut refused = fresh(Removals::AfterAcknowledgement);
    let clusters = refused.next_response(now).unwrap();
    refused.request(CDS, &nack(&clusters, "a: no"));
    assert_eq!(types(&mut refused, now), [RDS]);

    // Our own proxy uses nothing of a revision before it has all of it.
    assert_eq!(types(&mut fresh(Removals::AtOnce), now), [CDS, RDS]);
}

#[test]
fn endpoints_are_sent_again_when_their_cluster_changed() {
    let now = Instant::now();
    let mut state = DeltaState::new(
        served([eds_cluster("a", 1), endpoints("a")]),
        Removals::AfterAcknowledgement,
        now,
    );
    state.request(CDS, &subscribe(&[]));
    state.request(EDS, &subscribe(&["a"]));
    while let Some(response) = state.next_response(now) {
        state.request(response.ty, &ack(&response));
    }
    assert!(state.is_settled());
    state.retarget(served([eds_cluster("a", 2), endpoints("a")]), now);
    assert_eq!(types(&mut state, now), [CDS, EDS]);
}

#[test]
fn removals_wait_for_acknowledgements_or_a_while_but_never_pass_a_refusal() {
    let now = Instant::now();
    let fresh = || {
        let mut state = DeltaState::new(
            served([cluster("old", 1)]),
            Removals::AfterAcknowledgement,
            now,
        );
        state.request(CDS, &subscribe(&[]));
        let first = state.next_response(now).unwrap();
        state.request(CDS, &ack(&first));
        state.retarget(served([cluster("new", 1)]), now);
        let addition = state.next_response(now).unwrap();
        assert!(addition.content.removed.is_empty());
        assert!(state.next_response(now).is_none());
        (state, addition)
    };
    let (mut acknowledged, addition) = fresh();
    acknowledged.request(CDS, &ack(&addition));
    assert_eq!(
        acknowledged.next_response(now).unwrap().content.removed,
        ["old".into()]
    );

    let (mut refused, addition) = fresh();
    assert_eq!(
        refused.request(CDS, &nack(&addition, "new: no")),
        Meaning::Nack {
            message: "new: no".into(),
            resources: vec!["new".into()]
        }
    );
    assert_eq!(refused.removals_due(), None);
    assert!(refused.next_response(now + REMOVAL_PATIENCE * 2).is_none());
}

#[test]
fn removals_of_another_type_go_after_a_while_though_an_acknowledgement_is_missing() {
    let now = Instant::now();
    let mut state = DeltaState::new(
        served([cluster("a", 1), endpoints("a")]),
        Removals::AfterAcknowledgement,
        now,
    );
    state.request(EDS, &subscribe(&["a"]));
    let first = state.next_response(now).unwrap();
    state.request(EDS, &ack(&first));
    state.request(CDS, &subscribe(&[]));
    assert_eq!(state.next_response(now).unwrap().ty, CDS);
    state.retarget(served([cluster("a", 1)]), now);
    assert!(state.next_response(now).is_none());
    let due = state.removals_due().unwrap();
    let response = state.next_response(due).unwrap();
    assert_eq!(
        (response.ty, response.content.removed),
        (EDS, vec!["a".into()])
    );
}

#[test]
fn every_response_has_a_nonce_of_its_own() {
    let now = Instant::now();
    let mut state = DeltaState::new(
        served([eds_cluster("a", 1), endpoints("a")]),
        Removals::AfterAcknowledgement,
        now,
    );
    state.request(CDS, &subscribe(&[]));
    state.request(EDS, &subscribe(&["a"]));
    let (first, second) = (
        state.next_response(now).unwrap(),
        state.next_response(now).unwrap(),
    );
    assert_ne!(first.nonce, second.nonce);
}

#[test]
fn our_own_proxy_is_told_of_removals_at_once() {
    let now = Instant::now();
    let before = served([cluster("old", 1), endpoints("e")]);
    let mut state = DeltaState::new(before, Removals::AtOnce, now);
    state.request(CDS, &subscribe(&[]));
    let first = state.next_response(now).unwrap();
    state.request(CDS, &ack(&first));
    state.request(EDS, &subscribe(&["e"]));
    assert_eq!(state.next_response(now).unwrap().ty, EDS);
    state.retarget(served([]), now);
    let response = state.next_response(now).unwrap();
    assert_eq!(response.content.removed, ["old".into()]);
}
