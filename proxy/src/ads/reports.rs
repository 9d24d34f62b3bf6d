//! When what became of requests is collected, and that it may be sent. Collecting goes on without a control plane, so that
//! configs which are no longer used can go.

use std::sync::Arc;
use std::time::{Duration, Instant};

use proto::session::{Samples, Traffic};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use crate::outcomes::Ledger;
use crate::samples::Basket;

/// What waits to be reported.
#[derive(Clone, Debug)]
pub(super) struct Reports {
    ledger: Arc<Ledger>,
    samples: Arc<Basket>,
    collected: watch::Receiver<()>,
}

/// Reports, and what must run for them. `every` is how often; nothing is ever due if there is none.
pub(super) fn begin(
    of: Option<(Arc<Ledger>, Duration)>,
    samples: Arc<Basket>,
) -> (Reports, impl Future<Output = ()>) {
    let (collecting, collected) = watch::channel(());
    let (ledger, every) = match of {
        Some((ledger, every)) => (ledger, Some(every)),
        None => (Arc::default(), None),
    };
    let reports = Reports {
        ledger: ledger.clone(),
        samples,
        collected,
    };
    let collect = async move {
        let Some(every) = every else {
            return std::future::pending().await;
        };
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            ledger.collect();
            collecting.send_replace(());
        }
    };
    (reports, collect)
}

impl Reports {
    /// Ends when more was collected. Cancel-safe.
    pub(super) async fn due(&mut self) {
        if self.collected.changed().await.is_err() {
            // Nobody collects any more.
            std::future::pending::<()>().await;
        }
    }

    /// By what the reports of this process are told from others.
    pub(super) fn reporter(&self) -> u64 {
        self.ledger.reporter()
    }

    /// A session begins.
    pub(super) fn begin_session(&self) {
        self.ledger.begin_session();
    }

    /// What is to be sent now; `None` if there is nothing to say. `are_taken`: whether the control plane says what it takes.
    pub(super) fn next(&self, are_taken: bool) -> Option<Traffic> {
        let now = Instant::now();
        if are_taken {
            self.ledger.send(now)
        } else {
            self.ledger.take(now)
        }
    }

    /// Samples that go with it, once.
    pub(super) fn samples(&self) -> Option<Samples> {
        self.samples.empty()
    }

    /// The control plane has counted the reports up to this one.
    pub(super) fn is_taken(&self, sequence: u64) {
        self.ledger.is_taken(sequence);
    }

    /// Forgets what waits: there is nobody to tell.
    pub(super) fn forget(&self) {
        self.ledger.forget(Instant::now());
        self.samples.empty();
    }
}
