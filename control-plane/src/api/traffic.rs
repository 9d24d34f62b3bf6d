//! `/v1/fleets/{fleet}/traffic`: what became of the fleet's requests, by the revision that served them, as all its nodes
//! report it to all control planes.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::duration::Duration;
use crate::model::timestamp::Timestamp;
use crate::store::rollout::TrafficRow;
use crate::traffic::merged::Merged;
use crate::traffic::outcomes::Outcomes;
use crate::traffic::sum::by_revision;

use super::ApiState;
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::{PathOf, json_at};

const WINDOW_DEFAULT: Duration = Duration::from_millis(5 * 60_000);
/// The store keeps no more.
const WINDOW_MAX: Duration = Duration::from_millis(60 * 60_000);
const TOP_DEFAULT: u32 = 20;
const TOP_MAX: u32 = 100;

/// Which traffic is asked for.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TrafficOf {
    /// How far back: 1s to 1h; 5m if it is not said.
    #[param(value_type = Option<String>, example = "5m")]
    window: Option<Duration>,
    /// Only what this revision has served.
    #[param(minimum = 0)]
    revision: Option<u64>,
    /// So many routes, and so many clusters, are named; 20 if it is not said.
    #[param(minimum = 0, maximum = 100)]
    top: Option<u32>,
}

/// What became of a fleet's requests.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Traffic)]
struct TrafficDocument {
    /// Reports that were written from then on count.
    since: Timestamp,
    /// Until when.
    until: Timestamp,
    /// By the revision that served them, the newest first. 0 stands for those of which it is not known.
    revisions: Vec<RevisionTraffic>,
}

/// Requests that one revision has served.
#[derive(Debug, Serialize, ToSchema)]
struct RevisionTraffic {
    /// The revision.
    revision: u64,
    #[serde(flatten)]
    fared: Fared,
    /// Those that matched no route; load reports of Envoy and gRPC programs do not tell.
    no_route: u64,
    /// Their share.
    no_route_ratio: Option<f64>,
    /// The routes with the most requests. A part of them may have been added up in `other_routes`.
    routes: Vec<RouteTraffic>,
    /// All other routes.
    other_routes: Fared,
    /// The clusters with the most requests. A part of them may have been added up in `other_clusters`.
    clusters: Vec<ClusterTraffic>,
    /// All other clusters.
    other_clusters: Fared,
}

/// Requests that went by one route.
#[derive(Debug, Serialize, ToSchema)]
struct RouteTraffic {
    /// The route configuration, by its xDS name.
    route_configuration: String,
    /// The virtual host, by its xDS name.
    virtual_host: String,
    /// The route.
    route: String,
    #[serde(flatten)]
    fared: Fared,
}

/// Requests that went to one cluster.
#[derive(Debug, Serialize, ToSchema)]
struct ClusterTraffic {
    /// The cluster.
    cluster: String,
    #[serde(flatten)]
    fared: Fared,
}

/// How requests fared.
#[derive(Debug, Serialize, ToSchema)]
struct Fared {
    /// All of them.
    requests: u64,
    /// Those that were answered with a 5xx.
    errors: u64,
    /// Their share; `null` if there are no requests.
    error_ratio: Option<f64>,
    /// Answers by class of their status, as far as it is known: load reports tell of `5xx` alone.
    classes: Classes,
    /// Those that ended without an answer: the client went away.
    unanswered: u64,
    /// Those that failed in the proxy, by cause.
    causes: BTreeMap<String, u64>,
    /// How long they took, in milliseconds; `null` if only load reports tell of them.
    latency_ms: Option<Quantiles>,
}

/// Answers by class of their status.
#[derive(Debug, Serialize, ToSchema)]
struct Classes {
    /// 100 to 199.
    #[serde(rename = "1xx")]
    informational: u64,
    /// 200 to 299.
    #[serde(rename = "2xx")]
    success: u64,
    /// 300 to 399.
    #[serde(rename = "3xx")]
    redirect: u64,
    /// 400 to 499.
    #[serde(rename = "4xx")]
    client_error: u64,
    /// 500 to 599.
    #[serde(rename = "5xx")]
    server_error: u64,
}

/// Each is wrong by a quarter at most.
#[derive(Debug, Serialize, ToSchema)]
struct Quantiles {
    /// Half of all requests took no longer.
    p50: f64,
    /// 95 % took no longer.
    p95: f64,
    /// 99 % took no longer.
    p99: f64,
}

