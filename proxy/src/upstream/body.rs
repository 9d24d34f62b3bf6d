//! The body of a response as it streams from upstream. Reading it is what drives the exchange: it reads from the socket
//! when it is asked for more and goes on sending the request meanwhile, so whoever reads slowly slows the upstream down.
//! Its pieces are used where they lie. As soon as the last byte is here the connection goes back to the pool, even if the
//! bytes are still on their way down.

use std::rc::Rc;
use std::task::{Context, Poll};

use http_wire::h1::{BodyLength, Decoder};

use crate::receiving::Receiving;

use super::error::UpstreamError;
use super::pool::Pool;
use super::transfer::Transfer;

/// The body of a response. Dropping it before its end closes the upstream connection.
#[derive(Debug)]
pub(crate) struct ResponseBody {
    length: BodyLength,
    framed: bool,
    decoder: Decoder,
    is_reusable: bool,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    /// More may come.
    Coming(Transfer),
    /// All is here; some of it waits to be used.
    Here(Rc<Pool>, Receiving),
    /// It has failed.
    Failed,
}

impl ResponseBody {
    /// A body at its start. What came with the head is taken at once, which is all of it for a small response.
    pub(super) fn new(
        transfer: Transfer,
        length: BodyLength,
        is_reusable: bool,
        framed: bool,
    ) -> Self {
        let mut body = Self {
            length,
            framed,
            decoder: Decoder::new(length),
            is_reusable,
            stage: Stage::Coming(transfer),
        };
        // A fault in these bytes is met again, and told, when the body is read.
        let mut ahead = body.decoder.clone();
        if let Stage::Coming(transfer) = &mut body.stage
            && transfer.receiving().find_piece(&mut ahead, framed).is_ok()
        {
            body.decoder = ahead;
        }
        body.finish_if_done();
        body
    }

    /// Its length, as the response's head says. A chunked one comes out with its chunks if that was asked for.
    pub(crate) fn length(&self) -> BodyLength {
        self.length
    }

    /// Whether the last byte is here, used or not.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Here(..))
    }

    /// The length of the piece that is at hand; 0 at the end.
    pub(crate) fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, UpstreamError>> {
        let polled = self.poll_more(cx);
        if let Poll::Ready(Err(_)) = polled {
            self.stage = Stage::Failed;
        }
        polled
    }

    /// The piece that is at hand.
    pub(crate) fn piece(&self) -> &[u8] {
        match &self.stage {
            Stage::Coming(transfer) => transfer.piece(),
            Stage::Here(_, receiving) => receiving.piece(),
            Stage::Failed => &[],
        }
    }

    /// Uses bytes from the front of the piece.
    pub(crate) fn use_piece(&mut self, len: usize) {
        match &mut self.stage {
            Stage::Coming(transfer) => transfer.receiving().use_piece(len),
            Stage::Here(pool, receiving) => {
                receiving.use_piece(len);
                receiving.release(&pool.buffers);
            }
            Stage::Failed => {}
        }
    }

    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, UpstreamError>> {
        loop {
            let transfer = match &mut self.stage {
                Stage::Coming(transfer) => transfer,
                Stage::Here(_, receiving) => return Poll::Ready(Ok(receiving.piece().len())),
                Stage::Failed => return Poll::Ready(Ok(0)),
            };
            let len = transfer
                .receiving()
                .find_piece(&mut self.decoder, self.framed)?;
            if self.decoder.is_done() {
                self.finish_if_done();
                continue;
            }
            if len > 0 {
                transfer.pause();
                transfer.check_deadline()?;
                return Poll::Ready(Ok(len));
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
        if !self.decoder.is_done() {
            return;
        }
        match std::mem::replace(&mut self.stage, Stage::Failed) {
            Stage::Coming(transfer) => {
                let (pool, mut receiving) = transfer.finish(self.is_reusable);
                if receiving.piece().is_empty() {
                    receiving.discard(&pool.buffers);
                }
                self.stage = Stage::Here(pool, receiving);
            }
            stage => self.stage = stage,
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Stage::Here(pool, receiving) = &mut self.stage {
            receiving.discard(&pool.buffers);
        }
    }
}
