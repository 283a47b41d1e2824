//! The two ends of a ring that one side fills, as an interrupt handler does, and one side empties,
//! without a lock between them.

#![forbid(unsafe_code)]

use crate::prim::{AtomicUsize, Ordering, const_unless_loom};

/// Which places of a ring are full. The places are the owner's.
///
/// At any time one caller at most is in [`RingIndex::push`] and one in [`RingIndex::pop`].
#[derive(Debug)]
pub struct RingIndex {
    /// How many were ever taken out; written by the side that empties.
    head: AtomicUsize,
    /// How many were ever put in; written by the side that fills.
    tail: AtomicUsize,
    capacity: usize,
}

impl RingIndex {
    const_unless_loom! {
        /// Makes the index of an empty ring of `capacity` places, a power of two.
        pub fn new(capacity: usize) -> Self {
            assert!(capacity.is_power_of_two());
            Self { head: AtomicUsize::new(0), tail: AtomicUsize::new(0), capacity }
        }
    }

    /// Has `write` fill the next free place; returns false if there is none.
    pub fn push(&self, write: impl FnOnce(usize)) -> bool {
        let tail = self.tail.load(Ordering::Relaxed);
        // Acquire pairs with the Release in `pop`: who read the place before has finished.
        let head = self.head.load(Ordering::Acquire);
        if tail.wrapping_sub(head) == self.capacity {
            return false;
        }
        write(tail % self.capacity);
        // Release pairs with the Acquire in `pop`: the place is filled.
        self.tail.store(tail.wrapping_add(1), Ordering::Release);
        true
    }

    /// Has `read` empty the oldest full place; returns what it returns, `None` if the ring is empty.
    pub fn pop<R>(&self, read: impl FnOnce(usize) -> R) -> Option<R> {
        let head = self.head.load(Ordering::Relaxed);
        // Acquire pairs with the Release in `push`.
        if self.tail.load(Ordering::Acquire) == head {
            return None;
        }
        let result = read(head % self.capacity);
        // Release pairs with the Acquire in `push`.
        self.head.store(head.wrapping_add(1), Ordering::Release);
        Some(result)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU64;

    #[test]
    fn what_goes_in_comes_out_in_order_or_is_refused() {
        const COUNT: u64 = if cfg!(miri) { 100 } else { 100_000 };
        let index = RingIndex::new(8);
        let places: [AtomicU64; 8] = Default::default();
        let refused = std::thread::scope(|scope| {
            let filler = scope.spawn(|| {
                let push = |value| index.push(|at| places[at].store(value, Ordering::Relaxed));
                (0..COUNT).filter(|&value| !push(value)).count() as u64
            });
            let (mut next, mut taken) = (0, 0);
            while !filler.is_finished() || next == 0 {
                while let Some(value) = index.pop(|at| places[at].load(Ordering::Relaxed)) {
                    assert!(value >= next, "{value} after {next}");
                    next = value + 1;
                    taken += 1;
                }
            }
            // Only once it is joined is all that it did surely seen here.
            let refused = filler.join().expect("it does not panic");
            while index.pop(|_| ()).is_some() {
                taken += 1;
            }
            assert_eq!(taken + refused, COUNT);
            refused
        });
        assert!(refused < COUNT);
    }
}
