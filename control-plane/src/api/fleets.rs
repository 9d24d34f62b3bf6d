//! `/v1/fleets[/{fleet}]`: which fleets there are, how far each is, and what is said of them.

use std::collections::BTreeMap;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::document;
use crate::model::problem::{Check, Code};
use crate::model::timestamp::Timestamp;
use crate::rollout;
use crate::rollout::strategy::{RolloutSettings, Strategy};
use crate::rollout::webhook::AllowList;
use crate::store::{self, FleetSettings, StoreError};

use super::ApiState;
use super::by;
use super::document::Body;
use super::etag::Etag;
use super::filter::ByName;
use super::precondition::Precondition;
use super::problem::{FieldError, Problem, ProblemDocument, Result, code};
use super::query::{Nothing, Page, PathOf, Point, json_at};
use super::source::Source;

/// Longest description, in bytes.
const DESCRIPTION_MAX: usize = 1_000;
/// Most labels, and longest key and value of one, in bytes.
const LABELS_MAX: usize = 64;
const LABEL_MAX: usize = 253;

/// How often a write is tried while others write the same.
const TRIES: u32 = 16;

/// A set of proxies that serve the same config.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Fleet {
    /// Its name; proxies say it when they connect.
    #[schema(example = "default")]
    name: String,
    /// Its newest revision; 0 before the first.
    revision: u64,
    /// The revision that all its nodes are to serve while no rollout is under way.
    stable_revision: u64,
    /// The rollout that was rolled back or canceled, if commits begin none until somebody reverts or begins one by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    held_by: Option<String>,
    /// When it was created.
    created_at: Timestamp,
    /// A sentence for people; may be empty.
    description: String,
    /// Words to find it by.
    labels: BTreeMap<String, String>,
    /// What it does with commits.
    rollout: RolloutSettings,
    /// Its strategies by name, beside those that are built in.
    strategies: BTreeMap<String, Strategy>,
}

impl From<store::Fleet> for Fleet {
    fn from(fleet: store::Fleet) -> Self {
        Self {
            name: fleet.name,
            revision: fleet.head,
            stable_revision: fleet.stable,
            held_by: fleet.held,
            created_at: fleet.created_at,
            description: fleet.settings.description,
            labels: fleet.settings.labels,
            rollout: fleet.settings.rollout,
            strategies: fleet.settings.strategies,
        }
    }
}

