//! Rules of rollouts: how they begin, change and end, and what they make of their fleet.

use std::collections::BTreeMap;

use control_plane::model::timestamp::Timestamp;
use control_plane::model::{Endpoints, canonical};
use control_plane::rollout::built_in::built_in;
use control_plane::rollout::observed::Refused;
use control_plane::rollout::selection::Selection;
use control_plane::rollout::strategy::{
    ALL_AT_ONCE, Approval, Mode, RolloutSettings, Strategy, StrategyRef, Wave,
};
use control_plane::rollout::verdict::{Gate, Outcome, Verdict};
use control_plane::rollout::{Event, EventKind, Paused, Rollout, State};
use control_plane::store::audit::AuditQuery;
use control_plane::store::rollout::{NewRollout, Step, TrafficRow};
use control_plane::store::{Commit, Expected, Fleet, FleetSettings, Store, StoreError};
use serde_json::json;

use super::super::{ADA, Fresh, SOON, commit, validated};
use super::access::BOB;
use super::{A, B, Rule, node};

rules!(
    a_commit_begins_a_rollout,
    a_commit_in_a_manual_fleet_begins_none,
    a_commit_that_cannot_be_rolled_out_is_not_stored,
    commits_during_a_rollout_are_taken_together_in_the_next_one,
    every_field_of_a_rollout_is_read_back_as_it_was_written,
    of_two_steps_from_one_version_exactly_one_succeeds_and_the_other_leaves_nothing,
    what_has_ended_never_changes_again,
    a_refusal_between_reading_and_stepping_makes_the_step_fail,
    a_refusal_counts_once_a_node,
    refusals_at_once_are_all_counted,
    an_odd_refusal_counts_like_any_other,
    of_two_rollouts_that_are_begun_at_once_exactly_one_is,
    a_rollout_is_begun_only_to_where_there_is_something_to_go,
    a_rollout_that_takes_the_place_of_another_goes_on_with_its_nodes,
    of_two_that_take_the_place_of_another_both_do_one_after_the_other,
    after_a_rollback_commits_begin_nothing_until_somebody_says_so,
    after_an_abort_commits_begin_nothing_either,
    a_fleet_that_was_sent_to_an_older_revision_stays_there,
    what_anyone_wants_is_counted_and_every_step_is_told,
    rollouts_and_events_are_read_in_pages,
    what_an_operator_does_to_a_rollout_is_audited,
    the_rollout_of_a_fleet_that_is_deleted_ends_with_it,
    endpoints_that_a_served_revision_uses_are_not_deleted,
    traffic_is_kept_for_an_hour_by_the_database_s_clock,
    the_database_tells_the_time,
);

const NONE: &str = "{}";

fn event(kind: EventKind, state: State, detail: &str) -> Event {
    Event {
        kind,
        state,
        wave: 0,
        detail: detail.to_owned(),
        data: None,
    }
}

fn one_wave() -> Strategy {
    built_in(ALL_AT_ONCE).unwrap()
}

fn manual() -> FleetSettings {
    FleetSettings {
        rollout: RolloutSettings {
            mode: Mode::Manual,
            strategy: StrategyRef::default(),
        },
        ..FleetSettings::default()
    }
}

fn start<'a>(fleet: &'a str, to: u64, strategy: &'a Strategy, supersede: bool) -> NewRollout<'a> {
    NewRollout {
        fleet,
        to,
        strategy,
        reason: "because",
        supersede,
        by: ADA,
    }
}

/// Stores a config as the revision after `base`.
async fn commit_in(store: &dyn Store, fleet: &str, base: u64, yaml: &str, release: bool) {
    let config = validated(yaml);
    let commit = Commit {
        fleet,
        base,
        by: BOB,
        message: "",
        config: &config,
        release,
    };
    store.commit(commit).await.unwrap();
}

/// The default fleet with manual rollouts, at this many revisions, of which it serves none.
async fn manual_with(store: &dyn Store, revisions: u64) {
    let before = store.fleet("default").await.unwrap().settings;
    store
        .change_fleet("default", &manual(), &before, ADA)
        .await
        .unwrap();
    for base in 0..revisions {
        commit(store, base, if base % 2 == 0 { A } else { B })
            .await
            .unwrap();
    }
}

async fn active(store: &dyn Store) -> Option<Rollout> {
    let mut active = store.active_rollouts().await.unwrap();
    assert!(active.len() <= 1, "{active:?}");
    active.pop()
}

/// A step to a state, from a row as it was read.
async fn step(store: &dyn Store, was: &Rollout, state: State) -> Result<Rollout, StoreError> {
    let next = Rollout {
        state,
        ..was.clone()
    };
    step_to(store, &next).await
}

async fn step_to(store: &dyn Store, next: &Rollout) -> Result<Rollout, StoreError> {
    let events = [event(EventKind::Moved, next.state, "so it goes")];
    let step = Step {
        next,
        events: &events,
        by: None,
    };
    store.step_rollout(step).await
}

/// Ends the active rollout, and says which one it was.
pub(super) async fn end(store: &dyn Store, state: State) -> Rollout {
    let active = active(store).await.unwrap();
    step(store, &active, state).await.unwrap()
}

