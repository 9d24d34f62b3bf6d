//! Who may do what, over HTTP: tokens, roles, fleets that others may not see, and the audit trail.

use std::sync::Arc;
use std::time::Duration;

use control_plane::access::{Fleets, Role, TokenKind, secret};
use control_plane::api::Access;
use control_plane::store::By;
use control_plane::store::token::NewToken;
use control_plane::tokens::Tokens;
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::{Answer, Api, CONFIG, SHOP};

pub(super) const ROOT: &str = "the-secret-of-the-first-admin-token";

impl Api {
    /// One that asks for tokens; the secret of an admin is `ROOT`.
    pub(super) async fn asking() -> Self {
        Self::asking_with_tokens().await.0
    }

    /// The same, with its tokens, which nobody follows yet.
    async fn asking_with_tokens() -> (Self, Arc<Tokens>) {
        let mut tokens = None;
        let api =
            Self::with_access(|store| Access::by_token(tokens.insert(Tokens::new(store)).clone()))
                .await;
        let root = NewToken {
            name: "root".to_owned(),
            kind: TokenKind::Api,
            role: Role::Admin,
            fleets: Fleets::All,
            hash: secret::hash(ROOT),
            lasts_us: None,
        };
        let by = By {
            actor: "test",
            request_id: "",
        };
        api.store.create_token(&root, by).await.unwrap();
        (api, tokens.unwrap())
    }

    pub(super) async fn with(
        &self,
        secret: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let bearer = format!("Bearer {secret}");
        let headers = [("authorization", bearer.as_str()), ("if-match", "*")];
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        self.send(method, path, &headers, body).await
    }

    pub(super) async fn read(&self, secret: &str, path: &str) -> Answer {
        self.with(secret, "GET", path, &Value::Null).await
    }

    /// Creates something: nothing may be there yet.
    pub(super) async fn create(
        &self,
        secret: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Answer {
        let bearer = format!("Bearer {secret}");
        self.send(
            method,
            path,
            &[("authorization", bearer.as_str())],
            body.to_string(),
        )
        .await
    }

    /// Makes a token; its secret and id.
    pub(super) async fn token(&self, wanted: &Value) -> (String, String) {
        let made = self.create(ROOT, "POST", "/v1/tokens", wanted).await;
        let made = made.expect(201).json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&made["secret"]), text(&made["token"]["id"]))
    }
}

#[tokio::test]
async fn without_a_good_token_nothing_is_told_but_that_the_process_lives() {
    let api = Api::asking().await;
    for path in ["/v1/fleets", "/v1/tokens", CONFIG, "/metrics", "/nothing"] {
        let answer = api.get(path).await;
        assert_eq!(
            answer.header("www-authenticate"),
            "Bearer realm=\"signalbox\""
        );
        answer.problem(401, "unauthenticated");
        let answer = api.read("sbx_wrong", path).await;
        assert!(
            answer.header("www-authenticate").contains("invalid_token"),
            "{path}"
        );
        answer.problem(401, "unauthenticated");
    }
    let basic = [("authorization", "Basic cm9vdDpyb290")];
    api.send("GET", "/v1/fleets", &basic, "")
        .await
        .problem(401, "unauthenticated");
    for path in ["/healthz", "/readyz", "/openapi.json"] {
        api.get(path).await.expect(200);
    }
    api.read(ROOT, "/v1/fleets").await.expect(200);
}

#[tokio::test]
async fn a_secret_is_told_once() {
    let api = Api::asking().await;
    let wanted = json!({"name": "ci@shop", "role": "editor", "expires_in": "720h"});
    let made = api.create(ROOT, "POST", "/v1/tokens", &wanted).await;
    assert_eq!(made.header("cache-control"), "no-store");
    let path = made.header("location").to_owned();
    let made = made.expect(201).json();
    let secret = made["secret"].as_str().unwrap();
    assert!(secret.starts_with("sbx_"));
    for path in ["/v1/tokens", &path, "/v1/audit"] {
        let answer = api.read(ROOT, path).await.expect(200);
        assert!(!answer.text.contains(secret), "{path}");
    }
    let one = api.read(ROOT, &path).await.expect(200).json();
    assert_eq!(one, made["token"]);
    assert_eq!(one["created_by"], "root");
    assert!(one["expires_at"].as_str().unwrap() > one["created_at"].as_str().unwrap());
    api.create(ROOT, "POST", "/v1/tokens", &wanted)
        .await
        .problem(409, "exists");
}

