//! Rules of rollouts: how they begin and end, and what they make of their fleet.

use std::collections::BTreeMap;

use control_plane::access::Fleets;
use control_plane::model::timestamp::Timestamp;
use control_plane::model::{Endpoints, canonical};
use control_plane::rollout::begin::Terms;
use control_plane::rollout::built_in::built_in;
use control_plane::rollout::selection::Selection;
use control_plane::rollout::strategy::{
    ALL_AT_ONCE, Approval, Mode, RolloutSettings, Strategy, StrategyRef, Wave,
};
use control_plane::rollout::{Event, EventKind, Rollout, State};
use control_plane::store::audit::AuditQuery;
use control_plane::store::rollout::{NewRollout, Step};
use control_plane::store::{Commit, Expected, Fleet, FleetSettings, Store, StoreError};

use super::super::{ADA, Fresh, commit, validated};
use super::access::BOB;
use super::traffic::traffic;
use super::{A, B, Rule, node};

rules!(
    a_commit_begins_a_rollout,
    a_rollout_waits_for_the_latest_time_that_a_commit_in_it_asks_for,
    what_is_urgent_is_stored_so,
    a_commit_in_a_manual_fleet_begins_none,
    a_commit_that_cannot_be_rolled_out_is_not_stored,
    commits_during_a_rollout_are_taken_together_in_the_next_one,
    of_two_rollouts_that_are_begun_at_once_exactly_one_is,
    a_rollout_is_begun_only_to_where_there_is_something_to_go,
    a_rollout_that_takes_the_place_of_another_goes_on_with_its_nodes,
    of_two_that_take_the_place_of_another_both_do_one_after_the_other,
    after_a_rollback_commits_begin_nothing_until_somebody_says_so,
    after_an_abort_commits_begin_nothing_either,
    a_fleet_that_was_sent_to_an_older_revision_stays_there,
    the_rollout_of_a_fleet_that_is_deleted_ends_with_it,
    endpoints_that_a_served_revision_uses_are_not_deleted,
);

const NONE: &str = "{}";

pub(super) fn event(kind: EventKind, state: State, detail: &str) -> Event {
    Event {
        kind,
        state,
        wave: 0,
        detail: detail.to_owned(),
        data: None,
    }
}

pub(super) fn one_wave() -> Strategy {
    built_in(ALL_AT_ONCE).unwrap()
}

pub(super) fn manual() -> FleetSettings {
    FleetSettings {
        rollout: RolloutSettings {
            mode: Mode::Manual,
            strategy: StrategyRef::default(),
            ..RolloutSettings::default()
        },
        ..FleetSettings::default()
    }
}

pub(super) fn start<'a>(
    fleet: &'a str,
    to: u64,
    strategy: &'a Strategy,
    supersede: bool,
) -> NewRollout<'a> {
    NewRollout {
        fleet,
        to,
        strategy,
        reason: "because",
        supersede,
        terms: Terms::default(),
        by: ADA,
    }
}

/// Stores a config as the revision after `base`.
pub(super) async fn commit_in(
    store: &dyn Store,
    fleet: &str,
    base: u64,
    yaml: &str,
    release: bool,
) {
    let config = validated(yaml);
    let commit = Commit {
        fleet,
        base,
        by: BOB,
        message: "",
        config: &config,
        release,
        not_before: None,
    };
    store.commit(commit).await.unwrap();
}

/// The default fleet with manual rollouts, at this many revisions, of which it serves none.
pub(super) async fn manual_with(store: &dyn Store, revisions: u64) {
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

pub(super) async fn active(store: &dyn Store) -> Option<Rollout> {
    let mut active = store.active_rollouts().await.unwrap();
    assert!(active.len() <= 1, "{active:?}");
    active.pop()
}

/// A step to a state, from a row as it was read.
pub(super) async fn step(
    store: &dyn Store,
    was: &Rollout,
    state: State,
) -> Result<Rollout, StoreError> {
    let next = Rollout {
        state,
        ..was.clone()
    };
    step_to(store, &next).await
}

pub(super) async fn step_to(store: &dyn Store, next: &Rollout) -> Result<Rollout, StoreError> {
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

pub(super) async fn fleet(store: &dyn Store) -> Fleet {
    store.fleet("default").await.unwrap()
}

pub(super) async fn details(store: &dyn Store, id: &str) -> Vec<(u64, EventKind, State, String)> {
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
        fleets: Fleets::All,
        actor: None,
        before: None,
        limit: 10,
    };
    let trail = store.audit(&asked).await.unwrap();
    assert_eq!(trail.len(), 1, "one row: {trail:?}");
    assert_eq!(trail[0].detail.as_ref().unwrap()["rollout"], rollout.id);
}

async fn a_rollout_waits_for_the_latest_time_that_a_commit_in_it_asks_for(fresh: Fresh) {
    let store = &*fresh.store;
    let time = |micros| Some(Timestamp::from_micros(micros));
    manual_with(store, 0).await;
    for (base, yaml, not_before) in [(0, A, time(70)), (1, B, time(90)), (2, A, None)] {
        let config = validated(yaml);
        let commit = Commit {
            fleet: "default",
            base,
            by: ADA,
            message: "",
            config: &config,
            release: false,
            not_before,
        };
        store.commit(commit).await.unwrap();
    }
    let automatic = FleetSettings::default();
    store
        .change_fleet("default", &automatic, &manual(), ADA)
        .await
        .unwrap();
    commit_in(store, "default", 3, B, false).await;
    let begun = active(store).await.unwrap();
    assert_eq!((begun.to, begun.not_before), (4, time(90)));
    end(store, State::Completed).await;
    // Those are there now.
    commit_in(store, "default", 4, A, false).await;
    assert_eq!(active(store).await.unwrap().not_before, None);
}

async fn what_is_urgent_is_stored_so(fresh: Fresh) {
    let store = &*fresh.store;
    manual_with(store, 1).await;
    let strategy = one_wave();
    let mut new = start("default", 1, &strategy, false);
    new.terms.urgent = true;
    let begun = store.start_rollout(new).await.unwrap();
    let read = store.rollout("default", &begun.id).await.unwrap();
    assert!(read.urgent);
    assert_eq!(read, begun);
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
            ..RolloutSettings::default()
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
                strategy: if named {
                    StrategyRef::Named(ALL_AT_ONCE.to_owned())
                } else {
                    StrategyRef::Inline(own.clone())
                },
                ..RolloutSettings::default()
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
