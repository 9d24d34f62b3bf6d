//! Rollouts over HTTP: begun, listed, waited for, ordered about. No loop drives them here, so each stays where it is put.

use std::time::{Duration, Instant};

use control_plane::rollout::selection::Selection;
use control_plane::rollout::{Rollout, State};
use control_plane::store::rollout::Step;
use serde_json::{Value, json};

use super::access::ROOT;
use super::events::node;
use super::{Answer, Api, CONFIG, errors};

const FLEET: &str = "/v1/fleets/default";
const ROLLOUTS: &str = "/v1/fleets/default/rollouts";
const ANY: [(&str, &str); 1] = [("if-match", "*")];

impl Api {
    /// One whose default fleet has these settings.
    async fn set_up(settings: &Value) -> Self {
        let api = Self::new().await;
        api.put(FLEET, &ANY, settings).await.expect(200);
        api
    }

    /// One whose default fleet is moved by hand, a canary first, and is at this revision.
    async fn by_hand(head: u64) -> Self {
        let settings = json!({"rollout": {"mode": "manual", "strategy": "canary-then-all"}});
        let api = Self::set_up(&settings).await;
        for _ in 0..head {
            api.commit().await.expect(201);
        }
        api
    }

    /// One more revision.
    async fn commit(&self) -> Answer {
        let head = self.get(FLEET).await.json()["revision"].as_u64().unwrap();
        let path = format!("{FLEET}/routes/r{head}");
        let route = json!({"respond": {"status": 200}});
        self.put(&path, &[], &route).await
    }

    async fn begin(&self, body: &Value) -> Answer {
        self.post(ROLLOUTS, &[], body).await
    }

    /// Orders something of the newest rollout.
    async fn order(&self, verb: &str) -> Answer {
        let path = format!("{ROLLOUTS}/latest:{verb}");
        self.send("POST", &path, &[], "").await
    }

    async fn latest(&self) -> Value {
        let path = format!("{ROLLOUTS}/latest");
        self.get(&path).await.expect(200).json()
    }

    async fn fleet(&self) -> Value {
        self.get(FLEET).await.expect(200).json()
    }

    /// Brings the active rollout to where the loop would bring it.
    async fn bring(&self, to: impl FnOnce(Rollout) -> Rollout) {
        let active = self.store.active_rollouts().await.unwrap().pop().unwrap();
        let step = Step {
            next: &to(active),
            events: &[],
            by: None,
        };
        self.store.step_rollout(step).await.unwrap();
    }

    async fn bring_to(&self, state: State) {
        self.bring(|active| Rollout { state, ..active }).await;
    }
}

fn numbers(rollout: &Value) -> (u64, u64) {
    let number = |name: &str| rollout[name].as_u64().unwrap();
    (number("from"), number("to"))
}

#[tokio::test]
async fn a_rollout_begins_as_it_is_asked_for() {
    let api = Api::by_hand(3).await;
    let answer = api.begin(&json!({"to": 2, "reason": "why"})).await;
    let answer = answer.expect(201);
    let begun = answer.json();
    assert_eq!(numbers(&begun), (0, 2));
    assert_eq!(
        (&begun["state"], &begun["reason"], &begun["created_by"]),
        (&json!("advancing"), &json!("why"), &json!("local"))
    );
    let location = answer.header("location").to_owned();
    assert_eq!(
        location,
        format!("{ROLLOUTS}/{}", begun["id"].as_str().unwrap())
    );
    assert_eq!(api.get(&location).await.expect(200).json(), begun);
    assert_eq!(begun["events"][0]["kind"], "started");

    let problem = api.begin(&json!({})).await.problem(409, "rollout-active");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(begun["id"].as_str().unwrap()), "{detail}");
    let instead = json!({"supersede": true, "strategy": "canary-then-all"});
    let other = api.begin(&instead).await.expect(201).json();
    assert_eq!(numbers(&other), (0, 3));
    assert_eq!(other["wave_count"], 4);
    assert_eq!(other["waves"][0]["takes"], "1 node");
    let before = api.get(&location).await.json();
    assert_eq!(before["state"], "superseded");
    assert!(before["ended_at"].is_string() && before["outcome"].is_string());

    api.complete_rollout().await;
    api.begin(&json!({}))
        .await
        .problem(409, "nothing-to-roll-out");
    let inline = json!({"to": 1, "strategy": {"waves": [{"percent": 50}, {"labels": {}}]}});
    let back = api.begin(&inline).await.expect(201).json();
    assert_eq!(numbers(&back), (3, 1));
    assert_eq!(back["waves"][1]["progress"], "pending");
}

