//! The database is away, and comes back: what every operation of the OpenAPI document does meanwhile and then.

use std::time::{Duration, Instant};

use control_plane::lookout;
use control_plane::store::sql::Database;
use e2e::postgres::Postgres;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::events::node;
use super::{Answer, Api, CONFIG, SHOP};

/// A write that cannot be stored says so within this.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Everything is as ever so long after the database is back.
const WELL_WITHIN: Duration = Duration::from_secs(5);

/// The readings that are not answered with what is remembered and its age: the status instead, and why.
const OTHER_READINGS: [(&str, u16, &str); 13] = [
    ("/openapi.json", 200, "it is of this process alone"),
    ("/healthz", 200, "it is of this process alone"),
    ("/metrics", 200, "it is of this process alone"),
    ("/readyz", 503, "that is what it says"),
    (
        "/v1/fleets/{fleet}/revisions/{number}/config",
        200,
        "a revision never changes, so what is remembered of it is not old",
    ),
    (
        "/v1/events",
        503,
        "there is no state to tell changes from; streams that are open go on",
    ),
    (
        "/v1/fleets/{fleet}/rollouts",
        503,
        "an order is given by what it says, and none can be given now; fleets and nodes tell what is served",
    ),
    (
        "/v1/fleets/{fleet}/rollouts/{id}",
        503,
        "an order is given by what it says, and none can be given now; fleets and nodes tell what is served",
    ),
    (
        "/v1/fleets/{fleet}/traffic",
        503,
        "its window ends now, and what came last is what is asked for",
    ),
    (
        "/v1/fleets/{fleet}/samples",
        503,
        "what came last weighs most, and it cannot be read",
    ),
    (
        "/v1/audit",
        503,
        "a trail that ends early looks like one to which nothing was added",
    ),
    (
        "/v1/tokens",
        503,
        "a token that was revoked must not be shown as one that opens",
    ),
    (
        "/v1/tokens/{id}",
        503,
        "a token that was revoked must not be shown as one that opens",
    ),
];

/// An operation with everything filled in.
#[derive(Clone)]
struct Operation {
    method: String,
    documented: String,
    path: String,
}

/// All operations of the document.
async fn operations(api: &Api, token: &str) -> Vec<Operation> {
    let document = api.get("/openapi.json").await.expect(200).json();
    let mut found = Vec::new();
    for (documented, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            found.push(Operation {
                method: method.to_uppercase(),
                documented: documented.clone(),
                path: fill(documented, token),
            });
        }
    }
    found
}

fn fill(documented: &str, token: &str) -> String {
    let mut path = documented.to_owned();
    let (kind, _) = documented.split_once("/{name}").unwrap_or_default();
    let name = match kind.rsplit('/').next() {
        Some("listeners") => "web",
        Some("clusters") => "accounts",
        _ => "hello",
    };
    let id = if documented.contains("/nodes/") {
        "edge"
    } else if documented.contains("/rollouts/") {
        "latest"
    } else {
        token
    };
    for (variable, value) in [
        ("{fleet}", "default"),
        ("{name}", name),
        ("{cluster}", "later"),
        ("{number}", "1"),
        ("{to}", "0"),
        ("{id}", id),
    ] {
        path = path.replace(variable, value);
    }
    assert!(!path.contains('{'), "{path}: give this variable a value");
    path
}

impl Operation {
    /// Whether it changes nothing.
    fn reads(&self) -> bool {
        self.method == "GET" || self.documented.ends_with(":explain")
    }

    /// A body that the operation takes; what it then does is another matter.
    fn body(&self) -> Value {
        match self.documented.rsplit('/').next().unwrap() {
            "{fleet}:explain" => {
                json!({"listener": "web", "method": "GET", "host": "shop.example", "path": "/"})
            }
            "tokens" => json!({"name": "another", "role": "reader"}),
            "{cluster}" => json!({"endpoints": []}),
            "{name}" if self.path.contains("/routes/") => json!({"respond": {"status": 204}}),
            "{name}" if self.path.contains("/listeners/") => {
                json!({"address": "127.0.0.1", "port": 1})
            }
            "{name}" => json!({"discovery": "api"}),
            _ => json!({}),
        }
    }

    async fn send(&self, api: &Api) -> (Answer, Duration) {
        let began = Instant::now();
        let exists = ("if-match", "*");
        let answer = match self.method.as_str() {
            "GET" => api.get(&self.path).await,
            "PATCH" => api.patch(&self.path, &[exists], &json!({})).await,
            "DELETE" => api.delete(&self.path, &[exists]).await,
            method => {
                let body = self.body().to_string();
                api.send(method, &self.path, &[exists], body).await
            }
        };
        (answer, began.elapsed())
    }
}