async fn fleet(store: &dyn Store) -> Fleet {
    store.fleet("default").await.unwrap()
}

/// A node's refusal of a revision.
fn refused(node: &str) -> Refused {
    Refused {
        node: node.to_owned(),
        type_url: "type.googleapis.com/x".to_owned(),
        resources: vec!["r".to_owned()],
        message: "no".to_owned(),
        at: Timestamp::from_micros(0),
    }
}

async fn details(store: &dyn Store, id: &str) -> Vec<(u64, EventKind, State, String)> {
    let events = store.rollout_events(id, 0, 1_000).await.unwrap();
    events
        .into_iter()
        .map(|it| (it.seq, it.event.kind, it.event.state, it.actor))
        .collect()
}

async fn a_commit_begins_a_rollout(fresh: Fresh) {
    let store = &*fresh.store;
    let none = store.rollouts("default", None, 10).await.unwrap();
    assert!(none.is_empty() && active(store).await.is_none());
    let revision = commit(store, 0, A).await.unwrap();
    let rollout = active(store).await.unwrap();
    assert_eq!((rollout.from, rollout.to), (0, 1));
    assert_eq!(rollout.state, State::Advancing);
    assert_eq!(rollout.created_by, "ada");
    assert_eq!(rollout.reason, "why", "the commit's message");
    assert_eq!(rollout.created_at, revision.created_at);
    assert!(rollout.selection.is_empty() && rollout.ended_at.is_none());
    let read = store.rollout("default", &rollout.id).await.unwrap();
    assert_eq!(read, rollout);
    let begun = details(store, &rollout.id).await;
    assert_eq!(
        begun,
        [(1, EventKind::Started, State::Advancing, "ada".to_owned())]
    );
    let fleet = fleet(store).await;
    assert_eq!(
        (fleet.head, fleet.stable, fleet.assignment, fleet.held),
        (1, 0, 0, None)
    );
    let asked = AuditQuery {
        fleets: control_plane::access::Fleets::All,
        actor: None,
        before: None,
        limit: 10,
    };
    let trail = store.audit(&asked).await.unwrap();
    assert_eq!(trail.len(), 1, "one row: {trail:?}");
    assert_eq!(trail[0].detail.as_ref().unwrap()["rollout"], rollout.id);
}

async fn a_commit_in_a_manual_fleet_begins_none(fresh: Fresh) {
    let store = &*fresh.store;
    manual_with(store, 2).await;
    assert!(active(store).await.is_none());
    let before = fleet(store).await;
    assert_eq!((before.head, before.stable), (2, 0));
    let strategy = one_wave();
    let begun = store.start_rollout(start("default", 1, &strategy, false));
    begun.await.unwrap();
    end(store, State::Completed).await;
    assert!(active(store).await.is_none(), "what is newer waits");
    assert_eq!(fleet(store).await.stable, 1);
    store
        .start_rollout(start("default", 2, &strategy, false))
        .await
        .unwrap();
    end(store, State::RolledBack).await;
    let after = fleet(store).await;
    assert_eq!((after.stable, after.held), (1, None));
}

async fn a_commit_that_cannot_be_rolled_out_is_not_stored(fresh: Fresh) {
    let store = &*fresh.store;
    let lost = FleetSettings {
        rollout: RolloutSettings {
            mode: Mode::Automatic,
            strategy: StrategyRef::Named("lost".to_owned()),
        },
        ..FleetSettings::default()
    };
    let none = FleetSettings::default();
    store
        .change_fleet("default", &lost, &none, ADA)
        .await
        .unwrap();
    let before = fleet(store).await;
    let error = commit(store, 0, A).await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { what }
            if what.contains("rollout/strategy") && what.contains("lost")),
        "{error:?}"
    );
    assert_eq!(fleet(store).await, before);
    assert!(active(store).await.is_none());
    // One that is the fleet's own, or that is given, is taken.
    for named in [true, false] {
        let own = Strategy {
            max_step: Some(7),
            ..one_wave()
        };
        let settings = FleetSettings {
            rollout: RolloutSettings {
                mode: Mode::Automatic,
                strategy: match named {
                    true => StrategyRef::Named(ALL_AT_ONCE.to_owned()),
                    false => StrategyRef::Inline(own.clone()),
                },
            },
            strategies: BTreeMap::from([(ALL_AT_ONCE.to_owned(), own.clone())]),
            ..FleetSettings::default()
        };
        let before = fleet(store).await;
        let change = store.change_fleet("default", &settings, &before.settings, ADA);
        change.await.unwrap();
        commit(store, before.head, A).await.unwrap();
        assert_eq!(active(store).await.unwrap().strategy, own);
        end(store, State::Completed).await;
    }
}

