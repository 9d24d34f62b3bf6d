//! What is live under a lease goes by itself.

use super::super::activation::WARMING_MAX;
use super::*;

pub(super) const LEASE: Duration = Duration::from_mins(1);

/// A target that is live for so long.
pub(super) fn leased(assignment: u64, set: &Snapshot) -> Target {
    Target {
        lease: Some(LEASE),
        ..target(assignment, Phase::Activate, set)
    }
}

fn assigned(assignment: u64) -> Assigned {
    Assigned {
        assignment,
        revision: assignment,
    }
}

/// Revision 1 is live for good, revision 2 under a lease.
fn under_lease(start: Instant) -> (Delivery<Recorder>, Snapshot, Snapshot) {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(1, Phase::Activate, &old), &old, start);
    delivery.target(leased(2, &new), &new, start);
    assert_eq!(delivery.switch.active, [1, 2]);
    (delivery, old, new)
}

fn live_and_confirmed(delivery: &Delivery<Recorder>) -> (u64, u64) {
    let confirmed = delivery.confirmed().map_or(0, |held| held.revision);
    (delivery.report().live_revision, confirmed)
}

#[test]
fn when_a_lease_runs_out_what_was_confirmed_goes_live_and_nothing_is_compiled() {
    let start = now();
    let (mut delivery, _, new) = under_lease(start);
    assert_eq!(live_and_confirmed(&delivery), (2, 1));
    assert_eq!(delivery.due(), Some(start + LEASE));
    let compilations = delivery.compilations;
    delivery.look_at_clock(start + LEASE - Duration::from_nanos(1));
    assert_eq!(delivery.report().live_revision, 2);
    delivery.look_at_clock(start + LEASE);
    assert_eq!(delivery.switch.active, [1, 2, 1]);
    assert_eq!(live_and_confirmed(&delivery), (1, 1));
    let report = delivery.report();
    assert_eq!(
        (report.assignment, report.state, report.state_revision),
        (2, State::Reverted, 2)
    );
    assert_eq!(delivery.switch.ran_out, [(assigned(2), 1)]);
    assert_eq!(
        (delivery.compilations, delivery.reverts()),
        (compilations, 1)
    );
    assert!(delivery.due().is_none_or(|due| due <= start + LEASE));
    delivery.time_has_come(&new, true, start + LEASE);
    assert_eq!(delivery.due(), None);
}

#[test]
fn what_was_left_is_not_taken_again_before_a_higher_assignment_comes() {
    let start = now();
    let (mut delivery, _, new) = under_lease(start);
    let end = start + LEASE;
    delivery.look_at_clock(end);
    delivery.target(leased(2, &new), &new, end);
    delivery.target(target(2, Phase::Activate, &new), &new, end);
    delivery.target(target(2, Phase::Stage, &new), &new, end);
    delivery.wire_set_changed(&new, true, end);
    assert_eq!(delivery.report().state, State::Reverted);
    assert_eq!(delivery.report().live_revision, 1);
    // Nor after another replica was found.
    delivery.disconnected();
    delivery.connected(end);
    assert_eq!(delivery.report().state, State::Reverted);
    delivery.is_ours();
    delivery.target(leased(2, &new), &new, end);
    assert_eq!(delivery.report().state, State::Reverted);

    let again = Target {
        revision: 2,
        ..target(3, Phase::Activate, &new)
    };
    delivery.target(again, &new, end);
    let report = delivery.report();
    assert_eq!(
        (report.state, report.live_revision, report.assignment),
        (State::Active, 2, 3)
    );
    assert_eq!(live_and_confirmed(&delivery), (2, 2));
}