#[tokio::test]
async fn while_postgres_is_away_reads_go_on_and_writes_say_so_and_soon_after_it_is_back_all_is_well()
 {
    let mut postgres = Postgres::start().await.unwrap();
    let database = Database::Postgres(postgres.database().unwrap());
    let api = Api::on(database, tempfile::tempdir().unwrap()).await;
    let yaml = [("content-type", "application/yaml")];
    api.send("PUT", CONFIG, &yaml, SHOP).await.expect(200);
    let endpoints = json!({"endpoints": [{"address": "127.0.0.1", "port": 80}]});
    let path = "/v1/fleets/default/endpoints/later";
    api.put(path, &[], &endpoints).await.expect(201);
    let wanted = json!({"name": "one", "role": "reader"});
    let made = api.post("/v1/tokens", &[], &wanted).await.expect(201);
    let token = made.json()["token"]["id"].as_str().unwrap().to_owned();
    let status = node(Some(1), None, true);
    api.store.heartbeat("r1").await.unwrap();
    api.store.write_nodes("r1", &[status]).await.unwrap();
    // What the loops of a control plane do all the time.
    api.reconciler.refresh().await.unwrap();
    let fleets = api.store.fleets().await.unwrap();
    lookout::census(&*api.store, &fleets).await.unwrap();
    let operations = operations(&api, &token).await;
    let readings: Vec<_> = operations
        .iter()
        .filter(|asked| asked.reads() && asked.documented != "/v1/events")
        .collect();
    let before = join_all(readings.iter().map(|asked| asked.send(&api))).await;
    for (asked, (answer, _)) in readings.iter().zip(&before) {
        let (status, age) = (answer.status, answer.header("config-stale-seconds"));
        assert_eq!((status, age), (200, ""), "{}: {}", asked.path, answer.text);
    }

    postgres.kill().unwrap();
    let away = join_all(operations.iter().map(|asked| asked.send(&api))).await;
    for (asked, (answer, took)) in operations.iter().zip(away) {
        let what = format!("{} {}", asked.method, asked.documented);
        println!(
            "{what}: {} {:?} after {took:?}",
            answer.status,
            answer.header("config-stale-seconds")
        );
        assert!(took < TOLD_WITHIN, "{what}: {took:?}");
        if !asked.reads() {
            assert_eq!(answer.header("retry-after"), "1", "{what}");
            answer.problem(503, "store-unavailable");
            continue;
        }
        let other = OTHER_READINGS.iter();
        let other = other.clone().find(|other| other.0 == asked.documented);
        match other {
            Some((_, 503, _)) => {
                answer.problem(503, "store-unavailable");
            }
            Some((_, status, _)) => assert_eq!(answer.status, *status, "{what}"),
            None => {
                assert_eq!(answer.status, 200, "{what}: {}", answer.text);
                let age: u64 = answer.header("config-stale-seconds").parse().unwrap();
                assert!(age < 60, "{what}: {age}");
                let text = readings.iter().zip(&before);
                let text = text.clone().find(|(reading, _)| reading.path == asked.path);
                assert_eq!(answer.text, text.unwrap().1.0.text, "{what}");
            }
        }
    }
    // What memory does not know may be there all the same.
    for path in [
        "/v1/fleets/other",
        "/v1/fleets/default/nodes/other",
        "/v1/fleets/default/revisions/2",
    ] {
        api.get(path).await.problem(503, "store-unavailable");
    }
    // What a state that is known whole does not have is missing.
    api.get("/v1/fleets/default/routes/other")
        .await
        .problem(404, "not-found");

    postgres.restart().await.unwrap();
    let back = Instant::now();
    let route = json!({"respond": {"status": 204}});
    let path = "/v1/fleets/default/routes/new";
    while api.put(path, &[], &route).await.status != 201 {
        assert!(back.elapsed() < WELL_WITHIN, "it does not recover");
    }
    let after = join_all(readings.iter().map(|asked| asked.send(&api))).await;
    println!("all is well {:?} after it was back", back.elapsed());
    assert!(back.elapsed() < WELL_WITHIN, "{:?}", back.elapsed());
    for (asked, (answer, _)) in readings.iter().zip(after) {
        let (status, age) = (answer.status, answer.header("config-stale-seconds"));
        assert_eq!((status, age), (200, ""), "{}: {}", asked.path, answer.text);
    }
    let answer = api.get(CONFIG).await.expect(200);
    assert_eq!(answer.header("config-revision"), "2");
}
