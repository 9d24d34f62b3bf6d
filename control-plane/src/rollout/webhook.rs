//! Gates that ask somebody else: what operators write, which of them are asked when, what is asked, and how an answer is
//! read. Pure; who sends the question is `webhooks`.

use std::fmt;
use std::str::FromStr;

use http::Uri;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::model::duration::Duration;
use crate::model::is_default;
use crate::model::timestamp::Timestamp;

use super::verdict::Verdict;
use super::{Rollout, State};

/// Longest time for an answer.
pub const TIMEOUT_MAX: Duration = Duration::from_millis(60_000);
/// Shortest time from one question to the next.
pub const INTERVAL_MIN: Duration = Duration::from_millis(1_000);
/// Longest message of an answer that is kept, in bytes.
const MESSAGE_MAX: usize = 500;

/// Somebody who is asked by HTTP whether a wave may go on. What is sent and what may come back is in docs/rollouts.md. No answer
/// is no pass: the wave waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// A word for people, another one for each webhook that a wave asks.
    #[schema(example = "change-board")]
    pub name: String,
    /// Where the question is sent by POST. The server must have been started with `--webhook-allow` for its host.
    #[schema(example = "https://gates.example/signalbox")]
    pub url: String,
    /// When it is asked.
    #[serde(default, skip_serializing_if = "is_default")]
    pub when: When,
    /// How long an answer may take, one minute at most.
    #[serde(default = "ten_seconds", skip_serializing_if = "is_ten_seconds")]
    pub timeout: Duration,
    /// How long after one question the next is sent.
    #[serde(default = "ten_seconds", skip_serializing_if = "is_ten_seconds")]
    pub interval: Duration,
    /// What becomes of the wave if no answer that can be read comes.
    #[serde(default, skip_serializing_if = "is_default")]
    pub on_error: OnError,
}

/// When a webhook is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum When {
    /// Before nodes of the wave are chosen.
    Before,
    /// While the wave bakes, again and again: the last answer counts.
    #[default]
    Bake,
}

/// What becomes of a wave if no answer comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OnError {
    /// It waits.
    #[default]
    Hold,
    /// The rollout fails.
    Fail,
}

const TEN_SECONDS: Duration = Duration::from_millis(10_000);

const fn ten_seconds() -> Duration {
    TEN_SECONDS
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over references"
)]
fn is_ten_seconds(duration: &Duration) -> bool {
    *duration == TEN_SECONDS
}

impl Webhook {
    /// How long an answer counts: until the next but one should have come. Then nobody asks any more, or nobody hears.
    pub fn lasts(&self) -> Duration {
        let ms = 2 * self.interval.as_millis() + self.timeout.as_millis();
        Duration::from_millis(ms)
    }

    /// What is wrong with its URL, if something is.
    pub fn fault(&self) -> Option<&'static str> {
        Target::of(&self.url).err()
    }
}

/// The webhooks that a rollout asks where it stands: those of its gates, then those of its wave. An urgent one asks nobody.
pub fn asked(rollout: &Rollout) -> Vec<&Webhook> {
    let when = match rollout.state {
        State::Advancing => When::Before,
        State::Baking => When::Bake,
        _ => return Vec::new(),
    };
    let wave = rollout.current().filter(|_| !rollout.urgent);
    let Some(wave) = wave else {
        return Vec::new();
    };
    let all = rollout.strategy.gates.webhooks.iter().chain(&wave.webhooks);
    all.filter(|hook| hook.when == when).collect()
}

/// What an answer answers: another wave, or another choice of nodes, is another question.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Occasion {
    /// The rollout.
    pub rollout: String,
    wave: u32,
    state: State,
    chosen_at: Option<i64>,
}

impl Occasion {
    /// Where a rollout stands.
    pub fn of(rollout: &Rollout) -> Self {
        Self {
            rollout: rollout.id.clone(),
            wave: rollout.wave,
            state: rollout.state,
            chosen_at: rollout.wave_at.map(Timestamp::as_micros),
        }
    }
}

/// An answer that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What it is an answer to: a step that begins another wave has none for that.
    pub occasion: Occasion,
    /// The name of the webhook.
    pub name: String,
    /// What was said.
    pub reply: Reply,
    /// Why; may be empty.
    pub message: String,
}

