//! How rollouts begin: by hand, by a commit, and after one that has ended, for what was committed meanwhile.

use sqlx::AnyConnection;

use super::super::audit::{Entry, add};
use super::super::error::{Result, StoreError};
use super::super::nodes::alive_since;
use super::super::rollout::NewRollout;
use super::super::sql::SqlStore;
use super::super::{By, Fleet, Revision};
use super::{end, events, row};
use crate::model::timestamp::Timestamp;
use crate::rollout::Rollout;
use crate::rollout::begin::{Begin, Terms, begin, superseded};
use crate::rollout::check::resolve;
use crate::rollout::strategy::{Mode, Strategy};
use crate::rollout::window;

const HAS_REVISION: &str = "SELECT number FROM revision WHERE fleet = $1 AND number = $2";
const AUTHOR: &str = "SELECT author FROM revision WHERE fleet = $1 AND number = $2";
/// Commits that no rollout has taken along yet may each say how long they are to wait.
const NOT_BEFORE: &str =
    "SELECT MAX(not_before) FROM revision WHERE fleet = $1 AND number > $2 AND number <= $3";

const VALIDATORS: &str = "SELECT COUNT(*) FROM node JOIN replica ON replica.id = node.replica \
     WHERE node.fleet = $1 AND node.validator = 1 AND node.connected = 1 AND replica.seen_at >= $2";

/// What is to be begun.
struct New<'a> {
    from: u64,
    to: u64,
    strategy: &'a Strategy,
    reason: &'a str,
    actor: &'a str,
    instead_of: Option<&'a Rollout>,
    terms: Terms<'a>,
}

impl SqlStore {
    pub(in crate::store) async fn begin_rollout(&self, new: NewRollout<'_>) -> Result<Rollout> {
        let mut tx = self.begin().await?;
        let mut fleet = self.lock_fleet_row(&mut tx, new.fleet).await?;
        let active = row::active(&mut tx, new.fleet).await?;
        if let Some(active) = active.as_ref().filter(|_| !new.supersede) {
            return Err(StoreError::RolloutActive {
                id: active.id.clone(),
                state: active.state,
            });
        }
        check_revision(&mut tx, &new).await?;
        if new.to == fleet.stable {
            return Err(StoreError::NothingToRollOut {
                fleet: new.fleet.to_owned(),
                revision: new.to,
            });
        }
        let now = self.now(&mut tx).await?;
        if let Some(active) = active.as_ref().filter(|it| it.gives_any()) {
            check_time(&fleet, active, &new, now)?;
        }
        let asked = New {
            from: fleet.stable,
            to: new.to,
            strategy: new.strategy,
            reason: new.reason,
            actor: new.by.actor,
            instead_of: active.as_ref(),
            terms: new.terms,
        };
        let rollout = insert(&mut tx, &fleet.name, &asked, now).await?;
        // Whoever sends a fleet elsewhere than to its newest revision does not want the next commit to bring that back.
        let elsewhere = new.to < fleet.head && is_automatic(&fleet);
        fleet.held = elsewhere.then(|| rollout.id.clone());
        if active.as_ref().is_some_and(Rollout::gives_any) || rollout.gives_any() {
            fleet.assignment += 1;
        }
        end::write_fleet(&mut tx, &fleet).await?;
        let detail = serde_json::json!({
            "from": rollout.from,
            "reason": rollout.reason,
            "supersedes": active.map(|active| active.id),
            "not_before": rollout.not_before,
            "urgent": rollout.urgent,
            "retries": new.terms.retries,
        });
        let entry = Entry {
            revision: Some(rollout.to),
            detail: Some(detail),
            ..Entry::new("start-rollout", Some(new.fleet), end::object(&rollout.id))
        };
        add(&mut tx, new.by, now, entry).await?;
        self.publish(tx, new.fleet).await?;
        Ok(rollout)
    }
}

/// Begins the rollout of a revision that was just committed, where that is what the fleet does. `fleet` is locked, its head is
/// the revision already.
pub(in crate::store) async fn of_commit(
    tx: &mut AnyConnection,
    fleet: &Fleet,
    revision: &Revision,
    by: By<'_>,
) -> Result<Option<Rollout>> {
    if !is_automatic(fleet) || fleet.held.is_some() {
        return Ok(None);
    }
    if row::active(tx, &fleet.name).await?.is_some() {
        return Ok(None);
    }
    let reason = match revision.message.as_str() {
        "" => format!("revision {} was committed", revision.number),
        message => message.to_owned(),
    };
    let new = New {
        from: fleet.stable,
        to: revision.number,
        strategy: &strategy(fleet)?,
        reason: &reason,
        actor: by.actor,
        instead_of: None,
        terms: terms(tx, fleet, revision.number).await?,
    };
    let begun = insert(tx, &fleet.name, &new, revision.created_at).await?;
    Ok(Some(begun))
}

