//! The body of a response as it streams from upstream. Reading it is what drives the exchange: it reads from the socket
//! when it is asked for more and goes on sending the request meanwhile, so whoever reads slowly slows the upstream down.
//! As soon as the last byte is here the connection goes back to the pool, even if the bytes are still on their way down.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_wire::h1::{BodyLength, Decoder};

use super::error::UpstreamError;
use super::transfer::Transfer;

/// The body of a response. Dropping it before its end closes the upstream connection.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    /// Data that came together with the head.
    first: Option<Bytes>,
    decoder: Decoder,
    is_reusable: bool,
    /// Gone once the body has ended or failed.
    transfer: Option<Transfer>,
}

impl ResponseBody {
    /// A body at its start. What came with the head is taken at once, which is all of it for a small response.
    pub(super) fn new(transfer: Transfer, length: BodyLength, is_reusable: bool) -> Self {
        let decoder = Decoder::new(length);
        let mut body = Self {
            first: None,
            decoder,
            is_reusable,
            transfer: Some(transfer),
        };
        // A fault in these bytes is met again, and told, when the body is read.
        let mut ahead = body.decoder.clone();
        if let Some(transfer) = &mut body.transfer
            && let Ok(first) = transfer.receiving.data(&mut ahead)
        {
            body.first = first;
            body.decoder = ahead;
        }
        body.finish_if_done();
        body
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, UpstreamError>> {
        loop {
            let Some(transfer) = &mut self.transfer else {
                return Poll::Ready(Ok(None));
            };
            if let Some(data) = transfer.receiving.data(&mut self.decoder)? {
                if self.decoder.is_done() {
                    self.finish_if_done();
                } else {
                    transfer.pause();
                    transfer.check_deadline()?;
                }
                return Poll::Ready(Ok(Some(data)));
            }
            if self.decoder.is_done() {
                self.finish_if_done();
                continue;
            }
            match transfer.poll(cx) {
                Poll::Ready(Ok(0)) => {
                    self.decoder.end().map_err(|_| transfer.closed())?;
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn finish_if_done(&mut self) {
        if self.decoder.is_done()
            && let Some(transfer) = self.transfer.take()
        {
            transfer.finish(self.is_reusable);
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = UpstreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UpstreamError>>> {
        let body = self.get_mut();
        if let Some(first) = body.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        body.poll_data(cx).map(|result| {
            if result.is_err() {
                body.transfer = None;
            }
            result.map(|data| data.map(Frame::data)).transpose()
        })
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_none() && self.transfer.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let first = self.first.as_ref().map_or(0, |first| first.len() as u64);
        match self.decoder.remaining() {
            Some(remaining) => SizeHint::with_exact(first.saturating_add(remaining)),
            None => SizeHint::default(),
        }
    }
}
