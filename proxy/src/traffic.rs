//! The threads that carry traffic: starts them, hands out the [`Writer`] that tells them what to serve, drains and joins
//! them. Each is a runtime of its own that nobody else's work can delay.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::cause::Cause;
use crate::listener;
use crate::live::{Handover, Retired, Shared, Writer};
use crate::metrics::Metrics;
use crate::outcomes::Ledger;
use crate::samples::{Basket, Sampler};
use crate::worker::Worker;

/// The running workers.
#[derive(Debug)]
pub struct Traffic {
    pub(crate) shared: Arc<Shared>,
    pub(crate) retired: Arc<Retired>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) samples: Arc<Basket>,
    workers: Vec<UnboundedSender<Handover>>,
    /// Told when a worker's thread has ended.
    ended: Vec<oneshot::Receiver<()>>,
}

/// How the workers came to their end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Every request was answered.
    Completely,
    /// The time was up while some were still in flight.
    Cut,
}

impl Traffic {
    /// Starts `count` workers. `bind` stands in for the wildcard address of listeners. Nothing is served until the writer
    /// has applied a config.
    pub fn start(count: usize, bind: Option<IpAddr>) -> io::Result<(Self, Writer)> {
        let shared = Arc::new(Shared::default());
        let retired = Arc::new(Retired::default());
        let metrics = Arc::new(Metrics::new(count));
        let ledger = Arc::new(Ledger::default());
        let samples = Arc::new(Basket::default());
        let (mut workers, mut ended) = (Vec::new(), Vec::new());
        for index in 0..count {
            let (worker, handovers) = unbounded_channel();
            ended.push(start_worker(
                index,
                shared.clone(),
                metrics.clone(),
                Sampler::new(samples.clone()),
                handovers,
            )?);
            workers.push(worker);
        }
        let writer = Writer::new(
            shared.clone(),
            retired.clone(),
            metrics.clone(),
            ledger.clone(),
            workers.clone(),
            bind,
        );
        Ok((
            Self {
                shared,
                retired,
                metrics,
                ledger,
                samples,
                workers,
                ended,
            },
            writer,
        ))
    }

    /// What became of requests, for who wants reports.
    pub fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Failed requests so far, by the code of their cause: `NR`, `UF`, …
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        let count = |cause: Cause| {
            self.metrics
                .process
                .sum(|slot| &slot.failures[cause.index()])
        };
        Cause::ALL
            .into_iter()
            .map(|cause| (cause.code(), count(cause)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Ends when a worker's thread has ended although nobody asked it to: a fault that the process should not survive.
    pub(crate) async fn worker_lost(&mut self) {
        let ended = self.ended.iter_mut();
        let _ = futures_util::future::select_all(ended).await;
    }

    /// Stops accepting, lets requests in flight end, and ends the workers. After `timeout` what is left is cut.
    pub async fn drain(self, timeout: Duration) -> Drained {
        self.shared.start_draining();
        self.tell(|| Handover::Drain);
        let mut all = futures_util::future::join_all(self.ended);
        let outcome = match tokio::time::timeout(timeout, &mut all).await {
            Ok(_) => return Drained::Completely,
            Err(_) => Drained::Cut,
        };
        for worker in &self.workers {
            let _ = worker.send(Handover::Stop);
        }
        all.await;
        outcome
    }

    fn tell(&self, message: impl Fn() -> Handover) {
        for worker in &self.workers {
            // A worker that is gone has nothing to drain.
            let _ = worker.send(message());
        }
    }
}

fn start_worker(
    index: usize,
    shared: Arc<Shared>,
    metrics: Arc<Metrics>,
    sampler: Sampler,
    handovers: UnboundedReceiver<Handover>,
) -> io::Result<oneshot::Receiver<()>> {
    let (ending, ended) = oneshot::channel();
    let (starting, started) = std::sync::mpsc::channel();
    let thread = std::thread::Builder::new().name(format!("worker-{index}"));
    thread.spawn(move || {
        // Dropped when the thread ends, in whatever way; that is the message.
        let _ending: oneshot::Sender<()> = ending;
        // It belongs to this thread alone, so that a task of a connection goes straight into its one queue. A `LocalSet` would
        // be a second scheduler inside the first.
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => return drop(starting.send(Err(error))),
        };
        let _ = starting.send(Ok(()));
        runtime.block_on(async move {
            let worker = Worker::new(index, shared, metrics, sampler);
            listener::serve(worker, handovers).await;
        });
    })?;
    // Without a word the thread has ended at once.
    started
        .recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))?;
    Ok(ended)
}
