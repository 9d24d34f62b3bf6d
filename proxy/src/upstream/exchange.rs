//! One request and its response head on one connection.
//! A connection and a head go in; the response head and a [`ResponseBody`] come out. Retries, and which address to ask, are
//! decided by the caller: an error says whether another try is safe.

#[cfg(test)]
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http_wire::h1::request::encode_head;
use http_wire::h1::response::Received;
use http_wire::h1::{BodyLength, Framing, ResponseParser};
use http_wire::head::{FieldId, RequestHead, ResponseHead};
use tokio::time::Instant;

use crate::client::RequestBody;

use super::body::ResponseBody;
use super::error::{UpstreamError, Violation};
use super::pool::{Lease, Pool};
use super::sending::Sending;
use super::transfer::Transfer;
use super::tunnel::Tunnel;
use super::watch::Watch;

/// Most interim responses before the final one; more is an attack (RFC 9110 section 15.2 sets no limit).
const MAX_INTERIM: u32 = 16;

/// How long an exchange may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// To connect, if there is no idle connection.
    pub(crate) connect_timeout: Duration,
    /// Without a byte in either direction.
    pub(crate) idle_timeout: Option<Duration>,
    /// To the end of the response, for a request that has arrived whole.
    pub(crate) deadline: Option<Instant>,
    /// The same for one that is still arriving: it counts from the end of the client's body.
    pub(crate) timeout: Option<Duration>,
}

/// One request on one upstream connection. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Exchange {
    transfer: Transfer,
    parser: ResponseParser,
    is_to_head: bool,
    /// The protocol that the request asks to switch to.
    upgrade: Option<Box<[u8]>>,
    interim: u32,
    received: Option<Received>,
}

impl Exchange {
    /// A request on a connection; nothing is sent yet. Without `body` the request has none.
    pub(crate) fn begin(
        pool: &Rc<Pool>,
        lease: Lease,
        limits: &Limits,
        head: &RequestHead,
        body: Option<RequestBody>,
    ) -> Self {
        let framing = match body.as_ref().map(RequestBody::length) {
            None | Some(BodyLength::None) => Framing::None,
            Some(BodyLength::Length(length)) => Framing::Length(length),
            Some(BodyLength::Chunked | BodyLength::UntilClose) => Framing::Chunked,
        };
        let mut out = pool.buffers.take_writing();
        encode_head(head, framing, &mut out);
        let sending = Sending::new(out, body);
        let watch = Watch::new(limits.idle_timeout, limits.deadline, limits.timeout);
        Self {
            transfer: Transfer::new(pool.clone(), lease, sending, watch),
            parser: ResponseParser::new(),
            is_to_head: head.method() == "HEAD",
            upgrade: head.upgrade().map(Box::from),
            interim: 0,
            received: None,
        }
    }

    /// The same on an idle connection that is still good, or on a new one.
    #[cfg(test)]
    pub(crate) async fn open(
        pool: &Rc<Pool>,
        address: SocketAddr,
        limits: Limits,
        head: &RequestHead,
        body: Option<RequestBody>,
    ) -> Result<Self, UpstreamError> {
        let lease = match pool.take(address) {
            Some(lease) => lease,
            None => {
                pool.connect(address, limits.connect_timeout, limits.deadline)
                    .await?
            }
        };
        Ok(Self::begin(pool, lease, &limits, head, body))
    }

    /// [`Exchange::poll_response`] as a future.
    #[cfg(test)]
    pub(crate) async fn response(&mut self, into: &mut ResponseHead) -> Result<(), UpstreamError> {
        std::future::poll_fn(|cx| self.poll_response(into, cx)).await
    }

    /// The body of the response, once [`Exchange::poll_response`] has given its head. With `framed` a chunked body keeps its
    /// chunks.
    pub(crate) fn into_body(self, framed: bool) -> ResponseBody {
        let received = self
            .received
            .expect("the body of a response follows its head");
        ResponseBody::new(self.transfer, received.body, received.reusable, framed)
    }

    /// What comes after 101, if that was the status.
    pub(crate) fn into_tunnel(self) -> Tunnel {
        self.transfer.into_tunnel()
    }

    /// Sends the request and reads the head of the final response into `into`. The response may come before all of the
    /// request is sent; the body goes on sending the rest. Interim responses are skipped. A switch of protocols that was
    /// asked for is final too.
    pub(crate) fn poll_response(
        &mut self,
        into: &mut ResponseHead,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UpstreamError>> {
        loop {
            if ready!(self.transfer.poll(cx))? == 0 {
                return Poll::Ready(Err(self.transfer.closed()));
            }
            while let Some(received) = self.parse(into)? {
                self.transfer.receiving().consume(received.head_len);
                if into.status() >= 200 || self.switches(into)? {
                    self.received = Some(received);
                    self.transfer.pause();
                    return Poll::Ready(Ok(()));
                }
                self.skip_interim()?;
            }
        }
    }

    fn parse(&mut self, into: &mut ResponseHead) -> Result<Option<Received>, UpstreamError> {
        let unread = self.transfer.receiving().unread();
        if unread.is_empty() {
            return Ok(None);
        }
        Ok(self.parser.parse(unread, self.is_to_head, into)?)
    }

    /// Whether this is a switch to the protocol that was asked for. Any other switch is a violation, and one before the
    /// whole request is out too: what is still to come would be taken for the other protocol.
    fn switches(&self, head: &ResponseHead) -> Result<bool, Violation> {
        if head.status() != 101 {
            return Ok(false);
        }
        let protocol = head.fields().get(FieldId::Upgrade).unwrap_or_default();
        let is_asked = |asked: &[u8]| asked.eq_ignore_ascii_case(protocol);
        let is_asked = self.upgrade.as_deref().is_some_and(is_asked);
        if is_asked && self.transfer.is_sent() {
            Ok(true)
        } else {
            Err(Violation::UnaskedSwitch)
        }
    }

    fn skip_interim(&mut self) -> Result<(), Violation> {
        self.interim += 1;
        self.parser = ResponseParser::new();
        if self.interim > MAX_INTERIM {
            Err(Violation::TooManyInterim)
        } else {
            Ok(())
        }
    }
}
