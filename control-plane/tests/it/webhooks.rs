//! Webhook gates with everything real: a control plane that drives a rollout, and a server that says how it goes on.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use control_plane::app::App;
use control_plane::settings::Settings;
use control_plane::tls::{Incoming, Protocol, Tls, TlsFiles};
use e2e::certificates::{Authority, Pair};
use e2e::client::{self, Request};
use e2e::wait;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

const FLEET: &str = "/v1/fleets/default";
const SOON: Duration = Duration::from_secs(30);

/// A server that says what it is told to, and keeps what it was asked.
#[derive(Clone)]
struct Board {
    scheme: &'static str,
    address: SocketAddr,
    says: Arc<Mutex<Value>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Board {
    async fn start(says: &str) -> Self {
        Self::start_by(says, None).await
    }

    /// The same by TLS, if a certificate is given.
    async fn start_by(says: &str, pair: Option<Pair>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let board = Self {
            scheme: if pair.is_some() { "https" } else { "http" },
            address: listener.local_addr().unwrap(),
            says: Arc::new(Mutex::new(json!({"result": says}))),
            asked: Arc::default(),
        };
        let answer = async |State(board): State<Self>, body: Bytes| {
            let question = serde_json::from_slice(&body).unwrap();
            board.asked.lock().unwrap().push(question);
            board.says.lock().unwrap().to_string()
        };
        let router = Router::new()
            .route("/", post(answer))
            .with_state(board.clone());
        let tls = pair.map(|pair| {
            let files = TlsFiles {
                cert: pair.cert,
                key: pair.key,
                client_ca: None,
            };
            Tls::load(files, Protocol::Http1).unwrap()
        });
        let incoming = Incoming::new(listener, tls).unwrap();
        tokio::spawn(async move { axum::serve(incoming, router).await });
        board
    }

    fn say(&self, result: &str, message: &str) {
        *self.says.lock().unwrap() = json!({"result": result, "message": message});
    }

    fn hook(&self, when: &str) -> Value {
        let (scheme, address) = (self.scheme, self.address);
        json!({"name": "board", "url": format!("{scheme}://{address}/"), "when": when, "interval": "1s"})
    }
}

struct Rig {
    app: App,
    _folder: TempDir,
}

impl Rig {
    /// A control plane whose fleet moves all at once, without nodes, as far as the webhook lets it.
    async fn start(board: &Board, when: &str) -> Self {
        Self::start_with(board, when, None).await
    }

    /// The same that trusts this root.
    async fn start_with(board: &Board, when: &str, root: Option<PathBuf>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            webhook_allow: vec![board.address.to_string().parse().unwrap()],
            webhook_ca: root,
            ..crate::settings::settings(folder.path())
        };
        let rig = Self {
            app: App::start(&settings).await.unwrap(),
            _folder: folder,
        };
        let wave =
            json!({"percent": 100, "share": 0.0, "settle": "1s", "webhooks": [board.hook(when)]});
        let fleet = json!({"rollout": {"strategy": {"waves": [wave]}}});
        rig.send(Request::put(FLEET).json(&fleet).if_match_any())
            .await;
        let route = json!({"respond": {"status": 200}});
        rig.send(Request::put(format!("{FLEET}/routes/a")).json(&route))
            .await;
        rig
    }

    async fn send(&self, request: Request) -> Value {
        let answer = client::send(self.app.admin, request).await.unwrap();
        answer.success().unwrap().json().unwrap()
    }

    /// Waits until the newest rollout is as somebody says.
    async fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, SOON, async || {
            let rollout = self
                .send(Request::get(format!("{FLEET}/rollouts/latest")))
                .await;
            if is(&rollout) {
                Ok(rollout)
            } else {
                Err(format!("{}: {}", rollout["state"], rollout["verdicts"]))
            }
        })
        .await
        .unwrap()
    }
}

fn detail(rollout: &Value) -> String {
    let verdicts = rollout["verdicts"].as_array().unwrap().iter();
    let mut webhooks = verdicts.filter(|verdict| verdict["gate"] == "webhooks");
    let verdict = webhooks.next().cloned().unwrap_or_default();
    verdict["detail"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_wave_bakes_until_its_webhook_says_pass() {
    let board = Board::start("wait").await;
    board.say("wait", "ticket 12 is open");
    let rig = Rig::start(&board, "bake").await;
    let held = rig
        .until("the webhook holds it", |rollout| {
            detail(rollout).contains("ticket 12")
        })
        .await;
    assert_eq!(held["state"], "baking");
    board.say("pass", "");
    rig.until("it ends", |rollout| rollout["state"] == "completed")
        .await;
    let asked = board.asked.lock().unwrap();
    assert_eq!(asked[0]["fleet"], "default");
    assert_eq!(asked[0]["rollout"], held["id"]);
    assert_eq!((&asked[0]["from"], &asked[0]["to"]), (&json!(0), &json!(1)));
    let verdicts = asked[0]["verdicts"].as_array().unwrap();
    assert!(
        verdicts.iter().any(|verdict| verdict["gate"] == "refusals"),
        "{verdicts:?}"
    );
}

#[tokio::test]
async fn by_tls_only_who_can_be_verified_is_asked() {
    let (good, other) = (Authority::new().unwrap(), Authority::new().unwrap());
    let board = Board::start_by("pass", Some(good.issue("board").unwrap())).await;
    let rig = Rig::start_with(&board, "bake", Some(other.root())).await;
    rig.until("it is not trusted", |rollout| {
        detail(rollout).contains("no TLS")
    })
    .await;
    assert!(board.asked.lock().unwrap().is_empty());
    let rig = Rig::start_with(&board, "bake", Some(good.root())).await;
    rig.until("it ends", |rollout| rollout["state"] == "completed")
        .await;
}

#[tokio::test]
async fn what_a_webhook_says_is_bad_goes_back() {
    let board = Board::start("fail").await;
    let rig = Rig::start(&board, "bake").await;
    let back = rig
        .until("it ends", |rollout| !rollout["ended_at"].is_null())
        .await;
    assert_eq!(back["state"], "rolled-back");
    let told = back["events"].to_string();
    assert!(told.contains("board says fail"), "{told}");
}

#[tokio::test]
async fn before_its_webhook_says_pass_a_wave_does_not_begin_but_what_is_urgent_does() {
    let board = Board::start("wait").await;
    let rig = Rig::start(&board, "before").await;
    let held = rig
        .until("the webhook holds it", |rollout| {
            detail(rollout) == "board says wait"
        })
        .await;
    assert_eq!(held["state"], "advancing");
    assert!(
        held["events"]
            .as_array()
            .unwrap()
            .iter()
            .all(|event| event["kind"] != "advanced")
    );
    let urgent = json!({"urgent": true, "reason": "the shop burns"});
    rig.send(Request::post(format!("{FLEET}/rollouts")).json(&urgent))
        .await;
    let ended = rig
        .until("it ends", |rollout| rollout["state"] == "completed")
        .await;
    assert_eq!(ended["urgent"], true);
}

#[tokio::test]
async fn a_webhook_that_cannot_be_asked_holds() {
    let board = Board::start("pass").await;
    *board.says.lock().unwrap() = json!("not what was asked for");
    let rig = Rig::start(&board, "bake").await;
    let held = rig
        .until("nothing that can be read comes", |rollout| {
            detail(rollout).contains("cannot be asked")
        })
        .await;
    assert_eq!(held["state"], "baking");
    rig.send(Request::post(format!("{FLEET}/rollouts/latest:promote")))
        .await;
    rig.until("it ends", |rollout| rollout["state"] == "completed")
        .await;
}