/// What a webhook says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reply {
    /// It does not stand in the way.
    Pass,
    /// The new revision is not good.
    Fail,
    /// It is not decided yet.
    Wait,
    /// No answer came, or none that could be read.
    #[serde(skip_deserializing)]
    Error,
}

/// What is sent.
#[derive(Clone, Debug, Serialize)]
pub struct Question<'a> {
    fleet: &'a str,
    rollout: &'a str,
    from: u64,
    to: u64,
    state: State,
    /// From 0.
    wave: u32,
    wave_name: &'a str,
    wave_count: usize,
    reason: &'a str,
    created_by: &'a str,
    verdicts: &'a [Verdict],
    /// So that a signed question that was overheard cannot be asked again later.
    asked_at: Timestamp,
}

impl<'a> Question<'a> {
    /// The question that a rollout asks where it stands.
    pub fn of(rollout: &'a Rollout, asked_at: Timestamp) -> Self {
        Self {
            fleet: &rollout.fleet,
            rollout: &rollout.id,
            from: rollout.from,
            to: rollout.to,
            state: rollout.state,
            wave: rollout.wave,
            wave_name: rollout.current().map_or("", |wave| &wave.name),
            wave_count: rollout.strategy.waves.len(),
            reason: &rollout.reason,
            created_by: &rollout.created_by,
            verdicts: &rollout.verdicts,
            asked_at,
        }
    }
}

/// An answer as it is sent. What else it holds is the webhook's own affair.
#[derive(Deserialize)]
struct Said {
    result: Reply,
    #[serde(default)]
    message: String,
}

/// Reads the body of an answer with a status of success.
///
/// # Errors
/// It says neither pass nor fail nor wait.
pub fn read(body: &[u8]) -> Result<(Reply, String), String> {
    let said: Said = serde_json::from_slice(body).map_err(|error| {
        format!("its answer is not {{\"result\": \"pass\"|\"fail\"|\"wait\"}}: {error}")
    })?;
    Ok((said.result, short(&said.message)))
}

/// A text of somebody else's as it may be stored and shown.
pub fn short(text: &str) -> String {
    let mut short: String = text
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    short.truncate(short.floor_char_boundary(MESSAGE_MAX));
    short
}

/// Where a webhook is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Whether TLS is spoken with it.
    pub tls: bool,
    /// A name in lower case, or an address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// For the Host field.
    pub authority: String,
    /// Path and query.
    pub path: String,
}

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// Why it is none that can be asked.
    pub fn of(url: &str) -> Result<Self, &'static str> {
        let example = "a webhook is at a URL such as https://gates.example/signalbox";
        let uri: Uri = url.parse().map_err(|_| example)?;
        let (tls, authority) = match (uri.scheme_str(), uri.authority()) {
            (Some("http"), Some(authority)) => (false, authority),
            (Some("https"), Some(authority)) => (true, authority),
            _ => return Err(example),
        };
        if authority.as_str().contains('@') {
            return Err(
                "a URL is shown to everybody who may read the fleet: it holds no credentials",
            );
        }
        if url.contains('#') {
            return Err("what follows `#` in a URL is never sent");
        }
        Ok(Self {
            tls,
            host: bare(authority.host()),
            port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            authority: authority.to_string(),
            path: uri
                .path_and_query()
                .map_or("/", |path| path.as_str())
                .to_owned(),
        })
    }
}

/// A host that may be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    host: String,
    /// Of URLs that say `http` and `https`.
    ports: [u16; 2],
}

impl FromStr for Allowed {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        let wrong = "a host is written like gates.example, gates.example:8443 or [::1]:8443";
        let authority: http::uri::Authority = text.parse().map_err(|_| wrong)?;
        let host = bare(authority.host());
        // A port that is none would be read as no port at all.
        let bare_text = text == authority.host();
        let ports = match authority.port_u16() {
            Some(port) => [port; 2],
            None if bare_text => [80, 443],
            None => return Err(wrong),
        };
        if host.is_empty() || text.contains('@') {
            return Err(wrong);
        }
        Ok(Self { host, ports })
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [http, https] = self.ports;
        if http == https {
            write!(f, "{}:{http}", self.host)
        } else {
            f.write_str(&self.host)
        }
    }
}

