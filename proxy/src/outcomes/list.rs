//! A list that one thread appends to while another reads. What stands in it never moves: it lies in blocks, each twice as
//! long as the one before.

use std::sync::{Arc, OnceLock};

/// Length of the first block, as a power of two.
const FIRST: u32 = 4;
/// So many blocks hold as many entries as a position can name.
const BLOCKS: usize = (u32::BITS - FIRST) as usize;

/// The list.
#[derive(Debug)]
pub(super) struct List<T>([OnceLock<Block<T>>; BLOCKS]);

type Block<T> = Box<[OnceLock<Arc<T>>]>;

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| OnceLock::new()))
    }
}

impl<T> List<T> {
    /// Puts an entry at a position, the one behind the last; `false` if the list has no such place any more.
    pub(super) fn put(&self, position: u32, entry: Arc<T>) -> bool {
        let Some((block, offset)) = place(position) else {
            return false;
        };
        let block = self.0[block].get_or_init(|| {
            let length = 1usize << (FIRST as usize + block);
            (0..length).map(|_| OnceLock::new()).collect()
        });
        block[offset].set(entry).is_ok()
    }

    /// All entries, in the order in which they came.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let blocks = self.0.iter().map_while(OnceLock::get);
        blocks
            .flat_map(|block| block.iter())
            .map_while(|entry| Some(&**entry.get()?))
    }
}

/// The block of a position, and the place in it.
fn place(position: u32) -> Option<(usize, usize)> {
    let shifted = position.checked_add(1 << FIRST)?;
    let exponent = shifted.ilog2();
    let offset = shifted ^ (1 << exponent);
    Some(((exponent - FIRST) as usize, offset as usize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_in_order() {
        let list = List::default();
        assert!((0..1000).all(|number| list.put(number, Arc::new(number))));
        assert!(list.iter().copied().eq(0..1000));
        assert!(!list.put(7, Arc::new(0)), "an entry stays what it is");
        assert!(!list.put(u32::MAX, Arc::new(0)), "there is no such place");
    }
}
