//! What is staged can be switched to at once, or is not said to be staged.

use super::super::activation::WARMING_MAX;
use super::*;

fn staged(delivery: &Delivery<Recorder>) -> (State, u64) {
    let report = delivery.report();
    (report.state, report.staged_revision)
}

#[test]
fn what_is_staged_is_told_of_when_its_names_have_been_looked_up_and_not_before() {
    let (mut delivery, set, start) = (ours(), named("a.example"), now());
    delivery.target(target(1, Phase::Stage, &set), &set, start);
    assert_eq!(delivery.switch.staged, [1]);
    assert_eq!(staged(&delivery), (State::Missing, 0));
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known, start);
    assert_eq!(staged(&delivery), (State::Staged, 1));
    assert!(delivery.switch.active.is_empty());
    // The word that comes then waits for nothing.
    delivery.target(target(2, Phase::Activate, &set), &set, start);
    assert_eq!(delivery.switch.active, [1]);
    let live = delivery.live.as_ref().unwrap();
    assert_eq!(addresses(&live.config), ["192.0.2.1:80"]);
}

#[test]
fn a_name_without_an_answer_holds_up_what_is_staged_for_so_long_and_not_longer() {
    let (mut delivery, set, start) = (ours(), named("a.example"), now());
    delivery.target(target(1, Phase::Stage, &set), &set, start);
    let half = start + WARMING_MAX / 2;
    // Said to go live meanwhile, it does not begin to wait anew.
    delivery.target(target(2, Phase::Activate, &set), &set, half);
    assert_eq!(delivery.due(), Some(start + WARMING_MAX));
    delivery.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [1]);

    let mut stays = ours();
    stays.target(target(1, Phase::Stage, &set), &set, start);
    stays.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!((staged(&stays), stays.due()), ((State::Staged, 1), None));
}

#[test]
fn endpoints_that_are_not_known_yet_hold_up_what_is_staged() {
    let (mut delivery, start) = (ours(), now());
    let (without, with) = (by_eds(false), by_eds(true));
    delivery.target(target(1, Phase::Stage, &without), &without, start);
    assert_eq!(staged(&delivery), (State::Missing, 0));
    delivery.wire_set_changed(&with, true, start);
    assert_eq!(staged(&delivery), (State::Staged, 1));
}

#[test]
fn newer_endpoints_reach_what_is_staged() {
    let (mut delivery, start) = (ours(), now());
    let mut set = by_eds(true);
    delivery.target(target(1, Phase::Stage, &set), &set, start);
    let (compilations, before) = (delivery.compilations, delivery.ready_addresses());
    assert!(before.is_empty());
    set.insert(endpoints(&["192.0.2.7"]));
    delivery.wire_set_changed(&set, true, start);
    assert_eq!(delivery.ready_addresses(), ["192.0.2.7:80"]);
    assert_eq!(delivery.compilations, compilations);
}

#[test]
fn what_is_staged_and_no_longer_wanted_is_dropped_with_its_sockets() {
    let (mut delivery, live, other) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(1, Phase::Activate, &live), &live, now());
    delivery.target(target(2, Phase::Stage, &other), &other, now());
    assert_eq!(
        (staged(&delivery), delivery.switch.unstaged),
        ((State::Staged, 2), 0)
    );
    // To go on with what is live is another target, too.
    delivery.target(target(3, Phase::Activate, &live), &other, now());
    assert_eq!(
        (staged(&delivery), delivery.switch.unstaged),
        ((State::Active, 0), 1)
    );
    // So is one whose resources are not there yet.
    delivery.target(target(4, Phase::Stage, &other), &other, now());
    delivery.target(target(5, Phase::Stage, &wire_set(3)), &other, now());
    assert_eq!(
        (staged(&delivery), delivery.switch.unstaged),
        ((State::Missing, 0), 2)
    );
}

#[test]
fn what_is_staged_from_what_is_at_hand_is_bound_as_well_and_may_be_refused() {
    let (mut delivery, old, new) = (ours(), wire_set(1), wire_set(2));
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    let compilations = delivery.compilations;
    delivery.target(target(3, Phase::Stage, &old), &new, now());
    assert_eq!(delivery.switch.staged, [1, 2, 1]);
    assert_eq!(staged(&delivery), (State::Staged, 3));
    assert_eq!(delivery.compilations, compilations);

    delivery.target(target(4, Phase::Activate, &new), &new, now());
    delivery.switch.refuse = true;
    delivery.target(target(5, Phase::Stage, &old), &new, now());
    let report = delivery.report();
    assert_eq!((report.state, report.transient), (State::Refused, true));
}

#[test]
fn a_refusal_says_what_is_wrong_with_the_revision_and_what_this_machine_refuses() {
    let mut delivery = ours();
    delivery.switch.refuse = true;
    let mut bad = wire_set(1);
    bad.insert(listener_without_routes());
    delivery.target(target(1, Phase::Stage, &bad), &bad, now());
    let report = delivery.report();
    let codes: Vec<Code> = report.problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [Code::MissingReference, Code::Invalid]);
    assert_eq!((report.state, report.transient), (State::Refused, false));
    assert_eq!(report.state_revision, 1);
}

#[test]
fn what_differs_in_nothing_but_its_number_is_staged_until_it_is_told_to_be_live() {
    let (mut delivery, set) = (ours(), wire_set(1));
    delivery.target(target(1, Phase::Activate, &set), &set, now());
    delivery.target(target(2, Phase::Stage, &set), &set, now());
    assert_eq!(staged(&delivery), (State::Staged, 2));
    assert_eq!(delivery.report().live_revision, 1);
    delivery.target(target(3, Phase::Activate, &set), &set, now());
    assert_eq!(staged(&delivery), (State::Active, 0));
    assert_eq!(delivery.report().live_revision, 3);
    assert_eq!(delivery.switch.active, [1]);
}

#[test]
fn what_goes_live_meanwhile_leaves_what_is_staged_staged() {
    let (recalled, set, start) = (named("a.example"), wire_set(2), now());
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None, None);
    delivery.recall(Held::new(7, recalled).0, start);
    delivery.is_ours();
    delivery.target(target(8, Phase::Stage, &set), &set, start);
    delivery.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!(delivery.report().live_revision, 7);
    assert_eq!(staged(&delivery), (State::Staged, 8));
    // It is bound anew, beside the sockets that are open now.
    assert_eq!(delivery.switch.staged, [2, 2]);
}

impl Delivery<Recorder> {
    fn ready_addresses(&self) -> Vec<String> {
        addresses(&self.staged.as_ref().unwrap().held.config)
    }
}
