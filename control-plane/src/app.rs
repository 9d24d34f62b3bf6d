//! Wires everything together and owns the order in which it starts and ends. In: settings. Out: a running control
//! plane with the addresses it listens on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::ads::{AdsService, StreamContext, Turnstile};
use crate::api::{self, Access, ApiState, Turns};
use crate::driver::Driver;
use crate::join::{Asks, JoinLayer};
use crate::lookout::Lookout;
use crate::lrs::{Demand, LoadReports};
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::reconciler::Reconciler;
use crate::refusals::Refusals;
use crate::rollout::webhook::AllowList;
use crate::samples::Samples;
use crate::session::SessionService;
use crate::settings::Settings;
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::store::sql::{Database, SqlStore};
use crate::tls::{Incoming, Protocol, Tls, TlsFiles, Trust};
use crate::tokens::Tokens;
use crate::traffic::Traffic;
use crate::webhooks::{Secret, WebhookSettings, Webhooks};
use crate::workbench::Workbench;

/// How long requests that run may take to end once the process is told to.
const GRACE: Duration = Duration::from_secs(5);
/// How often xDS connections are probed, and how long an answer may take before one counts as dead.
const KEEP_ALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));
/// How many connections may wait to be accepted; the system may allow fewer (`net.core.somaxconn`, 4096). A whole fleet comes back
/// at once when a replica ends, and with tokio's 128 a part of it is refused.
const BACKLOG: u32 = 4096;

/// A running control plane.
#[derive(Debug)]
pub struct App {
    /// Where the admin API listens.
    pub admin: SocketAddr,
    /// Where proxies connect.
    pub xds: SocketAddr,
    store: Arc<dyn Store>,
    shutdown: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl App {
    /// Opens the database, binds both ports and begins to serve.
    ///
    /// # Errors
    /// Settings that are unsafe, a database that cannot be opened, a port that is taken.
    pub async fn start(settings: &Settings) -> anyhow::Result<Self> {
        settings.check()?;
        let admin_tls = load(settings.admin_tls(), Protocol::Http1)?;
        let xds_tls = load(settings.xds_tls(), Protocol::Http2)?;
        let webhooks = webhooks(settings)?;
        let store: Arc<dyn Store> = Arc::new(SqlStore::open(&database(settings)?).await?);
        let tokens = tokens(settings, &store).await?;
        let admin = bind("admin", settings.admin)?;
        let xds = bind("xds", settings.xds)?;
        let addresses = (admin.local_addr()?, xds.local_addr()?);
        // A replica is a process: after a restart it is another one, and what the old one knew of its nodes is history.
        let replica = uuid::Uuid::now_v7().to_string();
        let traffic = Traffic::new(replica.clone());
        let samples = Arc::new(Samples::default());
        let mut metrics = Metrics::default();
        metrics.show(traffic.series());
        let (shutdown, metrics) = (CancellationToken::new(), Arc::new(metrics));
        let (snapshots, nodes) = (
            Arc::new(Snapshots::default()),
            Nodes::new(replica.clone(), metrics.clone()),
        );
        let refusals = Refusals::new(snapshots.clone());
        let workbench = Arc::new(Workbench::default());
        let reconciler = Reconciler::new(store.clone(), snapshots.clone(), workbench.clone());
        let reconciler = Arc::new(reconciler);
        // Before the first stream: a fleet that is not known yet would be refused.
        reconciler.refresh().await?;
        let ads = AdsService::new(StreamContext {
            reconciler: reconciler.clone(),
            snapshots: snapshots.clone(),
            nodes: nodes.clone(),
            refusals: refusals.clone(),
            metrics: metrics.clone(),
            turnstile: Turnstile::per_second(settings.new_streams_per_second),
            control_plane: replica.clone(),
        });
        let session = SessionService::new(
            reconciler.clone(),
            snapshots.clone(),
            nodes.clone(),
            refusals.clone(),
            traffic.clone(),
            samples.clone(),
        );
        let demand = Demand::new(store.clone());
        let load_reports = LoadReports {
            nodes: nodes.clone(),
            store: store.clone(),
            traffic: traffic.clone(),
            demand: demand.clone(),
            interval: Duration::from_secs(settings.load_report_seconds.get().into()),
        };
        let access = if settings.admin_asks() {
            Access::by_token(tokens.clone())
        } else {
            Access::for_local(tokens.clone(), settings.admin.ip())
        };
        let asks = Asks {
            token: settings.xds_asks(),
            any_fleet: settings.xds_cert_any_fleet,
        };
        let join = JoinLayer::new(tokens.clone(), asks);
        let mut tasks = JoinSet::new();
        for tls in [&admin_tls, &xds_tls].into_iter().flatten() {
            tasks.spawn(running(tls.clone().follow(shutdown.clone())));
        }
        tasks.spawn(running(tokens.run(shutdown.clone())));
        let driver = Driver::new(
            store.clone(),
            replica,
            Webhooks::new(webhooks.clone()),
            nodes.written(),
        );
        tasks.spawn(running(reconciler.run(driver, shutdown.clone())));
        let lookout = Lookout::new(store.clone(), nodes.clone());
        tasks.spawn(running(lookout.run(shutdown.clone())));
        tasks.spawn(running(nodes.run(store.clone(), shutdown.clone())));
        tasks.spawn(running(refusals.run(store.clone(), shutdown.clone())));
        tasks.spawn(running(traffic.run(store.clone(), shutdown.clone())));
        tasks.spawn(running(samples.run(store.clone(), shutdown.clone())));
        tasks.spawn(running(demand.run(shutdown.clone())));
        tasks.spawn(serve_xds(
            Incoming::new(xds, xds_tls)?,
            join,
            ads,
            session,
            load_reports,
            shutdown.clone(),
        ));
        tasks.spawn(serve_admin(
            Incoming::new(admin, admin_tls)?,
            ApiState {
                store: store.clone(),
                turns: Turns::default(),
                max_config_bytes: settings.max_config_bytes,
                access,
                webhook_hosts: Arc::new(webhooks.allowed),
                snapshots,
                workbench,
                metrics,
                shutdown: shutdown.clone(),
            },
        ));
        Ok(Self {
            admin: addresses.0,
            xds: addresses.1,
            store,
            shutdown,
            tasks,
        })
    }

    /// Ends when a part of the control plane ends by itself, which none should.
    pub async fn failed(&mut self) -> anyhow::Error {
        match self.tasks.join_next().await {
            Some(Ok(Err(error))) => error,
            Some(Err(error)) => error.into(),
            _ => anyhow::anyhow!("a part of the control plane ended by itself"),
        }
    }

    /// Ends in order: no new requests, those that run may finish, then the database.
    ///
    /// # Errors
    /// A part ended with one.
    pub async fn stop(mut self) -> anyhow::Result<()> {
        self.shutdown.cancel();
        let ended = tokio::time::timeout(GRACE, async {
            while let Some(task) = self.tasks.join_next().await {
                task??;
            }
            anyhow::Ok(())
        });
        let ended = ended.await.unwrap_or_else(|_| {
            tracing::warn!(
                seconds = GRACE.as_secs(),
                "requests that still ran were cut off"
            );
            Ok(())
        });
        self.tasks.shutdown().await;
        self.store.close().await;
        ended
    }
}

async fn serve_admin(listener: Incoming, state: ApiState) -> anyhow::Result<()> {
    let shutdown = state.shutdown.clone();
    axum::serve(listener, api::router(state))
        .with_graceful_shutdown(shutdown.cancelled_owned())
        .await?;
    Ok(())
}

/// Streams of proxies never end by themselves, so they are not waited for: their clients come back elsewhere.
async fn serve_xds(
    incoming: Incoming,
    join: JoinLayer,
    ads: AdsService,
    session: SessionService,
    load_reports: LoadReports,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let server = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(KEEP_ALIVE.0))
        .http2_keepalive_timeout(Some(KEEP_ALIVE.1))
        .layer(join)
        .add_routes(ads.routes())
        .add_service(session.into_server())
        .add_service(load_reports.into_server())
        .serve_with_incoming(incoming);
    shutdown.run_until_cancelled(server).await.transpose()?;
    Ok(())
}