async fn commits_during_a_rollout_are_taken_together_in_the_next_one(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let first = active(store).await.unwrap();
    commit_in(store, "default", 1, B, false).await;
    commit_in(store, "default", 2, A, false).await;
    assert_eq!(active(store).await.unwrap(), first);
    let first = end(store, State::Completed).await;
    assert_eq!(first.state, State::Completed);
    assert!(first.ended_at.is_some());
    let next = active(store).await.unwrap();
    assert_ne!(next.id, first.id);
    assert_eq!((next.from, next.to), (1, 3));
    assert_eq!(next.created_by, "bob", "the author of what it brings");
    assert_eq!(Some(next.created_at), first.ended_at);
    let between = fleet(store).await;
    assert_eq!((between.head, between.stable), (3, 1));
    end(store, State::Completed).await;
    assert!(active(store).await.is_none());
    let after = fleet(store).await;
    assert_eq!((after.head, after.stable), (3, 3));
}

async fn every_field_of_a_rollout_is_read_back_as_it_was_written(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let was = active(store).await.unwrap();
    let at = |us| Some(Timestamp::from_micros(us));
    let labels = BTreeMap::from([("role".to_owned(), "canary".to_owned())]);
    let next = Rollout {
        state: State::Paused,
        paused: Some(Paused {
            state: State::Baking,
            left_us: Some(1_500_000),
        }),
        wave: 3,
        selection: Selection {
            cutoffs: BTreeMap::from([("a".to_owned(), (1 << 52) - 1), (String::new(), 0)]),
            default_cutoff: 1 << 51,
            nodes: ["n1".to_owned(), "\0 ü".to_owned()].into(),
            zones: ["z".to_owned()].into(),
            labels: vec![labels],
            ..Selection::default()
        },
        wave_at: at(5),
        deadline: at(i64::MAX),
        promoted: true,
        verdicts: vec![Verdict {
            gate: Gate::Health,
            outcome: Outcome::Hold,
            detail: "0.1 %".to_owned(),
            numbers: serde_json::Map::from_iter([("ratio".to_owned(), json!(0.1))]),
        }],
        refusals_judged: 7,
        approved_by: Some("bob".to_owned()),
        outcome: Some("it goes on".to_owned()),
        ..was.clone()
    };
    let written = step_to(store, &next).await.unwrap();
    let expected = Rollout {
        row_version: was.row_version + 1,
        ..next
    };
    assert_eq!(written, expected);
    let fresh = fresh.reopen().await;
    let store = &*fresh.store;
    assert_eq!(
        store.rollout("default", &was.id).await.unwrap(),
        expected.clone()
    );
    let bare = Rollout {
        paused: None,
        wave_at: None,
        deadline: None,
        approved_by: None,
        outcome: None,
        state: State::Baking,
        ..expected
    };
    step_to(store, &bare).await.unwrap();
    let read = active(store).await.unwrap();
    assert_eq!(
        read,
        Rollout {
            row_version: bare.row_version + 1,
            ..bare
        }
    );
    fresh.sql("UPDATE rollout SET state = 'odd'").await;
    let error = fresh.store.active_rollouts().await.unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { what } if what.contains("state")),
        "{error}"
    );
}

async fn of_two_steps_from_one_version_exactly_one_succeeds_and_the_other_leaves_nothing(
    fresh: Fresh,
) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    commit(store, 1, B).await.unwrap();
    let was = active(store).await.unwrap();
    let steps = [State::Completed, State::RolledBack].map(|state| {
        let (store, was) = (fresh.store.clone(), was.clone());
        tokio::spawn(async move { step(&*store, &was, state).await })
    });
    let (mut won, mut lost) = (Vec::new(), 0);
    for step in steps {
        match step.await.unwrap() {
            Ok(rollout) => won.push(rollout),
            Err(StoreError::Moved) => lost += 1,
            Err(error) => panic!("{error:?}"),
        }
    }
    let [won] = won.as_slice() else {
        panic!("{won:?}")
    };
    assert_eq!(lost, 1);
    let read = store.rollout("default", &was.id).await.unwrap();
    assert_eq!(read, *won);
    assert_eq!(details(store, &was.id).await.len(), 2, "begun, ended");
    let completed = won.state == State::Completed;
    let fleet = fleet(store).await;
    assert_eq!(
        (fleet.stable == 1, fleet.held.is_none()),
        (completed, completed)
    );
    let all = store.rollouts("default", None, 10).await.unwrap();
    assert_eq!(all.len(), 1 + usize::from(completed));
}

async fn what_has_ended_never_changes_again(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let ended = end(store, State::RolledBack).await;
    let before = fleet(store).await;
    for state in [State::Advancing, State::Completed] {
        let error = step(store, &ended, state).await.unwrap_err();
        assert!(matches!(error, StoreError::Moved), "{error:?}");
    }
    let unknown = Rollout {
        id: "nope".to_owned(),
        ..ended.clone()
    };
    let error = step(store, &unknown, State::Baking).await.unwrap_err();
    assert!(matches!(error, StoreError::Moved), "{error:?}");
    let told = store.refuse_rollout("default", 1, &refused("n")).await;
    assert_eq!(told.unwrap(), None);
    assert_eq!(fleet(store).await, before);
    let read = store.rollout("default", &ended.id).await.unwrap();
    assert_eq!(read, ended);
    assert_eq!(details(store, &ended.id).await.len(), 2);
}