/// Read how requests fare
///
/// By revision, route and cluster, over all nodes of the fleet. Nodes report every few seconds.
#[utoipa::path(get, path = "/v1/fleets/{fleet}/traffic", operation_id = "get_traffic", tag = "traffic",
    params(("fleet" = String, Path, description = "The fleet"), TrafficOf), responses(
    (status = 200, description = "By revision", body = TrafficDocument),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(wanted): Query<TrafficOf>,
) -> Result {
    let (window, top) = (wanted.window()?, wanted.top()?);
    let head = state.store.fleet(&fleet).await?.head;
    let until = state.store.clock().await?;
    let since = Timestamp::from_micros(until.as_micros() - window.as_millis() as i64 * 1_000);
    let mut rows = state.store.traffic(&fleet, since).await?;
    if let Some(revision) = wanted.revision {
        rows.retain(|row| row.revision == revision);
    }
    // An hour of a large fleet is some ten thousand rows.
    let revisions = tokio::task::spawn_blocking(move || revisions(&rows, top)).await;
    let revisions = revisions.map_err(|_| Problem::bare(Kind::Internal))?;
    let document = TrafficDocument {
        since,
        until,
        revisions,
    };
    Ok(json_at(head, document))
}

impl TrafficOf {
    fn window(&self) -> Result<Duration> {
        let window = self.window.unwrap_or(WINDOW_DEFAULT);
        if window < Duration::from_millis(1_000) || window > WINDOW_MAX {
            let detail = format!("`window` is 1s to {WINDOW_MAX}");
            return Err(Problem::new(Kind::BadRequest, detail));
        }
        Ok(window)
    }

    fn top(&self) -> Result<usize> {
        match self.top.unwrap_or(TOP_DEFAULT) {
            top @ 0..=TOP_MAX => Ok(top as usize),
            _ => Err(Problem::new(
                Kind::BadRequest,
                format!("`top` is 0 to {TOP_MAX}"),
            )),
        }
    }
}

fn revisions(rows: &[TrafficRow], top: usize) -> Vec<RevisionTraffic> {
    let merged = by_revision(rows).into_iter().rev();
    merged
        .map(|(revision, merged)| RevisionTraffic::new(revision, &merged, top))
        .collect()
}

impl RevisionTraffic {
    fn new(revision: u64, merged: &Merged, top: usize) -> Self {
        let (routes, other_routes) = merged.routes.top(top);
        let (clusters, other_clusters) = merged.clusters.top(top);
        let route =
            |(name, outcomes): (&crate::traffic::merged::RouteName, &Outcomes)| RouteTraffic {
                route_configuration: name.route_configuration.clone(),
                virtual_host: name.virtual_host.clone(),
                route: name.route.clone(),
                fared: Fared::from(outcomes),
            };
        let cluster = |(name, outcomes): (&String, &Outcomes)| ClusterTraffic {
            cluster: name.clone(),
            fared: Fared::from(outcomes),
        };
        let no_route = merged.no_route.min(merged.total.requests);
        Self {
            revision,
            fared: Fared::from(&merged.total),
            no_route,
            no_route_ratio: ratio(no_route, merged.total.requests),
            routes: routes.into_iter().map(route).collect(),
            other_routes: Fared::from(&other_routes),
            clusters: clusters.into_iter().map(cluster).collect(),
            other_clusters: Fared::from(&other_clusters),
        }
    }
}

impl From<&Outcomes> for Fared {
    fn from(outcomes: &Outcomes) -> Self {
        let [informational, success, redirect, client_error, server_error] = outcomes.classes;
        let quantile = |q| outcomes.latencies.quantile_ms(q);
        let quantiles = (quantile(0.5), quantile(0.95), quantile(0.99));
        Self {
            requests: outcomes.requests,
            errors: outcomes.errors(),
            error_ratio: ratio(outcomes.errors(), outcomes.requests),
            classes: Classes {
                informational,
                success,
                redirect,
                client_error,
                server_error,
            },
            unanswered: outcomes.unanswered,
            causes: outcomes.causes.clone(),
            latency_ms: match quantiles {
                (Some(p50), Some(p95), Some(p99)) => Some(Quantiles { p50, p95, p99 }),
                _ => None,
            },
        }
    }
}

fn ratio(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 / of as f64)
}