/// The hosts that may be asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AllowList(Vec<Allowed>);

impl From<Vec<Allowed>> for AllowList {
    fn from(hosts: Vec<Allowed>) -> Self {
        Self(hosts)
    }
}

impl AllowList {
    /// Why a webhook may not be asked, if it may not. A host is allowed by its name, whatever that name stands for: whoever
    /// started the server has named it.
    pub fn refusal(&self, target: &Target) -> Option<String> {
        let port = |allowed: &Allowed| allowed.ports[usize::from(target.tls)];
        let allowed = |it: &Allowed| it.host == target.host && port(it) == target.port;
        if self.0.iter().any(allowed) {
            return None;
        }
        let Target { host, port, .. } = target;
        let which = if self.0.is_empty() {
            "none".to_owned()
        } else {
            let names: Vec<_> = self.0.iter().map(Allowed::to_string).collect();
            names.join(", ")
        };
        Some(format!(
            "this server does not ask {host}:{port}: `signalbox serve --webhook-allow` says which hosts it asks ({which})"
        ))
    }
}

fn bare(host: &str) -> String {
    let inner = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    inner.unwrap_or(host).to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn may(allowed: &[&str], url: &str) -> bool {
        let list: Vec<Allowed> = allowed.iter().map(|host| host.parse().unwrap()).collect();
        AllowList(list).refusal(&Target::of(url).unwrap()).is_none()
    }

    #[test]
    fn only_hosts_that_are_named_are_asked_and_without_a_port_only_at_the_usual_ones() {
        for (allowed, url, expected) in [
            (&["a.example"][..], "https://a.example/x", true),
            (&["a.example"], "http://A.Example", true),
            (&["A.example"], "https://a.example:443", true),
            (&["a.example"], "https://a.example:8443", false),
            (&["a.example"], "https://a.example:80", false),
            (&["a.example:8443"], "https://a.example:8443", true),
            (&["a.example:8443"], "https://a.example", false),
            (&["a.example"], "https://b.a.example", false),
            (&["a.example"], "https://a.example.evil", false),
            (&["[::1]:99"], "http://[::1]:99/", true),
            (&["b", "a.example"], "http://a.example/", true),
            (&[], "http://127.0.0.1/", false),
        ] {
            assert_eq!(may(allowed, url), expected, "{allowed:?} {url}");
        }
    }

    #[test]
    fn what_is_no_host_is_not_allowed() {
        for text in [
            "",
            "a.example:",
            "a.example:99999",
            "u@a.example",
            "http://a",
            "a/b",
            ":80",
        ] {
            assert!(text.parse::<Allowed>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_url_of_a_webhook_is_refused() {
        for url in [
            "",
            "a.example",
            "/x",
            "ftp://a",
            "http://u:p@a/",
            "http://a/#x",
            "https://",
        ] {
            assert!(Target::of(url).is_err(), "{url:?}");
        }
        let target = Target::of("https://[::1]:8443/a?b=c").unwrap();
        assert_eq!((target.host.as_str(), target.port), ("::1", 8443));
        assert_eq!((target.path.as_str(), target.tls), ("/a?b=c", true));
    }

    #[test]
    fn an_answer_is_one_of_three_words() {
        let said = |text: &str| read(text.as_bytes()).map(|(reply, _)| reply).ok();
        assert_eq!(said(r#"{"result": "pass"}"#), Some(Reply::Pass));
        assert_eq!(
            said(r#"{"result": "fail", "ticket": 7}"#),
            Some(Reply::Fail)
        );
        assert_eq!(said(r#"{"result": "wait"}"#), Some(Reply::Wait));
        for wrong in [
            "",
            "{}",
            "pass",
            r#"{"result": "error"}"#,
            r#"{"result": "PASS"}"#,
        ] {
            assert_eq!(said(wrong), None, "{wrong}");
        }
        let long = format!(
            r#"{{"result": "fail", "message": "a\nb{}"}}"#,
            "é".repeat(600)
        );
        let (_, message) = read(long.as_bytes()).unwrap();
        assert!(message.starts_with("a b") && message.len() <= MESSAGE_MAX);
    }
}
