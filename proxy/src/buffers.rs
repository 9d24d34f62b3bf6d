//! Buffers that belong to the worker and not to a connection: taken when there are bytes, given back when there are none.
//! So idle and waiting connections own no buffer, and the steady state allocates none.

use std::cell::RefCell;

/// Room for one read; a small response with its head fits many times.
pub(crate) const READ_SIZE: usize = 16 * 1024;
/// Room for one read of a body that has shown to be large: fewer system calls, still inside the second-level cache.
pub(crate) const LARGE_READ_SIZE: usize = 64 * 1024;
/// More than this many idle buffers of a kind are not kept: a burst should not hold memory for ever.
const KEPT: usize = 64;
/// A write buffer that had to grow beyond this for one large head is not kept.
const MAX_KEPT_CAPACITY: usize = 64 * 1024;

/// The free lists of one worker.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    reading: RefCell<Vec<Vec<u8>>>,
    writing: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room for at least one read.
    pub(crate) fn take_reading(&self) -> Vec<u8> {
        let buffer = self.reading.borrow_mut().pop();
        buffer.unwrap_or_else(|| Vec::with_capacity(READ_SIZE))
    }

    /// Takes a buffer back; what it holds is dropped.
    pub(crate) fn put_reading(&self, buffer: Vec<u8>) {
        put(&self.reading, buffer, LARGE_READ_SIZE);
    }

    /// An empty buffer for a head.
    pub(crate) fn take_writing(&self) -> Vec<u8> {
        self.writing.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back; what it holds is dropped.
    pub(crate) fn put_writing(&self, buffer: Vec<u8>) {
        put(&self.writing, buffer, MAX_KEPT_CAPACITY);
    }

    #[cfg(test)]
    pub(crate) fn idle(&self) -> (usize, usize) {
        (self.reading.borrow().len(), self.writing.borrow().len())
    }
}

fn put(free: &RefCell<Vec<Vec<u8>>>, mut buffer: Vec<u8>, most: usize) {
    let mut free = free.borrow_mut();
    if free.len() < KEPT && (1..=most).contains(&buffer.capacity()) {
        buffer.clear();
        free.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_used_again() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_reading();
        let place = buffer.as_ptr();
        buffer.extend_from_slice(&[7; 1000]);
        buffers.put_reading(buffer);
        let again = buffers.take_reading();
        assert_eq!(again.as_ptr(), place);
        assert!(again.is_empty() && again.capacity() >= READ_SIZE);
    }

    #[test]
    fn one_large_head_does_not_stay_in_memory() {
        let buffers = Buffers::default();
        buffers.put_writing(Vec::with_capacity(MAX_KEPT_CAPACITY + 1));
        buffers.put_reading(Vec::with_capacity(LARGE_READ_SIZE + 1));
        assert_eq!(buffers.idle(), (0, 0));
        buffers.put_writing(Vec::with_capacity(100));
        assert_eq!(buffers.idle(), (0, 1));
    }
}