#[test]
fn a_lease_that_is_said_again_lasts_from_then_on_and_one_that_is_confirmed_for_ever() {
    let start = now();
    let (mut delivery, _, new) = under_lease(start);
    let half = start + LEASE / 2;
    delivery.target(leased(2, &new), &new, half);
    delivery.look_at_clock(start + LEASE);
    assert_eq!(live_and_confirmed(&delivery), (2, 1));
    delivery.target(target(2, Phase::Activate, &new), &new, start + LEASE);
    assert_eq!(live_and_confirmed(&delivery), (2, 2));
    assert_eq!((delivery.due(), delivery.lease()), (None, None));
    delivery.look_at_clock(start + LEASE * 9);
    assert_eq!(delivery.switch.active, [1, 2]);
    assert_eq!(delivery.report().state, State::Active);
    assert_eq!(
        delivery.switch.kept.as_ref().map(|kept| kept.revision),
        Some(2)
    );
    // A replica that lags takes nothing back.
    delivery.target(leased(2, &new), &new, start + LEASE * 9);
    assert_eq!(live_and_confirmed(&delivery), (2, 2));
}

#[test]
fn several_leases_in_a_row_lead_back_to_what_was_confirmed_before_the_first() {
    let start = now();
    let (mut delivery, _, _) = under_lease(start);
    let third = wire_set(3);
    delivery.target(leased(3, &third), &third, start + LEASE / 2);
    // That of revision 2 has no end any more.
    delivery.look_at_clock(start + LEASE);
    assert_eq!(live_and_confirmed(&delivery), (3, 1));
    delivery.look_at_clock(start + LEASE * 2);
    assert_eq!(live_and_confirmed(&delivery), (1, 1));
    assert_eq!(delivery.switch.ran_out, [(assigned(3), 1)]);
}

#[test]
fn a_word_that_comes_after_the_end_is_too_late() {
    let start = now();
    let (mut delivery, _, new) = under_lease(start);
    delivery.target(leased(2, &new), &new, start + LEASE);
    assert_eq!(live_and_confirmed(&delivery), (1, 1));
}

#[test]
fn without_anything_to_go_back_to_what_is_live_stays_and_that_is_told() {
    let (mut delivery, set, start) = (ours(), wire_set(1), now());
    delivery.target(leased(1, &set), &set, start);
    delivery.look_at_clock(start + LEASE);
    let report = delivery.report();
    assert_eq!(
        (report.state, report.state_revision, report.live_revision),
        (State::Reverted, 1, 1)
    );
    assert_eq!(live_and_confirmed(&delivery), (1, 0));
    assert!(delivery.switch.kept.is_none());
    assert_eq!(delivery.reverts(), 0);
    // It is no more worth going back to than before.
    let other = wire_set(2);
    delivery.target(leased(2, &other), &other, start + LEASE);
    delivery.look_at_clock(start + LEASE * 2);
    assert_eq!(live_and_confirmed(&delivery), (2, 0));
    // The word that it lasts makes up for it.
    let again = Target {
        revision: 2,
        ..target(3, Phase::Activate, &other)
    };
    delivery.target(again, &other, start + LEASE * 2);
    assert_eq!(live_and_confirmed(&delivery), (2, 2));
}

#[test]
fn a_lease_runs_from_the_word_on_and_not_from_when_its_resources_have_come() {
    let start = now();
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(1, Phase::Activate, &old), &old, start);
    delivery.target(leased(2, &new), &old, start);
    delivery.wire_set_changed(&new, true, start + LEASE);
    let report = delivery.report();
    assert_eq!(
        (report.state, report.state_revision, report.live_revision),
        (State::Reverted, 2, 1)
    );
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.switch.ran_out, [(assigned(2), 1)]);
}

#[test]
fn what_still_waits_for_names_at_the_end_of_its_lease_does_not_go_live() {
    let start = now();
    let (mut delivery, old, new) = (ours(), wire_set(1), named("a.example"));
    delivery.target(target(1, Phase::Activate, &old), &old, start);
    let short = Target {
        lease: Some(WARMING_MAX),
        ..target(2, Phase::Activate, &new)
    };
    delivery.target(short, &new, start);
    delivery.look_at_clock(start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.switch.ran_out, [(assigned(2), 1)]);
    assert_eq!(
        (delivery.report().state, delivery.due()),
        (State::Reverted, None)
    );
    assert_eq!(delivery.switch.unstaged, 1);
}

