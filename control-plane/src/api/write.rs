//! How the slow lane is changed: read the head, decide, validate the result as a whole, commit if the head is still the
//! same, else do it again. In: a decision, as a function of the state. Out: the revision that is current now.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use xds::snapshot::Snapshot;

use crate::driver;
use crate::model::timestamp::Timestamp;
use crate::model::{Config, Problem as ModelProblem, ResourceId};
use crate::revision::{Change, Draft, Validated, Verb};
use crate::store::{Commit, StoreError};

use super::ApiState;
use super::by;
use super::delivery::Delivery;
use super::limits;
use super::problem::{FieldError, Kind, Problem, Result, code};
use super::query::Point;

/// How often a write is tried. Each time somebody else's write has succeeded, so there is progress.
const TRIES: u32 = 16;

/// The state that a decision is made from.
#[derive(Clone, Debug)]
pub(super) struct Base {
    /// The fleet's newest revision.
    pub(super) revision: u64,
    /// Its content.
    pub(super) config: Arc<Config>,
    /// How long ago it was known to be the newest, if the database cannot be asked.
    pub(super) age: Option<Duration>,
}

/// What came out of a write.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The fleet's newest revision: a new one, or the one before if nothing changed.
    pub(super) revision: u64,
    /// Its content.
    pub(super) config: Arc<Config>,
    /// What changed.
    pub(super) changes: Vec<Change>,
    /// How it reaches nodes; `None` if nothing was stored.
    pub(super) delivery: Option<Delivery>,
}

/// What a write is meant to do beside changing the config.
#[derive(Clone, Copy, Debug)]
pub(super) struct Intent<'a> {
    /// What the author says of the new revision.
    pub(super) message: &'a str,
    /// End the fleet's hold after a rollback.
    pub(super) release: bool,
    /// How long its rollout is to wait.
    pub(super) not_before: Option<Timestamp>,
}

/// Where in the document that was sent a resource stands.
pub(super) type Place<'p> = dyn Fn(&ResourceId) -> Option<String> + Send + Sync + 'p;

/// The current state of a fleet.
pub(super) async fn base(state: &ApiState, fleet: &str) -> Result<Base> {
    let head = state.store.fleet(fleet).await?.head;
    base_at(state, fleet, head).await
}

/// The state of a fleet at a revision.
pub(super) async fn base_at(state: &ApiState, fleet: &str, revision: u64) -> Result<Base> {
    Ok(Base {
        revision,
        config: state.store.config_at(fleet, revision).await?,
        age: None,
    })
}

impl From<&Base> for Point {
    fn from(base: &Base) -> Self {
        Self {
            revision: base.revision,
            age: base.age,
        }
    }
}

/// Changes the slow lane of a fleet. `decide` makes the next config from the current one, or says why not; it runs
/// again whenever somebody else was faster, so its precondition always speaks of the state that is replaced.
pub(super) async fn write(
    state: &ApiState,
    fleet: &str,
    intent: Intent<'_>,
    decide: impl Fn(&Base) -> Result<Config> + Send + Sync,
    place: &Place<'_>,
) -> Result<Outcome> {
    let turn = state.turns.wait(fleet).await;
    if turn.is_in_vain() {
        return Err(Problem::store_away());
    }
    let outcome = try_again_and_again(state, fleet, intent, decide, place).await;
    let kind = outcome.as_ref().err().map(|problem| problem.kind);
    turn.end(kind == Some(Kind::StoreUnavailable));
    outcome
}

