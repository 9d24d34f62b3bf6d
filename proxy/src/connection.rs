//! One client connection of HTTP/1, from its first byte to its last: heads in, answers out, one request after the other. All
//! of it is one future: a client that goes away ends its request by dropping that. Timeouts are the worker's wheel's.
//!
//! ```text
//! incoming ─► request::answer ─► reply ─► incoming …
//!    │ no request                  └─► tunnel
//!    └─► refusal ─► reply ─► closing
//! ```

mod closing;
mod incoming;
mod reply;

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use http_wire::h1::Malformed;
use http_wire::head::{FieldId, Fields};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::request::{self, Answer, Tunnel};
use crate::worker::{Downstream, Expiry, Heads, Phase};

use incoming::{Asked, Stop};
use reply::{Manner, Reply};

/// How a connection came to its end.
enum End {
    /// Both sides are done with it, or one is: what was said is to be read.
    Done,
    /// The client is gone, or its time was up.
    Gone,
    /// The answer broke off, and nothing but a broken connection says so.
    Broken,
    /// It goes on as something else.
    Switched(Box<Tunnel>),
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: TcpStream, downstream: Rc<Downstream>) {
    let client = Client::new(stream);
    let end = converse(&client, &downstream).await;
    // Whatever read a body has ended with its request.
    let Some(client) = Rc::into_inner(client) else {
        return;
    };
    let (stream, mut unread) = client.into_parts();
    // In boxes, so that no connection is as large as one that ends.
    match end {
        End::Switched(tunnel) => Box::pin(tunnel.carry(stream, unread, &downstream)).await,
        end => {
            unread.discard(&downstream.worker().pool.buffers);
            Box::pin(closing::close(stream, end)).await;
        }
    }
}

/// Requests and answers.
async fn converse(client: &Rc<Client>, downstream: &Rc<Downstream>) -> End {
    let refused = loop {
        // Not matched on while a request is answered: the future would have room for it twice.
        let asked = match incoming::next(client, downstream).await {
            Ok(asked) => asked,
            Err(Stop::End(end)) => return end,
            Err(Stop::Refused(malformed)) => break Some(malformed),
            Err(Stop::Late) => break None,
        };
        if let Some(end) = exchange(client, downstream, asked).await {
            return end;
        }
    };
    refuse(client, downstream, refused).await
}

/// One request and its answer; how the connection ends, if it does.
async fn exchange(client: &Rc<Client>, downstream: &Rc<Downstream>, asked: Asked) -> Option<End> {
    let Asked {
        mut heads,
        body,
        persists,
        expects_continue,
        reading,
    } = asked;
    let buffers = &downstream.worker().pool.buffers;
    let body = client.begin_body(body, expects_continue);
    let mut answer = Answer::awaited(downstream);
    {
        let mut answering = pin!(request::answer(&mut heads, reading, body, &mut answer));
        let is_answered = poll_fn(|cx| {
            downstream.park(cx.waker());
            // Pauses are the request's own business.
            let _ = overdue(downstream);
            let polled = match answering.as_mut().poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => client.poll_gone(buffers, cx).map(|()| false),
            };
            note_moves(client, downstream);
            polled
        });
        if !is_answered.await {
            return Some(End::Gone);
        }
    }
    let tunnel = answer.take_tunnel();
    let is_last = !persists
        || downstream.is_draining()
        // A client that asked for another protocol and did not get it may have begun with it all the same, and its next
        // bytes may be anything: as Envoy, which reads no second request after such a one.
        || heads.request.upgrade().is_some()
        || says_close(heads.response.fields())
        // What is left of a body that nobody reads would be taken for a request.
        || (answer.is_ours() && !client.skip_body());
    let manner = Manner::of(&heads, &answer, tunnel.is_some(), is_last);
    if let Err(end) = write(client, downstream, heads, &manner, &mut answer).await {
        return Some(end);
    }
    drop(answer);
    match tunnel {
        Some(tunnel) => Some(End::Switched(tunnel)),
        None if manner.is_last || !client.skip_body() => Some(End::Done),
        None => None,
    }
}

/// Answers what is no request, or did not become one in time; nothing that follows it can be one.
async fn refuse(client: &Client, downstream: &Rc<Downstream>, malformed: Option<Malformed>) -> End {
    let mut heads = downstream.worker().heads();
    let mut answer = match malformed {
        Some(malformed) => request::refuse(downstream, &mut heads, malformed),
        None => request::hurry(downstream, &mut heads),
    };
    let manner = Manner::of(&heads, &answer, false, true);
    let written = write(client, downstream, heads, &manner, &mut answer).await;
    written.err().unwrap_or(End::Done)
}

/// Writes an answer to its end. The heads are given back as soon as the answer's is on its way.
async fn write(
    client: &Client,
    downstream: &Rc<Downstream>,
    heads: Heads,
    manner: &Manner,
    answer: &mut Answer,
) -> Result<(), End> {
    let worker = downstream.worker();
    let mut reply = Reply::new(&heads.response, manner, answer, client, worker);
    drop(heads);
    downstream.begin_response();
    let written = poll_fn(|cx| {
        downstream.park(cx.waker());
        if overdue(downstream).is_some() {
            return Poll::Ready(Err(End::Gone));
        }
        let polled = reply.poll(answer, client, downstream, cx);
        note_moves(client, downstream);
        polled
    });
    let written = written.await;
    reply.end(worker);
    written
}

/// Which time is up, if it is that of what the connection does now. A pause in a request is the request's to find.
fn overdue(downstream: &Downstream) -> Option<Expiry> {
    let expiry = downstream.expired()?;
    match (expiry, downstream.phase()) {
        (Expiry::Stream, Phase::Request) => None,
        (Expiry::Idle, Phase::Idle)
        | (Expiry::Head, Phase::Head)
        | (Expiry::Stream, Phase::Response) => Some(expiry),
        // Something moved after all.
        _ => {
            downstream.take_expiry(expiry);
            None
        }
    }
}

/// Bytes of a body are a sign of life too.
fn note_moves(client: &Client, downstream: &Downstream) {
    if client.has_moved() {
        downstream.note_read();
    }
}

/// Whether the answer says by itself that it is the last one.
fn says_close(fields: &Fields) -> bool {
    let mut options = fields.get_all(FieldId::Connection);
    options.any(|option| option.eq_ignore_ascii_case(b"close"))
}

#[cfg(test)]
mod tests {
    use crate::samples::Sampler;
    use std::sync::Arc;

    use tokio::net::TcpListener;

    use crate::metrics::Metrics;
    use crate::worker::Worker;

    use super::*;

    #[tokio::test]
    async fn the_future_of_a_connection_is_small() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stream = TcpStream::connect(address).await.unwrap();
        let sampler = Sampler::new(Arc::default());
        let worker = Worker::new(0, Arc::default(), Arc::new(Metrics::new(1)), sampler);
        let downstream = worker.admit(worker.open_place(address), address);
        // Most connections are idle, and each has one.
        let size = size_of_val(&serve(stream, downstream));
        assert!(size <= 1152, "{size} bytes");
    }
}
