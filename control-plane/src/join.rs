//! Who may open xDS streams: the layer around all services of that port. A stream comes with a join token
//! (`authorization: Bearer …` in its metadata) where one is needed, ends when the token does or the certificate, and gets
//! nothing of another fleet than the token's, nor of another than its certificate names. That this is genuine was checked
//! in the handshake (`tls`).

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, header};
use http_body::Frame;
use tonic::body::Body;
use tonic::{Extensions, Status};

use crate::access::spiffe::Binding;
use crate::access::{Fleets, TokenKind, secret};
use crate::store::token::Token;
use crate::tls::Peer;
use crate::tokens::Tokens;

/// So often the clock is looked at while a certificate is good: it may be set.
const LOOK: Duration = Duration::from_mins(1);

/// The layer.
#[derive(Clone, Debug)]
pub struct JoinLayer {
    tokens: Arc<Tokens>,
    asks: Asks,
}

/// What a stream is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Asks {
    /// A join token, whatever else there is.
    pub token: bool,
    /// A certificate that names no fleet is good for every one.
    pub any_fleet: bool,
}

/// What a stream was joined with: an extension of its request.
#[derive(Clone, Debug)]
pub struct Joined {
    token: Option<Arc<Token>>,
    /// `None` if there is no certificate, or one that is good for every fleet.
    certificate: Option<Binding>,
    /// The last second in which the certificate is good, if there is one.
    until: Option<SystemTime>,
}

impl JoinLayer {
    /// Looks for join tokens and at certificates.
    pub fn new(tokens: Arc<Tokens>, asks: Asks) -> Self {
        Self { tokens, asks }
    }

