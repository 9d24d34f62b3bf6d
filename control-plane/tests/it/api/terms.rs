//! What is said of a rollout beside where it goes: its time, its hurry, and how one that came to nothing begins again. No loop
//! drives rollouts here.

use control_plane::rollout::selection::Selection;
use control_plane::rollout::{Rollout, State};
use control_plane::store::rollout::Step;
use serde_json::{Value, json};

use super::{Answer, Api, errors};

const FLEET: &str = "/v1/fleets/default";
const ROLLOUTS: &str = "/v1/fleets/default/rollouts";
const ANY: [(&str, &str); 1] = [("if-match", "*")];
/// Far enough away for any run of the tests.
const LATER: &str = "2120-01-31T09:30:00Z";
const LATER_AS_TOLD: &str = "2120-01-31T09:30:00.000000Z";

impl Api {
    async fn with_fleet(settings: &Value) -> Self {
        let api = Self::new().await;
        api.put(FLEET, &ANY, settings).await.expect(200);
        api
    }

    async fn route(&self, name: &str, query: &str) -> Answer {
        let path = format!("{FLEET}/routes/{name}{query}");
        self.put(&path, &[], &json!({"respond": {"status": 200}}))
            .await
    }

    async fn newest(&self) -> Value {
        self.get(&format!("{ROLLOUTS}/latest"))
            .await
            .expect(200)
            .json()
    }

    async fn say(&self, verb: &str) -> Answer {
        self.send("POST", &format!("{ROLLOUTS}/latest:{verb}"), &[], "")
            .await
    }

    /// Brings the active rollout to where a loop would, with a node that has moved.
    async fn moved(&self, state: State) {
        let active = self.store.active_rollouts().await.unwrap().pop().unwrap();
        let next = Rollout {
            state,
            selection: Selection {
                nodes: ["n".to_owned()].into(),
                ..Selection::default()
            },
            ..active
        };
        let step = Step {
            next: &next,
            events: &[],
            by: None,
        };
        self.store.step_rollout(step).await.unwrap();
    }
}

fn gates(rollout: &Value) -> Vec<&str> {
    let verdicts = rollout["verdicts"].as_array().unwrap().iter();
    let held = verdicts.filter(|verdict| verdict["outcome"] == "hold");
    held.map(|verdict| verdict["gate"].as_str().unwrap())
        .collect()
}

fn always() -> Value {
    json!([{"name": "always", "from": "2020-01-01T00:00:00Z", "until": LATER}])
}

#[tokio::test]
async fn a_commit_says_how_long_its_rollout_waits_and_none_of_those_that_it_brings_is_early() {
    let api = Api::with_fleet(&json!({})).await;
    api.route("a", &format!("?not_before={LATER}"))
        .await
        .expect(201);
    let begun = api.newest().await;
    assert_eq!(begun["not_before"], LATER_AS_TOLD);
    // All at once, and yet nobody is chosen.
    assert_eq!(
        (&begun["state"], gates(&begun)),
        (&json!("advancing"), vec!["schedule"])
    );
    api.route("b", "").await.expect(201);
    api.say("abort").await.expect(200);
    // A revert ends the hold, and takes along what was to wait.
    let path = format!("{FLEET}/revisions/1:revert");
    api.send("POST", &path, &ANY, "").await.expect(200);
    let next = api.newest().await;
    assert_eq!(
        (&next["to"], &next["not_before"]),
        (&json!(3), &json!(LATER_AS_TOLD))
    );

    let wrong = api.route("c", "?not_before=tomorrow").await.expect(400);
    assert!(wrong.text.contains("not_before"), "{}", wrong.text);
}

#[tokio::test]
async fn in_a_freeze_window_no_wave_begins_unless_it_is_urgent() {
    let api = Api::with_fleet(&json!({"rollout": {"freeze": always()}})).await;
    api.route("a", "").await.expect(201);
    let held = api.newest().await;
    assert_eq!(
        (&held["state"], gates(&held)),
        (&json!("advancing"), vec!["freeze"])
    );
    let why = held["verdicts"]
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["gate"] == "freeze");
    assert_eq!(
        why.unwrap()["detail"],
        format!("frozen (always) until {LATER_AS_TOLD}")
    );
    // The shop burns.
    let urgent = json!({"urgent": true, "reason": "the shop burns"});
    let begun = api.post(ROLLOUTS, &[], &urgent).await.expect(201).json();
    assert_eq!(
        (&begun["state"], &begun["urgent"]),
        (&json!("settling"), &json!(true))
    );
    let first = begun["events"][0]["detail"].as_str().unwrap();
    assert!(first.contains("urgently: the shop burns"), "{first}");
    let audit = api.get("/v1/audit?limit=1").await.expect(200).json();
    let row = &audit["items"][0];
    assert_eq!(row["action"], "start-rollout");
    assert_eq!(
        (&row["detail"]["urgent"], &row["detail"]["reason"]),
        (&json!(true), &json!("the shop burns"))
    );
    assert_eq!(row["detail"]["supersedes"], held["id"]);
    let list = api.get(ROLLOUTS).await.expect(200).json();
    assert_eq!(list["items"][0]["urgent"], true);
    assert_eq!(list["items"][1]["state"], "superseded");
}