/// List the fleets
#[utoipa::path(get, path = "/v1/fleets", operation_id = "list_fleets", tag = "fleets", params(ByName), responses(
    (status = 200, description = "Fleets by name", body = Page<Fleet>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(State(state): State<ApiState>, Query(filter): Query<ByName>) -> Result {
    let asked = by::current();
    let mut source = Source::of(&state);
    let fleets = source.fleets().await?.into_iter();
    let wanted = fleets
        .filter(|fleet| filter.takes_name(&fleet.name) && asked.actor.fleets.contain(&fleet.name));
    let page = Page::of(&filter.paging(), wanted, |fleet| &fleet.name, Fleet::from)?;
    Ok(source.json(page))
}

/// Read a fleet
#[utoipa::path(get, path = "/v1/fleets/{fleet}", operation_id = "get_fleet", tag = "fleets",
    params(("fleet" = String, Path, description = "The fleet")), responses(
    (status = 200, description = "The fleet; the ETag is that of its settings", body = Fleet),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf(name): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
) -> Result {
    let mut source = Source::of(&state);
    let fleet = source.fleet(&name).await?;
    Ok(tagged(source.at(fleet.head), fleet))
}

/// Create a fleet, or change its settings
#[utoipa::path(put, path = "/v1/fleets/{fleet}", operation_id = "put_fleet", tag = "fleets",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("If-Match" = Option<String>, Header, description = "The ETag of what is changed, or `*`; needed if it exists"),
        ("If-None-Match" = Option<String>, Header, description = "`*`: create only")
    ),
    request_body(content((FleetSettings = "application/json"), (FleetSettings = "application/yaml"))),
    responses(
    (status = 200, description = "Its settings are changed, or were so already", body = Fleet),
    (status = 201, description = "It is created", body = Fleet),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn put(
    State(state): State<ApiState>,
    PathOf(name): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
    Body(body): Body,
) -> Result {
    let settings = read(&body, &state.webhook_hosts)?;
    let asked = by::current();
    for _ in 0..TRIES {
        let current = match state.store.fleet(&name).await {
            Ok(fleet) => Some(fleet),
            Err(StoreError::NoSuchFleet(_)) => None,
            Err(error) => return Err(error.into()),
        };
        precondition.check_write(current.as_ref().map(etag).as_ref())?;
        let Some(mut fleet) = current else {
            match state.store.create_fleet(&name, &settings, asked.by()).await {
                Ok(fleet) => return Ok(created(fleet)),
                Err(StoreError::Exists(_)) => continue,
                Err(error) => return Err(error.into()),
            }
        };
        if fleet.settings == settings {
            return Ok(tagged(fleet.head, fleet));
        }
        let expected = &fleet.settings;
        let change = state
            .store
            .change_fleet(&name, &settings, expected, asked.by());
        match change.await {
            Ok(()) => {
                fleet.settings = settings;
                return Ok(tagged(fleet.head, fleet));
            }
            Err(StoreError::Moved | StoreError::NoSuchFleet(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved.into())
}

/// Delete a fleet that is empty
///
/// It has no resources, no endpoints and no connected nodes. Its revisions stay in the store: a fleet that is created
/// under the same name goes on counting.
#[utoipa::path(delete, path = "/v1/fleets/{fleet}", operation_id = "delete_fleet", tag = "fleets",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("If-Match" = Option<String>, Header, description = "The ETag of its settings, or `*`")
    ),
    responses(
    (status = 204, description = "It is gone"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn delete(
    State(state): State<ApiState>,
    PathOf(name): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
    precondition: Precondition,
) -> Result<StatusCode> {
    let fleet = state.store.fleet(&name).await?;
    precondition.check_write(Some(&etag(&fleet)))?;
    state.store.delete_fleet(&name, by::current().by()).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn read(body: &serde_json::Value, hosts: &AllowList) -> Result<FleetSettings> {
    let settings: FleetSettings = document::decode(body, "").map_err(|problems| {
        Problem::invalid(problems.into_iter().map(FieldError::of_document).collect())
    })?;
    let mut errors = Vec::new();
    let mut wrong = |pointer: &str, detail: &str| {
        errors.push(FieldError {
            pointer: Some(pointer.to_owned()),
            resource: None,
            code: code(Code::Invalid),
            detail: detail.to_owned(),
        });
    };
    let plain = |text: &str| !text.chars().any(char::is_control);
    if settings.description.len() > DESCRIPTION_MAX || !plain(&settings.description) {
        wrong(
            "/description",
            "a description is at most 1000 bytes without control characters",
        );
    }
    let is_label = |(key, value): (&String, &String)| {
        (1..=LABEL_MAX).contains(&key.len())
            && value.len() <= LABEL_MAX
            && plain(key)
            && plain(value)
    };
    if settings.labels.len() > LABELS_MAX || !settings.labels.iter().all(is_label) {
        wrong(
            "/labels",
            "at most 64 labels; keys and values have up to 253 bytes and no control characters",
        );
    }
    let mut check = Check::new(None);
    rollout::check::settings(&mut check, &settings.rollout, &settings.strategies, hosts);
    errors.extend(check.finish().into_iter().map(FieldError::of_document));
    if errors.is_empty() {
        Ok(settings)
    } else {
        Err(Problem::invalid(errors))
    }
}

fn etag(fleet: &store::Fleet) -> Etag {
    Etag::of(&fleet.settings)
}

fn tagged(point: impl Into<Point>, fleet: store::Fleet) -> Response {
    let tag = [(header::ETAG, etag(&fleet).header())];
    (tag, json_at(point, Fleet::from(fleet))).into_response()
}

fn created(fleet: store::Fleet) -> Response {
    let location = HeaderValue::from_str(&format!("/v1/fleets/{}", fleet.name));
    let mut response = (StatusCode::CREATED, tagged(fleet.head, fleet)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}
