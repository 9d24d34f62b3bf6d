//! Watches the clock of one exchange: a deadline, and how long nothing has moved.
//! It moves the connection's timer forward only when that would be too late, so an exchange that ends in time costs the timer
//! nothing: the next one begins later and finds it set early enough.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::error::UpstreamError;

/// What limits one exchange in time.
#[derive(Debug, Default)]
pub(super) struct Watch {
    idle: Option<Duration>,
    deadline: Option<Instant>,
    /// What becomes the deadline once the request has arrived whole.
    timeout: Option<Duration>,
    waiting_since: Option<Instant>,
}

impl Watch {
    /// Nothing has moved yet, and nobody has waited yet.
    pub(super) fn new(
        idle: Option<Duration>,
        deadline: Option<Instant>,
        timeout: Option<Duration>,
    ) -> Self {
        Self {
            idle,
            deadline,
            timeout,
            waiting_since: None,
        }
    }

    /// Something moved, or the exchange is not the one that keeps everybody waiting.
    pub(super) fn moved(&mut self) {
        self.waiting_since = None;
    }

    /// The request has arrived whole: its timeout begins to count, if it has one.
    pub(super) fn request_is_whole(&mut self) {
        if let Some(timeout) = self.timeout.take() {
            self.deadline = Instant::now().checked_add(timeout);
        }
    }

    /// True when the deadline has passed. While data keeps coming nobody waits, and [`Watch::poll`] is not called.
    pub(super) fn is_over(&self) -> bool {
        self.deadline
            .is_some_and(|deadline| Instant::now() >= deadline)
    }

    /// Called when there is nothing to do but wait: ready when that has taken too long.
    pub(super) fn poll(
        &mut self,
        timer: &mut Pin<Box<Sleep>>,
        cx: &mut Context<'_>,
    ) -> Poll<UpstreamError> {
        let idle_until = match self.idle {
            Some(idle) => self
                .waiting_since
                .get_or_insert_with(Instant::now)
                .checked_add(idle),
            None => None,
        };
        let Some(until) = [idle_until, self.deadline].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        loop {
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= until {
                let is_deadline = self.deadline == Some(until);
                return Poll::Ready(if is_deadline {
                    UpstreamError::Deadline
                } else {
                    UpstreamError::Idle
                });
            }
            // It was set for an earlier exchange.
            timer.as_mut().reset(until);
        }
    }
}
