//! The books of a request that has begun: whatever becomes of its future, the counters are right. [`Watch`] stands from
//! the request to the response's head, [`InFlight`] from the choice of an endpoint to the end of its answer.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::cause::Cause;
use crate::worker::{Downstream, Target};

/// Counts a request as given up by the client if it is dropped before it has an answer.
pub(super) struct Watch<'d> {
    downstream: &'d Downstream,
    answered: bool,
}

impl<'d> Watch<'d> {
    pub(super) fn new(downstream: &'d Downstream) -> Self {
        Self {
            downstream,
            answered: false,
        }
    }

    /// The request has an answer.
    pub(super) fn end(mut self) {
        self.answered = true;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.answered {
            self.downstream
                .worker()
                .count_failure(Cause::DownstreamClosed);
        }
    }
}

/// A request to an endpoint.
pub(super) struct InFlight {
    target: Rc<Target>,
    endpoint: usize,
    downstream: Rc<Downstream>,
    started: Instant,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// No answer yet; the step that waits for it counts what goes wrong.
    Waiting,
    /// The answer's head is here, its body is on the way.
    Streaming,
    /// The answer is whole, after this time if that is a measure of the endpoint.
    Whole(Option<Duration>),
    /// It broke off for this cause, and that was counted.
    Broken(Cause),
}

impl InFlight {
    /// Counts a request to an endpoint.
    pub(super) fn new(
        target: &Rc<Target>,
        endpoint: usize,
        downstream: &Rc<Downstream>,
        started: Instant,
    ) -> Self {
        let slot = target.slot();
        slot.requests.inc();
        slot.active.inc();
        target.active(endpoint).inc();
        let (target, downstream) = (target.clone(), downstream.clone());
        Self {
            target,
            endpoint,
            downstream,
            started,
            stage: Stage::Waiting,
        }
    }

    /// The cluster.
    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// The address of the endpoint.
    pub(super) fn address(&self) -> SocketAddr {
        self.target.address(self.endpoint)
    }

    /// The name of the endpoint, if it has one.
    pub(super) fn hostname(&self) -> Option<&str> {
        self.target.hostname(self.endpoint)
    }

    /// Goes to another endpoint, if the balancer has another one to offer.
    pub(super) fn goes_elsewhere(&mut self) -> bool {
        match self.target.pick() {
            Some(other) if other != self.endpoint => {
                self.target.active(self.endpoint).dec();
                self.target.active(other).inc();
                self.endpoint = other;
                true
            }
            _ => false,
        }
    }

    /// The answer has begun, with a status of this class.
    pub(super) fn streams(&mut self, class: usize) {
        self.stage = Stage::Streaming;
        self.target.slot().responses[class].inc();
    }

    /// The answer is whole.
    pub(super) fn completes(&mut self) {
        if self.stage == Stage::Streaming {
            let took = self.started.elapsed();
            self.stage = Stage::Whole(Some(took));
            self.target.slot().duration.record(took);
        }
    }

    /// What came in the place of an answer has ended in good order. How long it took is no measure of the endpoint.
    pub(super) fn ends(&mut self) {
        self.stage = Stage::Whole(None);
    }

    /// The answer broke off.
    pub(super) fn breaks(&mut self, cause: Cause) {
        self.stage = Stage::Broken(cause);
        self.downstream.worker().count_failure(cause);
    }

    /// Nothing more will come of the answer: how long it took if it is whole, or why it is not.
    pub(super) fn settle(&mut self) -> Result<Option<Duration>, Cause> {
        if self.stage == Stage::Streaming {
            let stalled = self.downstream.expired().is_some();
            self.breaks(if stalled {
                Cause::StreamIdle
            } else {
                Cause::DownstreamClosed
            });
        }
        match self.stage {
            Stage::Whole(took) => Ok(took),
            Stage::Broken(cause) => Err(cause),
            Stage::Waiting | Stage::Streaming => Ok(None),
        }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let _ = self.settle();
        let slot = self.target.slot();
        slot.active.dec();
        self.target.active(self.endpoint).dec();
        if !matches!(self.stage, Stage::Whole(_)) {
            slot.failures.inc();
        }
    }
}
