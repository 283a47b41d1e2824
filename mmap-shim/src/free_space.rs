//! The address ranges that no area uses, found by place or by size.
//!
//! A new area goes into the smallest gap that holds it, the lowest of these: a thread's stack
//! lands in the gap that the last one left, so addresses and page tables are used again. Both
//! look-ups take logarithmic time however many areas there are.
//!
//! Large areas are coloured: they end [`COLOUR`] bytes above a multiple of [`WINDOW`], and small
//! ones find their gaps from there upwards. What is hot in a stack (its upper end) and in
//! small areas then differs in the low bits of the page number from what is hot in the heaps of
//! mimalloc, which lie above multiples of 32 MiB. QEMU's emulated TLB is direct-mapped by these bits:
//! a loop with two hot pages of the same bits took 1.6 times as long.
//!
//! Invariant: gaps neither overlap nor touch, and the two maps hold the same ones.

use alloc::collections::{BTreeMap, BTreeSet};

/// Addresses that differ by a multiple of this have the same colour.
const WINDOW: usize = 4 << 20;

/// Where in a window large areas end.
const COLOUR: usize = WINDOW / 2;

/// What counts as large.
const LARGE: usize = 1 << 20;

/// The gaps between areas.
#[derive(Debug)]
pub struct FreeSpace {
    /// End of each gap, by its start.
    gaps: BTreeMap<usize, usize>,
    /// Length and start of each gap.
    by_len: BTreeSet<(usize, usize)>,
}

impl FreeSpace {
    /// Makes one gap of `start..end`.
    pub fn new(start: usize, end: usize) -> Self {
        let mut space = FreeSpace {
            gaps: BTreeMap::new(),
            by_len: BTreeSet::new(),
        };
        space.insert(start, end);
        space
    }

    /// Returns the gap that holds all of `start..end`.
    fn gap_around(&self, start: usize, end: usize) -> Option<(usize, usize)> {
        let (&gap_start, &gap_end) = self.gaps.range(..=start).next_back()?;
        (end <= gap_end).then_some((gap_start, gap_end))
    }

    /// Tells whether all of a range is free.
    pub fn is_free(&self, start: usize, end: usize) -> bool {
        self.gap_around(start, end).is_some()
    }

    /// Returns the best address for an area of `len` bytes.
    pub fn find(&self, len: usize) -> Option<usize> {
        let smallest = |least: usize| self.by_len.range((least, 0)..).next();
        let &(gap_len, start) = smallest(len)?;
        if len < LARGE {
            return Some(start);
        }
        // A gap that is larger by a window holds an area of any colour.
        coloured(start, start + gap_len, len)
            .or_else(|| {
                let &(gap_len, start) = smallest(len + WINDOW)?;
                coloured(start, start + gap_len, len)
            })
            .or(Some(start))
    }

    /// Uses a range.
    ///
    /// # Panics
    ///
    /// If part of it is in use.
    pub fn take(&mut self, start: usize, end: usize) {
        let (gap_start, gap_end) = self
            .gap_around(start, end)
            .expect("only free ranges are taken");
        self.remove(gap_start, gap_end);
        self.insert(gap_start, start);
        self.insert(end, gap_end);
    }

    /// Frees a range that is in use.
    pub fn give(&mut self, mut start: usize, mut end: usize) {
        if let Some((&before, &before_end)) = self.gaps.range(..start).next_back() {
            debug_assert!(before_end <= start, "the range was in use");
            if before_end == start {
                self.remove(before, before_end);
                start = before;
            }
        }
        if let Some(&after_end) = self.gaps.get(&end) {
            self.remove(end, after_end);
            end = after_end;
        }
        self.insert(start, end);
    }

    fn insert(&mut self, start: usize, end: usize) {
        if start < end {
            self.gaps.insert(start, end);
            self.by_len.insert((end - start, start));
        }
    }

    fn remove(&mut self, start: usize, end: usize) {
        self.gaps.remove(&start);
        self.by_len.remove(&(end - start, start));
    }

    /// Returns the gaps in order of address.
    #[cfg(test)]
    pub fn gaps(&self) -> impl Iterator<Item = (usize, usize)> {
        assert_eq!(self.gaps.len(), self.by_len.len());
        self.gaps.iter().map(|(&start, &end)| (start, end))
    }
}

/// Returns the lowest address in a gap from which `len` bytes end at the colour of large areas.
fn coloured(gap_start: usize, gap_end: usize, len: usize) -> Option<usize> {
    let first_end = gap_start + len;
    let end = first_end + (COLOUR.wrapping_sub(first_end) % WINDOW);
    (end <= gap_end).then(|| end - len)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_smallest_gap_that_fits_is_found() {
        let mut space = FreeSpace::new(0, 100);
        space.take(10, 20);
        space.take(25, 50);
        assert_eq!(space.find(3), Some(20));
        assert_eq!(space.find(6), Some(0));
        assert_eq!(space.find(11), Some(50));
        assert_eq!(space.find(51), None);
    }

    #[test]
    fn large_areas_end_at_one_colour_where_there_is_room() {
        let mut space = FreeSpace::new(COLOUR, COLOUR + 5 * WINDOW);
        let len = 2 * WINDOW + 0x2000;
        let first = space.find(len).unwrap();
        assert_eq!((first + len) % WINDOW, COLOUR);
        space.take(first, first + len);
        assert_eq!(
            space.find(0x1000),
            Some(COLOUR),
            "small areas begin there too"
        );
        let end = COLOUR + 5 * WINDOW - 0x1000;
        space.take(end, end + 0x1000);
        let rest = end - first - len;
        assert_eq!(
            space.find(rest),
            Some(first + len),
            "no room for the colour"
        );
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_addresses(steps in proptest::collection::vec((any::<bool>(), 0usize..64, 1usize..16), 0..60)) {
            let mut space = FreeSpace::new(0, 80);
            let mut used = [false; 80];
            for (takes, start, len) in steps {
                let range = start..start + len;
                prop_assert_eq!(space.is_free(start, start + len), used[range.clone()].iter().all(|used| !used));
                if takes && space.is_free(start, start + len) {
                    space.take(start, start + len);
                    used[range].fill(true);
                } else if !takes && used[range.clone()].iter().all(|&used| used) {
                    space.give(start, start + len);
                    used[range].fill(false);
                }
                let mut seen = [true; 80];
                let mut last_end = None;
                for (start, end) in space.gaps() {
                    prop_assert!(last_end.is_none_or(|last| last < start), "gaps neither overlap nor touch");
                    last_end = Some(end);
                    seen[start..end].fill(false);
                }
                prop_assert_eq!(seen, used);
            }
        }
    }
}
