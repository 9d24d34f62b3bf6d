//! The machine stops at any byte that is written and at any other step, for good or a thousand times in a row.

use super::super::simulated::End;
use super::*;

const ENDS: [End; 2] = [End::Killed, End::PowerLost];

/// What a machine has done before its end.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    /// The last revision that it said was confirmed.
    confirmed: Option<usize>,
    /// The mark that was set last, and the one that was to be set last.
    mark: Option<usize>,
    next_mark: Option<usize>,
}

impl Done {
    fn mark(&mut self, disk: &mut Disk, number: Option<usize>) -> io::Result<()> {
        self.next_mark = number;
        disk.mark(number.map(|number| number.to_string()).as_deref())?;
        self.mark = number;
        Ok(())
    }
}

/// One life of the machine: stores revisions, beginning with this one, until it stops. Each is live before it is confirmed, as
/// under a lease, and is marked as long as that lasts; some are left.
fn live(machine: &Machine, steps: usize, first: usize, done: &mut Done) -> io::Result<()> {
    let mut disk = Disk::of_folders(machine.boot(steps), None)?;
    disk.load();
    for number in first.. {
        done.mark(&mut disk, Some(number))?;
        disk.store_tentative(&number.to_string(), &revision(number))?;
        if number % 5 == 4 {
            disk.discard_tentative()?;
        } else {
            done.mark(&mut disk, None)?;
            disk.confirm()?;
            done.confirmed = Some(number);
        }
    }
    Ok(())
}

/// What is found after the end is the last confirmed revision, or the one that was being confirmed; and the last mark, or the
/// one that was being set, but none of what is confirmed.
fn check(machine: &Machine, done: Done) -> Done {
    let loaded = disk(machine).load();
    assert!(loaded.damaged.is_empty(), "{:?}", loaded.damaged);
    let number = number(loaded.revision);
    assert!(number >= done.confirmed, "{number:?} after {done:?}");
    let mark = loaded.mark.map(|mark| mark.parse().unwrap());
    assert!(
        mark == done.mark || mark == done.next_mark,
        "{mark:?} after {done:?}"
    );
    assert!(mark.is_none() || mark > number, "{mark:?} at {number:?}");
    Done {
        confirmed: number,
        mark,
        next_mark: mark,
    }
}

#[test]
fn wherever_it_stops_the_last_confirmed_revision_is_found_and_nothing_is_damaged() {
    // What a loss of power leaves is a matter of chance, so it gets several.
    let lives = std::iter::once(End::Killed).chain([End::PowerLost; 6]);
    for (seed, end) in (0..).zip(lives) {
        let mut random = fastrand::Rng::with_seed(seed);
        // At each step of the first revisions in both slots, and at some of those after.
        for steps in (0..2_500).chain((2_500..12_000).step_by(37)) {
            let (machine, mut done) = (Machine::new(), Done::default());
            live(&machine, steps, 0, &mut done).unwrap_err();
            machine.end(end, &mut random);
            check(&machine, done);
        }
    }
}

#[test]
fn a_thousand_stops_in_one_life_leave_no_unusable_folder() {
    for end in ENDS {
        let mut random = fastrand::Rng::with_seed(2);
        let (machine, mut done) = (Machine::new(), Done::default());
        for _ in 0..1_000 {
            let newest = done.confirmed.max(done.mark);
            let first = newest.map_or(0, |number| number + 1);
            live(&machine, random.usize(..3_000), first, &mut done).unwrap_err();
            machine.end(end, &mut random);
            done = check(&machine, done);
        }
        assert!(done.confirmed > Some(100), "{done:?}");
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
