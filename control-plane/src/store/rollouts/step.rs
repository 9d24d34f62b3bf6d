//! A change of a rollout, and what follows from it for the fleet, in one transaction.

use super::super::Fleet;
use super::super::audit::{Entry, add};
use super::super::error::{Result, StoreError};
use super::super::rollout::Step;
use super::super::sql::SqlStore;
use super::{begin, end, events, row};
use crate::rollout::{Rollout, State};

impl SqlStore {
    pub(in crate::store) async fn change_rollout(&self, step: Step<'_>) -> Result<Rollout> {
        let mut tx = self.begin().await?;
        let mut fleet = self.lock_fleet_row(&mut tx, &step.next.fleet).await?;
        let was = row::active(&mut tx, &fleet.name).await?;
        let was = was.filter(|was| was.id == step.next.id);
        let was = was.ok_or(StoreError::Moved)?;
        let now = self.now(&mut tx).await?;
        let next = Rollout {
            ended_at: step.next.state.is_terminal().then_some(now),
            row_version: step.next.row_version + 1,
            ..step.next.clone()
        };
        row::update(&mut tx, step.next.row_version, &next).await?;
        let actor = step.by.map_or("", |(by, _)| by.actor);
        events::add(&mut tx, &next, now, actor, step.events).await?;
        follow(&mut fleet, &was, &next);
        if next.state == State::Completed {
            let begun = begin::of_waiting(&mut tx, &fleet, now).await?;
            if begun.as_ref().is_some_and(Rollout::gives_any) {
                fleet.assignment += 1;
            }
        }
        end::write_fleet(&mut tx, &fleet).await?;
        if let Some((by, action)) = step.by {
            let detail = serde_json::json!({ "state": next.state, "wave": next.wave });
            let entry = Entry {
                revision: Some(next.to),
                detail: Some(detail),
                ..Entry::new(action, Some(&fleet.name), end::object(&next.id))
            };
            add(&mut tx, by, now, entry).await?;
        }
        self.publish(tx, &fleet.name).await?;
        Ok(next)
    }
}

/// What a change of its rollout makes of a fleet.
fn follow(fleet: &mut Fleet, was: &Rollout, next: &Rollout) {
    match next.state {
        State::Completed => fleet.stable = next.to,
        // What was taken back, or never let begin, must not come again with the next commit that has nothing to do with it.
        State::RolledBack | State::Canceled if begin::is_automatic(fleet) => {
            fleet.held = Some(next.id.clone());
        }
        _ => {}
    }
    if next.state == State::Completed || was.orders() != next.orders() {
        fleet.assignment += 1;
    }
}
