//! A queue of bytes with a limit: what pipes and stream sockets hold.

use super::io::{Sink, Source};
use crate::libc::errno::Errno;
use alloc::vec::Vec;

/// The storage that a ring begins with.
const FIRST_STORAGE: usize = 4096;

/// Bytes in order of arrival.
pub struct Ring {
    /// Grows up to `limit`, so that an idle pipe costs little.
    storage: Vec<u8>,
    head: usize,
    len: usize,
    limit: usize,
}

impl Ring {
    /// Makes an empty ring that holds up to `limit` bytes.
    pub const fn new(limit: usize) -> Self {
        Ring {
            storage: Vec::new(),
            head: 0,
            len: 0,
            limit,
        }
    }

    /// Returns the number of bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Tells whether it has none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns how many bytes can be added.
    pub fn free(&self) -> usize {
        self.limit.saturating_sub(self.len)
    }

    /// Returns the most that it holds.
    pub fn limit(&self) -> usize {
        self.limit
    }

    /// Changes the most that it holds; false if it holds more now.
    pub fn set_limit(&mut self, limit: usize) -> bool {
        if limit < self.len {
            return false;
        }
        self.limit = limit;
        self.restore(self.storage.len().min(limit));
        true
    }

    /// Moves the bytes to a new storage of `size` bytes.
    fn restore(&mut self, size: usize) {
        if size == self.storage.len() {
            return;
        }
        let mut storage = Vec::with_capacity(size);
        let (first, second) = self.slices(self.len);
        storage.extend_from_slice(first);
        storage.extend_from_slice(second);
        storage.resize(size, 0);
        self.storage = storage;
        self.head = 0;
    }

    fn slices(&self, count: usize) -> (&[u8], &[u8]) {
        let first = count.min(self.storage.len() - self.head);
        (
            &self.storage[self.head..self.head + first],
            &self.storage[..count - first],
        )
    }

    /// Adds up to `max` bytes, as many as fit; returns how many. On a fault none of the piece
    /// that faulted is added.
    pub fn push(&mut self, from: &mut dyn Source, max: usize) -> Result<usize, Errno> {
        let count = max.min(from.remaining()).min(self.free());
        if self.len + count > self.storage.len() {
            let size = (self.len + count)
                .next_power_of_two()
                .clamp(FIRST_STORAGE.min(self.limit), self.limit);
            self.restore(size);
        }
        let mut done = 0;
        while done < count {
            let tail = (self.head + self.len) % self.storage.len();
            let step = (count - done).min(self.storage.len() - tail);
            match from.take(&mut self.storage[tail..tail + step]) {
                Ok(()) => {}
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            self.len += step;
            done += step;
        }
        Ok(done)
    }

    /// Copies bytes out without taking them; returns how many.
    pub fn peek(&self, to: &mut dyn Sink) -> Result<usize, Errno> {
        let count = self.len.min(to.remaining());
        let (first, second) = self.slices(count);
        to.put(first)?;
        match to.put(second) {
            Ok(()) => Ok(count),
            Err(errno) if first.is_empty() => Err(errno),
            Err(_) => Ok(first.len()),
        }
    }

    /// Takes bytes out; returns how many.
    pub fn pop(&mut self, to: &mut dyn Sink) -> Result<usize, Errno> {
        let count = self.peek(to)?;
        self.skip(count);
        Ok(count)
    }

    /// Puts bytes back that were taken out, before all others; the limit does not apply.
    pub fn put_back(&mut self, bytes: &[u8]) {
        let (first, second) = self.slices(self.len);
        let len = bytes.len() + self.len;
        let mut storage = Vec::with_capacity(len.next_power_of_two());
        storage.extend_from_slice(bytes);
        storage.extend_from_slice(first);
        storage.extend_from_slice(second);
        storage.resize(len.next_power_of_two(), 0);
        *self = Ring {
            storage,
            head: 0,
            len,
            limit: self.limit,
        };
    }

    /// Drops the next bytes.
    fn skip(&mut self, count: usize) {
        debug_assert!(count <= self.len);
        self.len -= count;
        self.head = if self.len == 0 {
            0
        } else {
            (self.head + count) % self.storage.len()
        };
    }
}

#[cfg(test)]
mod tests {
    use super::super::io::KernelSink;
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;

    proptest! {
        #[test]
        fn bytes_come_out_in_the_order_they_went_in(steps in proptest::collection::vec((any::<bool>(), 0usize..6000), 0..60)) {
            let mut ring = Ring::new(9000);
            let mut model = VecDeque::new();
            let mut next = 0u8;
            for (is_push, count) in steps {
                if is_push {
                    let bytes: Vec<u8> = (0..count).map(|_| { next = next.wrapping_add(1); next }).collect();
                    let pushed = ring.push(&mut &bytes[..], usize::MAX).unwrap();
                    prop_assert_eq!(pushed, count.min(9000 - model.len()));
                    model.extend(&bytes[..pushed]);
                } else {
                    let mut out = vec![0; count];
                    let popped = ring.pop(&mut KernelSink::new(&mut out)).unwrap();
                    prop_assert_eq!(popped, count.min(model.len()));
                    let expected: Vec<u8> = model.drain(..popped).collect();
                    prop_assert_eq!(&out[..popped], &expected[..]);
                }
                prop_assert_eq!(ring.len(), model.len());
            }
        }
    }
}
