//! Against a real server, over real sockets.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::State as Shared;
use axum::http::HeaderMap;
use axum::response::Redirect;
use axum::routing::post;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use super::*;
use crate::rollout::State;
use crate::rollout::begin::{Begin, Terms, begin};
use crate::rollout::strategy::Strategy;

/// A server that says what its path says, and tells what it was asked.
struct Server {
    address: SocketAddr,
    asked: mpsc::UnboundedReceiver<(HeaderMap, Bytes)>,
}

impl Server {
    async fn start() -> Self {
        let (tell, asked) = mpsc::unbounded_channel();
        let note =
            async |Shared(tell): Shared<mpsc::UnboundedSender<_>>, head: HeaderMap, body: Bytes| {
                tell.send((head, body)).unwrap();
                r#"{"result": "pass", "message": "fine"}"#
            };
        let router = Router::new()
            .route("/pass", post(note))
            .route("/fail", post(async || r#"{"result": "fail"}"#))
            .route(
                "/wait",
                post(async || r#"{"result": "wait", "message": "later"}"#),
            )
            .route(
                "/slow",
                post(async || std::future::pending::<String>().await),
            )
            .route("/redirect", post(async || Redirect::temporary("/pass")))
            .route(
                "/broken",
                post(async || (StatusCode::BAD_GATEWAY, r#"{"result": "pass"}"#)),
            )
            .route("/empty", post(async || StatusCode::NO_CONTENT))
            .route("/prose", post(async || "pass"))
            .route(
                "/huge",
                post(async || {
                    format!(
                        r#"{{"result": "pass", "message": "{}"}}"#,
                        "x".repeat(ANSWER_MAX)
                    )
                }),
            )
            .with_state(tell);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { address, asked }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn allowed(&self) -> WebhookSettings {
        WebhookSettings {
            allowed: AllowList::from(vec![self.address.to_string().parse().unwrap()]),
            ..WebhookSettings::default()
        }
    }
}

fn hook(url: String, timeout: u64) -> Webhook {
    serde_json::from_value(json!({
        "name": "hook", "url": url, "timeout": format!("{timeout}ms"), "interval": "1s",
    }))
    .unwrap()
}

fn baking(hooks: &[&Webhook]) -> Rollout {
    let strategy: Strategy = serde_json::from_value(json!({
        "waves": [{"percent": 100, "name": "everybody"}],
        "gates": {"webhooks": hooks},
    }))
    .unwrap();
    let what = Begin {
        id: "r",
        fleet: "shop",
        from: 1,
        to: 2,
        strategy: &strategy,
        reason: "why",
        by: "ann",
        validators: false,
        instead_of: None,
        terms: Terms::default(),
    };
    let (rollout, _) = begin(what, Timestamp::default());
    Rollout {
        state: State::Baking,
        wave_at: Some(Timestamp::from_micros(1)),
        ..rollout
    }
}

/// The answer to the question that is under way.
async fn answer(webhooks: &Webhooks, rollout: &Rollout) -> Answer {
    let heard = async {
        loop {
            if let Some(answer) = webhooks.answers(rollout, Instant::now()).pop() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), heard)
        .await
        .unwrap()
}

#[tokio::test]
async fn an_answer_is_what_a_success_says_and_anything_else_is_none() {
    let mut server = Server::start().await;
    let webhooks = Webhooks::new(server.allowed());
    for (path, expected) in [
        ("/pass", Ok((Reply::Pass, "fine"))),
        ("/fail", Ok((Reply::Fail, ""))),
        ("/wait", Ok((Reply::Wait, "later"))),
        (
            "/redirect",
            Err("307 Temporary Redirect; redirects are not followed"),
        ),
        ("/broken", Err("502 Bad Gateway")),
        ("/empty", Err("its answer is not")),
        ("/prose", Err("its answer is not")),
        ("/huge", Err("length limit exceeded")),
        ("/lost", Err("404 Not Found")),
    ] {
        let said = webhooks
            .question(&hook(server.url(path), 10_000), Bytes::new())
            .await;
        match (expected, said) {
            (Ok((reply, message)), Ok(said)) => assert_eq!(said, (reply, message.to_owned())),
            (Err(why), Err(said)) => assert!(said.contains(why), "{path}: {said}"),
            (expected, said) => panic!("{path}: {said:?}, not {expected:?}"),
        }
    }
    // Where the redirect leads nobody has asked.
    assert!(server.asked.try_recv().is_ok());
    assert!(server.asked.try_recv().is_err());
}

#[tokio::test]
async fn nobody_waits_longer_than_the_time_that_an_answer_may_take() {
    let server = Server::start().await;
    let webhooks = Webhooks::new(server.allowed());
    let said = webhooks
        .question(&hook(server.url("/slow"), 50), Bytes::new())
        .await;
    assert_eq!(said, Err("no answer within 50ms".to_owned()));
    let gone = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let webhooks = Webhooks::new(WebhookSettings {
        allowed: AllowList::from(vec![gone.to_string().parse().unwrap()]),
        ..WebhookSettings::default()
    });
    let said = webhooks
        .question(&hook(format!("http://{gone}/"), 10_000), Bytes::new())
        .await;
    assert!(said.unwrap_err().starts_with("no connection: "));
}

#[tokio::test]
async fn a_host_that_is_not_allowed_is_not_even_connected_to() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            counted.fetch_add(1, Ordering::SeqCst);
        }
    });
    let webhooks = Webhooks::new(WebhookSettings {
        allowed: AllowList::from(vec!["localhost:1".parse().unwrap()]),
        ..WebhookSettings::default()
    });
    let said = webhooks
        .question(&hook(format!("http://{address}/"), 10_000), Bytes::new())
        .await;
    assert!(said.unwrap_err().contains("--webhook-allow"));
    // Whoever connects now would come after it.
    drop(TcpStream::connect(address).await.unwrap());
    while connections.load(Ordering::SeqCst) == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_question_says_where_the_rollout_stands_and_is_signed() {
    let mut server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    std::fs::write(&path, "short\n").unwrap();
    assert!(Secret::read(&path).is_err());
    std::fs::write(&path, "a secret of 24 characters\n").unwrap();
    let webhooks = Webhooks::new(WebhookSettings {
        secret: Some(Secret::read(&path).unwrap()),
        ..server.allowed()
    });
    let hook = hook(server.url("/pass"), 10_000);
    let rollout = baking(&[&hook]);
    webhooks.ask(&rollout, Instant::now(), Timestamp::from_micros(7));
    let (head, body) = server.asked.recv().await.unwrap();
    let question: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        question,
        json!({
            "fleet": "shop", "rollout": "r", "from": 1, "to": 2, "state": "baking",
            "wave": 0, "wave_name": "everybody", "wave_count": 1,
            "reason": "why", "created_by": "ann", "verdicts": [],
            "asked_at": "1970-01-01T00:00:00.000007Z",
        })
    );
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret of 24 characters");
    let signature = head[SIGNATURE]
        .to_str()
        .unwrap()
        .strip_prefix("sha256=")
        .unwrap();
    let digits = (0..signature.len()).step_by(2);
    let tag: Vec<u8> = digits
        .map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap())
        .collect();
    hmac::verify(&key, &body, &tag).unwrap();
    assert_eq!(answer(&webhooks, &rollout).await.reply, Reply::Pass);
}

#[tokio::test]
async fn an_answer_counts_for_its_occasion_and_not_for_ever() {
    let server = Server::start().await;
    let webhooks = Webhooks::new(server.allowed());
    let hook = hook(server.url("/wait"), 1_000);
    let rollout = baking(&[&hook]);
    webhooks.ask(&rollout, Instant::now(), Timestamp::default());
    let said = answer(&webhooks, &rollout).await;
    assert_eq!((said.reply, said.message.as_str()), (Reply::Wait, "later"));
    let later = |ms| Instant::now() + Duration::from_millis(ms);
    assert_eq!(webhooks.answers(&rollout, later(1_500)).len(), 1);
    assert_eq!(webhooks.answers(&rollout, later(3_000)), []);
    let next = Rollout {
        wave_at: Some(Timestamp::from_micros(2)),
        ..rollout.clone()
    };
    assert_eq!(webhooks.answers(&next, Instant::now()), []);
    let paused = Rollout {
        state: State::Paused,
        ..rollout.clone()
    };
    webhooks.forget_all_but(&[paused]);
    assert_eq!(webhooks.answers(&rollout, Instant::now()), []);
}

#[tokio::test]
async fn one_question_follows_the_other_and_a_lost_one_does_not_end_them() {
    let webhooks = Webhooks::new(WebhookSettings::default());
    let hook = hook("http://a.example/".to_owned(), 5_000);
    let key = key(&baking(&[&hook]), &hook);
    let began = Instant::now();
    let after = |ms| began + Duration::from_millis(ms);
    assert!(webhooks.note_question(&key, &hook, began));
    // Nothing has come of it.
    assert!(!webhooks.note_question(&key, &hook, after(5_999)));
    assert!(webhooks.note_question(&key, &hook, after(6_000)));
    webhooks.note_answer(&key, Reply::Pass, String::new());
    assert!(!webhooks.note_question(&key, &hook, after(6_999)));
    assert!(webhooks.note_question(&key, &hook, after(7_000)));
}
