//! `/v1/fleets/{fleet}/rollouts[/{id}]`: how a fleet moves from one revision to another, and what operators say to that.
//! What an operator's word means is decided in `rollout::verb`.

mod document;
mod until;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::access::Role;
use crate::driver;
use crate::model::document as model_document;
use crate::model::problem::{Check, Code};
use crate::model::timestamp::Timestamp;
use crate::rollout::begin::Terms;
use crate::rollout::check;
use crate::rollout::strategy::{Strategy, StrategyRef};
use crate::rollout::verb::{self, Verb, VerbError, Word};
use crate::store::StoreError;
use crate::store::rollout::{NewRollout, Step};

use super::ApiState;
use super::by;
use super::document::Body;
use super::problem::{FieldError, Kind, Problem, ProblemDocument, Result};
use super::query::{Nothing, Page, Paging, PathOf, bad_token, json_at};

use self::document::{Rollout, RolloutSummary};
use self::until::Waiting;
pub(super) use self::until::patience;

/// Longest reason, in bytes.
const REASON_MAX: usize = 1_000;
/// How often a word is tried while the row moves.
const TRIES: u32 = 16;

/// A rollout to be begun.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Beginning {
    /// The revision to go to; the newest if not given.
    to: Option<u64>,
    /// How; the fleet's strategy if not given.
    strategy: Option<StrategyRef>,
    /// Why.
    #[serde(default)]
    #[schema(max_length = 1000)]
    reason: String,
    /// End the rollout that is active, if one is, and go on with the nodes that it has chosen.
    #[serde(default)]
    supersede: bool,
    /// No wave begins before this. A rollout whose place is taken and that has moved nodes has them moved at once, so that it
    /// can wait for its time only where none has moved.
    not_before: Option<Timestamp>,
    /// It is in a hurry: it takes the place of the rollout that is active, if one is, and waits neither for bakes and requests
    /// nor for webhooks, nor for the end of a freeze window. Refusals, nodes that do not settle and requests that fare ill
    /// stop it all the same, and approvals are asked for. `reason` says why.
    #[serde(default)]
    urgent: bool,
}

/// What is said with an order.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Ordering {
    /// Why.
    #[serde(default)]
    #[param(max_length = 1000)]
    reason: String,
}

