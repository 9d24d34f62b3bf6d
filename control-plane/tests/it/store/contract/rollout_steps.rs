//! Rules of the changes of a rollout: fenced, told, and written whole or not at all.

use std::collections::BTreeMap;

use control_plane::access::Fleets;
use control_plane::model::timestamp::Timestamp;
use control_plane::rollout::selection::Selection;
use control_plane::rollout::verdict::{Gate, Outcome, Verdict};
use control_plane::rollout::{Event, EventKind, Paused, Rollout, State};
use control_plane::store::StoreError;
use control_plane::store::audit::AuditQuery;
use control_plane::store::rollout::Step;
use serde_json::json;

use super::super::{Fresh, SOON, commit};
use super::access::BOB;
use super::refusals::refused;
use super::rollouts::{
    active, commit_in, details, end, event, fleet, manual_with, one_wave, start, step, step_to,
};
use super::{A, B, Rule};

rules!(
    every_field_of_a_rollout_is_read_back_as_it_was_written,
    of_two_steps_from_one_version_exactly_one_succeeds_and_the_other_leaves_nothing,
    what_has_ended_never_changes_again,
    what_anyone_wants_is_counted_and_every_step_is_told,
    rollouts_and_events_are_read_in_pages,
    what_an_operator_does_to_a_rollout_is_audited,
);

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
            only: Some(["n".to_owned()].into()),
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
        data: n.is_multiple_of(2).then(|| json!({ "n": n, "ratio": 0.1 })),
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
        fleets: Fleets::All,
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
