//! `/v1/fleets/{fleet}/nodes[/{id}]`: who is connected, on whichever control plane, and how far each of them is.

use axum::extract::{Query, State};

use crate::store::node_status::NodeStatus;

use super::ApiState;
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::{Nothing, Page, Paging, PathOf, json_at};

/// List the nodes
#[utoipa::path(get, path = "/v1/fleets/{fleet}/nodes", operation_id = "list_nodes", tag = "nodes",
    params(("fleet" = String, Path, description = "The fleet"), Paging), responses(
    (status = 200, description = "By id", body = Page<NodeStatus>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(paging): Query<Paging>,
) -> Result {
    let (limit, after) = (paging.limit()?, paging.after()?);
    let head = state.store.fleet(&fleet).await?.head;
    let nodes = state.store.nodes(&fleet, after, limit + 1).await?;
    Ok(json_at(
        head,
        Page::new(nodes, limit, |node: &NodeStatus| node.id.clone()),
    ))
}

/// Read a node
#[utoipa::path(get, path = "/v1/fleets/{fleet}/nodes/{id}", operation_id = "get_node", tag = "nodes",
    params(("fleet" = String, Path, description = "The fleet"), ("id" = String, Path, description = "Its id")),
    responses(
    (status = 200, description = "The node", body = NodeStatus),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf((fleet, id)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let head = state.store.fleet(&fleet).await?.head;
    let missing = || {
        Problem::new(
            Kind::NotFound,
            format!("no node {id:?} has ever connected to this fleet"),
        )
    };
    // The database takes no NUL in text.
    let node = if id.contains('\0') {
        None
    } else {
        state.store.node(&fleet, &id).await?
    };
    Ok(json_at(head, node.ok_or_else(missing)?))
}