async fn try_again_and_again(
    state: &ApiState,
    fleet: &str,
    intent: Intent<'_>,
    decide: impl Fn(&Base) -> Result<Config> + Send + Sync,
    place: &Place<'_>,
) -> Result<Outcome> {
    let asked = by::current();
    for _ in 0..TRIES {
        let base = base(state, fleet).await?;
        let next = decide(&base)?;
        limits::check_growth(&base.config, &next)?;
        if next.says_the_same(&base.config) {
            return Ok(Outcome {
                revision: base.revision,
                config: base.config,
                changes: Vec::new(),
                delivery: None,
            });
        }
        let mut next = next;
        next.share_with(&base.config);
        let validated = validate(state, fleet, next, place).await?;
        // Before it is stored: whoever is woken by that finds it.
        state.workbench.keep(fleet, &validated, Instant::now());
        let commit = Commit {
            fleet,
            base: base.revision,
            by: asked.by(),
            message: intent.message,
            config: &validated,
            release: intent.release,
            not_before: intent.not_before,
        };
        match state.store.commit(commit).await {
            Ok(revision) => {
                state.metrics.commits.inc();
                driver::first_step(&*state.store, fleet).await;
                let changes = validated.changes(&base.config);
                return Ok(Outcome {
                    revision: revision.number,
                    config: validated.config().clone(),
                    changes,
                    // It is stored, whether or not the database is still there to tell more.
                    delivery: Delivery::of(&*state.store, fleet, revision.number)
                        .await
                        .ok(),
                });
            }
            Err(StoreError::Moved) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Moved.into())
}

/// What clients of the fleet are served now, for its resources: most of them will be the same.
pub(super) fn served(state: &ApiState, fleet: &str) -> Vec<Snapshot> {
    state.snapshots.all(fleet)
}

/// What is wrong with a config, but for the resources in `except`.
pub(super) async fn faults(
    config: Config,
    except: &HashSet<ResourceId>,
    place: &Place<'_>,
) -> Vec<FieldError> {
    let problems = match validated(config, None, Vec::new()).await {
        Ok(Err(problems)) => problems,
        Ok(Ok(_)) | Err(_) => Vec::new(),
    };
    let is_excepted = |problem: &ModelProblem| {
        let resource = problem.resource.as_ref();
        resource.is_some_and(|resource| except.contains(resource))
    };
    let problems = problems.into_iter().filter(|problem| !is_excepted(problem));
    problems.map(|problem| told(problem, place)).collect()
}

/// Checks a config as it is checked before it is stored.
pub(super) async fn validate(
    state: &ApiState,
    fleet: &str,
    config: Config,
    place: &Place<'_>,
) -> Result<Validated> {
    let last = state.workbench.last(fleet, Instant::now());
    let validated = validated(config, last, served(state, fleet)).await?;
    validated.map_err(|problems| {
        let errors = problems.into_iter().map(|problem| told(problem, place));
        Problem::invalid(errors.collect())
    })
}

/// Validating a large config takes long enough to hold other requests up, so it runs beside them.
async fn validated(
    config: Config,
    last: Option<Validated>,
    earlier: Vec<Snapshot>,
) -> Result<std::result::Result<Validated, Vec<ModelProblem>>> {
    let validated =
        tokio::task::spawn_blocking(move || Draft::new(config).validate(last.as_ref(), &earlier));
    validated.await.map_err(|error| {
        tracing::error!(%error, "validation ended early");
        Problem::bare(Kind::Internal)
    })
}

/// A problem is told with a pointer into the document that was sent, if its resource stands in it.
fn told(problem: ModelProblem, place: &Place<'_>) -> FieldError {
    let pointer = problem
        .resource
        .as_ref()
        .and_then(place)
        .map(|place| place + &problem.pointer);
    let detail = match (&pointer, problem.pointer.as_str()) {
        (None, inside) if !inside.is_empty() => format!("{inside}: {}", problem.detail),
        _ => problem.detail,
    };
    FieldError {
        pointer,
        resource: problem.resource.map(|id| id.to_string()),
        code: code(problem.code),
        detail,
    }
}

impl Outcome {
    /// The names of what changed in one way.
    pub(super) fn names(&self, verb: Verb) -> Vec<String> {
        self.changes
            .iter()
            .filter(|change| change.verb == verb)
            .map(|change| change.id.to_string())
            .collect()
    }
}