async fn a_refusal_between_reading_and_stepping_makes_the_step_fail(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let was = active(store).await.unwrap();
    let other = store.refuse_rollout("default", 9, &refused("n")).await;
    assert_eq!(other.unwrap(), None, "nobody goes there");
    let elsewhere = store.refuse_rollout("nope", 1, &refused("n")).await;
    assert_eq!(elsewhere.unwrap(), None);
    let seq = fleet(store).await.change_seq;
    let mut hints = store.hints();
    hints.mark_unchanged();
    let (id, version) = store
        .refuse_rollout("default", 1, &refused("n"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((id, version), (was.id.clone(), was.row_version + 1));
    let hint = tokio::time::timeout(SOON, hints.changed());
    hint.await.unwrap().unwrap();
    assert_eq!(fleet(store).await.change_seq, seq + 1);
    let error = step(store, &was, State::Settling).await.unwrap_err();
    assert!(matches!(error, StoreError::Moved), "{error:?}");
    assert_eq!(details(store, &was.id).await.len(), 1);
    let again = active(store).await.unwrap();
    assert_eq!(again.row_version, version);
    step(store, &again, State::Settling).await.unwrap();
}

async fn a_refusal_counts_once_a_node(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let before = store.clock().await.unwrap();
    let told = async |node: &str| {
        let told = store.refuse_rollout("default", 1, &refused(node)).await;
        told.unwrap().unwrap().1
    };
    let (first, second) = (told("b").await, told("a").await);
    assert_eq!(second, first + 1);
    let rollout = active(store).await.unwrap();
    step(store, &rollout, State::Settling).await.unwrap();
    let seq = fleet(store).await.change_seq;
    // The row that was judged since is above what both are told, so nobody waits for another one.
    assert_eq!((told("b").await, told("a").await), (first, second));
    assert_eq!(fleet(store).await.change_seq, seq, "nothing is new");
    let refusals = store.rollout_refusals(&rollout.id).await.unwrap();
    let nodes: Vec<_> = refusals.iter().map(|it| it.node.as_str()).collect();
    assert_eq!(nodes, ["b", "a"], "from the first");
    assert!(refusals[0].at >= before && refusals[1].at >= refusals[0].at);
    let told = Refused {
        at: refusals[0].at,
        ..refused("b")
    };
    assert_eq!(refusals[0], told);
    assert!(store.rollout_refusals("nope").await.unwrap().is_empty());
}

async fn refusals_at_once_are_all_counted(fresh: Fresh) {
    commit(&*fresh.store, 0, A).await.unwrap();
    let was = active(&*fresh.store).await.unwrap();
    // Each of ten nodes is heard by two replicas.
    let tasks: Vec<_> = (0..20)
        .map(|n| {
            let store = fresh.store.clone();
            tokio::spawn(async move {
                let refused = refused(&format!("n{}", n % 10));
                let told = store.refuse_rollout("default", 1, &refused).await;
                told.unwrap().unwrap().1
            })
        })
        .collect();
    let mut versions = Vec::new();
    for task in tasks {
        versions.push(task.await.unwrap());
    }
    versions.sort_unstable();
    versions.dedup();
    let expected: Vec<_> = (was.row_version + 1..=was.row_version + 10).collect();
    assert_eq!(versions, expected);
    let refusals = fresh.store.rollout_refusals(&was.id).await.unwrap();
    assert_eq!(refusals.len(), 10);
}

async fn an_odd_refusal_counts_like_any_other(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let odd = Refused {
        node: format!("\0'; --{}", "é".repeat(5_000)),
        type_url: "\0".to_owned(),
        resources: vec!["\0".to_owned()],
        message: "\0'; --".to_owned(),
        at: Timestamp::from_micros(0),
    };
    let told = store.refuse_rollout("default", 1, &odd).await.unwrap();
    let again = store.refuse_rollout("default", 1, &odd).await.unwrap();
    assert_eq!(told, again);
    let refusals = store.rollout_refusals(&told.unwrap().0).await.unwrap();
    assert_eq!(refusals.len(), 1);
    assert_eq!(refusals[0].message, "\u{fffd}'; --");
}

async fn of_two_rollouts_that_are_begun_at_once_exactly_one_is(fresh: Fresh) {
    manual_with(&*fresh.store, 2).await;
    let starts = [1, 2].map(|to| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let strategy = one_wave();
            store
                .start_rollout(start("default", to, &strategy, false))
                .await
        })
    });
    let (mut begun, mut refused) = (Vec::new(), Vec::new());
    for start in starts {
        match start.await.unwrap() {
            Ok(rollout) => begun.push(rollout),
            Err(StoreError::RolloutActive { id, state }) => refused.push((id, state)),
            Err(error) => panic!("{error:?}"),
        }
    }
    assert_eq!((begun.len(), refused.len()), (1, 1));
    assert_eq!(refused[0], (begun[0].id.clone(), State::Advancing));
    let all = fresh.store.rollouts("default", None, 10).await.unwrap();
    assert_eq!(all, begun);
}

