//! `?dry_run=true` on a write: everything that the write would do, but for storing it. In: the write's own decision.
//! Out: the plan, or the very problem that the write would answer with.

use std::collections::HashMap;
use std::sync::Arc;

use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::Config;
use crate::plan::{self, NodeCount, Plan};
use crate::translate::Translation;

use super::ApiState;
use super::limits;
use super::problem::{Kind, Problem, Result};
use super::query::json_at;
use super::write::{self, Base, Place};

/// What a dry run answers.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Planned {
    /// What the write would do.
    plan: Plan,
}

/// What a write answers that may be a dry run.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
#[expect(
    dead_code,
    clippy::large_enum_variant,
    reason = "the OpenAPI document is made from it, and no value ever is"
)]
pub(super) enum OrPlanned<T> {
    /// What was done.
    Done(T),
    /// What would be done.
    Planned(Planned),
}

/// Does everything that a write does until it would store something.
pub(super) async fn plan(
    state: &ApiState,
    fleet: &str,
    decide: impl Fn(&Base) -> Result<Config>,
    place: &Place<'_>,
) -> Result {
    let base = write::base(state, fleet).await?;
    let next = decide(&base)?;
    limits::check_growth(&base.config, &next)?;
    let mut next = next;
    next.share_with(&base.config);
    let validated = write::validate(state, fleet, next, place).await?;
    let (next, known) = (validated.config().clone(), validated.translation().clone());
    compare(state, fleet, base, next, known).await
}

/// The plan that makes `next`, which is valid, of `base`; what `known` translates like either is not translated again.
pub(super) async fn compare(
    state: &ApiState,
    fleet: &str,
    base: Base,
    next: Arc<Config>,
    known: Arc<Translation>,
) -> Result {
    let served = write::served(state, fleet);
    let fast_lane = Arc::new(state.store.endpoints(fleet).await?);
    let nodes: HashMap<String, NodeCount> = state.store.count_nodes(fleet).await?;
    let samples = state.store.samples(fleet).await?;
    let revision = base.revision;
    let planned = tokio::task::spawn_blocking(move || {
        let base = plan::Base {
            revision,
            config: &base.config,
        };
        let count = |class: &str| nodes.get(class).copied().unwrap_or_default();
        plan::plan(base, &next, &fast_lane, &known, &served, &samples, count)
    });
    answer(revision, planned.await)
}

fn answer<E: std::fmt::Debug, F: std::fmt::Debug>(
    revision: u64,
    planned: std::result::Result<std::result::Result<Plan, E>, F>,
) -> Result<Response> {
    match planned {
        Ok(Ok(plan)) => Ok(json_at(revision, Planned { plan })),
        failed => {
            tracing::error!(?failed, "a write that is valid cannot be planned");
            Err(Problem::bare(Kind::Internal))
        }
    }
}
