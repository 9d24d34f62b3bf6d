//! With a foreign control plane what fits goes live.

use super::*;

#[test]
fn with_a_foreign_control_plane_what_fits_goes_live() {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None, None);
    delivery.wire_set_changed(&wire_set(1), true, now());
    assert!(
        delivery.switch.active.is_empty(),
        "who is at the other end is not known yet"
    );
    delivery.is_foreign(&wire_set(1), true, now());
    delivery.wire_set_changed(&wire_set(2), true, now());
    assert_eq!(delivery.switch.active, [1, 2]);
}

#[test]
fn who_does_not_say_who_they_are_is_taken_for_a_foreign_control_plane_while_connected() {
    let (start, set) = (now(), wire_set(1));
    let mut silent = Delivery::new(Recorder::default(), PATIENCE, None, None);
    silent.connected(start);
    silent.wire_set_changed(&set, true, start);
    assert!(silent.switch.active.is_empty());
    silent.time_has_come(&set, true, silent.due().unwrap());
    assert_eq!(silent.switch.active, [1]);

    let mut lost = Delivery::new(Recorder::default(), PATIENCE, None, None);
    lost.connected(start);
    lost.disconnected();
    assert_eq!(lost.due(), None);
}

#[test]
fn with_a_foreign_control_plane_what_does_not_fit_waits_and_then_goes_live_all_the_same() {
    let mut delivery = Delivery::new(Recorder::default(), PATIENCE, None, None);
    let mut holes = wire_set(1);
    holes.insert(listener_without_routes());
    let start = now();
    delivery.is_foreign(&holes, true, start);
    assert_eq!(delivery.due(), Some(start + PATIENCE));
    delivery.wire_set_changed(&holes, true, start + PATIENCE);
    assert_eq!(delivery.switch.active, [1]);
    assert!(!delivery.unfit().is_empty());
}