async fn a_rollout_is_begun_only_to_where_there_is_something_to_go(fresh: Fresh) {
    let store = &*fresh.store;
    manual_with(store, 2).await;
    let strategy = Strategy {
        waves: vec![Wave {
            approval: Some(Approval { by_another: true }),
            ..one_wave().waves.remove(0)
        }],
        ..one_wave()
    };
    let start = async |fleet: &str, to| {
        let begun = store.start_rollout(start(fleet, to, &strategy, false));
        begun.await
    };
    for to in [0, 3, u64::MAX] {
        let error = start("default", to).await.unwrap_err();
        assert!(
            matches!(error, StoreError::NoSuchRevision { number, .. } if number == to),
            "{error:?}"
        );
    }
    let error = start("nope", 1).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSuchFleet(_)), "{error:?}");
    let rollout = start("default", 2).await.unwrap();
    assert_eq!(rollout.state, State::AwaitingApproval);
    assert_eq!((rollout.reason.as_str(), rollout.from), ("because", 0));
    assert_eq!(rollout.strategy, strategy);
    end(store, State::Completed).await;
    let error = start("default", 2).await.unwrap_err();
    assert!(
        matches!(error, StoreError::NothingToRollOut { revision: 2, .. }),
        "{error:?}"
    );
    // Going back by hand is going somewhere.
    let back = start("default", 1).await.unwrap();
    assert_eq!((back.from, back.to), (2, 1));
    end(store, State::Completed).await;
    assert_eq!(fleet(store).await.stable, 1);
}

async fn a_rollout_that_takes_the_place_of_another_goes_on_with_its_nodes(fresh: Fresh) {
    let store = &*fresh.store;
    manual_with(store, 3).await;
    let strategy = one_wave();
    let first = store
        .start_rollout(start("default", 1, &strategy, true))
        .await
        .unwrap();
    assert_eq!(first.salt, first.id, "there was none to take the place of");
    let first = Rollout {
        state: State::Baking,
        wave: 1,
        selection: Selection {
            default_cutoff: 77,
            nodes: ["canary".to_owned()].into(),
            ..Selection::default()
        },
        deadline: Some(Timestamp::from_micros(1)),
        ..first
    };
    let first = step_to(store, &first).await.unwrap();
    let before = fleet(store).await;
    let next = store
        .start_rollout(start("default", 3, &strategy, true))
        .await
        .unwrap();
    assert_eq!(
        (&next.salt, &next.selection),
        (&first.salt, &first.selection)
    );
    assert_eq!((next.from, next.to, next.wave), (0, 3, 0));
    let old = store.rollout("default", &first.id).await.unwrap();
    assert_eq!(old.state, State::Superseded);
    assert_eq!(old.row_version, first.row_version + 1);
    assert!(old.ended_at.is_some() && old.outcome.is_some());
    let (_, kind, state, actor) = details(store, &first.id).await.pop().unwrap();
    assert_eq!(
        (kind, state, actor.as_str()),
        (EventKind::Ended, State::Superseded, "ada")
    );
    let after = fleet(store).await;
    assert_eq!(after.assignment, before.assignment + 1);
    assert_eq!((after.stable, after.held), (0, None));
    let late = step(store, &first, State::Completed).await.unwrap_err();
    assert!(matches!(late, StoreError::Moved), "{late:?}");
    // What cannot be begun ends nothing.
    let error = store
        .start_rollout(start("default", 9, &strategy, true))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::NoSuchRevision { .. }));
    assert_eq!(active(store).await.unwrap(), next);
}

async fn of_two_that_take_the_place_of_another_both_do_one_after_the_other(fresh: Fresh) {
    manual_with(&*fresh.store, 3).await;
    let strategy = one_wave();
    let first = fresh
        .store
        .start_rollout(start("default", 1, &strategy, false))
        .await
        .unwrap();
    let starts = [2, 3].map(|to| {
        let store = fresh.store.clone();
        tokio::spawn(async move {
            let strategy = one_wave();
            store
                .start_rollout(start("default", to, &strategy, true))
                .await
        })
    });
    for start in starts {
        assert_eq!(start.await.unwrap().unwrap().salt, first.salt);
    }
    let all = fresh.store.rollouts("default", None, 10).await.unwrap();
    let ended = all.iter().filter(|it| it.state == State::Superseded);
    assert_eq!((all.len(), ended.count()), (3, 2));
    assert!(active(&*fresh.store).await.is_some());
}

async fn after_a_rollback_commits_begin_nothing_until_somebody_says_so(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    end(store, State::Completed).await;
    commit(store, 1, B).await.unwrap();
    commit(store, 2, A).await.unwrap();
    let bad = active(store).await.unwrap();
    let back = step(store, &bad, State::RollingBack).await.unwrap();
    assert_eq!(fleet(store).await.held, None, "it has not ended yet");
    step(store, &back, State::RolledBack).await.unwrap();
    let held = fleet(store).await;
    assert_eq!((held.stable, held.head), (1, 3));
    assert_eq!(held.held.as_deref(), Some(bad.id.as_str()));
    assert!(active(store).await.is_none(), "nor for what waited");
    commit_in(store, "default", 3, B, false).await;
    assert!(active(store).await.is_none());
    assert_eq!(fleet(store).await.held.as_deref(), Some(bad.id.as_str()));

    // A revert says so.
    commit_in(store, "default", 4, A, true).await;
    assert_eq!(fleet(store).await.held, None);
    let next = active(store).await.unwrap();
    assert_eq!((next.from, next.to), (1, 5));
    end(store, State::RolledBack).await;
    assert_eq!(fleet(store).await.held, Some(next.id));

    // So does one that is begun by hand.
    let strategy = one_wave();
    store
        .start_rollout(start("default", 5, &strategy, false))
        .await
        .unwrap();
    assert_eq!(fleet(store).await.held, None);
    commit_in(store, "default", 5, B, false).await;
    end(store, State::Completed).await;
    assert_eq!(active(store).await.unwrap().to, 6);
}

