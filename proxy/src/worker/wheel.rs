//! A coarse timer wheel: one for all connections of a worker, so that a request arms nothing. An entry is a connection's
//! number in the slot of a tick; when the tick comes the connection is asked for its true deadline, which usually lies
//! later, and enters the slot of that. Late by at most two ticks.

use std::time::Duration;

/// How exact timeouts of connections are.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// Slots of the wheel; a deadline further away waits in the last one and goes round again.
const SLOTS: u32 = 512;

/// The number of a connection: a slot, and how often the slot was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) slot: u32,
    pub(super) birth: u32,
}

/// Rounds up, so that nothing ends early.
pub(super) fn ticks(duration: Duration) -> u32 {
    const TICKS_PER_S: u64 = 10;
    const TICK_NS: u32 = TICK.subsec_nanos();
    let ticks = duration.as_secs().saturating_mul(TICKS_PER_S);
    let ticks = ticks.saturating_add(u64::from(duration.subsec_nanos().div_ceil(TICK_NS)));
    // A quarter of the range, 3.4 years, so that adding two cannot overflow.
    u32::try_from(ticks).unwrap_or(u32::MAX).min(u32::MAX / 4)
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    slots: Box<[Vec<Entry>]>,
    now: u32,
}

/// A connection that wants to be asked at a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) id: Id,
    pub(super) tick: u32,
}

impl Default for Wheel {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Vec::new()).collect(),
            now: 0,
        }
    }
}

impl Wheel {
    /// Puts an entry into the slot of a tick, or of the last one that the wheel reaches. Gives the tick of the slot.
    pub(super) fn insert(&mut self, deadline: u32, id: Id) -> u32 {
        let tick = deadline.clamp(self.now + 1, self.now + SLOTS - 1);
        self.slots[(tick % SLOTS) as usize].push(Entry { id, tick });
        tick
    }

    /// Moves on to a tick and gives out the entries of all slots on the way.
    pub(super) fn advance(&mut self, now: u32) -> Vec<Entry> {
        let mut due = Vec::new();
        // More than one turn behind, every slot has been passed.
        let passed = now.saturating_sub(self.now).min(SLOTS);
        for tick in (now - passed + 1)..=now {
            due.append(&mut self.slots[(tick % SLOTS) as usize]);
        }
        self.now = self.now.max(now);
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> Id {
        Id {
            slot: number,
            birth: 0,
        }
    }

    fn ids(entries: &[Entry]) -> Vec<Id> {
        entries.iter().map(|entry| entry.id).collect()
    }

    #[test]
    fn an_entry_comes_out_at_its_tick_and_not_before() {
        let mut wheel = Wheel::default();
        assert_eq!(wheel.insert(3, id(7)), 3);
        assert!(wheel.advance(2).is_empty());
        assert_eq!(ids(&wheel.advance(3)), [id(7)]);
        assert!(wheel.advance(1000).is_empty());
    }

    #[test]
    fn a_deadline_beyond_the_wheel_waits_in_the_last_slot() {
        let mut wheel = Wheel::default();
        assert_eq!(wheel.insert(100_000, id(1)), SLOTS - 1);
        assert_eq!(ids(&wheel.advance(SLOTS)), [id(1)]);
    }

    #[test]
    fn a_deadline_in_the_past_comes_out_with_the_next_tick() {
        let mut wheel = Wheel::default();
        wheel.advance(10);
        assert_eq!(wheel.insert(4, id(1)), 11);
    }

    #[test]
    fn nothing_is_lost_when_the_clock_jumps() {
        let mut wheel = Wheel::default();
        for tick in 1..SLOTS {
            wheel.insert(tick, id(tick));
        }
        assert_eq!(wheel.advance(SLOTS * 10).len(), SLOTS as usize - 1);
    }

    #[test]
    fn ticks_round_up() {
        assert_eq!(ticks(Duration::from_millis(1)), 1);
        assert_eq!(ticks(Duration::from_millis(200)), 2);
        assert_eq!(ticks(Duration::MAX), u32::MAX / 4);
    }
}
