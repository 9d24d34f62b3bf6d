//! The client of the admin API: one request, one connection, one answer, each within a time. Nothing is followed or
//! repeated: a write that was not answered may have been stored.

mod connect;
mod server;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use yaml_serde::Value;

use self::server::Server;
use super::failure::Failure;
use super::target::Target;
use crate::tls::{TlsError, Trust};

/// From a request to the end of its answer. A server gives up after ten seconds, or a minute where a whole config is
/// stored, and waits for a rollout as long as it was asked to.
const ANSWER_WITHIN: Duration = Duration::from_secs(75);
/// Largest answer that is read: 256 MiB.
const ANSWER_MAX: usize = 256 * 1024 * 1024;
/// How many items of a list are asked for at once: as many as a server gives.
const PAGE: &str = "1000";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Which server is asked, and as whom.
#[derive(Args)]
pub(super) struct Connection {
    /// The control plane.
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "SIGNALBOX_SERVER",
        default_value = "http://127.0.0.1:8080",
        help_heading = "Connection"
    )]
    server: Server,
    /// Roots of the server's certificate: PEM. Without it those that this system trusts count (SSL_CERT_FILE names others).
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SIGNALBOX_CA_FILE",
        help_heading = "Connection"
    )]
    ca_file: Option<PathBuf>,
    /// A certificate to show to a server that asks for one: PEM.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SIGNALBOX_CLIENT_CERT",
        help_heading = "Connection"
    )]
    client_cert: Option<PathBuf>,
    /// Its private key: PEM.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "SIGNALBOX_CLIENT_KEY",
        help_heading = "Connection"
    )]
    client_key: Option<PathBuf>,
    /// Who asks: a token of the control plane.
    #[arg(
        long,
        global = true,
        value_name = "TOKEN",
        env = "SIGNALBOX_TOKEN",
        hide_env_values = true,
        help_heading = "Connection"
    )]
    token: Option<String>,
    /// The fleet that is meant.
    #[arg(
        long,
        global = true,
        value_name = "FLEET",
        env = "SIGNALBOX_FLEET",
        default_value = "default",
        help_heading = "Connection"
    )]
    fleet: String,
}

/// A client of one fleet.
pub(super) struct Client {
    server: Server,
    /// For TLS.
    trust: Option<Trust>,
    authorization: Option<HeaderValue>,
    fleet: String,
}

/// A request to be sent.
pub(super) struct Request {
    method: Method,
    target: Target,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
}

/// A whole answer, which is a success.
pub(super) struct Answer {
    headers: HeaderMap,
    body: Bytes,
}

impl Connection {
    /// The client of this connection.
    pub(super) fn client(self) -> Result<Client, Failure> {
        let trust = self.trust()?;
        let authorization = self.token.filter(|token| !token.is_empty()).map(|token| {
            let value = HeaderValue::from_str(&format!("Bearer {token}"));
            let mut value = value.map_err(|_| {
                Failure::Local("--token holds characters that no token has".to_owned())
            })?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Client {
            server: self.server,
            trust,
            authorization: authorization.transpose()?,
            fleet: self.fleet,
        })
    }

    /// Whom to trust, if the server is asked by TLS.
    fn trust(&self) -> Result<Option<Trust>, Failure> {
        if !self.server.tls() {
            return Ok(None);
        }
        let identity = match (&self.client_cert, &self.client_key) {
            (Some(cert), Some(key)) => Some((cert.as_path(), key.as_path())),
            (None, None) => None,
            _ => {
                let both = "--client-cert and --client-key are given together or not at all";
                return Err(Failure::Local(both.to_owned()));
            }
        };
        let trust = Trust::load(self.ca_file.as_deref(), identity);
        trust.map(Some).map_err(|error| {
            let hint = match error {
                TlsError::NoRoots => "; name a file with --ca-file",
                _ => "",
            };
            Failure::Local(format!("{}{hint}", told(&error)))
        })
    }
}

impl Client {
    /// The fleet that is meant.
    pub(super) fn fleet(&self) -> &str {
        &self.fleet
    }

    /// A path of the fleet.
    pub(super) fn of_fleet<'a>(&'a self, segments: impl IntoIterator<Item = &'a str>) -> Target {
        Target::new(["fleets", &self.fleet].into_iter().chain(segments))
    }