    async fn admit(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Result<Joined, Status> {
        let until = peer.and_then(|peer| peer.until);
        if until.is_some_and(|until| left(until, SystemTime::now()).is_none()) {
            return Err(expired());
        }
        Ok(Joined {
            certificate: self.certificate(peer)?,
            token: self.token(headers).await?,
            until,
        })
    }

    /// Ends when what a stream was joined with is no longer good, and says what; never, if there is nothing that ends.
    async fn ended(self, joined: Joined) -> Status {
        let token = async {
            match &joined.token {
                Some(token) => self.tokens.ended(&token.hash).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = token => not_good(),
            () = passed(joined.until) => expired(),
        }
    }

    fn certificate(&self, peer: Option<&Peer>) -> Result<Option<Binding>, Status> {
        let Some(uris) = peer.and_then(|peer| peer.uris.as_deref()) else {
            return Ok(None);
        };
        let binding = Binding::of_uris(uris);
        let binding = binding.map_err(|error| Status::permission_denied(error.to_string()))?;
        let is_any = binding == Binding::Unbound && self.asks.any_fleet;
        Ok(Some(binding).filter(|_| !is_any))
    }

    async fn token(&self, headers: &HeaderMap) -> Result<Option<Arc<Token>>, Status> {
        let Some(field) = headers.get(header::AUTHORIZATION) else {
            return if self.asks.token {
                Err(Status::unauthenticated(
                    "send a join token: `authorization: Bearer …` in the metadata",
                ))
            } else {
                Ok(None)
            };
        };
        let secret = field.to_str().ok().and_then(secret::of_authorization);
        let token = match secret {
            Some(secret) => self.tokens.recognise(secret).await,
            None => Ok(None),
        };
        match token {
            Ok(Some(token)) if token.kind == TokenKind::Join => Ok(Some(token)),
            Ok(Some(_)) => Err(Status::permission_denied(
                "this token is for the admin API; proxies join with one of kind `join`",
            )),
            Ok(None) => Err(not_good()),
            Err(error) => {
                tracing::warn!(%error, "a token that is not known yet cannot be looked for");
                Err(Status::unavailable("the database is not available"))
            }
        }
    }
}

impl Joined {
    /// What the layer found out.
    ///
    /// # Errors
    /// The service stands outside the layer.
    pub fn of(extensions: &Extensions) -> Result<Self, Status> {
        extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Status::internal("nobody has looked who opens this stream"))
    }

    /// Whether the stream may have, as `node`, what belongs to a fleet.
    ///
    /// # Errors
    /// `PERMISSION_DENIED`: its token or its certificate is for another one. Whether the fleet exists is not told.
    pub fn check(&self, fleet: &str, node: &str) -> Result<(), Status> {
        if let Some(token) = &self.token
            && !token.fleets.contain(fleet)
        {
            let own = match &token.fleets {
                Fleets::These(fleets) => fleets.first().map_or("", String::as_str),
                Fleets::All => "",
            };
            return Err(Status::permission_denied(format!(
                "this join token is for fleet {own:?}, and the node says it is of {fleet:?}"
            )));
        }
        match &self.certificate {
            None => Ok(()),
            Some(Binding::Unbound) if self.token.is_some() => Ok(()),
            Some(binding) if binding.speaks_for(fleet, node) => Ok(()),
            Some(Binding::Unbound) => Err(Status::permission_denied(
                "this certificate names no fleet (spiffe://TRUST-DOMAIN/fleet/FLEET); send a join token beside it",
            )),
            Some(Binding::Fleet {
                fleet: own,
                node: one,
            }) => {
                let one = one.as_ref().map(|one| format!(", node {one:?}"));
                Err(Status::permission_denied(format!(
                    "this certificate is for fleet {own:?}{}, and the node says it is {node:?} of {fleet:?}",
                    one.unwrap_or_default()
                )))
            }
        }
    }
}

/// How long a certificate is good for yet; `None` if it is no longer. Its last second belongs to it (RFC 5280, section
/// 4.1.2.5).
fn left(until: SystemTime, now: SystemTime) -> Option<Duration> {
    until
        .checked_add(Duration::from_secs(1))?
        .duration_since(now)
        .ok()
        .filter(|left| !left.is_zero())
}

async fn passed(until: Option<SystemTime>) {
    let Some(until) = until else {
        return std::future::pending().await;
    };
    while let Some(left) = left(until, SystemTime::now()) {
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

fn expired() -> Status {
    Status::unauthenticated("this certificate has expired")
}

fn not_good() -> Status {
    Status::unauthenticated("this token is not known here, or it has expired, or it was revoked")
}

impl<S> tower::Layer<S> for JoinLayer {
    type Service = Joining<S>;

    fn layer(&self, inner: S) -> Joining<S> {
        Joining {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service inside the layer.
#[derive(Clone, Debug)]
pub struct Joining<S> {
    inner: S,
    layer: JoinLayer,
}

impl<S> tower::Service<Request<Body>> for Joining<S>
where
    S: tower::Service<Request<Body>, Response = Response<Body>, Error = Infallible>
        + Clone
        + Send
        + 'static,
    S::Future: Send,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        // The one that was asked whether it is ready is the one that is called.
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let layer = self.layer.clone();
        Box::pin(async move {
            let peer = request.extensions().get::<Peer>();
            let joined = match layer.admit(request.headers(), peer).await {
                Ok(joined) => joined,
                Err(status) => {
                    tracing::info!(%status, "an xDS stream was refused");
                    return Ok(status.into_http());
                }
            };
            request.extensions_mut().insert(joined.clone());
            let response = inner.call(request).await?;
            if joined.token.is_none() && joined.until.is_none() {
                return Ok(response);
            }
            let ended = Box::pin(layer.ended(joined));
            Ok(response.map(|inner| {
                Body::new(UntilEnded {
                    inner: Some(inner),
                    ended,
                })
            }))
        })
    }
}

/// A response that ends when what it was asked for with does.
struct UntilEnded {
    inner: Option<Body>,
    ended: BoxFuture<'static, Status>,
}

impl http_body::Body for UntilEnded {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(context) {
            return Poll::Ready(frame);
        }
        match self.ended.as_mut().poll(context) {
            Poll::Ready(status) => {
                self.inner = None;
                let mut trailers = HeaderMap::new();
                status.add_header(&mut trailers)?;
                Poll::Ready(Some(Ok(Frame::trailers(trailers))))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_second_of_a_certificate_belongs_to_it() {
        let until = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        let left = |millis: u64| {
            left(
                until,
                SystemTime::UNIX_EPOCH + Duration::from_millis(millis),
            )
        };
        assert_eq!(left(98_000), Some(Duration::from_secs(3)));
        assert_eq!(left(100_900), Some(Duration::from_millis(100)));
        assert_eq!(left(101_000), None);
        assert_eq!(left(200_000), None);
    }
}
