//! Buffers that belong to the worker and not to a connection: taken when there are bytes, given back when there are none.
//! So idle and waiting connections own no buffer, and the steady state allocates none.

use std::cell::RefCell;

use bytes::BytesMut;

/// Room for one read; a small response with its head fits many times.
pub(super) const READ_SIZE: usize = 16 * 1024;
/// Room for one read of a body that has shown to be large: fewer system calls, still inside the second-level cache.
pub(super) const LARGE_READ_SIZE: usize = 64 * 1024;
/// More than this many idle buffers of a kind are not kept: a burst should not hold memory for ever.
const KEPT: usize = 64;
/// A write buffer that had to grow beyond this for one large head is not kept.
const MAX_KEPT_CAPACITY: usize = 64 * 1024;

/// The free lists of one worker.
#[derive(Debug, Default)]
pub(super) struct Buffers {
    reading: RefCell<Vec<BytesMut>>,
    writing: RefCell<Vec<Vec<u8>>>,
}

impl Buffers {
    /// An empty buffer with room for at least one read.
    pub(super) fn take_reading(&self) -> BytesMut {
        let mut buffer = self.reading.borrow_mut().pop().unwrap_or_default();
        // Parts of it may have been handed out as body; if they are dropped by now this only moves a pointer.
        buffer.reserve(READ_SIZE);
        buffer
    }

    /// Takes a buffer back; what it holds is dropped.
    pub(super) fn put_reading(&self, mut buffer: BytesMut) {
        let mut free = self.reading.borrow_mut();
        if free.len() < KEPT {
            buffer.clear();
            free.push(buffer);
        }
    }

    /// An empty buffer for a request head.
    pub(super) fn take_writing(&self) -> Vec<u8> {
        self.writing.borrow_mut().pop().unwrap_or_default()
    }

    /// Takes a buffer back; what it holds is dropped.
    pub(super) fn put_writing(&self, mut buffer: Vec<u8>) {
        let mut free = self.writing.borrow_mut();
        if free.len() < KEPT && buffer.capacity() <= MAX_KEPT_CAPACITY {
            buffer.clear();
            free.push(buffer);
        }
    }

    #[cfg(test)]
    pub(super) fn idle(&self) -> (usize, usize) {
        (self.reading.borrow().len(), self.writing.borrow().len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_whose_parts_are_gone_is_used_again() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take_reading();
        let place = buffer.as_ptr();
        buffer.extend_from_slice(&[7; 1000]);
        let part = buffer.split_to(900).freeze();
        buffers.put_reading(buffer);
        let other = buffers.take_reading();
        assert_ne!(other.as_ptr(), place, "a part of it is still in use");
        assert_eq!(&part[..], [7; 900]);
        drop(part);

        let mut buffer = buffers.take_reading();
        let place = buffer.as_ptr();
        buffer.extend_from_slice(&[7; 1000]);
        drop(buffer.split_to(900).freeze());
        buffers.put_reading(buffer);
        let again = buffers.take_reading();
        assert_eq!(again.as_ptr(), place);
        assert!(again.is_empty() && again.capacity() >= READ_SIZE);
    }

    #[test]
    fn one_large_head_does_not_stay_in_memory() {
        let buffers = Buffers::default();
        buffers.put_writing(Vec::with_capacity(MAX_KEPT_CAPACITY + 1));
        assert_eq!(buffers.idle(), (0, 0));
        buffers.put_writing(Vec::with_capacity(100));
        assert_eq!(buffers.idle(), (0, 1));
    }
}
