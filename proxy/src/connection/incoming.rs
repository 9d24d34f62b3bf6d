//! The next request on a connection: waits for its head, reads it, and says what else may come instead.

use std::future::poll_fn;
use std::task::{Context, Poll};

use http_wire::h1::asked::Received;
use http_wire::h1::{BodyLength, Malformed, RequestParser};

use crate::client::Client;
use crate::request::{self, Failure};
use crate::worker::{Downstream, Expiry, Heads, Phase};

use super::{End, note_moves, overdue};

/// A request's head.
pub(super) struct Asked {
    /// The request is in `request`; of its target, what `reading` says.
    pub(super) heads: Heads,
    /// How its body ends.
    pub(super) body: BodyLength,
    /// The client allows another request after this one.
    pub(super) persists: bool,
    /// It waits for `100 Continue` before it sends the body.
    pub(super) expects_continue: bool,
    pub(super) reading: Result<(), Failure>,
}

/// Why there is no request.
pub(super) enum Stop {
    /// The connection has ended, or should.
    End(End),
    /// What came is none.
    Refused(Malformed),
    /// What came of it took too long.
    Late,
}

/// Waits for the next request.
pub(super) async fn next(client: &Client, downstream: &Downstream) -> Result<Asked, Stop> {
    let mut parser = RequestParser::new();
    poll_fn(|cx| {
        downstream.park(cx.waker());
        poll(&mut parser, client, downstream, cx)
    })
    .await
}

fn poll(
    parser: &mut RequestParser,
    client: &Client,
    downstream: &Downstream,
    cx: &mut Context<'_>,
) -> Poll<Result<Asked, Stop>> {
    let buffers = &downstream.worker().pool.buffers;
    // A request that came together with the one before.
    if client.has_unread() && downstream.phase() == Phase::Idle {
        downstream.note_read();
    }
    note_moves(client, downstream);
    loop {
        if let Some(found) = parse(parser, client, downstream).transpose() {
            return Poll::Ready(found.map_err(Stop::Refused));
        }
        if overdue(downstream) == Some(Expiry::Head) {
            return Poll::Ready(Err(Stop::Late));
        }
        match client.poll_read(buffers, cx) {
            Poll::Ready(Ok(1..)) => downstream.note_read(),
            // Half a head is no request; whoever sent it knows.
            Poll::Ready(Ok(0)) => return Poll::Ready(Err(Stop::End(End::Done))),
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Stop::End(End::Gone))),
            Poll::Pending if overdue(downstream).is_some() => {
                return Poll::Ready(Err(Stop::End(End::Done)));
            }
            Poll::Pending => return Poll::Pending,
        }
    }
}

/// The request at the front of the unread bytes, if all of its head is there.
fn parse(
    parser: &mut RequestParser,
    client: &Client,
    downstream: &Downstream,
) -> Result<Option<Asked>, Malformed> {
    if !client.has_unread() {
        return Ok(None);
    }
    let mut heads = downstream.worker().heads();
    client.take_unread(|unread| match parser.parse(unread, &mut heads.request) {
        Ok(Some(received)) => {
            let Received {
                head_len,
                target,
                body,
                persists,
                expects_continue,
            } = received;
            let reading = request::read(&mut heads.request, &unread[target]);
            let asked = Asked {
                heads,
                body,
                persists,
                expects_continue,
                reading,
            };
            (head_len, Ok(Some(asked)))
        }
        Ok(None) => (0, Ok(None)),
        Err(malformed) => (0, Err(malformed)),
    })
}
