//! A small HTTP/1.1 client: what is asked is written out in full, what comes back is kept whole, nothing is followed or retried.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// A test that waits longer than this for one answer has failed, unless its request says otherwise.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// A request to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    target: String,
    host: Option<String>,
    headers: Vec<(String, String)>,
    body: Bytes,
    within: Duration,
}

impl Request {
    /// `target` goes into the request line as it is.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            host: None,
            headers: Vec::new(),
            body: Bytes::new(),
            within: ANSWER_WITHIN,
        }
    }

    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    pub fn put(target: impl Into<String>) -> Self {
        Self::new(Method::PUT, target)
    }

    pub fn post(target: impl Into<String>) -> Self {
        Self::new(Method::POST, target)
    }

    pub fn delete(target: impl Into<String>) -> Self {
        Self::new(Method::DELETE, target)
    }

    /// The Host field. Default: the address that the request is sent to.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// One more field; the same name may come more than once.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// How long the answer may take.
    #[must_use]
    pub fn within(mut self, within: Duration) -> Self {
        self.within = within;
        self
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// A JSON body with its content type.
    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json")
            .body(body.to_string())
    }

    /// A YAML body with its content type.
    #[must_use]
    pub fn yaml(self, body: &str) -> Self {
        self.header("content-type", "application/yaml")
            .body(body.to_owned())
    }

    /// Replaces whatever is there (RFC 9110 section 13.1.1).
    #[must_use]
    pub fn if_match_any(self) -> Self {
        self.header("if-match", "*")
    }

    fn into_http(self, peer: SocketAddr) -> Result<http::Request<Full<Bytes>>> {
        let host = self.host.unwrap_or_else(|| peer.to_string());
        let mut request = http::Request::builder()
            .method(self.method)
            .uri(&self.target)
            .header("host", host);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request
            .body(Full::new(self.body))
            .with_context(|| format!("no HTTP request: {}", self.target))
    }
}

/// A whole response.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answer {
    /// The first field of that name, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as text; other bytes are replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!(
                "{} with a body that is no JSON: {}",
                self.status,
                self.text()
            )
        })
    }

    /// Itself if the status is 2xx, else an error with the body.
    pub fn success(self) -> Result<Self> {
        anyhow::ensure!(self.status.is_success(), "{}: {}", self.status, self.text());
        Ok(self)
    }
}

/// Sends one request on a connection of its own.
pub async fn send(peer: SocketAddr, request: Request) -> Result<Answer> {
    Connection::open(peer).await?.send(request).await
}

/// A kept connection; dropping it closes it.
pub struct Connection {
    peer: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    pub async fn open(peer: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(peer)
            .await
            .with_context(|| format!("connecting to {peer}"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // Ends when the sender and the last body are dropped.
        tokio::spawn(connection);
        Ok(Self { peer, sender })
    }

    /// Whether the other side has closed it.
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request) -> Result<Answer> {
        let what = format!("{} {} at {}", request.method, request.target, self.peer);
        let within = request.within;
        let exchange = tokio::time::timeout(within, self.exchange(request));
        exchange
            .await
            .with_context(|| format!("{what}: no answer within {within:?}"))?
            .context(what)
    }

    /// Sends a request and returns with the response's head; the body is read by the caller.
    pub async fn stream(
        &mut self,
        request: Request,
    ) -> Result<http::Response<hyper::body::Incoming>> {
        let request = request.into_http(self.peer)?;
        self.sender.ready().await?;
        Ok(self.sender.send_request(request).await?)
    }

    async fn exchange(&mut self, request: Request) -> Result<Answer> {
        let (head, body) = self.stream(request).await?.into_parts();
        let body = body.collect().await?.to_bytes();
        Ok(Answer {
            status: head.status,
            headers: head.headers,
            body,
        })
    }
}
