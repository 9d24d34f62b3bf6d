//! Asks webhooks, and remembers what they said. In: a rollout as it stands. Out: the answers that count for it, which are
//! observations as any other. What they mean is decided in `rollout`.
//!
//! Each question is a task of its own, so that nobody who is slow holds up the loop, and each has a connection of its own, so
//! that no answer can be that of another question. Nothing is written: whoever drives after a restart asks again.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use ring::hmac;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::model::canonical;
use crate::model::timestamp::Timestamp;
use crate::rollout::Rollout;
use crate::rollout::webhook::{
    self, AllowList, Answer, Occasion, Question, Reply, Target, Webhook,
};
use crate::tls::Trust;

/// Largest answer that is read: 64 KiB.
const ANSWER_MAX: usize = 64 * 1024;
/// Shortest secret, in bytes: NIST SP 800-107 section 5.3.4 asks for no less than 112 bits.
const SECRET_MIN: usize = 14;
/// Carries `sha256=` and the HMAC of the body by the secret, in hexadecimal digits.
pub const SIGNATURE: &str = "signalbox-signature";

/// Who is asked, and how.
#[derive(Clone, Default)]
pub struct WebhookSettings {
    /// The hosts that may be asked.
    pub allowed: AllowList,
    /// Whom to trust where TLS is spoken; `None` where nobody can be.
    pub trust: Option<Trust>,
    /// What questions are signed with.
    pub secret: Option<Secret>,
}

/// A secret that questions are signed with.
#[derive(Clone)]
pub struct Secret(hmac::Key);

/// Asks webhooks.
pub struct Webhooks {
    settings: WebhookSettings,
    asked: Mutex<HashMap<(Occasion, String), Asked>>,
}

/// The last question to a webhook on one occasion.
#[derive(Clone, Debug)]
struct Asked {
    at: Instant,
    /// What was said to it, or to the one before.
    answer: Option<Heard>,
    is_answered: bool,
}

#[derive(Clone, Debug)]
struct Heard {
    at: Instant,
    reply: Reply,
    message: String,
}

impl Secret {
    /// Reads a file; white space around the secret does not belong to it.
    ///
    /// # Errors
    /// It cannot be read, or holds too little.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        let text = std::fs::read(path)?;
        let text = text.trim_ascii();
        if text.len() < SECRET_MIN {
            let detail = format!("a secret has {SECRET_MIN} bytes at least");
            return Err(std::io::Error::other(detail));
        }
        Ok(Self(hmac::Key::new(hmac::HMAC_SHA256, text)))
    }

    fn sign(&self, body: &[u8]) -> String {
        let tag = hmac::sign(&self.0, body);
        let digits = tag.as_ref().iter().map(|byte| format!("{byte:02x}"));
        format!("sha256={}", digits.collect::<String>())
    }
}

impl std::fmt::Debug for Webhooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Webhooks").finish_non_exhaustive()
    }
}

impl Webhooks {
    /// Nobody has been asked yet.
    pub fn new(settings: WebhookSettings) -> Arc<Self> {
        Arc::new(Self {
            settings,
            asked: Mutex::default(),
        })
    }

    /// Forgets what was said on occasions that are over.
    pub fn forget_all_but(&self, active: &[Rollout]) {
        let occasions: Vec<Occasion> = active.iter().map(Occasion::of).collect();
        self.locked()
            .retain(|(occasion, _), _| occasions.contains(occasion));
    }

    /// The answers that count for a rollout as it stands.
    pub fn answers(&self, rollout: &Rollout, now: Instant) -> Vec<Answer> {
        let asked = self.locked();
        let answer = |hook: &Webhook| {
            let asked = asked.get(&key(rollout, hook))?;
            let heard = asked.answer.as_ref()?;
            let is_fresh = now < heard.at + millis(hook.lasts());
            is_fresh.then(|| Answer {
                occasion: Occasion::of(rollout),
                name: hook.name.clone(),
                reply: heard.reply,
                message: heard.message.clone(),
            })
        };
        webhook::asked(rollout)
            .into_iter()
            .filter_map(answer)
            .collect()
    }

