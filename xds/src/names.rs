//! Names that many resources refer to, each once in memory: a hundred thousand routes to one cluster need its name once.

use std::collections::HashSet;
use std::sync::Arc;

use ahash::RandomState;

/// So many names are kept before those that nobody uses are looked for.
const KEPT: usize = 64;

/// Names that were read.
#[derive(Debug, Default)]
pub struct Names {
    known: HashSet<Arc<str>, RandomState>,
    /// How many there may be before it is worth a look whether they are used.
    most: usize,
}

impl Names {
    /// The one of this text.
    pub(crate) fn share(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.known.get(name) {
            return known.clone();
        }
        let name: Arc<str> = name.into();
        self.known.insert(name.clone());
        name
    }

    /// Drops what nobody uses any more, once they are twice as many as were used at the last look.
    pub fn tidy(&mut self) {
        if self.known.len() > self.most.max(KEPT) {
            self.known.retain(|name| Arc::strong_count(name) > 1);
            self.known.shrink_to_fit();
            self.most = 2 * self.known.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_in_memory_once_while_it_is_used_and_then_not_at_all() {
        let mut names = Names::default();
        let used = names.share("used");
        assert!(Arc::ptr_eq(&used, &names.share("used")));
        for number in 0..1_000 {
            names.share(&number.to_string());
        }
        names.tidy();
        assert_eq!(names.known.len(), 1);
        assert!(Arc::ptr_eq(&used, &names.share("used")));
    }
}