async fn after_an_abort_commits_begin_nothing_either(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    let aborted = end(store, State::Canceled).await;
    let held = fleet(store).await;
    assert_eq!((held.stable, held.held), (0, Some(aborted.id)));
    commit_in(store, "default", 1, B, false).await;
    assert!(active(store).await.is_none());
}

async fn a_fleet_that_was_sent_to_an_older_revision_stays_there(fresh: Fresh) {
    let store = &*fresh.store;
    for base in 0..3 {
        commit(store, base, if base == 1 { B } else { A })
            .await
            .unwrap();
    }
    end(store, State::Completed).await;
    end(store, State::Completed).await;
    assert_eq!(fleet(store).await.stable, 3);
    let strategy = one_wave();
    let back = store
        .start_rollout(start("default", 1, &strategy, false))
        .await
        .unwrap();
    commit_in(store, "default", 3, B, false).await;
    end(store, State::Completed).await;
    let there = fleet(store).await;
    assert_eq!((there.stable, there.head), (1, 4));
    assert_eq!(there.held, Some(back.id));
    assert!(active(store).await.is_none());
    commit_in(store, "default", 4, A, true).await;
    let next = active(store).await.unwrap();
    assert_eq!((next.from, next.to), (1, 5));
}

async fn what_anyone_wants_is_counted_and_every_step_is_told(fresh: Fresh) {
    let store = &*fresh.store;
    let mut hints = store.hints();
    commit(store, 0, A).await.unwrap();
    let begun = active(store).await.unwrap();
    let chosen = |names: &[&str]| Selection {
        nodes: names.iter().map(ToString::to_string).collect(),
        ..Selection::default()
    };
    let (none, one, two) = (chosen(&[]), chosen(&["a"]), chosen(&["a", "b"]));
    // The state, who is chosen, and whether anyone wants another revision than before.
    let steps = [
        (State::Settling, &one, true),
        (State::Baking, &one, false),
        (State::Paused, &one, false),
        (State::Advancing, &one, false),
        (State::Settling, &two, true),
        (State::RollingBack, &two, true),
        (State::RolledBack, &two, false),
    ];
    let mut row = begun;
    let walk = async |row: &mut Rollout, state, selection: &Selection| {
        let before = store.fleet("default").await.unwrap();
        let next = Rollout {
            state,
            selection: selection.clone(),
            ..row.clone()
        };
        *row = step_to(store, &next).await.unwrap();
        let after = store.fleet("default").await.unwrap();
        assert_eq!(after.change_seq, before.change_seq + 1, "{state}");
        after.assignment - before.assignment
    };
    for (state, selection, wanted) in steps {
        hints.mark_unchanged();
        let grown = walk(&mut row, state, selection).await;
        assert_eq!(grown, u64::from(wanted), "{state}");
        let hint = tokio::time::timeout(SOON, hints.changed());
        hint.await.unwrap().unwrap();
    }
    commit_in(store, "default", 1, B, true).await;
    let mut row = active(store).await.unwrap();
    assert_eq!(walk(&mut row, State::Completed, &none).await, 1);
}

