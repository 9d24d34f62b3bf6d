//! `/v1/fleets/{fleet}/nodes[/{id}]`: who is connected, on whichever control plane, and how far each of them is.

use axum::extract::{Query, State};
use serde::Serialize;
use utoipa::ToSchema;
use xds::node::ClientClass;

use crate::plan::{self, Warning};
use crate::store::node_status::NodeStatus;

use super::ApiState;
use super::filter::{Filter as _, NodesBy};
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::{Nothing, Page, PathOf, json_at};
use super::source::Source;

/// So many nodes are read in one statement.
const READ_AT_ONCE: u32 = 1_001;

/// A node, and what it does without.
#[derive(Debug, Serialize, ToSchema)]
struct Node {
    #[serde(flatten)]
    status: NodeStatus,
    /// What clients of its class cannot have of the fleet's newest revision.
    warnings: Vec<Warning>,
}

/// List the nodes
#[utoipa::path(get, path = "/v1/fleets/{fleet}/nodes", operation_id = "list_nodes", tag = "nodes",
    params(("fleet" = String, Path, description = "The fleet"), NodesBy), responses(
    (status = 200, description = "By id", body = Page<NodeStatus>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(filter): Query<NodesBy>,
) -> Result {
    let paging = filter.paging();
    let limit = paging.limit()?;
    let mut source = Source::of(&state);
    let head = source.fleet(&fleet).await?.head;
    let mut after = paging.after()?.to_owned();
    let mut found = Vec::new();
    // The database knows nothing of filters, so what they leave out is read and dropped here.
    loop {
        let nodes = source.nodes(&fleet, &after, READ_AT_ONCE).await?;
        let is_last = nodes.len() < READ_AT_ONCE as usize;
        if let Some(last) = nodes.last() {
            after.clone_from(&last.id);
        }
        found.extend(nodes.into_iter().filter(|node| filter.takes(node)));
        if is_last || found.len() > limit as usize {
            break;
        }
    }
    found.truncate(limit as usize + 1);
    Ok(json_at(
        source.at(head),
        Page::new(found, limit, |node: &NodeStatus| node.id.clone()),
    ))
}

/// Read a node
#[utoipa::path(get, path = "/v1/fleets/{fleet}/nodes/{id}", operation_id = "get_node", tag = "nodes",
    params(("fleet" = String, Path, description = "The fleet"), ("id" = String, Path, description = "Its id")),
    responses(
    (status = 200, description = "The node", body = Node),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf((fleet, id)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let mut source = Source::of(&state);
    let base = source.base(&fleet, None).await?;
    let status = known(&mut source, &fleet, &id).await?;
    let warnings = match class(&status) {
        Some(class) => plan::losses(&base.config, class),
        None => Vec::new(),
    };
    let point = source.at(base.revision);
    Ok(json_at(point, Node { status, warnings }))
}

/// The class of a node; `None` if another version of this program has seen it last, and knew others.
pub(super) fn class(node: &NodeStatus) -> Option<ClientClass> {
    let mut classes = ClientClass::ALL.into_iter();
    classes.find(|class| class.as_str() == node.class)
}

/// A node that has connected at some time.
pub(super) async fn known(source: &mut Source<'_>, fleet: &str, id: &str) -> Result<NodeStatus> {
    // The database takes no NUL in text.
    let node = if id.contains('\0') {
        None
    } else {
        source.node(fleet, id).await?
    };
    node.ok_or_else(|| {
        let detail = format!("no node {id:?} has ever connected to this fleet");
        Problem::new(Kind::NotFound, detail)
    })
}
