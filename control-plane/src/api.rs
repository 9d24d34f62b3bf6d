//! The admin API: REST and JSON under `/v1`, every route on this page. Handlers are thin: read the request, ask the
//! store, write the answer. What a write must pass is in `revision`; how it is repeated is in `write`.
//!
//! Every failure is an `application/problem+json` (`problem`), also those of the framework (`finish`).

mod by;
mod delivery;
mod document;
mod dry_run;
mod etag;
mod filter;
mod finish;
mod guard;
mod limits;
mod precondition;
mod problem;
mod query;
mod turns;
mod verbs;
mod write;

mod source;

mod audit;
mod config;
mod endpoints;
mod events;
mod explain;
mod fleets;
mod node_config;
mod nodes;
mod openapi;
mod plan;
mod process;
mod revisions;
mod rollouts;
mod route_order;
mod samples;
mod slow_lane;
mod tokens;
mod traffic;

use std::sync::Arc;

use axum::extract::DefaultBodyLimit;
use axum::{Extension, Router, middleware};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi as _;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::Feed;
use crate::metrics::Metrics;
use crate::rollout::webhook::AllowList;
use crate::snapshots::Snapshots;
use crate::store::Store;
use crate::workbench::Workbench;

pub use self::guard::Access;
use self::openapi::{ApiDoc, Document};
use self::slow_lane::{clusters, listeners, routes as route_resources};
pub use self::turns::Turns;

/// Largest body of a request, but for a whole config: 8 MiB.
const BODY_MAX: usize = 8 * 1024 * 1024;

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct ApiState {
    /// The database.
    pub store: Arc<dyn Store>,
    /// What clients are served now.
    pub snapshots: Arc<Snapshots>,
    /// What was validated last.
    pub workbench: Arc<Workbench>,
    /// Who is let in.
    pub access: Access,
    /// The hosts that webhooks may be at.
    pub webhook_hosts: Arc<AllowList>,
    /// The counters.
    pub metrics: Arc<Metrics>,
    /// Who writes to which fleet now.
    pub turns: Turns,
    /// Largest body of a request that brings a whole config, in bytes.
    pub max_config_bytes: usize,
    /// Cancelled when the process is about to end: it is then no longer ready.
    pub shutdown: CancellationToken,
}

/// The admin API as a service.
pub fn router(state: ApiState) -> Router {
    let (router, document) = routes().split_for_parts();
    with_layers(router, &document, state)
}

/// What stands around every route, from the inside out.
fn with_layers(
    router: Router<ApiState>,
    document: &utoipa::openapi::OpenApi,
    state: ApiState,
) -> Router {
    let router = router
        .layer(Extension(Document::new(&verbs::document(document.clone()))))
        .layer(Extension(Feed::new(state.store.clone())))
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn(limits::in_time))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn_with_state(state.clone(), guard::guard))
        .layer(middleware::from_fn_with_state(
            state.clone(),
            finish::finish,
        ))
        .with_state(state);
    // Which route a request is for is decided when it comes in, so its path is read before.
    Router::new().fallback_service(router.map_request(verbs::route))
}

/// Every route. One that is made in another way would be missing from the OpenAPI document.
fn routes() -> OpenApiRouter<ApiState> {
    OpenApiRouter::with_openapi(ApiDoc::openapi())
        .routes(routes!(fleets::list))
        .routes(routes!(fleets::get, fleets::put, fleets::delete))
        .routes(routes!(config::get, config::put))
        .routes(routes!(listeners::list))
        .routes(routes!(
            listeners::get,
            listeners::put,
            listeners::patch,
            listeners::delete
        ))
        .routes(routes!(clusters::list))
        .routes(routes!(
            clusters::get,
            clusters::put,
            clusters::patch,
            clusters::delete
        ))
        .routes(routes!(route_resources::list))
        .routes(routes!(
            route_resources::get,
            route_resources::put,
            route_resources::patch,
            route_resources::delete
        ))
        .routes(routes!(route_order::get))
        .routes(routes!(explain::post))
        .routes(routes!(plan::post))
        .routes(routes!(endpoints::list))
        .routes(routes!(
            endpoints::get,
            endpoints::put,
            endpoints::patch,
            endpoints::delete
        ))
        .routes(routes!(revisions::list))
        .routes(routes!(revisions::get))
        .routes(routes!(revisions::get_config))
        .routes(routes!(revisions::get_diff))
        .routes(routes!(revisions::revert))
        .routes(routes!(rollouts::list, rollouts::start))
        .routes(routes!(rollouts::get))
        .routes(routes!(rollouts::pause))
        .routes(routes!(rollouts::resume))
        .routes(routes!(rollouts::promote))
        .routes(routes!(rollouts::skip))
        .routes(routes!(rollouts::approve))
        .routes(routes!(rollouts::abort))
        .routes(routes!(rollouts::retry))
        .routes(routes!(nodes::list))
        .routes(routes!(nodes::get))
        .routes(routes!(node_config::get))
        .routes(routes!(traffic::get))
        .routes(routes!(samples::get))
        .routes(routes!(events::get))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::get, tokens::revoke))
        .routes(routes!(audit::list))
        .routes(routes!(openapi::get))
        .routes(routes!(process::healthz))
        .routes(routes!(process::readyz))
        .routes(routes!(process::metrics))
}

#[cfg(test)]
mod tests;