#[test]
fn endpoints_and_addresses_reach_what_would_be_gone_back_to() {
    let start = now();
    let (mut delivery, mut old, new) = (ours(), by_eds(true), named("a.example"));
    delivery.target(target(1, Phase::Activate, &old), &old, start);
    delivery.target(leased(2, &new), &new, start);
    delivery.look_at_clock(start + WARMING_MAX);
    assert_eq!(live_and_confirmed(&delivery), (2, 1));
    assert!(delivery.endpoint_names().any(|name| **name == *"c"));
    old.insert(endpoints(&["192.0.2.7"]));
    delivery.wire_set_changed(&old, true, start + WARMING_MAX);
    delivery.look_at_clock(start + LEASE);
    let live = delivery.live.as_ref().unwrap();
    assert_eq!(addresses(&live.config), ["192.0.2.7:80"]);
}

#[test]
fn what_is_staged_stays_so_when_a_lease_runs_out() {
    let start = now();
    let (mut delivery, _, _) = under_lease(start);
    let third = wire_set(3);
    delivery.target(target(3, Phase::Stage, &third), &third, start);
    delivery.look_at_clock(start + LEASE);
    let report = delivery.report();
    assert_eq!(
        (report.state, report.live_revision, report.staged_revision),
        (State::Staged, 1, 3)
    );
    // What was left may be staged as well, by a higher assignment, and is not compiled for it.
    let (mut delivery, _, new) = under_lease(start);
    let compilations = delivery.compilations;
    let stage = Target {
        revision: 2,
        ..target(3, Phase::Stage, &new)
    };
    delivery.target(stage, &new, start);
    assert_eq!(delivery.report().state, State::Active);
    delivery.time_has_come(&new, true, start + LEASE);
    delivery.time_has_come(&new, true, start + LEASE);
    let report = delivery.report();
    assert_eq!(
        (report.state, report.live_revision, report.staged_revision),
        (State::Staged, 1, 2)
    );
    assert_eq!(delivery.compilations, compilations);
}

#[test]
fn a_restart_under_a_lease_serves_what_was_confirmed_and_says_what_it_left() {
    let start = now();
    let (delivery, _, new) = under_lease(start);
    let (kept, marked) = (delivery.switch.kept, delivery.switch.marked);
    assert_eq!(marked, Some(assigned(2)));
    let mut next = Delivery::new(Recorder::default(), PATIENCE, kept, marked);
    next.connected(start);
    let report = next.report();
    assert_eq!(
        (
            report.assignment,
            report.state,
            report.state_revision,
            report.live_revision
        ),
        (2, State::Reverted, 2, 1)
    );
    next.is_ours();
    next.target(leased(2, &new), &new, start);
    assert_eq!(next.report().live_revision, 1);
    // By the same assignment it may be sent elsewhere, and by a higher one there, too.
    let third = wire_set(3);
    let elsewhere = Target {
        revision: 3,
        ..target(2, Phase::Activate, &third)
    };
    next.target(elsewhere, &third, start);
    assert_eq!(next.report().live_revision, 3);
    next.target(leased(3, &new), &new, start);
    assert_eq!(next.report().live_revision, 3);
    assert_eq!(next.switch.marked, Some(assigned(3)));
}

#[test]
fn what_was_refused_for_good_stays_refused_after_the_end_of_its_lease() {
    let start = now();
    let (mut delivery, old) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &old), &old, start);
    let mut bad = wire_set(2);
    bad.insert(listener_without_routes());
    delivery.target(leased(2, &bad), &bad, start);
    delivery.look_at_clock(start + LEASE);
    let report = delivery.report();
    assert_eq!(
        (report.state, report.state_revision, report.live_revision),
        (State::Refused, 2, 1)
    );
    assert!(!report.problems.is_empty());
    assert_eq!(delivery.due(), None);
}

#[test]
fn what_differs_in_nothing_but_its_number_goes_back_to_the_number_it_had() {
    let (mut delivery, set, start) = (ours(), wire_set(1), now());
    delivery.target(target(1, Phase::Activate, &set), &set, start);
    delivery.target(leased(2, &set), &set, start);
    assert_eq!(live_and_confirmed(&delivery), (2, 1));
    delivery.look_at_clock(start + LEASE);
    assert_eq!(live_and_confirmed(&delivery), (1, 1));
}