#[tokio::test]
async fn what_is_urgent_has_a_reason_and_no_time() {
    let api = Api::with_fleet(&json!({"rollout": {"mode": "manual"}})).await;
    api.route("a", "").await.expect(201);
    for (body, told) in [
        (json!({"urgent": true}), "/reason required"),
        (json!({"urgent": true, "reason": " "}), "/reason required"),
        (
            json!({"urgent": true, "reason": "x", "not_before": LATER}),
            "/not_before invalid",
        ),
    ] {
        let problem = api
            .post(ROLLOUTS, &[], &body)
            .await
            .problem(422, "validation");
        assert_eq!(errors(&problem), [told]);
    }
}

#[tokio::test]
async fn nodes_that_have_moved_are_not_moved_on_before_they_may_be() {
    let api = Api::with_fleet(&json!({"rollout": {"strategy": "canary-then-all"}})).await;
    api.route("a", "").await.expect(201);
    api.moved(State::Settling).await;
    api.route("b", "").await.expect(201);
    let later = json!({"supersede": true, "not_before": LATER});
    api.post(ROLLOUTS, &[], &later)
        .await
        .problem(409, "not-yet");
    let frozen = json!({"rollout": {"strategy": "canary-then-all", "freeze": always()}});
    api.put(FLEET, &ANY, &frozen).await.expect(200);
    let problem = api
        .post(ROLLOUTS, &[], &json!({"supersede": true}))
        .await
        .problem(409, "not-yet");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("frozen (always)")
    );
    let urgent = json!({"urgent": true, "reason": "x"});
    api.post(ROLLOUTS, &[], &urgent).await.expect(201);
}

#[tokio::test]
async fn only_what_has_come_to_nothing_is_begun_again() {
    let api = Api::with_fleet(&json!({"rollout": {"strategy": "canary-then-all"}})).await;
    api.route("a", "").await.expect(201);
    let first = api.newest().await;
    let problem = api.say("retry").await.problem(409, "illegal-transition");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .contains("is not begun again")
    );
    api.say("abort").await.expect(200);
    let again = api.say("retry").await.expect(201);
    let document = again.json();
    assert!(
        again
            .header("location")
            .ends_with(document["id"].as_str().unwrap())
    );
    assert_ne!(document["id"], first["id"]);
    for same in ["from", "to", "strategy", "reason"] {
        assert_eq!(document[same], first[same], "{same}");
    }
    assert_eq!(document["events"][0]["data"]["retries"], first["id"]);
    // The hold after the first one is over; while the second goes on there is no third.
    assert!(api.get(FLEET).await.json()["held_by"].is_null());
    let path = format!("{ROLLOUTS}/{}:retry", first["id"].as_str().unwrap());
    api.send("POST", &path, &[], "")
        .await
        .problem(409, "rollout-active");
}

#[tokio::test]
async fn a_wave_that_has_not_settled_can_be_skipped_and_is_audited() {
    let api = Api::with_fleet(&json!({"rollout": {"strategy": "canary-then-all"}})).await;
    api.route("a", "").await.expect(201);
    api.say("skip").await.problem(409, "illegal-transition");
    api.moved(State::Settling).await;
    api.say("skip").await.expect(200);
    let audit = api.get("/v1/audit?limit=1").await.expect(200).json();
    assert_eq!(audit["items"][0]["action"], "skip-wave");
    // Once is enough.
    api.say("skip").await.problem(409, "illegal-transition");
}

#[tokio::test]
async fn a_strategy_with_webhooks_is_refused_where_no_host_is_allowed() {
    let api = Api::with_fleet(&json!({"rollout": {"mode": "manual"}})).await;
    api.route("a", "").await.expect(201);
    let strategy = json!({
        "waves": [{"percent": 100}],
        "gates": {"webhooks": [{"name": "board", "url": "https://gates.example/x"}]},
    });
    for settings in [
        json!({"strategies": {"mine": strategy}}),
        json!({"rollout": {"strategy": strategy}}),
    ] {
        let problem = api
            .put(FLEET, &ANY, &settings)
            .await
            .problem(422, "validation");
        let error = &problem["errors"][0];
        assert!(
            error["pointer"]
                .as_str()
                .unwrap()
                .ends_with("/gates/webhooks/0/url"),
            "{error}"
        );
        assert!(
            error["detail"]
                .as_str()
                .unwrap()
                .contains("--webhook-allow"),
            "{error}"
        );
    }
    let body = json!({"strategy": strategy});
    let problem = api
        .post(ROLLOUTS, &[], &body)
        .await
        .problem(422, "validation");
    assert_eq!(errors(&problem), ["/strategy/gates/webhooks/0/url invalid"]);
}