/// Begins the rollout of what was committed while another one ran, if there is something and the fleet does so. `fleet` is
/// locked, its stable revision is the one that has just become it.
pub(super) async fn of_waiting(
    tx: &mut AnyConnection,
    fleet: &Fleet,
    now: Timestamp,
) -> Result<Option<Rollout>> {
    if !is_automatic(fleet) || fleet.held.is_some() || fleet.head <= fleet.stable {
        return Ok(None);
    }
    let author: String = sqlx::query_scalar(AUTHOR)
        .bind(fleet.name.as_str())
        .bind(fleet.head as i64)
        .fetch_one(&mut *tx)
        .await?;
    let reason = format!("revision {} was committed meanwhile", fleet.head);
    let new = New {
        from: fleet.stable,
        to: fleet.head,
        strategy: &strategy(fleet)?,
        reason: &reason,
        actor: &author,
        instead_of: None,
        terms: terms(tx, fleet, fleet.head).await?,
    };
    Ok(Some(insert(tx, &fleet.name, &new, now).await?))
}

/// What commits say of the rollout that takes them to the nodes: it waits for the last of those that it brings.
async fn terms(tx: &mut AnyConnection, fleet: &Fleet, to: u64) -> Result<Terms<'static>> {
    let not_before: Option<i64> = sqlx::query_scalar(NOT_BEFORE)
        .bind(fleet.name.as_str())
        .bind(fleet.stable as i64)
        .bind(to as i64)
        .fetch_one(tx)
        .await?;
    Ok(Terms {
        not_before: not_before.map(Timestamp::from_micros),
        ..Terms::default()
    })
}

/// Whoever takes the place of a rollout that has moved nodes moves them at once, which is more than a wave that begins.
fn check_time(fleet: &Fleet, active: &Rollout, new: &NewRollout<'_>, now: Timestamp) -> Result<()> {
    let scheduled = new.terms.not_before.filter(|at| now < *at);
    let frozen = window::frozen(&fleet.settings.rollout.freeze, now);
    let why = match (scheduled, frozen) {
        _ if new.terms.urgent => None,
        (Some(at), _) => Some(format!("the new one is not to begin before {at}")),
        (None, Some(frozen)) => Some(match frozen.until {
            Some(until) => format!("the fleet is frozen ({}) until {until}", frozen.name),
            None => format!("the fleet is frozen ({})", frozen.name),
        }),
        (None, None) => None,
    };
    match why {
        None => Ok(()),
        Some(why) => Err(StoreError::NotYet {
            id: active.id.clone(),
            to: new.to,
            why,
        }),
    }
}

/// Whether commits begin rollouts.
pub(super) fn is_automatic(fleet: &Fleet) -> bool {
    fleet.settings.rollout.mode == Mode::Automatic
}

/// The strategy of rollouts that name none. Settings are checked before they are written, so one that is not there is a row
/// that somebody has to look at: a commit that nobody rolls out must not look like one that waits.
fn strategy(fleet: &Fleet) -> Result<Strategy> {
    let settings = &fleet.settings;
    resolve(&settings.strategies, &settings.rollout.strategy).map_err(|problem| {
        StoreError::Corrupt {
            what: format!(
                "settings of fleet {:?}: /rollout/strategy{}: {}",
                fleet.name, problem.pointer, problem.detail
            ),
        }
    })
}

async fn insert(
    tx: &mut AnyConnection,
    fleet: &str,
    new: &New<'_>,
    now: Timestamp,
) -> Result<Rollout> {
    let id = uuid::Uuid::now_v7().to_string();
    let asked = Begin {
        id: &id,
        fleet,
        from: new.from,
        to: new.to,
        strategy: new.strategy,
        reason: new.reason,
        by: new.actor,
        validators: has_validators(tx, fleet, now).await?,
        instead_of: new.instead_of,
        terms: new.terms,
    };
    let (rollout, events) = begin(asked, now);
    if let Some(other) = new.instead_of {
        let end = superseded(other, &rollout, now);
        end::write(tx, &end, new.actor, now).await?;
    }
    row::insert(tx, &rollout).await?;
    events::add(tx, &rollout, now, new.actor, &events).await?;
    Ok(rollout)
}

/// Whether a validator of the fleet is connected.
async fn has_validators(tx: &mut AnyConnection, fleet: &str, now: Timestamp) -> Result<bool> {
    let connected: i64 = sqlx::query_scalar(VALIDATORS)
        .bind(fleet)
        .bind(alive_since(now).as_micros())
        .fetch_one(tx)
        .await?;
    Ok(connected > 0)
}

async fn check_revision(tx: &mut AnyConnection, new: &NewRollout<'_>) -> Result<()> {
    let missing = || StoreError::NoSuchRevision {
        fleet: new.fleet.to_owned(),
        number: new.to,
    };
    let number = i64::try_from(new.to).map_err(|_| missing())?;
    let found: Option<i64> = sqlx::query_scalar(HAS_REVISION)
        .bind(new.fleet)
        .bind(number)
        .fetch_optional(tx)
        .await?;
    found.map(drop).ok_or_else(missing)
}
