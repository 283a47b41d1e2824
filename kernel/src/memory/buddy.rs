//! The buddy allocator: free physical memory as blocks of 2^order frames.
//!
//! One byte per frame says whether a free block begins there and how large it is; the list
//! of free blocks of one order is threaded through the blocks themselves.
//!
//! Memory that was added is put on the lists a largest block at a time, when the lists run out: a
//! virtual machine's host finds memory for the guest at the first touch, two megabytes at a time, and
//! to touch every block of a gigabyte took 0.13 s of the boot.
//!
//! Invariant: `state[f] == order` exactly when frame `f` is the first of a block on list `order`.

use super::{PhysAddr, phys_to_virt};
use mmap_shim::Frame;

/// Orders 0 (4 KiB) to 14 (64 MiB).
pub const ORDERS: usize = 15;

/// No free block begins at the frame.
const NOT_FREE: u8 = 0xff;
/// End of a list.
const NONE: usize = usize::MAX;

/// What a free block holds in its first bytes: its neighbours on the list, by frame number.
#[repr(C)]
struct Links {
    next: usize,
    previous: usize,
}

/// How many ranges can wait to be put on the lists.
const MAX_UNTOUCHED: usize = 32;

/// The free blocks of the machine.
pub struct Buddy {
    state: &'static mut [u8],
    heads: [usize; ORDERS],
    /// Free frames that are on no list yet, as (first, one past the last).
    untouched: [(usize, usize); MAX_UNTOUCHED],
    untouched_count: usize,
}

impl Buddy {
    /// Makes one that knows no memory.
    pub const fn new() -> Self {
        Buddy {
            state: &mut [],
            heads: [NONE; ORDERS],
            untouched: [(0, 0); MAX_UNTOUCHED],
            untouched_count: 0,
        }
    }

    /// Gives it its table: one byte per frame, for frames `0..table.len()`.
    pub fn set_table(&mut self, table: &'static mut [u8]) {
        assert!(self.state.is_empty(), "the table is set once");
        table.fill(NOT_FREE);
        self.state = table;
    }

    /// Adds the frames `start..end` as free.
    ///
    /// # Safety
    ///
    /// They are RAM that the direct map shows and that nobody uses.
    pub unsafe fn add(&mut self, start: usize, end: usize) {
        assert!(end <= self.state.len(), "the table covers all memory");
        if self.untouched_count == MAX_UNTOUCHED {
            // SAFETY: the caller's contract.
            unsafe { self.put_on_lists(start, end) };
        } else if start < end {
            self.untouched[self.untouched_count] = (start, end);
            self.untouched_count += 1;
        }
    }

    /// Puts one more block of the untouched memory on the lists, or what there is up to where the
    /// next begins; returns false if there is none.
    fn touch_more(&mut self) -> bool {
        let Some(last) = self.untouched_count.checked_sub(1) else {
            return false;
        };
        let (start, end) = self.untouched[last];
        let next = (start + 1).next_multiple_of(1 << (ORDERS - 1)).min(end);
        if next == end {
            self.untouched_count = last;
        } else {
            self.untouched[last].0 = next;
        }
        // SAFETY: `add`'s caller gave the frames, and they have been on no list.
        unsafe { self.put_on_lists(start, next) };
        true
    }

    /// # Safety
    ///
    /// As for [`Buddy::add`].
    unsafe fn put_on_lists(&mut self, start: usize, end: usize) {
        for (block, order) in blocks_of(start, end) {
            // SAFETY: the caller's contract.
            unsafe { self.free(Frame(block), order) };
        }
    }

    /// Takes a block of 2^`order` frames.
    pub fn alloc(&mut self, order: usize) -> Option<Frame> {
        let mut found = loop {
            match (order..ORDERS).find(|&order| self.heads[order] != NONE) {
                Some(found) => break found,
                None if self.touch_more() => {}
                None => return None,
            }
        };
        let start = self.heads[found];
        self.remove(start, found);
        while found > order {
            found -= 1;
            self.push(start + (1 << found), found);
        }
        Some(Frame(start))
    }

    /// Gives a block back, joining it with its free neighbours.
    ///
    /// # Safety
    ///
    /// The block is RAM that the direct map shows, and from here on nobody uses it.
    pub unsafe fn free(&mut self, block: Frame, mut order: usize) {
        let mut start = block.0;
        assert!(
            self.state[start] == NOT_FREE,
            "frame {start:#x} is freed twice"
        );
        while order < ORDERS - 1 {
            let neighbour = start ^ (1 << order);
            if self.state.get(neighbour) != Some(&(order as u8)) {
                break;
            }
            self.remove(neighbour, order);
            start = start.min(neighbour);
            order += 1;
        }
        self.push(start, order);
    }

    /// Returns the order of the largest block that can be had; `None` if nothing is free.
    pub fn largest_order(&self) -> Option<usize> {
        let listed = (0..ORDERS).rev().find(|&order| self.heads[order] != NONE);
        let untouched = self.untouched[..self.untouched_count]
            .iter()
            .flat_map(|&(start, end)| blocks_of(start, end).map(|(_, order)| order))
            .max();
        listed.max(untouched)
    }

