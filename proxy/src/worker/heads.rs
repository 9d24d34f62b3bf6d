//! Heads that go round: a request takes a pair and gives it back, so that reading and writing heads allocates nothing
//! once the worker has seen some traffic.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

use http_wire::head::{RequestHead, ResponseHead};

/// More than this many idle pairs are not kept: a burst should not hold memory for ever.
const KEPT: usize = 256;

/// The heads of one request, as they are read, edited and sent on.
#[derive(Debug, Default)]
pub(crate) struct Pair {
    /// What the client asked, then what is asked upstream.
    pub(crate) request: RequestHead,
    /// What the endpoint answered, then what the client is told.
    pub(crate) response: ResponseHead,
}

/// A pair in use.
#[derive(Debug)]
pub(crate) struct Heads {
    pair: Option<Box<Pair>>,
    home: FreeList,
}

/// The pairs that are not in use.
#[expect(
    clippy::vec_box,
    reason = "a pair moves between the list and requests: as a pointer, without an allocation"
)]
#[derive(Clone, Debug, Default)]
pub(super) struct FreeList(Rc<RefCell<Vec<Box<Pair>>>>);

impl FreeList {
    /// An empty pair.
    pub(super) fn take(&self) -> Heads {
        let pair = self.0.borrow_mut().pop().unwrap_or_default();
        Heads {
            pair: Some(pair),
            home: self.clone(),
        }
    }
}

impl Deref for Heads {
    type Target = Pair;

    fn deref(&self) -> &Pair {
        self.pair.as_ref().expect("taken in drop alone")
    }
}

impl DerefMut for Heads {
    fn deref_mut(&mut self) -> &mut Pair {
        self.pair.as_mut().expect("taken in drop alone")
    }
}

impl Drop for Heads {
    fn drop(&mut self) {
        let mut free = self.home.0.borrow_mut();
        if let Some(mut pair) = self.pair.take()
            && free.len() < KEPT
        {
            pair.request.clear();
            pair.response.clear();
            free.push(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_comes_back_empty() {
        let list = FreeList::default();
        let mut heads = list.take();
        heads.response.begin(200);
        heads.response.fields_mut().append("x-a", b"1").unwrap();
        drop(heads);
        assert_eq!(list.0.borrow().len(), 1);
        let heads = list.take();
        assert_eq!(heads.response.status(), 0);
        assert!(heads.response.fields().is_empty());
        assert!(list.0.borrow().is_empty());
    }
}