/// List the rollouts
#[utoipa::path(get, path = "/v1/fleets/{fleet}/rollouts", operation_id = "list_rollouts", tag = "rollouts",
    params(("fleet" = String, Path, description = "The fleet"), Paging), responses(
    (status = 200, description = "The newest first", body = Page<RolloutSummary>),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn list(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(paging): Query<Paging>,
) -> Result {
    let limit = paging.limit()?;
    let before = Some(paging.after()?).filter(|token| !token.is_empty());
    let head = state.store.fleet(&fleet).await?.head;
    let rollouts = state.store.rollouts(&fleet, before, limit + 1).await;
    let rollouts = rollouts.map_err(|error| match error {
        StoreError::NoSuchRollout { .. } => bad_token(),
        error => error.into(),
    })?;
    let items = rollouts.iter().map(RolloutSummary::from).collect();
    Ok(json_at(
        head,
        Page::new(items, limit, |rollout: &RolloutSummary| rollout.id.clone()),
    ))
}

/// Begin a rollout
///
/// Works in fleets of either mode, and ends the hold after a rollback.
#[utoipa::path(post, path = "/v1/fleets/{fleet}/rollouts", operation_id = "start_rollout", tag = "rollouts",
    params(("fleet" = String, Path, description = "The fleet")),
    request_body(content((Beginning = "application/json"), (Beginning = "application/yaml"))),
    responses(
    (status = 201, description = "It has begun", body = Rollout),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn start(
    State(state): State<ApiState>,
    PathOf(fleet): PathOf<String>,
    Query(Nothing {}): Query<Nothing>,
    Body(body): Body,
) -> Result {
    let wanted: Beginning = decode(&body)?;
    check_reason(&wanted.reason)?;
    wanted.check()?;
    let row = state.store.fleet(&fleet).await?;
    let reference = wanted.strategy.unwrap_or(row.settings.rollout.strategy);
    let resolved = check::resolve(&row.settings.strategies, &reference);
    let strategy = resolved.map_err(|mut problem| {
        problem.pointer.insert_str(0, "/strategy");
        invalid(vec![problem])
    })?;
    check_hosts(&state, &strategy)?;
    let asked = by::current();
    let new = NewRollout {
        fleet: &fleet,
        to: wanted.to.unwrap_or(row.head),
        strategy: &strategy,
        reason: &wanted.reason,
        supersede: wanted.supersede || wanted.urgent,
        by: asked.by(),
        terms: Terms {
            not_before: wanted.not_before,
            urgent: wanted.urgent,
            retries: None,
        },
    };
    begin(&state, row.head, new).await
}

/// Begin a rollout again
///
/// One that was rolled back or canceled: with the same revision and strategy, from the revision that is the stable one now. Neither
/// its hurry nor its time comes along.
#[utoipa::path(post, path = "/v1/fleets/{fleet}/rollouts/{id}/~retry", operation_id = "retry_rollout", tag = "rollouts",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("id" = String, Path, description = "Its id, or `latest`"),
        Ordering
    ),
    responses(
    (status = 201, description = "Another one has begun", body = Rollout),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn retry(
    State(state): State<ApiState>,
    PathOf((fleet, id)): PathOf<(String, String)>,
    Query(ordering): Query<Ordering>,
) -> Result {
    check_reason(&ordering.reason)?;
    let row = state.store.fleet(&fleet).await?;
    let before = until::find(&state, &fleet, &id).await?;
    verb::may_retry(&before).map_err(refused)?;
    check_hosts(&state, &before.strategy)?;
    let reason = match ordering.reason.as_str() {
        "" => before.reason.as_str(),
        reason => reason,
    };
    let asked = by::current();
    let new = NewRollout {
        fleet: &fleet,
        to: before.to,
        strategy: &before.strategy,
        reason,
        supersede: false,
        by: asked.by(),
        terms: Terms {
            retries: Some(&before.id),
            ..Terms::default()
        },
    };
    begin(&state, row.head, new).await
}

async fn begin(state: &ApiState, head: u64, new: NewRollout<'_>) -> Result {
    let fleet = new.fleet;
    let rollout = state.store.start_rollout(new).await?;
    driver::first_step(&*state.store, fleet).await;
    let rollout = state.store.rollout(fleet, &rollout.id).await?;
    let location = HeaderValue::from_str(&format!("/v1/fleets/{fleet}/rollouts/{}", rollout.id));
    let document = Rollout::of(state, rollout).await?;
    let mut response = (StatusCode::CREATED, json_at(head, document)).into_response();
    if let Ok(location) = location {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// What this server may not ask, nobody begins here.
fn check_hosts(state: &ApiState, strategy: &Strategy) -> Result<()> {
    let mut check = Check::new(None);
    check.at("strategy", |check| {
        check::reachable(check, strategy, &state.webhook_hosts);
    });
    let problems = check.finish();
    if problems.is_empty() {
        return Ok(());
    }
    Err(invalid(problems))
}

impl Beginning {
    /// What is urgent has a reason, and no other time than now.
    fn check(&self) -> Result<()> {
        let mut check = Check::new(None);
        if self.urgent && self.reason.trim().is_empty() {
            check.problem_at("reason", Code::Required, "what is urgent has a reason");
        }
        if self.urgent && self.not_before.is_some() {
            check.problem_at("not_before", Code::Invalid, "what is urgent does not wait");
        }
        let problems = check.finish();
        if problems.is_empty() {
            return Ok(());
        }
        Err(invalid(problems))
    }
}

/// Read a rollout
///
/// With `wait` the answer comes when what `until` says is so, or after that time.
#[utoipa::path(get, path = "/v1/fleets/{fleet}/rollouts/{id}", operation_id = "get_rollout", tag = "rollouts",
    params(
        ("fleet" = String, Path, description = "The fleet"),
        ("id" = String, Path, description = "Its id, or `latest`"),
        Waiting
    ),
    responses(
    (status = 200, description = "The rollout, with its waves, gates and newest events", body = Rollout),
    (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
))]
pub(super) async fn get(
    State(state): State<ApiState>,
    PathOf((fleet, id)): PathOf<(String, String)>,
    Query(waiting): Query<Waiting>,
) -> Result {
    let head = state.store.fleet(&fleet).await?.head;
    let rollout = until::read(&waiting, &state, &fleet, &id).await?;
    Ok(json_at(head, Rollout::of(&state, rollout).await?))
}

/// Declares the handler of an order.
macro_rules! order {
    ($name:ident, $verb:expr, $title:literal, $path:literal, $id:literal, $done:literal) => {
        #[doc = $title]
        #[utoipa::path(post, path = $path, operation_id = $id, tag = "rollouts",
            params(
                ("fleet" = String, Path, description = "The fleet"),
                ("id" = String, Path, description = "Its id, or `latest`"),
                Ordering
            ),
            responses(
            (status = 200, description = $done, body = Rollout),
            (status = "default", description = "A problem", body = ProblemDocument, content_type = "application/problem+json")
        ))]
        pub(super) async fn $name(
            State(state): State<ApiState>,
            PathOf(at): PathOf<(String, String)>,
            Query(ordering): Query<Ordering>,
        ) -> Result {
            order(&state, at, $verb, &ordering).await
        }
    };
}

order!(
    pause,
    Verb::Pause,
    "Pause a rollout",
    "/v1/fleets/{fleet}/rollouts/{id}/~pause",
    "pause_rollout",
    "No further node moves; what fails still goes back"
);
order!(
    resume,
    Verb::Resume,
    "Resume a rollout",
    "/v1/fleets/{fleet}/rollouts/{id}/~resume",
    "resume_rollout",
    "It goes on where it stood"
);
order!(
    promote,
    Verb::Promote,
    "End the bake of a wave",
    "/v1/fleets/{fleet}/rollouts/{id}/~promote",
    "promote_rollout",
    "Neither time nor missing data is waited for; what fails still goes back"
);
order!(
    skip,
    Verb::Skip,
    "Skip the rest of a wave",
    "/v1/fleets/{fleet}/rollouts/{id}/~skip",
    "skip_wave",
    "The next nodes follow although the wave has not settled or baked; what fails still goes back"
);
order!(
    approve,
    Verb::Approve,
    "Approve a wave",
    "/v1/fleets/{fleet}/rollouts/{id}/~approve",
    "approve_rollout",
    "The wave begins"
);
order!(
    abort,
    Verb::Abort,
    "Abort a rollout",
    "/v1/fleets/{fleet}/rollouts/{id}/~abort",
    "abort_rollout",
    "All nodes go back to the old revision"
);

async fn order(
    state: &ApiState,
    (fleet, id): (String, String),
    verb: Verb,
    ordering: &Ordering,
) -> Result<Response> {
    check_reason(&ordering.reason)?;
    let asked = by::current();
    for _ in 0..TRIES {
        let row = state.store.fleet(&fleet).await?;
        let rollout = until::find(state, &fleet, &id).await?;
        let author = match state.store.revision(&fleet, rollout.to).await {
            Ok(revision) => revision.author,
            // Revision 0 is nobody's.
            Err(StoreError::NoSuchRevision { .. }) => String::new(),
            Err(error) => return Err(error.into()),
        };
        let now = state.store.clock().await?;
        let word = Word {
            actor: &asked.actor.name,
            revision_author: &author,
            reason: &ordering.reason,
            is_admin: asked.actor.role >= Role::Admin,
        };
        let change = verb::apply(&rollout, verb, word, now).map_err(refused)?;
        let step = Step {
            next: &change.next,
            events: &change.events,
            by: Some((asked.by(), verb.action())),
        };
        match state.store.step_rollout(step).await {
            Ok(stored) => {
                return Ok(json_at(row.head, Rollout::of(state, stored).await?));
            }
            // It moved meanwhile; the order may not fit any more.
            Err(StoreError::Moved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved.into())
}

fn refused(error: VerbError) -> Problem {
    let kind = match error {
        VerbError::Illegal { .. } | VerbError::NotRetried { .. } => Kind::IllegalTransition,
        VerbError::SameHand => Kind::ApprovalRequired,
    };
    Problem::new(kind, error.to_string())
}

fn decode<T: serde::de::DeserializeOwned>(body: &serde_json::Value) -> Result<T> {
    model_document::decode(body, "").map_err(invalid)
}

fn invalid(problems: Vec<crate::model::Problem>) -> Problem {
    Problem::invalid(problems.into_iter().map(FieldError::of_document).collect())
}

fn check_reason(reason: &str) -> Result<()> {
    if reason.len() > REASON_MAX || reason.chars().any(char::is_control) {
        return Err(Problem::new(
            Kind::BadRequest,
            "`reason` is at most 1000 bytes without control characters",
        ));
    }
    Ok(())
}
