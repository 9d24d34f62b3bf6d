//! `/v1/fleets/{fleet}/config`: the whole slow lane as one document. Applying it is one transaction.

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::model::document::{self, ConfigDocument, Submitted, Unreadable};
use crate::model::timestamp::Timestamp;
use crate::model::{Cluster, Config, Listener, Resource, ResourceId, Route};
use crate::revision::Verb;

use super::ApiState;
use super::delivery::{self, Delivery};
use super::document::{Format, WholeConfig};
use super::dry_run::{self, OrPlanned};
use super::etag::Etag;
use super::precondition::Precondition;
use super::problem::{FieldError, Problem, ProblemDocument, Result};
use super::query::{PathOf, Saying, at_revision, json_at};
use super::source::Source;
use super::write::{self, Base, Intent, Outcome, Place};

/// Which revision is read.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Reading {
    /// A revision; the newest if not given.
    revision: Option<u64>,
}

/// How a config is applied.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Applying {
    /// Delete what the document does not name.
    #[serde(default)]
    prune: bool,
    /// What the author says of the new revision.
    #[param(max_length = 1000)]
    message: Option<String>,
    /// The rollout that takes it to the nodes begins no wave before this.
    #[param(value_type = Option<String>, example = "2026-01-31T09:30:00Z")]
    not_before: Option<Timestamp>,
    /// Store nothing and answer with the plan: what applying would do.
    #[serde(default)]
    dry_run: bool,
}

/// What applying a config did.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Applied {
    /// The fleet's newest revision: a new one, or the one before if nothing changed.
    revision: u64,
    /// What was not there before.
    #[schema(example = json!(["routes/products"]))]
    created: Vec<String>,
    /// What was there and has changed.
    updated: Vec<String>,
    /// What is no longer there.
    deleted: Vec<String>,
    /// How the new revision reaches nodes; absent if nothing was stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    delivery: Option<Delivery>,
}

impl From<&Outcome> for Applied {
    fn from(outcome: &Outcome) -> Self {
        Self {
            revision: outcome.revision,
            created: outcome.names(Verb::Create),
            updated: outcome.names(Verb::Update),
            deleted: outcome.names(Verb::Delete),
            delivery: outcome.delivery.clone(),
        }
    }
}

/// Read the whole config
#[utoipa::path(get, path = "/v1/fleets/{fleet}/config", operation_id = "get_config", tag = "config",
    params(("fleet" = String, Path, description = "The fleet"), Reading), responses(
    (status = 200, description = "The config; its ETag is its revision", content(
        (ConfigDocument = "application/json"), (ConfigDocument = "application/yaml"))),
    (status = 304, description = "It is what If-None-Match names"),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(reading): Query<Reading>,
    precondition: Precondition,
    headers: HeaderMap,
) -> Result {
    let base = Source::of(&state).base(&fleet, reading.revision).await?;
    document(&base, &precondition, &headers)
}

/// A config as a document, unless the reader has it already.
pub(super) fn document(base: &Base, precondition: &Precondition, headers: &HeaderMap) -> Result {
    let etag = Etag::of_revision(base.revision);
    let tagged = [(header::ETAG, etag.header())];
    if precondition.has(&etag) {
        return Ok(at_revision(base, (StatusCode::NOT_MODIFIED, tagged)));
    }
    let document = Format::wanted(headers).write(&ConfigDocument::from(&*base.config))?;
    Ok(at_revision(base, (tagged, document)))
}

/// Apply a config
///
/// One transaction: the result is validated as a whole and becomes one revision, or nothing is stored. What the
/// document does not name stays, unless `prune` is given.
#[utoipa::path(put, path = "/v1/fleets/{fleet}/config", operation_id = "put_config", tag = "config",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("If-Match" = Option<String>, Header, description = "The revision that is changed, in quotes, or `*`; needed unless the fleet is at revision 0"),
        Applying
    ),
    request_body(content((ConfigDocument = "application/json"), (ConfigDocument = "application/yaml"))),
    responses(
    (status = 200, description = "It is stored, or was there already; with `dry_run`, the plan", body = OrPlanned<Applied>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn put(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(applying): Query<Applying>,
    precondition: Precondition,
    WholeConfig(body): WholeConfig,
) -> Result {
    let saying = Saying {
        message: applying.message,
        not_before: applying.not_before,
        dry_run: applying.dry_run,
    };
    let submitted = match document::config(&body) {
        Ok(submitted) => submitted,
        Err(unreadable) => {
            return Err(every_problem(&state, &fleet, applying.prune, *unreadable).await);
        }
    };
    let decide = |base: &Base| Ok(next(&base.config, &submitted.config, applying.prune));
    let place = |id: &ResourceId| position(&submitted, id);
    replace(
        &state,
        &fleet,
        &saying,
        &precondition,
        false,
        decide,
        &place,
    )
    .await
}

/// Replaces the whole config by what `decide` makes of it.
pub(super) async fn replace(
    state: &ApiState,
    fleet: &str,
    saying: &Saying,
    precondition: &Precondition,
    release: bool,
    decide: impl Fn(&Base) -> Result<Config> + Send + Sync,
    place: &Place<'_>,
) -> Result {
    let intent = Intent {
        message: saying.message()?,
        release,
        not_before: saying.not_before,
    };
    let decide = |base: &Base| {
        let etag = Some(Etag::of_revision(base.revision)).filter(|_| base.revision > 0);
        precondition.check_write(etag.as_ref())?;
        decide(base)
    };
    if saying.dry_run {
        return dry_run::plan(state, fleet, decide, place).await;
    }
    let outcome = write::write(state, fleet, intent, decide, place).await?;
    let tagged = [(header::ETAG, Etag::of_revision(outcome.revision).header())];
    let answer = (tagged, json_at(outcome.revision, Applied::from(&outcome))).into_response();
    Ok(delivery::told(answer, outcome.delivery.as_ref()))
}

/// Not everything could be read. What is wrong with the rest belongs into the same answer.
pub(super) async fn every_problem(
    state: &ApiState,
    fleet: &str,
    prune: bool,
    unreadable: Unreadable,
) -> Problem {
    let Unreadable {
        problems,
        rest,
        stand_ins,
    } = unreadable;
    let mut errors: Vec<_> = problems.into_iter().map(FieldError::of_document).collect();
    match write::base(state, fleet).await {
        Ok(base) => {
            let config = next(&base.config, &rest.config, prune);
            let place = |id: &ResourceId| position(&rest, id);
            errors.extend(write::faults(config, &stand_ins, &place).await);
            Problem::invalid(errors)
        }
        Err(problem) => problem,
    }
}

/// The config after the document is applied to what is there.
pub(super) fn next(base: &Config, submitted: &Config, prune: bool) -> Config {
    if prune {
        submitted.clone()
    } else {
        merge(base, submitted)
    }
}

pub(super) fn position(submitted: &Submitted, id: &ResourceId) -> Option<String> {
    submitted
        .positions
        .get(id)
        .map(|position| format!("/{}/{position}", id.kind.plural()))
}

/// What the document names, over what is there.
fn merge(base: &Config, submitted: &Config) -> Config {
    fn put_all<T: Resource>(merged: &mut Config, submitted: &Config) {
        T::set_mut(merged).extend(
            T::set(submitted)
                .iter()
                .map(|(name, resource)| (name.clone(), resource.clone())),
        );
    }
    let mut merged = base.clone();
    put_all::<Listener>(&mut merged, submitted);
    put_all::<Cluster>(&mut merged, submitted);
    put_all::<Route>(&mut merged, submitted);
    merged
}
