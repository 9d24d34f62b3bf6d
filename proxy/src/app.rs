//! Puts the parts together and owns the order of the end. Everything here runs on the side runtime: the client of the
//! control plane, the writer, the admin port. The workers have threads of their own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Sources};
use crate::ads::{self, Client, Credentials};
use crate::bootstrap::Settings;
use crate::dns::Names;
use crate::machine::{Machine, Started};
use crate::traffic::{Drained, Traffic};

/// How often configs that are no longer live are looked at.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// A proxy that runs.
#[derive(Debug)]
pub struct Proxy {
    traffic: Traffic,
    admin: SocketAddr,
    drain_timeout: Duration,
    /// Told when the admin port is asked to drain.
    asked_to_drain: Arc<Notify>,
    following: (CancellationToken, JoinHandle<()>),
    serving: (CancellationToken, JoinHandle<()>),
    /// Ends when nothing more can become live and all is kept.
    keeping: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy on the runtime that this is called on. It serves what was live before a restart, if that was kept;
    /// else it serves when the control plane has said what.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(settings.admin).await;
        let listener = listener.with_context(|| format!("cannot listen on {}", settings.admin))?;
        let admin = listener.local_addr()?;
        settings.check()?;
        let node = settings.node().context("no identity")?;
        let (traffic, writer) = Traffic::start(settings.worker_count(), settings.bind)
            .context("cannot start workers")?;
        let report_interval = Some(settings.report_interval).filter(|every| !every.is_zero());
        let reports = report_interval.map(|every| (traffic.ledger.clone(), every));
        if let Some((ledger, _)) = &reports {
            ledger.open(Instant::now());
            traffic.samples.open(settings.sample_requests);
        }
        let started = Machine::start(
            writer,
            traffic.shared.clone(),
            &settings.fleet,
            settings.data_dir.as_deref(),
        );
        let Started {
            machine,
            recalled,
            left,
            keeping,
        } = started.context("cannot keep what is live in the data folder")?;
        let known = recalled.as_ref().map(|held| ads::Status {
            wire_set: held.wire_set.clone(),
            standing: ads::Standing {
                live_revision: if held.waits_for_names() {
                    0
                } else {
                    held.revision
                },
                confirmed_revision: held.revision,
                left,
                ..Default::default()
            },
            ..Default::default()
        });
        let (status, ads) = watch::channel(Arc::new(known.unwrap_or_default()));
        let asked_to_drain = Arc::new(Notify::new());
        let names = Names::new(&settings.dns_servers);
        let sources = Sources {
            answers: names.watch(),
            lookups: names.counters(),
            node: node.clone(),
            shared: traffic.shared.clone(),
            metrics: traffic.metrics.clone(),
            ads,
            drain: asked_to_drain.clone(),
        };
        let client = Client {
            servers: settings.xds.clone(),
            credentials: Credentials {
                ca: settings.xds_ca.clone(),
                identity: settings.xds_cert.clone().zip(settings.xds_key.clone()),
                token: settings.xds_token_file.clone(),
            },
            mode: settings.xds_mode,
            node,
            initial_fetch_timeout: settings.initial_fetch_timeout,
            recalled,
            left,
            reports,
            samples: traffic.samples.clone(),
        };
        Ok(Self {
            following: spawn(|shutdown| client.run(machine, names, status, shutdown)),
            serving: spawn(|shutdown| admin::serve(listener, sources, shutdown)),
            keeping,
            traffic,
            admin,
            drain_timeout: settings.drain_timeout,
            asked_to_drain,
        })
    }

    /// Where the admin port listens.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// Runs until `stop` ends or the admin port is asked to drain, then ends in order. An error means that the proxy
    /// could not go on.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) -> anyhow::Result<()> {
        let retired = self.traffic.retired.clone();
        let sweeping = async {
            loop {
                tokio::time::sleep(SWEEP_INTERVAL).await;
                retired.sweep();
            }
        };
        tokio::select! {
            () = stop => {}
            () = self.asked_to_drain.notified() => {}
            () = self.traffic.worker_lost() => bail!("a worker's thread has ended"),
            () = sweeping => {}
        }
        self.shut_down().await;
        Ok(())
    }

    /// No new config, then no new traffic, and at last no readiness to ask for.
    async fn shut_down(self) {
        tracing::info!("draining");
        end(self.following).await;
        joined(self.keeping).await;
        if self.traffic.drain(self.drain_timeout).await == Drained::Cut {
            tracing::warn!("the drain timeout has passed with requests in flight");
        }
        end(self.serving).await;
    }
}

fn spawn<F>(task: impl FnOnce(CancellationToken) -> F) -> (CancellationToken, JoinHandle<()>)
where
    F: Future<Output = ()> + Send + 'static,
{
    let shutdown = CancellationToken::new();
    (shutdown.clone(), tokio::spawn(task(shutdown)))
}

async fn end((shutdown, task): (CancellationToken, JoinHandle<()>)) {
    shutdown.cancel();
    joined(task).await;
}

async fn joined(task: JoinHandle<()>) {
    if let Err(error) = task.await {
        tracing::error!(%error, "a task ended badly");
    }
}