#[tokio::test]
async fn what_is_wrong_with_a_rollout_is_told_with_its_place() {
    let api = Api::by_hand(1).await;
    let percent = json!({"waves": [{"percent": 101}, {"percent": 100}]});
    for (body, told) in [
        (
            json!({"strategy": percent}),
            "/strategy/waves/0/percent invalid",
        ),
        (
            json!({"strategy": {"waves": []}}),
            "/strategy/waves required",
        ),
        (json!({"strategy": "nope"}), "/strategy missing-reference"),
        (json!({"too": 1}), "/too unsupported"),
    ] {
        let problem = api.begin(&body).await.problem(422, "validation");
        let found = errors(&problem);
        assert!(found.iter().any(|found| found == told), "{found:?} {told}");
    }
    api.begin(&json!({"to": 9})).await.problem(404, "not-found");
    let reason = json!({"reason": "x".repeat(1_001)});
    api.begin(&reason).await.problem(400, "bad-request");
    let elsewhere = "/v1/fleets/nope/rollouts";
    api.post(elsewhere, &[], &json!({}))
        .await
        .problem(404, "not-found");
    assert_eq!(api.get(ROLLOUTS).await.json()["items"], json!([]));
    let latest = format!("{ROLLOUTS}/latest");
    api.get(&latest).await.problem(404, "not-found");
}

#[tokio::test]
async fn rollouts_are_listed_from_the_newest_page_by_page() {
    let api = Api::by_hand(1).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        let begun = api.begin(&json!({"supersede": true})).await.expect(201);
        ids.insert(0, begun.json()["id"].clone());
    }
    assert_eq!(api.latest().await["id"], ids[0]);
    let (mut found, mut token) = (Vec::new(), String::new());
    loop {
        let page = api.get(&format!("{ROLLOUTS}?limit=2{token}")).await;
        let page = page.expect(200).json();
        let items = page["items"].as_array().unwrap();
        found.extend(items.iter().map(|item| item["id"].clone()));
        assert!(
            items[0]["nodes"].is_null(),
            "a list tells no more than where they stand"
        );
        let Some(next) = page["next_page_token"].as_str() else {
            break;
        };
        token = format!("&page_token={next}");
    }
    assert_eq!(found, ids);
    for query in ["page_token=x", "limit=0", "limits=1"] {
        let answer = api.get(&format!("{ROLLOUTS}?{query}")).await;
        answer.problem(400, "bad-request");
    }
    api.get(&format!("{ROLLOUTS}/x"))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn who_waits_is_answered_when_it_is_so_far_or_when_the_time_is_over() {
    let api = Api::by_hand(1).await;
    api.begin(&json!({})).await.expect(201);
    let wait = async |query: &str| {
        let began = Instant::now();
        let answer = api.get(&format!("{ROLLOUTS}/latest?{query}")).await;
        (answer, began.elapsed())
    };
    let (answer, took) = wait("wait=300ms").await;
    assert_eq!(answer.expect(200).json()["state"], "advancing");
    assert!(took >= Duration::from_millis(300), "{took:?}");
    let version = api.latest().await["version"].as_u64().unwrap();
    // What is so already is not waited for.
    for until in ["advancing", "wave:0", &format!("version:{}", version + 1)] {
        let (answer, took) = wait(&format!("wait=1m&until={until}")).await;
        answer.expect(200);
        assert!(took < Duration::from_secs(30), "{until}: {took:?}");
    }
    let (paused, changed, ordered) = tokio::join!(
        wait("wait=1m&until=paused"),
        async { wait(&format!("wait=1m&until=version:{version}")).await },
        api.order("pause")
    );
    ordered.expect(200);
    for (answer, took) in [paused, changed] {
        assert_eq!(answer.expect(200).json()["state"], "paused");
        assert!(took < Duration::from_secs(30), "{took:?}");
    }
    // Its end ends every wait.
    let (answer, ordered) = tokio::join!(wait("wait=1m&until=wave:7"), api.order("abort"));
    ordered.expect(200);
    assert_eq!(answer.0.expect(200).json()["state"], "canceled");
    for query in [
        "until=soon",
        "until=wave:x",
        "wait=1",
        "wait=-1s",
        "waits=1s",
    ] {
        wait(query).await.0.problem(400, "bad-request");
    }
}

