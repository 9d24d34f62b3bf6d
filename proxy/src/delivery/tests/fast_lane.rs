//! Endpoints and names, which come and go by themselves.

use super::super::RETRY_PAUSE;
use super::super::activation::WARMING_MAX;
use super::*;

#[test]
fn endpoints_that_come_after_the_revision_are_waited_for_and_not_refused() {
    let (mut delivery, start) = (ours(), now());
    let (without, with) = (by_eds(false), by_eds(true));
    delivery.target(target(1, Phase::Activate, &without), &without, start);
    assert_eq!(delivery.report().state, State::Missing);
    delivery.wire_set_changed(&with, true, start);
    assert_eq!(delivery.report().state, State::Active);
}

#[test]
fn endpoints_that_do_not_come_are_a_refusal_that_may_pass() {
    let (mut delivery, start) = (ours(), now());
    let (without, with) = (by_eds(false), by_eds(true));
    delivery.target(target(1, Phase::Activate, &without), &without, start);
    delivery.time_has_come(&without, true, start + PATIENCE);
    let report = delivery.report();
    assert_eq!((report.state, report.transient), (State::Refused, true));
    assert_eq!(report.problems[0].code, Code::MissingReference);
    delivery.time_has_come(&with, true, start + PATIENCE + RETRY_PAUSE);
    assert_eq!(delivery.report().state, State::Active);
}

#[test]
fn a_config_goes_live_when_its_names_have_been_looked_up() {
    let (mut delivery, set, start) = (ours(), named("a.example"), now());
    delivery.target(target(1, Phase::Activate, &set), &set, start);
    assert!(delivery.switch.active.is_empty());
    assert_eq!(delivery.report().state, State::Missing);
    assert_eq!(delivery.due(), Some(start + WARMING_MAX));
    // Said again, it does not wait anew.
    delivery.target(
        target(2, Phase::Activate, &set),
        &set,
        start + WARMING_MAX / 2,
    );
    assert_eq!(delivery.due(), Some(start + WARMING_MAX));
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known, start + WARMING_MAX / 2);
    assert_eq!(delivery.switch.active, [1]);
    let live = delivery.live.as_ref().unwrap();
    assert_eq!(addresses(&live.config), ["192.0.2.1:80"]);
    assert_eq!(
        (delivery.report().state, delivery.due()),
        (State::Active, None)
    );
    assert_eq!(delivery.compilations, 1);
}

#[test]
fn a_name_without_an_answer_holds_a_config_up_for_so_long_and_not_longer() {
    let (mut delivery, set, start) = (ours(), named("a.example"), now());
    delivery.target(target(1, Phase::Activate, &set), &set, start);
    delivery.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [1]);

    let mut failed = ours();
    failed.target(target(1, Phase::Activate, &set), &set, start);
    let none = answers(&failed, &[]);
    failed.answered(none, start);
    assert_eq!(failed.switch.active, [1], "a failure is an answer too");
}

#[test]
fn a_change_of_addresses_reaches_what_is_live_and_what_is_held_and_compiles_nothing() {
    let (mut delivery, old, new) = (ours(), named("a.example"), named("b.example"));
    delivery.target(target(1, Phase::Activate, &old), &old, now());
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known, now());
    delivery.target(target(2, Phase::Activate, &new), &new, now());
    let known = answers(&delivery, &[[192, 0, 2, 1]]);
    delivery.answered(known.clone(), now());
    let compilations = delivery.compilations;
    delivery.answered(known, now());
    assert!(
        delivery.switch.readdressed.is_empty(),
        "nothing has changed"
    );
    let known = answers(&delivery, &[[192, 0, 2, 2], [192, 0, 2, 1]]);
    delivery.answered(known, now());
    let both = ["192.0.2.1:80", "192.0.2.2:80"];
    assert_eq!(delivery.switch.readdressed, [both]);
    let fallback = delivery.fallback.as_ref().unwrap();
    assert_eq!(addresses(&fallback.config), both);
    assert_eq!(delivery.compilations, compilations);
    assert!(
        delivery.switch.refreshed.is_empty(),
        "answers are not kept for the next start"
    );
}

#[test]
fn what_was_live_before_a_restart_waits_for_its_names_too() {
    let (set, start) = (named("a.example"), now());
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None, None);
    delivery.recall(Held::new(7, set.clone()).0, start);
    assert!(delivery.switch.active.is_empty());
    // No control plane has been there yet, and that the names are known says nothing of who it will be.
    delivery.time_has_come(&set, false, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [1]);
    assert_eq!(delivery.report().live_revision, 7);
    delivery.is_ours();
    delivery.target(target(7, Phase::Activate, &set), &set, start);
    assert_eq!(
        (delivery.report().state, delivery.compilations),
        (State::Active, 0)
    );
}

#[test]
fn with_a_foreign_control_plane_the_last_of_the_sets_that_warm_goes_live() {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None, None);
    let (mut set, start) = (named("a.example"), now());
    delivery.is_foreign(&set, true, start);
    set.insert(cluster(1));
    delivery.wire_set_changed(&set, true, start + WARMING_MAX / 2);
    assert!(delivery.switch.active.is_empty());
    delivery.time_has_come(&set, true, start + WARMING_MAX);
    assert_eq!(delivery.switch.active, [2]);
}
