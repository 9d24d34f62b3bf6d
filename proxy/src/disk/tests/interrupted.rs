//! The machine stops at any byte that is written and at any other step, for good or a thousand times in a row.

use super::super::simulated::End;
use super::*;

const ENDS: [End; 2] = [End::Killed, End::PowerLost];

/// One life of the machine: stores revisions, beginning with this one, until it stops. `confirmed` is the last one that
/// it said was confirmed.
fn live(
    machine: &Machine,
    steps: usize,
    first: usize,
    confirmed: &mut Option<usize>,
) -> io::Result<()> {
    let mut disk = Disk::of_folders(machine.boot(steps), None)?;
    disk.load();
    for number in first.. {
        disk.store_tentative(&number.to_string(), &revision(number))?;
        if number % 5 == 4 {
            disk.discard_tentative()?;
        } else {
            disk.confirm()?;
            *confirmed = Some(number);
        }
    }
    Ok(())
}

/// What is found after the end is the last confirmed revision, or the one that was being confirmed.
fn check(machine: &Machine, confirmed: Option<usize>) -> Option<usize> {
    let (number, damaged) = found(machine);
    assert!(damaged.is_empty(), "{damaged:?}");
    assert!(
        number >= confirmed,
        "{number:?} is older than {confirmed:?}"
    );
    number
}

#[test]
fn wherever_it_stops_the_last_confirmed_revision_is_found_and_nothing_is_damaged() {
    // What a loss of power leaves is a matter of chance, so it gets several.
    let lives = std::iter::once(End::Killed).chain([End::PowerLost; 6]);
    for (seed, end) in (0..).zip(lives) {
        let mut random = fastrand::Rng::with_seed(seed);
        // At each step of the first revisions in both slots, and at some of those after.
        for steps in (0..2_500).chain((2_500..12_000).step_by(37)) {
            let (machine, mut confirmed) = (Machine::new(), None);
            live(&machine, steps, 0, &mut confirmed).unwrap_err();
            machine.end(end, &mut random);
            check(&machine, confirmed);
        }
    }
}

#[test]
fn a_thousand_stops_in_one_life_leave_no_unusable_folder() {
    for end in ENDS {
        let mut random = fastrand::Rng::with_seed(2);
        let (machine, mut newest) = (Machine::new(), None);
        for _ in 0..1_000 {
            let first = newest.map_or(0, |number| number + 1);
            live(&machine, random.usize(..3_000), first, &mut newest).unwrap_err();
            machine.end(end, &mut random);
            newest = check(&machine, newest);
        }
        assert!(newest > Some(100), "{newest:?}");
    }
}

#[test]
fn an_operation_that_failed_does_not_spoil_what_is_stored_after_it() {
    // Some steps fail, and later ones work again, in the same process.
    for steps in (0..3_000).step_by(3) {
        let machine = Machine::new();
        let mut disk = disk(&machine);
        (0..3).for_each(|number| store(&mut disk, number));
        machine.refuse_after(steps);
        let failed = (3..10_000).find(|number| {
            let stored = disk.store_tentative(&number.to_string(), &revision(*number));
            stored.and_then(|()| disk.confirm()).is_err()
        });
        let failed = failed.expect("the steps come to an end");
        machine.refuse_after(ALWAYS);
        for number in [failed + 1, failed + 2] {
            store(&mut disk, number);
            assert_eq!(found(&machine), (Some(number), vec![]));
        }
    }
}

#[test]
fn a_full_disk_keeps_what_it_has_and_is_not_filled_further_with_halves() {
    let machine = Machine::new();
    let mut disk = disk(&machine);
    (0..2).for_each(|number| store(&mut disk, number));
    machine.fill(true);
    let before = machine.files(0);
    for number in 2..20 {
        let stored = disk.store_tentative(&number.to_string(), &revision(number));
        stored.unwrap_err();
        assert!(machine.files(0).len() <= before.len() + 1);
        assert_eq!(found(&machine), (Some(1), vec![]));
    }
    machine.fill(false);
    store(&mut disk, 20);
    assert_eq!(found(&machine), (Some(20), vec![]));
}