#[tokio::test]
async fn an_order_does_what_its_state_lets_it_do_and_is_audited() {
    let api = Api::by_hand(2).await;
    api.begin(&json!({})).await.expect(201);
    let illegal = async |verb: &str, state: &str| {
        let problem = api.order(verb).await.problem(409, "illegal-transition");
        let detail = problem["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(state), "{verb}: {detail}");
    };
    illegal("resume", "advancing").await;
    illegal("approve", "advancing").await;
    illegal("promote", "advancing").await;
    let path = format!("{ROLLOUTS}/latest:pause?reason=look");
    let paused = api.send("POST", &path, &[], "").await.expect(200).json();
    assert_eq!(
        (&paused["state"], &paused["paused_state"]),
        (&json!("paused"), &json!("advancing"))
    );
    let ordered = paused["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(
        (
            &ordered["kind"],
            &ordered["actor"],
            &ordered["data"]["reason"]
        ),
        (&json!("ordered"), &json!("local"), &json!("look"))
    );
    illegal("pause", "paused").await;
    let resumed = api.order("resume").await.expect(200).json();
    assert_eq!(resumed["state"], "advancing");
    api.bring(|active| Rollout {
        state: State::Baking,
        selection: Selection::everybody(),
        ..active
    })
    .await;
    api.order("promote").await.expect(200);
    illegal("promote", "baking").await;
    let back = api.order("abort").await.expect(200).json();
    assert_eq!(back["state"], "rolling-back");
    for verb in ["abort", "pause", "resume", "approve", "promote"] {
        illegal(verb, "rolling-back").await;
    }
    api.bring_to(State::RolledBack).await;
    for verb in ["abort", "pause", "resume", "approve", "promote"] {
        illegal(verb, "rolled-back").await;
    }
    let long = format!("{ROLLOUTS}/latest:abort?reason={}", "x".repeat(1_001));
    api.send("POST", &long, &[], "")
        .await
        .problem(400, "bad-request");
    let unknown = format!("{ROLLOUTS}/nope:abort");
    api.send("POST", &unknown, &[], "")
        .await
        .problem(404, "not-found");

    let audit = api.get("/v1/audit?limit=5").await.expect(200).json();
    let rows = audit["items"].as_array().unwrap();
    let actions: Vec<_> = rows
        .iter()
        .map(|row| row["action"].as_str().unwrap())
        .collect();
    let words =
        ["abort", "promote", "resume", "pause", "start"].map(|word| format!("{word}-rollout"));
    assert_eq!(actions, words);
    let object = format!("rollouts/{}", back["id"].as_str().unwrap());
    assert!(rows.iter().all(|row| row["object"] == object), "{audit}");
}

#[tokio::test]
async fn a_wave_that_asks_for_another_hand_is_not_approved_by_the_same() {
    let api = Api::asking().await;
    let strategy = json!({"waves": [{"percent": 100, "approval": {"by_another": true}}]});
    let settings = json!({"rollout": {"strategy": "asks"}, "strategies": {"asks": strategy}});
    api.with(ROOT, "PUT", FLEET, &settings).await.expect(200);
    let (one, _) = api.token(&json!({"name": "one", "role": "operator"})).await;
    let (other, _) = api
        .token(&json!({"name": "other", "role": "operator"}))
        .await;
    let route = json!({"respond": {"status": 200}});
    let path = format!("{FLEET}/routes/r");
    let committed = api.create(&one, "PUT", &path, &route).await.expect(201);
    assert_eq!(committed.header("config-delivery"), "rolling-out");
    let approve = format!("{ROLLOUTS}/latest:approve");
    let same = api.with(&one, "POST", &approve, &Value::Null).await;
    same.problem(403, "approval-required");
    let approved = api.with(&other, "POST", &approve, &Value::Null).await;
    let approved = approved.expect(200).json();
    assert_eq!(
        (&approved["state"], &approved["approved_by"]),
        (&json!("advancing"), &json!("other"))
    );
}

#[tokio::test]
async fn readers_read_operators_order_and_nobody_sees_the_fleets_of_others() {
    let api = Api::asking().await;
    let token = async |role: &str, fleets: Value| {
        let name = format!("{role}-of-{}", fleets[0].as_str().unwrap());
        let wanted = json!({"name": name, "role": role, "fleets": fleets});
        api.token(&wanted).await.0
    };
    let here = json!(["default"]);
    let reader = token("reader", here.clone()).await;
    let editor = token("editor", here.clone()).await;
    let operator = token("operator", here).await;
    let stranger = token("operator", json!(["other"])).await;
    let path = format!("{FLEET}/routes/r");
    let route = json!({"respond": {"status": 200}});
    api.create(&editor, "PUT", &path, &route).await.expect(201);
    let (latest, pause) = (
        format!("{ROLLOUTS}/latest"),
        format!("{ROLLOUTS}/latest:pause"),
    );
    for secret in [&reader, &editor] {
        api.read(secret, ROLLOUTS).await.expect(200);
        api.read(secret, &latest).await.expect(200);
        let ordered = api.with(secret, "POST", &pause, &Value::Null).await;
        ordered.problem(403, "forbidden");
        let begun = api.create(secret, "POST", ROLLOUTS, &json!({})).await;
        begun.problem(403, "forbidden");
    }
    api.read(&stranger, &latest).await.problem(404, "not-found");
    let ordered = api.with(&stranger, "POST", &pause, &Value::Null).await;
    ordered.problem(404, "not-found");
    let ordered = api.with(&operator, "POST", &pause, &Value::Null).await;
    assert_eq!(ordered.expect(200).json()["state"], "paused");
}

#[tokio::test]
async fn what_is_wrong_with_the_strategies_of_a_fleet_is_told_with_its_place() {
    let api = Api::new().await;
    let wave = |wave: Value| json!({"strategies": {"own": {"waves": [wave]}}});
    for (settings, told) in [
        (
            json!({"rollout": {"strategy": "nope"}}),
            "/rollout/strategy missing-reference",
        ),
        (
            wave(json!({"percent": 10})),
            "/strategies/own/waves/0 invalid",
        ),
        (
            json!({"rollout": {"strategy": {"waves": [{"percent": 101}]}}}),
            "/rollout/strategy/waves/0/percent invalid",
        ),
        (
            json!({"rollout": {"mode": "never"}}),
            "/rollout/mode invalid",
        ),
    ] {
        let problem = api
            .put(FLEET, &ANY, &settings)
            .await
            .problem(422, "validation");
        let found = errors(&problem);
        assert!(found.iter().any(|found| found == told), "{found:?} {told}");
    }
    let settings = json!({
        "rollout": {"mode": "manual", "strategy": "own"},
        "strategies": {"own": {"waves": [{"count": 1, "bake": "1m"}, {"percent": 100}]}}
    });
    api.put(FLEET, &ANY, &settings).await.expect(200);
    let fleet = api.fleet().await;
    assert_eq!(fleet["rollout"], settings["rollout"]);
    api.commit().await.expect(201);
    let begun = api.begin(&json!({})).await.expect(201).json();
    assert_eq!(begun["wave_count"], 2);
}

#[tokio::test]
async fn every_write_tells_how_its_revision_reaches_nodes() {
    let api = Api::new().await;
    let apply = async |name: &str| {
        let config = json!({"clusters": [{"name": name, "discovery": "api"}]});
        let answer = api.put(CONFIG, &ANY, &config).await.expect(200);
        let delivery = answer.json()["delivery"].clone();
        assert_eq!(answer.header("config-delivery"), delivery["state"]);
        let state = delivery["state"].as_str().unwrap().to_owned();
        (state, delivery["rollout"].clone())
    };
    let first = api.put(CONFIG, &[], &json!({"clusters": []})).await;
    assert_eq!(first.expect(200).header("config-delivery"), "");
    let first = json!({"clusters": [{"name": "a", "discovery": "api"}]});
    let first = api.put(CONFIG, &[], &first).await.expect(200);
    assert_eq!(first.header("config-delivery"), "rolling-out");
    let id = api.latest().await["id"].clone();
    assert_eq!(first.json()["delivery"]["rollout"], id);
    assert_eq!(apply("b").await, ("waiting".to_owned(), id.clone()));

    // What waited begins when the other has ended, and only then is that one stable.
    assert_eq!(api.fleet().await["stable_revision"], 0);
    api.complete_rollout().await;
    assert_eq!(api.fleet().await["stable_revision"], 1);
    let latest = api.latest().await;
    assert_eq!(numbers(&latest), (1, 2));

    // What is on its way back holds the fleet, and so it stays.
    api.bring(|active| Rollout {
        selection: Selection::everybody(),
        state: State::Settling,
        ..active
    })
    .await;
    api.order("abort").await.expect(200);
    let held = ("held".to_owned(), latest["id"].clone());
    assert_eq!(apply("c").await, held);
    assert!(api.fleet().await["held_by"].is_null());
    api.bring_to(State::RolledBack).await;
    assert_eq!(api.fleet().await["held_by"], latest["id"]);
    assert_eq!(apply("d").await, held);
    assert_eq!(api.latest().await["id"], latest["id"]);

    // A revert ends that.
    let revert = format!("{FLEET}/revisions/1:revert");
    let reverted = api.send("POST", &revert, &ANY, "").await.expect(200);
    assert_eq!(reverted.header("config-delivery"), "rolling-out");
    assert!(api.fleet().await["held_by"].is_null());
    assert_eq!(numbers(&api.latest().await), (1, 5));

    // In a fleet that is moved by hand nothing comes by itself, not even after what is under way.
    let manual = json!({"rollout": {"mode": "manual"}});
    api.put(FLEET, &ANY, &manual).await.expect(200);
    assert_eq!(apply("e").await, ("manual".to_owned(), Value::Null));
    api.complete_rollout().await;
    assert_eq!(apply("f").await, ("manual".to_owned(), Value::Null));
    assert_eq!(api.fleet().await["stable_revision"], 5);
}

#[tokio::test]
async fn endpoints_are_kept_while_the_old_revision_or_the_new_one_uses_them() {
    let api = Api::by_hand(0).await;
    let (cluster, endpoints) = (
        format!("{FLEET}/clusters/a"),
        format!("{FLEET}/endpoints/a"),
    );
    let one = json!({"endpoints": [{"address": "127.0.0.1", "port": 9004}]});
    let by_api = json!({"discovery": "api"});
    api.put(&cluster, &[], &by_api).await.expect(201);
    api.put(&endpoints, &[], &one).await.expect(201);
    // Only the revision that a rollout goes to has the cluster.
    api.begin(&json!({})).await.expect(201);
    api.delete(&cluster, &ANY).await.expect(204);
    api.delete(&endpoints, &ANY).await.problem(409, "in-use");
    // Only the stable one has it.
    api.complete_rollout().await;
    api.begin(&json!({})).await.expect(201);
    api.delete(&endpoints, &ANY).await.problem(409, "in-use");
    api.complete_rollout().await;
    api.delete(&endpoints, &ANY).await.expect(204);
}

#[tokio::test]
async fn nodes_are_counted_by_the_wave_that_took_them_as_they_come_and_go() {
    let api = Api::by_hand(1).await;
    let waves = json!([{"nodes": ["a", "gone"]}, {"percent": 100}]);
    api.begin(&json!({"strategy": {"waves": waves}}))
        .await
        .expect(201);
    let write = async |id: &str, acked: Option<u64>, connected: bool| {
        let status = control_plane::store::node_status::NodeStatus {
            id: id.to_owned(),
            updated_at: api.store.clock().await.unwrap(),
            ..node(acked, None, connected)
        };
        api.store.heartbeat("r1").await.unwrap();
        api.store.write_nodes("r1", &[status]).await.unwrap();
    };
    write("a", Some(1), true).await;
    write("b", Some(0), true).await;
    write("gone", Some(1), true).await;
    write("gone", Some(1), false).await;
    api.bring(|active| Rollout {
        state: State::Settling,
        selection: Selection {
            nodes: ["a", "gone"].map(str::to_owned).into(),
            ..Selection::default()
        },
        ..active
    })
    .await;
    let counts = |rollout: &Value, wave: usize| {
        let nodes = &rollout["waves"][wave]["nodes"];
        ["wanted", "acknowledged", "lost"].map(|name| nodes[name].as_u64().unwrap())
    };
    let latest = api.latest().await;
    assert_eq!(
        (counts(&latest, 0), counts(&latest, 1)),
        ([1, 1, 1], [0, 0, 0])
    );
    // It comes back.
    write("gone", Some(1), true).await;
    let latest = api.latest().await;
    assert_eq!(
        (counts(&latest, 0), counts(&latest, 1)),
        ([2, 2, 0], [0, 0, 0])
    );
    let of_b = latest["nodes"].as_array().unwrap().iter();
    let of_b = of_b.clone().find(|node| node["id"] == "b").unwrap();
    assert_eq!((&of_b["wanted"], &of_b["has"]), (&json!(0), &json!(0)));
    // Where nobody is to move any more nothing is counted.
    api.complete_rollout().await;
    let ended = api.latest().await;
    assert!(ended["waves"][0]["nodes"].is_null());
    assert_eq!(ended["nodes"], json!([]));
}
