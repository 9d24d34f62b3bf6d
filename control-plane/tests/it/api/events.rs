//! The stream of events.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, BodyDataStream};
use control_plane::model::timestamp::Timestamp;
use control_plane::store::node_status::{NodeStatus, Refusal};
use futures_util::StreamExt as _;
use http::Request;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::Api;

const SOON: Duration = Duration::from_secs(20);

/// A listener, and what has come of the event that is not whole yet.
struct Listener {
    body: BodyDataStream,
    rest: String,
}

impl Listener {
    async fn start(api: &Api, query: &str, last: Option<&str>) -> Self {
        let mut request = Request::get(format!("/v1/events{query}"));
        if let Some(last) = last {
            request = request.header("last-event-id", last);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = api.router.clone().oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self {
            body: response.into_body().into_data_stream(),
            rest: String::new(),
        }
    }

    /// The fields of the next event.
    async fn next(&mut self) -> BTreeMap<String, String> {
        loop {
            if let Some(end) = self.rest.find("\n\n") {
                let event: String = self.rest.drain(..end + 2).collect();
                let fields = event.lines().filter_map(|line| line.split_once(": "));
                let fields = fields.map(|(name, value)| (name.to_owned(), value.to_owned()));
                let fields: BTreeMap<_, _> = fields.collect();
                if fields.contains_key("data") {
                    return fields;
                }
                continue;
            }
            let chunk = tokio::time::timeout(SOON, self.body.next()).await.unwrap();
            let chunk = chunk.expect("the stream goes on").unwrap();
            self.rest.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    async fn next_data(&mut self) -> Value {
        serde_json::from_str(&self.next().await["data"]).unwrap()
    }
}

pub(super) fn node(acked: Option<u64>, refused: Option<u64>, connected: bool) -> NodeStatus {
    NodeStatus {
        fleet: "default".into(),
        id: "edge".into(),
        replica: "r1".into(),
        connected,
        class: "envoy".into(),
        user_agent: "envoy".into(),
        zone: String::new(),
        labels: BTreeMap::new(),
        connected_at: Timestamp::from_micros(0),
        sent_revision: acked,
        acked_revision: acked,
        wanted_revision: None,
        problems: Vec::new(),
        live_revision: None,
        staged_revision: None,
        refused: refused.map(|revision| Refusal {
            revision,
            type_url: "t".into(),
            resources: Vec::new(),
            message: "no such cluster".into(),
            reverted: false,
            at: Timestamp::from_micros(0),
        }),
        updated_at: Timestamp::from_micros(0),
    }
}

async fn put_route(api: &Api, name: &str) {
    let path = format!("/v1/fleets/default/routes/{name}?message=why");
    api.put(&path, &[], &json!({"respond": {"status": 200}}))
        .await
        .expect(201);
}

#[tokio::test]
async fn commits_and_nodes_are_told_to_every_listener() {
    let api = Api::new().await;
    let mut listeners = [
        Listener::start(&api, "", None).await,
        Listener::start(&api, "?fleet=default", None).await,
    ];
    put_route(&api, "a").await;
    for listener in &mut listeners {
        let event = listener.next().await;
        assert_eq!(event["event"], "revision-committed");
        assert!(event["id"].parse::<i64>().unwrap() > 0);
        let data: Value = serde_json::from_str(&event["data"]).unwrap();
        assert_eq!(
            (&data["fleet"], &data["revision"], &data["detail"]),
            (&json!("default"), &json!(1), &json!("local: why"))
        );
        // The commit has begun a rollout, which takes everybody.
        for kind in ["rollout-started", "rollout-advanced"] {
            let data = listener.next_data().await;
            assert_eq!(
                (&data["kind"], &data["revision"]),
                (&json!(kind), &json!(1))
            );
        }
    }
    api.store.heartbeat("r1").await.unwrap();
    for (status, kinds) in [
        (node(None, None, true), vec!["node-connected"]),
        (node(Some(1), None, true), vec!["node-acknowledged"]),
        (
            node(Some(1), Some(2), false),
            vec!["node-refused", "node-disconnected"],
        ),
    ] {
        api.store.write_nodes("r1", &[status]).await.unwrap();
        for listener in &mut listeners {
            for kind in &kinds {
                let data = listener.next_data().await;
                assert_eq!(
                    (&data["kind"], &data["node"]),
                    (&json!(kind), &json!("edge"))
                );
            }
        }
    }
}

#[tokio::test]
async fn what_happens_to_rollouts_is_told_once_and_in_order() {
    let api = Api::new().await;
    let mut listeners = [
        Listener::start(&api, "", None).await,
        Listener::start(&api, "?fleet=default", None).await,
    ];
    put_route(&api, "a").await;
    for order in ["pause", "resume", "abort"] {
        let path = format!("/v1/fleets/default/rollouts/latest:{order}");
        api.send("POST", &path, &[], "").await.expect(200);
    }
    let first = api.get("/v1/fleets/default/rollouts/latest").await.json();
    let begin = json!({"supersede": true});
    let path = "/v1/fleets/default/rollouts";
    let mut ids = vec![first["id"].clone()];
    for _ in 0..2 {
        let begun = api.post(path, &[], &begin).await.expect(201);
        ids.push(begun.json()["id"].clone());
    }
    put_route(&api, "b").await;
    for listener in &mut listeners {
        let (mut told, mut committed) = (Vec::new(), Vec::new());
        // They come from two tables: between a revision and a rollout there may be any order, within each there is one.
        while committed.len() < 2 || told.len() < 11 {
            let fields = listener.next().await;
            let data: Value = serde_json::from_str(&fields["data"]).unwrap();
            assert_eq!(fields["event"], data["kind"]);
            // They are told again to who comes back.
            assert!(fields.contains_key("id"));
            match data["kind"].as_str().unwrap() {
                "revision-committed" => committed.push(data["revision"].as_u64().unwrap()),
                kind => {
                    let index = ids.iter().position(|id| *id == data["rollout"]).unwrap();
                    assert_eq!(data["revision"], 1);
                    told.push((index, kind.to_owned()));
                }
            }
        }
        assert_eq!(committed, [1, 2]);
        let expected = [
            (0, "rollout-started"),
            (0, "rollout-advanced"),
            (0, "rollout-ordered"),
            (0, "rollout-ordered"),
            (0, "rollout-ordered"),
            (0, "rollout-ended"),
            (1, "rollout-started"),
            (1, "rollout-advanced"),
            (1, "rollout-ended"),
            (2, "rollout-started"),
            (2, "rollout-advanced"),
        ];
        assert_eq!(told, expected.map(|(index, kind)| (index, kind.to_owned())));
    }
}

#[tokio::test]
async fn a_listener_that_comes_back_is_told_what_it_has_missed_once() {
    let api = Api::new().await;
    let mut listener = Listener::start(&api, "", None).await;
    put_route(&api, "a").await;
    let mut id = String::new();
    // A commit, and the rollout that it begins.
    for _ in 0..3 {
        id.clone_from(&listener.next().await["id"]);
    }
    drop(listener);
    put_route(&api, "b").await;
    let pause = "/v1/fleets/default/rollouts/latest:pause";
    api.send("POST", pause, &[], "").await.expect(200);
    put_route(&api, "c").await;
    let mut listener = Listener::start(&api, "", Some(&id)).await;
    put_route(&api, "d").await;
    let mut told = Vec::new();
    let last = ("revision-committed".to_owned(), 4);
    while told.last() != Some(&last) {
        let data = listener.next_data().await;
        let number = data.get("seq").unwrap_or(&data["revision"]);
        told.push((
            data["kind"].as_str().unwrap().to_owned(),
            number.as_u64().unwrap(),
        ));
    }
    // The last ones before it left are told again, as they are of the last seconds.
    let expected = [
        ("revision-committed", 1),
        ("rollout-started", 1),
        ("rollout-advanced", 2),
        ("revision-committed", 2),
        ("rollout-ordered", 3),
        ("revision-committed", 3),
        ("revision-committed", 4),
    ];
    assert_eq!(
        told,
        expected.map(|(kind, number)| (kind.to_owned(), number))
    );
}

#[tokio::test]
async fn a_stream_ends_with_the_process() {
    let api = Arc::new(Api::new().await);
    let mut listener = Listener::start(&api, "", None).await;
    api.shutdown.cancel();
    assert!(
        tokio::time::timeout(SOON, listener.body.next())
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn what_cannot_be_listened_to_is_said_at_once() {
    let api = Api::new().await;
    api.get("/v1/events?fleet=nope")
        .await
        .problem(404, "not-found");
    api.get("/v1/events?fleets=default")
        .await
        .problem(400, "bad-request");
    let last = [("last-event-id", "x")];
    api.send("GET", "/v1/events", &last, "")
        .await
        .problem(400, "bad-request");
}