async fn running(part: impl Future<Output = ()>) -> anyhow::Result<()> {
    part.await;
    Ok(())
}

/// The tokens there are, with a first one if they are asked for.
async fn tokens(settings: &Settings, store: &Arc<dyn Store>) -> anyhow::Result<Arc<Tokens>> {
    let tokens = Tokens::new(store.clone());
    tokens.refresh().await?;
    if settings.admin_asks() || settings.xds_asks() {
        let given = settings.bootstrap_token.as_deref();
        tokens.bootstrap(given, &settings.data_dir).await?;
    }
    Ok(tokens)
}

fn load(files: Option<TlsFiles>, protocol: Protocol) -> anyhow::Result<Option<Arc<Tls>>> {
    let loaded = files.map(|files| Tls::load(files, protocol)).transpose();
    loaded.context("--tls-cert, --tls-key, --xds-client-ca")
}

/// Whom webhooks are asked as. A system without roots of certificates has webhooks without TLS.
fn webhooks(settings: &Settings) -> anyhow::Result<WebhookSettings> {
    if settings.webhook_allow.is_empty() {
        return Ok(WebhookSettings::default());
    }
    let trust = match &settings.webhook_ca {
        Some(path) => Some(Trust::load(Some(path), None).context("--webhook-ca")?),
        None => Trust::load(None, None).ok(),
    };
    let secret = settings.webhook_secret_file.as_deref();
    let secret = secret.map(Secret::read).transpose();
    Ok(WebhookSettings {
        allowed: AllowList::from(settings.webhook_allow.clone()),
        trust,
        secret: secret.context("--webhook-secret-file")?,
    })
}

fn database(settings: &Settings) -> anyhow::Result<Database> {
    match &settings.database {
        Some(url) => Ok(url.parse().context("--database")?),
        None => Ok(Database::Sqlite(settings.data_dir.join("signalbox.db"))),
    }
}

fn bind(port: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    listen(address).with_context(|| format!("cannot listen on --{port} {address}"))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart must not wait for connections of the process before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}