    /// Sends the questions that are due. `clock` is what the database's clock says.
    pub fn ask(self: &Arc<Self>, rollout: &Rollout, now: Instant, clock: Timestamp) {
        for hook in webhook::asked(rollout) {
            let key = key(rollout, hook);
            if !self.note_question(&key, hook, now) {
                continue;
            }
            let body = canonical::to_bytes(&Question::of(rollout, clock));
            let (this, hook) = (self.clone(), hook.clone());
            tokio::spawn(async move {
                let said = this.question(&hook, body.into()).await;
                let (reply, message) =
                    said.unwrap_or_else(|why| (Reply::Error, webhook::short(&why)));
                tracing::info!(
                    rollout = key.0.rollout,
                    webhook = hook.name,
                    ?reply,
                    message,
                    "a webhook was asked"
                );
                this.note_answer(&key, reply, message);
            });
        }
    }

    /// Whether a question is due; it counts as sent then. One that was lost with its task does not silence a webhook for ever.
    fn note_question(&self, key: &(Occasion, String), hook: &Webhook, now: Instant) -> bool {
        let mut asked = self.locked();
        let before = asked.get(key);
        let due = before.map(|before| {
            let patience = if before.is_answered {
                Duration::ZERO
            } else {
                millis(hook.timeout)
            };
            before.at + patience + millis(hook.interval)
        });
        if due.is_some_and(|due| now < due) {
            return false;
        }
        let next = Asked {
            at: now,
            answer: before.and_then(|before| before.answer.clone()),
            is_answered: false,
        };
        asked.insert(key.clone(), next);
        true
    }

    /// What comes after the occasion is over is not heard.
    fn note_answer(&self, key: &(Occasion, String), reply: Reply, message: String) {
        if let Some(asked) = self.locked().get_mut(key) {
            asked.is_answered = true;
            asked.answer = Some(Heard {
                at: Instant::now(),
                reply,
                message,
            });
        }
    }

    /// One question and its answer; the error says why there is none.
    async fn question(&self, hook: &Webhook, body: Bytes) -> Result<(Reply, String), String> {
        let target = Target::of(&hook.url)?;
        // The strategy may have been written when other hosts were allowed, or to another server.
        if let Some(refusal) = self.settings.allowed.refusal(&target) {
            return Err(refusal);
        }
        let exchange = self.exchange(&target, body);
        match tokio::time::timeout(millis(hook.timeout), exchange).await {
            Ok(said) => said,
            Err(_) => Err(format!("no answer within {}", hook.timeout)),
        }
    }

    async fn exchange(&self, target: &Target, body: Bytes) -> Result<(Reply, String), String> {
        let mut request = Request::post(&target.path)
            .header(header::HOST, &target.authority)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::CONNECTION, "close")
            .header(
                header::USER_AGENT,
                concat!("signalbox/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(secret) = &self.settings.secret {
            request = request.header(SIGNATURE, secret.sign(&body));
        }
        let request = request
            .body(Full::new(body))
            .map_err(|error| error.to_string())?;
        let tcp = TcpStream::connect((target.host.as_str(), target.port)).await;
        let tcp = tcp.map_err(|error| format!("no connection: {error}"))?;
        if !target.tls {
            return exchange_on(tcp, request).await;
        }
        let trust = self.settings.trust.as_ref();
        let trust =
            trust.ok_or("this server knows no roots of certificates; --webhook-ca names some")?;
        let tls = trust.handshake(&target.host, tcp).await;
        exchange_on(tls.map_err(|error| format!("no TLS: {error}"))?, request).await
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<(Occasion, String), Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a request on a connection that is used for nothing else. Where another address is named instead of an answer, that
/// is no answer: who is asked was said by an operator.
async fn exchange_on(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    request: Request<Full<Bytes>>,
) -> Result<(Reply, String), String> {
    let broken = |error: hyper::Error| format!("no HTTP answer: {error}");
    let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(broken)?;
    // Ends when the answer was read or dropped.
    tokio::spawn(connection);
    let (head, body) = sender
        .send_request(request)
        .await
        .map_err(broken)?
        .into_parts();
    if !head.status.is_success() {
        return Err(refused(head.status));
    }
    let body = Limited::new(body, ANSWER_MAX).collect().await;
    let body = body.map_err(|error| format!("its answer cannot be read: {error}"))?;
    webhook::read(&body.to_bytes())
}

fn refused(status: StatusCode) -> String {
    let followed = if status.is_redirection() {
        "; redirects are not followed"
    } else {
        ""
    };
    format!("it answers with {status}{followed}")
}

fn key(rollout: &Rollout, hook: &Webhook) -> (Occasion, String) {
    (Occasion::of(rollout), hook.name.clone())
}

const fn millis(duration: crate::model::duration::Duration) -> Duration {
    Duration::from_millis(duration.as_millis())
}

#[cfg(test)]
mod tests;