async fn rollouts_and_events_are_read_in_pages(fresh: Fresh) {
    let store = &*fresh.store;
    for base in 0..3 {
        commit(store, base, if base == 1 { B } else { A })
            .await
            .unwrap();
        end(store, State::Completed).await;
    }
    let tos = async |before: Option<&str>, limit| -> Vec<(u64, String)> {
        let page = store.rollouts("default", before, limit).await.unwrap();
        page.into_iter().map(|it| (it.to, it.id)).collect()
    };
    let all = tos(None, 10).await;
    assert_eq!(all.iter().map(|it| it.0).collect::<Vec<_>>(), [3, 2, 1]);
    assert_eq!(tos(None, 2).await, all[..2]);
    assert_eq!(tos(Some(&all[1].1), 2).await, all[2..]);
    assert_eq!(tos(Some(&all[2].1), 2).await, []);
    let missing = store.rollouts("default", Some("nope"), 2).await;
    assert!(matches!(missing, Err(StoreError::NoSuchRollout(_))));
    let missing = store.rollouts("nope", None, 2).await;
    assert!(matches!(missing, Err(StoreError::NoSuchFleet(_))));
    for (fleet, id) in [("default", "nope"), ("nope", all[0].1.as_str())] {
        let missing = store.rollout(fleet, id).await;
        assert!(
            matches!(
                missing,
                Err(StoreError::NoSuchRollout(_) | StoreError::NoSuchFleet(_))
            ),
            "{missing:?}"
        );
    }

    commit(store, 3, B).await.unwrap();
    let row = active(store).await.unwrap();
    let told = |n: u64| Event {
        kind: EventKind::Judged,
        state: State::Advancing,
        wave: 2,
        detail: format!("event {n} \0"),
        data: (n % 2 == 0).then(|| json!({ "n": n, "ratio": 0.1 })),
    };
    let events: Vec<_> = (2..6).map(told).collect();
    let step = Step {
        next: &row,
        events: &events,
        by: None,
    };
    let began = store.clock().await.unwrap();
    let row = store.step_rollout(step).await.unwrap();
    step_to(store, &row).await.unwrap();
    let page = async |after, limit| store.rollout_events(&row.id, after, limit).await.unwrap();
    let numbers = async |after, limit| -> Vec<u64> {
        page(after, limit).await.iter().map(|it| it.seq).collect()
    };
    assert_eq!(numbers(0, 100).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(numbers(2, 2).await, [3, 4]);
    assert_eq!(numbers(6, 2).await, [0; 0]);
    assert_eq!(numbers(u64::MAX, 2).await, [0; 0]);
    let read = page(1, 2).await;
    assert_eq!(read[0].event.detail, "event 2 \u{fffd}");
    assert_eq!(read[0].event.data, told(2).data);
    assert_eq!(read[1].event.data, None);
    assert_eq!(
        (read[0].event.kind, read[0].event.wave),
        (EventKind::Judged, 2)
    );
    assert_eq!(read[0].actor, "");
    assert!(read[0].at >= began);
}

async fn what_an_operator_does_to_a_rollout_is_audited(fresh: Fresh) {
    let store = &*fresh.store;
    manual_with(store, 1).await;
    let strategy = one_wave();
    let row = store
        .start_rollout(start("default", 1, &strategy, false))
        .await
        .unwrap();
    let next = Rollout {
        state: State::Paused,
        ..row
    };
    let events = [event(EventKind::Ordered, State::Paused, "bob: pause")];
    let order = Step {
        next: &next,
        events: &events,
        by: Some((BOB, "pause-rollout")),
    };
    store.step_rollout(order).await.unwrap();
    let moved = store.step_rollout(order).await;
    assert!(matches!(moved, Err(StoreError::Moved)));
    step(store, &active(store).await.unwrap(), State::Advancing)
        .await
        .unwrap();
    let asked = AuditQuery {
        fleets: control_plane::access::Fleets::All,
        actor: None,
        before: None,
        limit: 2,
    };
    let trail = store.audit(&asked).await.unwrap();
    let trail: Vec<_> = trail
        .iter()
        .map(|row| {
            (
                row.actor.as_str(),
                row.action.as_str(),
                row.object.as_str(),
                row.revision,
                row.request_id.as_str(),
            )
        })
        .collect();
    let object = format!("rollouts/{}", next.id);
    assert_eq!(
        trail,
        [
            ("bob", "pause-rollout", &*object, Some(1), "request-2"),
            ("ada", "start-rollout", &*object, Some(1), "request-1"),
        ]
    );
    let actors: Vec<_> = details(store, &next.id).await;
    let actors: Vec<_> = actors.iter().map(|it| it.3.as_str()).collect();
    assert_eq!(actors, ["ada", "bob", ""]);
}

async fn the_rollout_of_a_fleet_that_is_deleted_ends_with_it(fresh: Fresh) {
    let store = &*fresh.store;
    commit(store, 0, A).await.unwrap();
    end(store, State::Completed).await;
    commit(store, 1, NONE).await.unwrap();
    let row = active(store).await.unwrap();
    let traffic = [traffic("default", 1, b"x")];
    store.write_traffic("r1", &traffic).await.unwrap();
    let before = fleet(store).await;
    store.heartbeat("r1").await.unwrap();
    store.write_nodes("r1", &[node("n", "r1")]).await.unwrap();
    let used = store.delete_fleet("default", BOB).await;
    assert!(matches!(used, Err(StoreError::NotEmpty { .. })));
    assert_eq!(active(store).await.unwrap(), row, "nothing has happened");
    fresh.sql("UPDATE node SET connected = 0").await;
    store.delete_fleet("default", BOB).await.unwrap();
    assert!(active(store).await.is_none());
    let late = step(store, &row, State::Completed).await;
    assert!(matches!(late, Err(StoreError::NoSuchFleet(_))), "{late:?}");

    let again = store
        .create_fleet("default", &FleetSettings::default(), ADA)
        .await
        .unwrap();
    assert_eq!((again.head, again.stable, again.held), (2, 2, None));
    assert!(again.assignment > before.assignment);
    let since = Timestamp::from_micros(0);
    assert!(store.traffic("default", since).await.unwrap().is_empty());
    let ended = store.rollout("default", &row.id).await.unwrap();
    assert_eq!(ended.state, State::Canceled);
    let (seq, kind, state, actor) = details(store, &row.id).await.pop().unwrap();
    assert_eq!(
        (seq, kind, state, actor.as_str()),
        (2, EventKind::Ended, State::Canceled, "bob")
    );
    commit(store, 2, B).await.unwrap();
    let next = active(store).await.unwrap();
    assert_eq!((next.from, next.to), (2, 3));
}

async fn endpoints_that_a_served_revision_uses_are_not_deleted(fresh: Fresh) {
    let store = &*fresh.store;
    let none = Endpoints::default();
    let hash = Some(canonical::hash(&canonical::to_bytes(&none)));
    let expect = |hash| Expected { head: None, hash };
    let put = async |cluster: &str| {
        let put = store.put_endpoints("default", cluster, &none, expect(None), ADA);
        put.await.unwrap();
    };
    let delete = async |cluster: &str| {
        let deleted = store.delete_endpoints("default", cluster, expect(hash), ADA);
        match deleted.await {
            Ok(()) => Vec::new(),
            Err(StoreError::EndpointsInUse { revisions, .. }) => revisions,
            Err(error) => panic!("{error:?}"),
        }
    };
    put("a").await;
    put("b").await;
    // 1 has a, 2 has b, 3 has neither, 4 has a of another kind.
    commit(store, 0, A).await.unwrap();
    assert_eq!(delete("a").await, [1], "the head, and the target");
    end(store, State::Completed).await;
    commit(store, 1, B).await.unwrap();
    commit(store, 2, NONE).await.unwrap();
    assert_eq!(delete("a").await, [1], "the stable one");
    assert_eq!(delete("b").await, [2], "the target");
    end(store, State::Completed).await;
    assert_eq!(delete("a").await, [0; 0]);
    assert_eq!(delete("b").await, [2], "the stable one");
    end(store, State::Completed).await;
    assert_eq!(delete("b").await, [0; 0]);
    put("a").await;
    commit(store, 3, "clusters: [{name: a, endpoints: []}]")
        .await
        .unwrap();
    assert_eq!(delete("a").await, [0; 0], "it has its own");
    end(store, State::Canceled).await;
    put("a").await;
    commit(store, 4, A).await.unwrap();
    assert!(active(store).await.is_none());
    assert_eq!(delete("a").await, [5], "the head, held or not");
    commit(store, 5, NONE).await.unwrap();
    let strategy = one_wave();
    store
        .start_rollout(start("default", 1, &strategy, false))
        .await
        .unwrap();
    assert_eq!(delete("a").await, [1], "an older one, by hand");
}

fn traffic(fleet: &str, revision: u64, body: &[u8]) -> TrafficRow {
    TrafficRow {
        fleet: fleet.to_owned(),
        revision,
        at: Timestamp::from_micros(7),
        body: body.to_vec(),
    }
}

async fn traffic_is_kept_for_an_hour_by_the_database_s_clock(fresh: Fresh) {
    let store = &*fresh.store;
    let began = store.clock().await.unwrap();
    let seq = fleet(store).await.change_seq;
    store.write_traffic("r1", &[]).await.unwrap();
    let many: Vec<_> = (0..450)
        .map(|n| traffic("default", n, &n.to_le_bytes()))
        .chain([traffic("edge", 1, &[0, 255])])
        .collect();
    store.write_traffic("r1", &many).await.unwrap();
    let rows = store.traffic("default", began).await.unwrap();
    assert_eq!(rows.len(), 450);
    let at = rows[0].at;
    assert!(at >= began && rows.iter().all(|row| row.at == at));
    let expected = TrafficRow {
        at,
        ..many[449].clone()
    };
    assert_eq!(rows[449], expected);
    let edge = store.traffic("edge", began).await.unwrap();
    assert_eq!(edge[0].body, [0, 255]);
    assert!(store.traffic("other", began).await.unwrap().is_empty());
    assert_eq!(fleet(store).await.change_seq, seq, "nobody is told");

    fresh.sql("UPDATE traffic SET at = at - 1800000000").await;
    store
        .write_traffic("r2", &[traffic("default", 9, b"new")])
        .await
        .unwrap();
    let new = store.traffic("default", began).await.unwrap();
    assert_eq!((new.len(), new[0].revision), (1, 9));
    let zero = Timestamp::from_micros(0);
    let all = store.traffic("default", zero).await.unwrap();
    assert_eq!((all.len(), all[450].revision), (451, 9), "from the oldest");
    fresh.sql("UPDATE traffic SET at = at - 1801000000").await;
    store
        .write_traffic("r1", &[traffic("default", 9, b"newer")])
        .await
        .unwrap();
    assert_eq!(store.traffic("default", zero).await.unwrap().len(), 2);
    assert_eq!(store.traffic("edge", zero).await.unwrap().len(), 1);
}

async fn the_database_tells_the_time(fresh: Fresh) {
    let store = &*fresh.store;
    let (one, other) = (store.clock().await.unwrap(), store.clock().await.unwrap());
    assert!(one <= other);
    let off = Timestamp::now().as_micros() - one.as_micros();
    assert!((-60_000_000..60_000_000).contains(&off), "{off}");
}
