//! Configs that are no longer live but still in use by a request. They wait here, so that the last reference is dropped
//! on the side runtime: freeing a large route table takes milliseconds that no worker should spend.

use std::sync::{Arc, Mutex, PoisonError};

use super::Live;

/// The waiting room.
#[derive(Debug, Default)]
pub(crate) struct Retired(Mutex<Vec<Arc<Live>>>);

impl Retired {
    /// Takes in a config that is no longer live.
    pub(super) fn take_in(&self, live: Arc<Live>) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(live);
    }

    /// Drops what nobody uses any more.
    pub(crate) fn sweep(&self) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Nobody can take a new reference: they are handed out from the live config alone.
        let free: Vec<_> = waiting
            .extract_if(.., |live| Arc::strong_count(live) == 1)
            .collect();
        drop(waiting);
        drop(free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_waits_until_its_last_user_is_gone() {
        let retired = Retired::default();
        let live = Arc::new(Live::default());
        let user = live.clone();
        let watch = Arc::downgrade(&live);
        retired.take_in(live);
        retired.sweep();
        assert!(watch.upgrade().is_some());
        drop(user);
        assert!(
            watch.upgrade().is_some(),
            "the user's thread does not free it"
        );
        retired.sweep();
        assert!(watch.upgrade().is_none());
    }
}
