//! The admin port: readiness, metrics, and what is served. It runs on the side runtime and reads only what the workers
//! publish, so no scrape delays a request. Everything is GET; the one thing that changes something is `POST /drain`.

mod config_dump;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use xds::node::Node;

use crate::ads;
use crate::dns::{Answers, Counters};
use crate::live::Shared;
use crate::metrics::{self, Metrics};

/// What the admin port shows.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// Who we are.
    pub(crate) node: Node,
    /// What is live.
    pub(crate) shared: Arc<Shared>,
    /// What was counted.
    pub(crate) metrics: Arc<Metrics>,
    /// What the control plane sent.
    pub(crate) ads: watch::Receiver<Arc<ads::Status>>,
    /// What is known of the names of clusters.
    pub(crate) answers: watch::Receiver<Arc<Answers>>,
    /// How their lookups ended.
    pub(crate) lookups: Arc<Counters>,
    /// Told when somebody asks the proxy to drain.
    pub(crate) drain: Arc<Notify>,
}

/// Serves the admin port until it is cancelled.
pub(crate) async fn serve(listener: TcpListener, sources: Sources, shutdown: CancellationToken) {
    let routes = Router::new()
        .route("/ready", get(ready))
        .route("/metrics", get(metrics_text))
        .route("/config_dump", get(config_dump_json))
        .route("/drain", post(drain))
        .with_state(sources);
    let serving = axum::serve(listener, routes).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::error!(%error, "the admin port failed");
    }
}

/// 200 while a config is served and the proxy wants traffic: its sockets listen by then, while its generation is set just
/// before. The words are Envoy's.
async fn ready(State(sources): State<Sources>) -> (StatusCode, &'static str) {
    let shared = &sources.shared;
    if shared.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "DRAINING\n")
    } else if shared.status().since.is_none() {
        (StatusCode::SERVICE_UNAVAILABLE, "PRE_INITIALIZING\n")
    } else {
        (StatusCode::OK, "LIVE\n")
    }
}

async fn metrics_text(State(sources): State<Sources>) -> Response {
    let ads = sources.ads.borrow().clone();
    let state = metrics::State {
        generation: sources.shared.generation(),
        problems: ads.refused.len() + ads.unfit.len() + sources.shared.status().problems.len(),
        connected: ads.connected,
        virtual_hosts: ads.virtual_hosts,
        store_failures: sources.shared.kept().failures,
        draining: sources.shared.is_draining(),
        lookups: sources.lookups.by_outcome(),
        live_revision: ads.standing.live_revision,
        staged_revision: ads.standing.staged_revision,
        confirmed_revision: ads.standing.confirmed_revision,
        lease_left: ads.standing.lease_left(Instant::now()),
        reverts: ads.standing.reverts,
    };
    let text = metrics::render(&sources.metrics, state);
    (
        [(
            header::CONTENT_TYPE,
            "text/plain; version=0.0.4; charset=utf-8",
        )],
        text,
    )
        .into_response()
}

async fn config_dump_json(State(sources): State<Sources>) -> Response {
    // A large config takes a while to print: not on a thread that has other work.
    match tokio::task::spawn_blocking(move || config_dump::render(&sources)).await {
        Ok(dump) => json(&dump),
        Err(error) => {
            tracing::error!(%error, "config dump failed");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

fn json(value: &Value) -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        format!("{value:#}\n"),
    )
        .into_response()
}

/// Does what SIGTERM does.
async fn drain(State(sources): State<Sources>) -> StatusCode {
    sources.drain.notify_one();
    StatusCode::ACCEPTED
}
