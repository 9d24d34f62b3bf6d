//! Small fleets before the real program: the harness runs to its end and its numbers are sane.

use std::time::Duration;

use super::course::Course;
use super::kind::{Kind, UserAgent, Variant};

const CLIENTS: usize = 50;
const COMMITS: usize = 3;
const RESOURCES: usize = 40;

async fn run(variant: Variant, user_agent: UserAgent) {
    let course = Course {
        kind: Kind::of(variant, user_agent),
        clients: CLIENTS,
        resources: RESOURCES,
        commits: COMMITS,
        strategy: "all-at-once".into(),
        pause: Duration::from_millis(50),
        new_streams_per_second: 1_000.try_into().unwrap(),
        postgres: false,
    };
    let outcome = course.run().await.unwrap();
    let each = (CLIENTS * COMMITS) as u64;
    assert_eq!(outcome.connect.times.len(), CLIENTS);
    assert_eq!(outcome.come_back.times.len(), CLIENTS);
    let commits = &outcome.commits;
    assert_eq!(commits.acknowledged.len(), CLIENTS * COMMITS);
    for each in [&commits.last, &commits.api, &commits.completed] {
        assert_eq!(each.len(), COMMITS);
    }
    assert_eq!(commits.broken, 0, "{:?}", outcome.come_back.broken);
    let ours = course.kind.is_ours();
    assert_eq!(
        commits.active.len(),
        if ours { CLIENTS * COMMITS } else { 0 }
    );
    assert_eq!(commits.bytes.targets > 0, ours);
    // An ACK at least goes up; what comes on the sockets is more than the messages.
    assert!(commits.bytes.sent > each * 50, "{:?}", commits.bytes);
    assert!(commits.bytes.received > commits.bytes.responses + commits.bytes.targets);
    assert!(outcome.empty_kib > 0 && outcome.idle_kib > outcome.empty_kib);
    let (first, again) = (&outcome.connect.bytes, &outcome.come_back.bytes);
    match variant {
        // One virtual host (or, with Envoy, one route configuration) a commit; nothing is sent again to who comes back.
        Variant::Delta => assert!(again.responses * 5 < first.responses, "{again:?} {first:?}"),
        Variant::Sotw => assert_eq!(again.responses, first.responses),
    }
    if ours {
        let one = commits.bytes.responses / each;
        assert!(
            (100..1_024).contains(&one),
            "{one} bytes for one virtual host"
        );
    }
}

#[tokio::test]
async fn our_own_proxies_in_deltas() {
    run(Variant::Delta, UserAgent::SignalboxProxy).await;
}

#[tokio::test]
async fn envoys_in_deltas() {
    run(Variant::Delta, UserAgent::Envoy).await;
}

#[tokio::test]
async fn envoys_in_the_state_of_the_world() {
    run(Variant::Sotw, UserAgent::Envoy).await;
}