    /// Sends a request; an answer that is no success is a failure.
    pub(super) async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let exchange = tokio::time::timeout(ANSWER_WITHIN, self.exchange(request));
        exchange
            .await
            .unwrap_or_else(|_| Err(self.unreachable(format!("nothing within {ANSWER_WITHIN:?}"))))
    }

    /// Sends a request and returns with the body of its answer, which is still to come.
    pub(super) async fn open(&self, request: Request) -> Result<Incoming, Failure> {
        let begin = tokio::time::timeout(ANSWER_WITHIN, self.begin(request)).await;
        let nothing = |_| self.unreachable(format!("nothing within {ANSWER_WITHIN:?}"));
        let (head, body) = begin.map_err(nothing)??.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body.map_err(|error| self.unreachable(error.to_string()))?;
        Err(Failure::of_answer(head.status, &body.to_bytes()))
    }

    /// Reads a document.
    pub(super) async fn get(&self, target: Target) -> Result<Value, Failure> {
        self.send(Request::get(target)).await?.read()
    }

    /// Reads a list, page by page.
    pub(super) async fn list(&self, target: &Target) -> Result<Vec<Value>, Failure> {
        let mut items = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let page = target.clone().with("limit", PAGE);
            let page = self
                .get(page.with_some("page_token", token.as_deref()))
                .await?;
            if let Some(more) = page.get("items").and_then(Value::as_sequence) {
                items.extend(more.iter().cloned());
            }
            token = page
                .get("next_page_token")
                .and_then(Value::as_str)
                .map(str::to_owned);
            if token.is_none() {
                return Ok(items);
            }
        }
    }

    async fn exchange(&self, request: Request) -> Result<Answer, Failure> {
        let response = self.begin(request).await?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await;
        let body = body
            .map_err(|error| self.unreachable(error.to_string()))?
            .to_bytes();
        if head.status.is_success() {
            Ok(Answer {
                headers: head.headers,
                body,
            })
        } else {
            Err(Failure::of_answer(head.status, &body))
        }
    }

    /// Sends a request and returns with the head of its answer.
    async fn begin(&self, request: Request) -> Result<http::Response<Incoming>, Failure> {
        let request = self.complete(request)?;
        let stream = connect::connect(&self.server, self.trust.as_ref()).await;
        let stream = stream.map_err(|cause| self.unreachable(cause))?;
        let handshake = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = handshake.map_err(|error| self.broken(&error))?;
        // Ends when the answer was read or dropped.
        tokio::spawn(connection);
        let response = sender.send_request(request).await;
        response.map_err(|error| self.broken(&error))
    }

    /// What came back is no answer. A port for TLS answers plain HTTP with a few bytes of its own.
    fn broken(&self, error: &hyper::Error) -> Failure {
        let no_http = error.is_parse() || error.is_incomplete_message();
        let hint = if no_http && !self.server.tls() {
            "; if it speaks TLS, its URL begins with https://"
        } else {
            ""
        };
        self.unreachable(format!("{}{hint}", told(error)))
    }

    /// The request as it goes out.
    fn complete(&self, request: Request) -> Result<http::Request<Full<Bytes>>, Failure> {
        let mut complete = http::Request::builder()
            .method(request.method)
            .uri(format!("{}{}", self.server.prefix(), request.target))
            .header(header::HOST, self.server.authority())
            .header(
                header::USER_AGENT,
                concat!("signalbox/", env!("CARGO_PKG_VERSION")),
            );
        if let Some(authorization) = &self.authorization {
            complete = complete.header(header::AUTHORIZATION, authorization);
        }
        for (name, value) in request.headers {
            complete = complete.header(name, value);
        }
        let complete = complete.body(Full::new(request.body));
        complete.map_err(|error| Failure::Local(format!("this cannot be asked: {error}")))
    }

    /// What is told of a server that does not answer, or not to the end.
    pub(super) fn unreachable(&self, cause: String) -> Failure {
        Failure::Unreachable {
            server: self.server.to_string(),
            cause,
        }
    }
}

impl Request {
    pub(super) fn get(target: Target) -> Self {
        Self::new(Method::GET, target)
    }

    pub(super) fn delete(target: Target) -> Self {
        Self::new(Method::DELETE, target)
    }

    pub(super) fn put(target: Target, body: &impl serde::Serialize) -> Result<Self, Failure> {
        Self::with_body(Method::PUT, target, body)
    }

    pub(super) fn post(target: Target, body: &impl serde::Serialize) -> Result<Self, Failure> {
        Self::with_body(Method::POST, target, body)
    }

    /// A POST whose target says everything.
    pub(super) fn command(target: Target) -> Self {
        Self::new(Method::POST, target)
    }

    /// With one more field.
    #[must_use]
    pub(super) fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn new(method: Method, target: Target) -> Self {
        Self {
            method,
            target,
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }

    fn with_body(
        method: Method,
        target: Target,
        body: &impl serde::Serialize,
    ) -> Result<Self, Failure> {
        let body = serde_json::to_vec(body)
            .map_err(|error| Failure::Local(format!("this cannot be sent: {error}")))?;
        let mut request = Self::new(method, target).header(header::CONTENT_TYPE, JSON);
        request.body = body.into();
        Ok(request)
    }
}

impl Answer {
    /// The body as a document. A YAML value keeps the order of its fields, which is the one that people know.
    pub(super) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::Answer {
            status: StatusCode::OK,
            sentence: format!("the answer is not what this version of the command reads: {error}"),
            faults: Vec::new(),
        })
    }

    /// The body as it is.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The tag of what it holds, for a condition.
    pub(super) fn etag(&self) -> Option<HeaderValue> {
        self.headers.get(header::ETAG).cloned()
    }

    /// The newest revision of the fleet when the answer was made.
    pub(super) fn revision(&self) -> Option<u64> {
        self.headers
            .get("config-revision")?
            .to_str()
            .ok()?
            .parse()
            .ok()
    }
}

/// An error with what it came from.
fn told(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
