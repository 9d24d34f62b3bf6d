//! The books of a worker's connections: by number, so that the wheel can name one without holding it.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};

use super::downstream::Downstream;
use super::wheel::Id;

/// All open connections. They belong to their own tasks; here is only how to find them.
#[derive(Default)]
pub(super) struct Connections {
    slots: RefCell<Vec<Slot>>,
    free: RefCell<Vec<u32>>,
    len: Cell<usize>,
}

struct Slot {
    birth: u32,
    downstream: Weak<Downstream>,
}

impl Connections {
    /// Enters a connection that is made with its number.
    pub(super) fn insert(&self, make: impl FnOnce(Id) -> Downstream) -> Rc<Downstream> {
        let id = self.reserve();
        let downstream = Rc::new(make(id));
        self.slots.borrow_mut()[id.slot as usize].downstream = Rc::downgrade(&downstream);
        downstream
    }

    /// Strikes a connection out.
    pub(super) fn remove(&self, id: Id) {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[id.slot as usize];
        slot.birth = slot.birth.wrapping_add(1);
        slot.downstream = Weak::new();
        self.free.borrow_mut().push(id.slot);
        self.len.set(self.len.get() - 1);
    }

    /// A connection by its number, if it is still open.
    pub(super) fn get(&self, id: Id) -> Option<Rc<Downstream>> {
        let slots = self.slots.borrow();
        let slot = slots.get(id.slot as usize);
        slot.filter(|slot| slot.birth == id.birth)?
            .downstream
            .upgrade()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Rc<Downstream>> {
        let slots = self.slots.borrow();
        slots
            .iter()
            .filter_map(|slot| slot.downstream.upgrade())
            .collect()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.len.get() == 0
    }

    fn reserve(&self) -> Id {
        self.len.set(self.len.get() + 1);
        let mut slots = self.slots.borrow_mut();
        let slot = self.free.borrow_mut().pop().unwrap_or_else(|| {
            slots.push(Slot {
                birth: 0,
                downstream: Weak::new(),
            });
            (slots.len() - 1) as u32
        });
        Id {
            slot,
            birth: slots[slot as usize].birth,
        }
    }
}
