//! `/v1/audit`: what was written and by whom, from the newest.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::access::Fleets;
use crate::model::timestamp::Timestamp;
use crate::store::audit::{AuditQuery, AuditRow};

use super::ApiState;
use super::by;
use super::problem::{Problem, ProblemDocument, Result};
use super::query::{Page, Paging, bad_token};

/// Which rows are asked for.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Filter {
    /// Only what was done in this fleet.
    fleet: Option<String>,
    /// Only what this actor did.
    actor: Option<String>,
    /// How many items at most.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
    /// Where to go on: `next_page_token` of the page before.
    page_token: Option<String>,
}

/// Something that was written.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(super) struct AuditEntry {
    /// Its id.
    id: String,
    /// When, by the database's clock.
    at: Timestamp,
    /// Who wrote; `local` is somebody on the control plane's own machine.
    actor: String,
    /// What was done.
    #[schema(example = "commit")]
    action: String,
    /// In which fleet, if in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    fleet: Option<String>,
    /// To what.
    #[schema(example = "config")]
    object: String,
    /// The revision that came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<u64>,
    /// The request that asked for it.
    request_id: String,
    /// More, by the action.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Object)]
    detail: Option<Value>,
}

impl From<AuditRow> for AuditEntry {
    fn from(row: AuditRow) -> Self {
        Self {
            id: row.id,
            at: row.at,
            actor: row.actor,
            action: row.action,
            fleet: row.fleet,
            object: row.object,
            revision: row.revision,
            request_id: row.request_id,
            detail: row.detail,
        }
    }
}

/// List what was written
#[utoipa::path(get, path = "/v1/audit", operation_id = "list_audit", tag = "audit", params(Filter), responses(
    (status = 200, description = "From the newest", body = Page<AuditEntry>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    Query(filter): Query<Filter>,
) -> Result<Json<Page<AuditEntry>>> {
    let paging = Paging {
        limit: filter.limit,
        page_token: filter.page_token,
    };
    let limit = paging.limit()?;
    let before = match paging.after()? {
        "" => None,
        token => Some(place(token).ok_or_else(bad_token)?),
    };
    let asked = AuditQuery {
        fleets: visible(filter.fleet)?,
        // The database takes no NUL in text; nobody has such a name.
        actor: filter.actor.map(|actor| actor.replace('\0', "\u{fffd}")),
        before,
        limit: limit + 1,
    };
    let rows = state.store.audit(&asked).await?;
    // A token is a place in time: what is written meanwhile stands before it.
    let page = Page::new(rows, limit, |row| {
        format!("{}.{}", row.at.as_micros(), row.id)
    });
    Ok(Json(Page {
        items: page.items.into_iter().map(AuditEntry::from).collect(),
        next_page_token: page.next_page_token,
    }))
}

/// The fleets whose rows are told.
fn visible(fleet: Option<String>) -> Result<Fleets> {
    let asked = by::current();
    match fleet {
        None => Ok(asked.actor.fleets.clone()),
        Some(fleet) if fleet.contains('\0') || !asked.actor.fleets.contain(&fleet) => {
            Err(Problem::no_fleet(&fleet))
        }
        Some(fleet) => Ok(Fleets::These(BTreeSet::from([fleet]))),
    }
}

fn place(token: &str) -> Option<(Timestamp, String)> {
    let (at, id) = token.split_once('.')?;
    Some((Timestamp::from_micros(at.parse().ok()?), id.to_owned()))
}