    /// Counts the free blocks of each order.
    pub fn blocks(&self) -> [usize; ORDERS] {
        let mut counts = [0; ORDERS];
        for &state in self.state.iter() {
            if state != NOT_FREE {
                counts[state as usize] += 1;
            }
        }
        for &(start, end) in &self.untouched[..self.untouched_count] {
            for (_, order) in blocks_of(start, end) {
                counts[order] += 1;
            }
        }
        counts
    }

    fn links(&self, frame: usize) -> *mut Links {
        debug_assert!(frame < self.state.len());
        phys_to_virt(PhysAddr(Frame(frame).start())).cast()
    }

    fn push(&mut self, frame: usize, order: usize) {
        let next = self.heads[order];
        // SAFETY: `frame` begins a block that is free (by `free`'s contract, or split off one that
        // was), so its memory is the allocator's, and the direct map shows it.
        unsafe {
            self.links(frame).write(Links {
                next,
                previous: NONE,
            })
        };
        if next != NONE {
            // SAFETY: `next` is on the list: its first bytes hold its links.
            unsafe { (*self.links(next)).previous = frame };
        }
        self.heads[order] = frame;
        self.state[frame] = order as u8;
    }

    fn remove(&mut self, frame: usize, order: usize) {
        debug_assert_eq!(self.state[frame], order as u8);
        // SAFETY: `frame` is on the list: its first bytes hold its links.
        let Links { next, previous } = unsafe { self.links(frame).read() };
        if previous == NONE {
            self.heads[order] = next;
        } else {
            // SAFETY: as above, for its neighbour.
            unsafe { (*self.links(previous)).next = next };
        }
        if next != NONE {
            // SAFETY: as above, for its neighbour.
            unsafe { (*self.links(next)).previous = previous };
        }
        self.state[frame] = NOT_FREE;
    }
}

/// The largest aligned blocks that make up a range of frames, as (first frame, order).
pub(super) fn blocks_of(mut start: usize, end: usize) -> impl Iterator<Item = (usize, usize)> {
    core::iter::from_fn(move || {
        let fits = (end - start).checked_ilog2()? as usize;
        let order = (start.trailing_zeros() as usize).min(ORDERS - 1).min(fits);
        let block = start;
        start += 1 << order;
        Some((block, order))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::{Mutex, MutexGuard};

    /// The tests share one piece of the pretended memory: frames 12288 to 13311 of the 16384.
    const START: usize = 12288;
    const COUNT: usize = 1024;
    static TURN: Mutex<()> = Mutex::new(());

    fn fresh() -> (MutexGuard<'static, ()>, Buddy) {
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let mut buddy = Buddy::new();
        buddy.set_table(vec![0; START + COUNT].leak());
        // SAFETY: the pretended memory is there, and `TURN` keeps others out.
        unsafe { buddy.add(START + 1, START + COUNT) };
        (turn, buddy)
    }

    #[test]
    fn a_range_becomes_the_largest_aligned_blocks() {
        let (_turn, buddy) = fresh();
        let mut expected = [0; ORDERS];
        expected[..10].fill(1);
        assert_eq!(buddy.blocks(), expected);
    }

    #[test]
    #[should_panic(expected = "freed twice")]
    fn freeing_twice_is_noticed() {
        let (_turn, mut buddy) = fresh();
        let frame = buddy.alloc(0).expect("there is memory");
        let keep = Frame(frame.0 ^ 1);
        // SAFETY: nobody uses the memory; the second call is the one to be noticed.
        unsafe {
            if buddy.state[keep.0] != NOT_FREE {
                let taken = buddy.alloc(0).expect("the neighbour");
                assert_eq!(taken, keep);
            }
            buddy.free(frame, 0);
            buddy.free(frame, 0);
        }
    }

    proptest! {
        #[test]
        fn blocks_are_apart_aligned_and_all_come_back(
            steps in proptest::collection::vec((0usize..6, any::<proptest::sample::Index>(), any::<bool>()), 0..200)
        ) {
            let (_turn, mut buddy) = fresh();
            let before = buddy.blocks();
            let mut held: Vec<(Frame, usize)> = Vec::new();
            let mut owner = vec![false; START + COUNT];
            for (order, index, is_free) in steps {
                if is_free && !held.is_empty() {
                    let (block, order) = held.swap_remove(index.index(held.len()));
                    owner[block.0..block.0 + (1 << order)].fill(false);
                    // SAFETY: nobody uses it.
                    unsafe { buddy.free(block, order) };
                } else if let Some(block) = buddy.alloc(order) {
                    prop_assert_eq!(block.0 % (1 << order), 0);
                    let frames = &mut owner[block.0..block.0 + (1 << order)];
                    prop_assert!(frames.iter().all(|taken| !taken));
                    frames.fill(true);
                    held.push((block, order));
                }
            }
            for (block, order) in held {
                // SAFETY: nobody uses it.
                unsafe { buddy.free(block, order) };
            }
            prop_assert_eq!(buddy.blocks(), before);
        }
    }
}
