//! What becomes of the targets of our own control plane.

use super::*;

#[test]
fn a_revision_goes_live_when_it_is_whole_and_not_before_whatever_came_first() {
    let (partial, whole) = (wire_set(1), wire_set(2));
    let mut target_first = ours();
    target_first.target(target(1, Phase::Activate, &whole), &partial, now());
    assert_eq!(target_first.report().state, State::Missing);
    target_first.wire_set_changed(&partial, true, now());
    assert!(target_first.switch.active.is_empty());
    target_first.wire_set_changed(&whole, true, now());
    assert_eq!(target_first.switch.active, [2]);
    assert_eq!(
        (
            target_first.report().state,
            target_first.report().live_revision
        ),
        (State::Active, 1)
    );

    let mut resources_first = ours();
    resources_first.wire_set_changed(&whole, true, now());
    assert!(resources_first.switch.active.is_empty());
    resources_first.target(target(1, Phase::Activate, &whole), &whole, now());
    assert_eq!(resources_first.switch.active, [2]);
}

#[test]
fn what_is_staged_is_switched_to_without_compiling() {
    let (mut delivery, set) = (ours(), wire_set(2));
    delivery.target(target(1, Phase::Stage, &set), &set, now());
    assert_eq!(
        (&delivery.switch.staged[..], &delivery.switch.active[..]),
        (&[2][..], &[][..])
    );
    assert_eq!(
        (delivery.report().state, delivery.report().staged_revision),
        (State::Staged, 1)
    );
    let compilations = delivery.compilations;
    delivery.target(target(2, Phase::Activate, &set), &set, now());
    assert_eq!(delivery.switch.active, [2]);
    assert_eq!(delivery.compilations, compilations);
}

#[test]
fn going_back_is_one_message_and_compiles_nothing_although_the_wire_set_is_elsewhere() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    let compilations = delivery.compilations;
    delivery.target(target(3, Phase::Activate, &old), &new, now());
    assert_eq!(delivery.switch.active, [1, 2, 1]);
    assert_eq!(delivery.compilations, compilations);
    assert_eq!(delivery.report().live_revision, 3);
}

#[test]
fn a_lower_revision_by_a_newer_assignment_goes_live_before_its_resources_come() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    let go = |assignment, revision, set: &Snapshot| Target {
        revision,
        ..target(assignment, Phase::Activate, set)
    };
    delivery.target(go(5, 1, &old), &old, now());
    delivery.target(go(6, 2, &new), &new, now());
    delivery.target(go(7, 1, &old), &new, now());
    assert_eq!(delivery.switch.active, [1, 2, 1]);
    let report = delivery.report();
    assert_eq!(
        (report.assignment, report.live_revision, report.state),
        (7, 1, State::Active)
    );
    // Whoever still says the assignment before knows less.
    delivery.target(go(6, 2, &new), &new, now());
    assert_eq!(delivery.report().live_revision, 1);
}

#[test]
fn what_was_refused_is_not_said_of_another_revision_of_the_same_assignment() {
    let (mut delivery, old) = (ours(), wire_set(1));
    let mut bad = wire_set(2);
    bad.insert(listener_without_routes());
    let go = |assignment, revision, set: &Snapshot| Target {
        revision,
        ..target(assignment, Phase::Activate, set)
    };
    delivery.target(go(5, 1, &old), &old, now());
    delivery.target(go(6, 2, &bad), &bad, now());
    assert_eq!(delivery.report().state, State::Refused);
    delivery.target(go(6, 1, &old), &bad, now());
    assert_eq!(
        (delivery.report().state, delivery.report().problems.len()),
        (State::Active, 0)
    );
    let compilations = delivery.compilations;
    delivery.target(go(6, 2, &bad), &bad, now());
    assert_eq!(delivery.report().state, State::Refused);
    assert_eq!(delivery.compilations, compilations);
}

#[test]
fn an_equal_revision_is_a_no_op_but_for_its_number() {
    let (mut delivery, set) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &set), &set, now());
    delivery.target(target(2, Phase::Activate, &set), &set, now());
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.switch.renumbered, [2]);
    assert_eq!(delivery.report().live_revision, 2);
}

#[test]
fn an_older_word_is_ignored() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    assert_eq!(delivery.switch.active, [2]);
}

#[test]
fn what_cannot_be_served_is_refused_with_every_problem_and_touches_nothing() {
    let (mut delivery, good) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &good), &good, now());
    let mut bad = wire_set(2);
    bad.insert(listener_without_routes());
    delivery.target(target(2, Phase::Activate, &bad), &bad, now());
    let report = delivery.report();
    assert_eq!(
        (report.state, report.live_revision, report.transient),
        (State::Refused, 1, false)
    );
    assert_eq!(report.problems[0].code, Code::MissingReference);
    let compilations = delivery.compilations;
    delivery.wire_set_changed(&bad, true, now());
    assert_eq!(
        delivery.compilations, compilations,
        "it is not tried again and again"
    );
    assert_eq!(delivery.switch.active, [1]);
}

#[test]
fn what_this_machine_refuses_may_go_away_by_itself() {
    let (mut delivery, set) = (ours(), wire_set(1));
    delivery.switch.refuse = true;
    delivery.target(target(1, Phase::Activate, &set), &set, now());
    assert_eq!(
        (delivery.report().state, delivery.report().transient),
        (State::Refused, true)
    );
    delivery.switch.refuse = false;
    let due = delivery.due().unwrap();
    delivery.time_has_come(&set, true, due);
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.report().state, State::Active);
}

#[test]
fn what_was_live_before_a_restart_is_not_activated_again() {
    let set = wire_set(1);
    let recalled = Held::new(7, set.clone()).0;
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, Some(recalled), None);
    assert_eq!(delivery.report().live_revision, 7);
    delivery.is_ours();
    delivery.target(target(7, Phase::Activate, &set), &set, now());
    assert!(delivery.switch.active.is_empty());
    assert_eq!(delivery.report().state, State::Active);
}
