//! `/v1/fleets/{fleet}/route-order`: the order in which routes are asked, which the API's unordered set becomes.

use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Config;
use crate::translate::precedence;

use super::ApiState;
use super::problem::{ProblemDocument, Result};
use super::query::{Nothing, PathOf, json_at};
use super::source::Source;

/// The order of all routes.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RouteOrder {
    /// The listeners, by name.
    listeners: Vec<ListenerOrder>,
}

/// The order of the routes of a listener.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ListenerOrder {
    /// The listener.
    listener: String,
    /// Its hosts, the most specific first: a request belongs to the first that matches, and to no other.
    hosts: Vec<HostOrder>,
}

/// The order of the routes of a host.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct HostOrder {
    /// The host, as routes name it.
    #[schema(example = "*.shop.example")]
    host: String,
    /// Its routes: the first that matches is taken.
    routes: Vec<String>,
}

/// Read the order in which routes are asked
#[utoipa::path(get, path = "/v1/fleets/{fleet}/route-order", operation_id = "get_route_order", tag = "routes",
    params(("fleet" = String, Path, description = "The fleet")), responses(
    (status = 200, description = "The order, for each listener and host", body = RouteOrder),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let base = Source::of(&state).base(&fleet, None).await?;
    let listeners = base
        .config
        .listeners
        .keys()
        .map(|name| order(&base.config, name))
        .collect();
    Ok(json_at(&base, RouteOrder { listeners }))
}

fn order(config: &Config, listener: &str) -> ListenerOrder {
    let hosts = precedence::by_host(config, listener).into_iter();
    let mut hosts: Vec<_> = hosts
        .map(|(host, routes)| HostOrder {
            host: host.to_owned(),
            routes: routes.into_iter().map(|route| route.name.clone()).collect(),
        })
        .collect();
    hosts.sort_by(|a, b| precedence::host_rank(&a.host).cmp(&precedence::host_rank(&b.host)));
    ListenerOrder {
        listener: listener.to_owned(),
        hosts,
    }
}