#[tokio::test]
async fn a_token_that_was_revoked_or_has_expired_opens_nothing() {
    let api = Api::asking().await;
    let (secret, id) = api.token(&json!({"name": "a", "role": "reader"})).await;
    api.read(&secret, "/v1/fleets").await.expect(200);
    let path = format!("/v1/tokens/{id}");
    api.with(ROOT, "DELETE", &path, &Value::Null)
        .await
        .expect(204);
    // Another replica finds out by polling; one that reads now is one that has polled.
    let other = Access::by_token(Tokens::new(api.store.clone()));
    let replica = Api::with_access(|_| other).await;
    replica
        .read(&secret, "/v1/fleets")
        .await
        .problem(401, "unauthenticated");
    let shown = api.read(ROOT, &path).await.expect(200).json();
    assert!(shown["revoked_at"].is_string());
    api.with(ROOT, "DELETE", &path, &Value::Null)
        .await
        .expect(204);

    let short = json!({"name": "b", "role": "reader", "expires_in": "1ms"});
    let (secret, _) = api.token(&short).await;
    tokio::time::sleep(Duration::from_millis(2)).await;
    api.read(&secret, "/v1/fleets")
        .await
        .problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_revoked_token_is_refused_within_a_second_by_a_replica_that_knew_it() {
    let (api, tokens) = Api::asking_with_tokens().await;
    let running = tokio::spawn(tokens.run(api.shutdown.clone()));
    let (secret, id) = api.token(&json!({"name": "a", "role": "reader"})).await;
    api.read(&secret, "/v1/fleets").await.expect(200);
    // As another replica does it: past this one's API.
    let by = By {
        actor: "test",
        request_id: "",
    };
    api.store.revoke_token(&id, by).await.unwrap();
    let refused = async {
        while api.read(&secret, "/v1/fleets").await.status != 401 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(1), refused)
        .await
        .unwrap();
    api.shutdown.cancel();
    running.await.unwrap();
}

#[tokio::test]
async fn a_role_does_what_it_is_for_and_no_more() {
    let api = Api::asking().await;
    let (reader, _) = api.token(&json!({"name": "r", "role": "reader"})).await;
    let (editor, _) = api.token(&json!({"name": "e", "role": "editor"})).await;
    let cluster = json!({"discovery": "api"});
    let path = "/v1/fleets/default/clusters/a";
    api.create(&reader, "PUT", path, &cluster)
        .await
        .problem(403, "forbidden");
    api.create(&editor, "PUT", path, &cluster).await.expect(201);
    api.read(&reader, path).await.expect(200);
    api.create(&editor, "PUT", "/v1/fleets/new", &json!({}))
        .await
        .problem(403, "forbidden");
    for secret in [&reader, &editor] {
        api.read(secret, "/v1/tokens")
            .await
            .problem(403, "forbidden");
    }
    let revision = api
        .read(&reader, "/v1/fleets/default/revisions/1")
        .await
        .expect(200);
    assert_eq!(revision.json()["author"], "e");
}

#[tokio::test]
async fn a_fleet_of_others_is_not_there() {
    let api = Api::asking().await;
    for fleet in ["mine", "theirs"] {
        let path = format!("/v1/fleets/{fleet}");
        api.create(ROOT, "PUT", &path, &json!({})).await.expect(201);
    }
    let wanted = json!({"name": "m", "role": "admin", "fleets": ["mine"]});
    let (secret, _) = api.token(&wanted).await;
    assert_eq!(api.read(&secret, "/v1/fleets").await.names(), ["mine"]);
    for (method, path, body) in [
        ("GET", "/v1/fleets/theirs", Value::Null),
        ("GET", "/v1/fleets/theirs/config", Value::Null),
        ("GET", "/v1/fleets/%74heirs/nodes", Value::Null),
        ("PUT", "/v1/fleets/theirs/config", json!({})),
        ("PUT", "/v1/fleets/theirs", json!({})),
        ("DELETE", "/v1/fleets/theirs", Value::Null),
        ("GET", "/v1/audit?fleet=theirs", Value::Null),
    ] {
        let theirs = api.with(&secret, method, path, &body).await;
        let theirs = theirs.problem(404, "not-found");
        let nobodys = path
            .replace("theirs", "nobodys")
            .replace("%74heirs", "nobodys");
        let nobodys = api.with(&secret, method, &nobodys, &body).await;
        let nobodys = nobodys.problem(404, "not-found");
        let told = nobodys["detail"]
            .as_str()
            .unwrap()
            .replace("nobodys", "theirs");
        assert_eq!(theirs["detail"], told, "{method} {path}");
    }
    api.read(&secret, "/metrics")
        .await
        .problem(403, "forbidden");
    let trail = api.read(&secret, "/v1/audit").await.expect(200).json();
    let fleets: Vec<_> = trail["items"].as_array().unwrap().iter().collect();
    assert!(!fleets.is_empty() && fleets.iter().all(|row| row["fleet"] == "mine"));
    // Tokens that reach further than their own are none of theirs either.
    assert_eq!(api.read(&secret, "/v1/tokens").await.names(), ["m"]);
    let more = json!({"name": "x", "role": "reader"});
    let problem = api.create(&secret, "POST", "/v1/tokens", &more).await;
    let problem = problem.problem(422, "validation");
    assert_eq!(problem["errors"][0]["pointer"], "/fleets");
}

#[tokio::test]
async fn what_is_wrong_with_a_wanted_token_is_told_at_once() {
    let api = Api::asking().await;
    for (wanted, pointers) in [
        (json!({"name": "a b", "role": "reader"}), vec!["/name"]),
        (json!({"name": "local"}), vec!["/name", "/role"]),
        (
            json!({"name": "a", "role": "reader", "fleets": []}),
            vec!["/fleets"],
        ),
        (
            json!({"name": "a", "role": "reader", "fleets": ["A!"], "expires_in": "0s"}),
            vec!["/fleets", "/expires_in"],
        ),
        (
            json!({"name": "a", "kind": "join", "role": "admin"}),
            vec!["/role", "/fleets"],
        ),
        (json!({"name": "a", "role": "owner"}), vec!["/role"]),
    ] {
        let answer = api.create(ROOT, "POST", "/v1/tokens", &wanted).await;
        let problem = answer.problem(422, "validation");
        let errors = problem["errors"].as_array().unwrap();
        let told: Vec<_> = errors.iter().map(|error| &error["pointer"]).collect();
        assert_eq!(told, pointers, "{wanted}");
    }
    let join = json!({"name": "a", "kind": "join", "fleets": ["nope"]});
    api.create(ROOT, "POST", "/v1/tokens", &join)
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_join_token_opens_nothing_of_the_api() {
    let api = Api::asking().await;
    let join = json!({"name": "edge", "kind": "join", "fleets": ["default"]});
    let (secret, _) = api.token(&join).await;
    assert!(secret.starts_with("sbxjoin_"));
    api.read(&secret, "/v1/fleets/default")
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn a_web_page_cannot_reach_an_api_that_asks_nobody() {
    let api = Api::new().await;
    let get = async |headers: &[(&str, &str)]| api.send("GET", "/v1/fleets", headers, "").await;
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080"] {
        get(&[("host", host)]).await.expect(200);
    }
    for host in ["evil.example", "evil.example:8080", "10.0.0.1"] {
        get(&[("host", host)]).await.problem(421, "misdirected");
    }
    let here = [("host", "localhost:1"), ("origin", "http://localhost:1")];
    get(&here).await.expect(200);
    for origin in ["https://evil.example", "null", "http://localhost:2"] {
        get(&[("host", "localhost:1"), ("origin", origin)])
            .await
            .problem(403, "forbidden");
    }
    // Probes ask by whatever name they know.
    api.send("GET", "/healthz", &[("host", "pod-7")], "")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_token_is_looked_at_also_where_none_is_needed() {
    let api = Api::new().await;
    api.read("sbx_wrong", "/v1/fleets")
        .await
        .problem(401, "unauthenticated");
    let wanted = json!({"name": "a", "role": "reader"}).to_string();
    let made = api
        .send("POST", "/v1/tokens", &[], wanted)
        .await
        .expect(201);
    let made = made.json();
    assert_eq!(made["token"]["created_by"], "local");
    let secret = made["secret"].as_str().unwrap();
    api.read(secret, "/v1/fleets").await.expect(200);
    api.read(secret, "/v1/tokens")
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn a_fleet_is_created_changed_and_deleted_as_any_other_resource() {
    let api = Api::new().await;
    let path = "/v1/fleets/edge";
    let one = json!({"description": "at the edge", "labels": {"env": "test"}});
    let created = api.put(path, &[("if-none-match", "*")], &one).await;
    assert_eq!(created.header("location"), path);
    let tag = created.header("etag").to_owned();
    let fleet = created.expect(201).json();
    assert_eq!(
        (&fleet["name"], &fleet["revision"]),
        (&json!("edge"), &json!(0))
    );
    assert_eq!(fleet["labels"]["env"], "test");
    api.put(path, &[], &one)
        .await
        .problem(428, "precondition-required");
    let two = json!({"description": "two"});
    api.put(path, &[("if-match", &tag)], &two).await.expect(200);
    api.put(path, &[("if-match", &tag)], &one)
        .await
        .problem(412, "revision-conflict");
    let read = api.get(path).await.expect(200).json();
    assert_eq!(
        (&read["description"], &read["labels"]),
        (&json!("two"), &json!({}))
    );

    let config = format!("{path}/config");
    let any = [("if-match", "*")];
    let document = json!({"clusters": [{"name": "a", "discovery": "api"}]});
    api.put(&config, &any, &document)
        .await
        .problem(412, "revision-conflict");
    api.put(&config, &[], &document).await.expect(200);
    let full = api.delete(path, &any).await.problem(409, "in-use");
    assert!(full["detail"].as_str().unwrap().contains("clusters/a"));
    api.put(&format!("{config}?prune=true"), &any, &json!({}))
        .await
        .expect(200);
    api.delete(path, &any).await.expect(204);
    api.get(path).await.problem(404, "not-found");
    api.get(&config).await.problem(404, "not-found");
    api.put("/v1/fleets/No!", &[], &json!({}))
        .await
        .problem(404, "not-found");
    let long = json!({"description": "x".repeat(1_001), "nonsense": 1});
    api.put(path, &[], &long).await.problem(422, "validation");
}

#[tokio::test]
async fn the_audit_trail_says_who_did_what_from_the_newest() {
    let api = Api::asking().await;
    let (editor, _) = api.token(&json!({"name": "ed", "role": "editor"})).await;
    let headers = [
        ("content-type", "application/yaml"),
        ("authorization", &format!("Bearer {editor}")),
    ];
    let applied = api
        .send("PUT", &format!("{CONFIG}?message=shop"), &headers, SHOP)
        .await;
    let request_id = applied.header("x-request-id").to_owned();
    applied.expect(200);
    let endpoints = json!({"endpoints": [{"address": "127.0.0.1", "port": 1}]});
    api.create(
        &editor,
        "PUT",
        "/v1/fleets/default/endpoints/new",
        &endpoints,
    )
    .await
    .expect(201);
    let trail = async |query: &str| {
        let answer = api.read(ROOT, &format!("/v1/audit{query}")).await;
        answer.expect(200).json()
    };
    let actions = |page: &Value| -> Vec<String> {
        let items = page["items"].as_array().unwrap();
        let action = |row: &Value| row["action"].as_str().unwrap().to_owned();
        items.iter().map(action).collect()
    };
    let all = trail("").await;
    let newest = ["put-endpoints", "commit", "create-token", "create-token"];
    assert_eq!(actions(&all), newest);
    let commit = &all["items"][1];
    assert_eq!(
        (&commit["actor"], &commit["revision"]),
        (&json!("ed"), &json!(1))
    );
    assert_eq!(commit["request_id"], request_id);
    assert_eq!(commit["detail"]["message"], "shop");
    assert_eq!(
        actions(&trail("?fleet=default&actor=ed").await),
        ["put-endpoints", "commit"]
    );
    let (mut seen, mut next) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let page = trail(&next).await;
        seen.extend(actions(&page));
        let Some(token) = page["next_page_token"].as_str() else {
            break;
        };
        next = format!("?limit=1&page_token={token}");
    }
    assert_eq!(seen, newest);
    api.read(ROOT, "/v1/audit?page_token=x")
        .await
        .problem(400, "bad-request");
}

#[tokio::test]
async fn a_reader_may_ask_where_a_request_goes() {
    let api = Api::asking().await;
    api.create(
        ROOT,
        "PUT",
        "/v1/fleets/default/config",
        &json!({"listeners": [{"name": "web", "address": "0.0.0.0", "port": 80}]}),
    )
    .await
    .expect(200);
    let (reader, _) = api.token(&json!({"name": "r", "role": "reader"})).await;
    let question = json!({"host": "x", "path": "/"});
    let path = "/v1/fleets/default:explain";
    let told = api.with(&reader, "POST", path, &question).await;
    told.expect(200);
}

#[tokio::test]
async fn a_stream_of_events_keeps_to_the_fleets_of_its_token_and_ends_with_it() {
    let (api, tokens) = Api::asking_with_tokens().await;
    let running = tokio::spawn(tokens.run(api.shutdown.clone()));
    let asked = json!({"name": "e", "role": "reader", "fleets": ["default"]});
    let fleet = "/v1/fleets/edge";
    api.create(ROOT, "PUT", fleet, &json!({})).await.expect(201);
    let (secret, id) = api.token(&asked).await;
    api.read(&secret, "/v1/events?fleet=edge")
        .await
        .problem(404, "not-found");
    let request =
        http::Request::get("/v1/events").header("authorization", format!("Bearer {secret}"));
    let response = api.router.clone();
    let response = response
        .oneshot(request.body(axum::body::Body::empty()).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let cluster = json!({"discovery": "api"});
    for fleet in ["edge", "default"] {
        let path = format!("/v1/fleets/{fleet}/clusters/of-{fleet}");
        api.create(ROOT, "PUT", &path, &cluster).await.expect(201);
    }
    let mut stream = response.into_body().into_data_stream();
    let soon = Duration::from_secs(20);
    let first = tokio::time::timeout(soon, stream.next()).await.unwrap();
    let first = String::from_utf8(first.unwrap().unwrap().to_vec()).unwrap();
    assert!(first.contains("\"fleet\":\"default\""), "{first}");
    api.with(ROOT, "DELETE", &format!("/v1/tokens/{id}"), &Value::Null)
        .await;
    let mut rest = Vec::new();
    let ended = async {
        while let Some(chunk) = stream.next().await {
            rest.extend_from_slice(&chunk.unwrap());
        }
    };
    tokio::time::timeout(soon, ended).await.unwrap();
    assert!(!String::from_utf8(rest).unwrap().contains("edge"));
    api.shutdown.cancel();
    running.await.unwrap();
}
