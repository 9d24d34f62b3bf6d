//! `/v1/fleets/{fleet}/nodes/{id}/config`: the xDS resources that a node is to have, as JSON.

use std::sync::Arc;

use axum::extract::{Query, State};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use xds::node::ClientClass;
use xds::snapshot::Snapshot;
use xds::type_url::ResourceType;

use crate::rollout::selection::Member;
use crate::snapshots::Served;
use crate::store::node_status::NodeStatus;

use super::ApiState;
use super::nodes;
use super::problem::{Kind, Problem, ProblemDocument, Result};
use super::query::{Nothing, PathOf, json_at};
use super::source::Source;

/// What a node is served.
#[derive(Debug, Serialize, ToSchema)]
struct NodeConfig {
    /// The class of the node; all nodes of a class that have a revision are served the same.
    #[schema(example = "envoy")]
    class: &'static str,
    /// The revision that it is to have.
    revision: u64,
    /// Every resource, in the order in which they are sent.
    resources: Vec<XdsResource>,
}

/// One resource in Envoy's words.
#[derive(Debug, Serialize, ToSchema)]
struct XdsResource {
    /// The type's short name.
    #[schema(example = "Cluster")]
    r#type: &'static str,
    /// Its name.
    name: String,
    /// Its version: a hash of its content.
    version: String,
    /// The message, as protobuf's JSON.
    #[schema(value_type = Object)]
    resource: Value,
}

/// Read what a node is served
#[utoipa::path(get, path = "/v1/fleets/{fleet}/nodes/{id}/config", operation_id = "get_node_config", tag = "nodes",
    params(("fleet" = String, Path, description = "The fleet"), ("id" = String, Path, description = "The node's id")),
    responses(
    (status = 200, description = "The resources", body = NodeConfig),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf((fleet, id)): PathOf<(String, String)>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let mut source = Source::of(&state);
    let node = nodes::known(&mut source, &fleet, &id).await?;
    let class = nodes::class(&node).ok_or_else(|| Problem::bare(Kind::Internal))?;
    let served = served(&state, &fleet, class, &node)?;
    let revision = served.revision();
    let config = NodeConfig {
        class: class.as_str(),
        revision,
        resources: tokio::task::spawn_blocking(move || resources(served.snapshot()))
            .await
            .map_err(|_| Problem::bare(Kind::Internal))?,
    };
    Ok(json_at(source.at(revision), config))
}

fn served(
    state: &ApiState,
    fleet: &str,
    class: ClientClass,
    node: &NodeStatus,
) -> Result<Arc<Served>> {
    let node = Member {
        id: &node.id,
        zone: &node.zone,
        labels: &node.labels,
    };
    let watched = state.snapshots.watch(fleet, class);
    let served = watched.map(|watched| watched.borrow().wanted(node).clone());
    served.ok_or_else(|| {
        let detail = "this control plane has not built what the fleet is served yet";
        Problem::new(Kind::StoreUnavailable, detail).retry_later()
    })
}

fn resources(snapshot: &Snapshot) -> Vec<XdsResource> {
    let all = ResourceType::ALL.into_iter();
    let all = all.flat_map(|ty| snapshot.set(ty).values());
    all.map(|resource| XdsResource {
        r#type: resource.ty().short_name(),
        name: resource.name().to_string(),
        version: resource.version().to_string(),
        resource: proto::json::to_json(resource.ty().type_url(), resource.bytes()),
    })
    .collect()
}
