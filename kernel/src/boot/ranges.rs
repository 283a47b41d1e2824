//! Ranges of physical memory, and a short list of them that needs no heap.

/// Where a virtio device may be that no bus lists.
#[derive(Clone, Copy, Debug)]
pub struct VirtioPlace {
    /// Its registers.
    pub registers: PhysRange,
    /// The number of its interrupt, as the interrupt controller knows it.
    pub interrupt: Option<u32>,
}

/// Physical addresses from `start` up to, not including, `end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhysRange {
    pub start: u64,
    pub end: u64,
}

impl PhysRange {
    /// The range of `len` bytes at `start`.
    pub const fn new(start: u64, len: u64) -> Self {
        Self {
            start,
            end: start.saturating_add(len),
        }
    }

    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    /// The whole pages of `page` bytes that lie inside.
    pub fn shrink_to_pages(self, page: u64) -> Self {
        Self {
            // Nothing is left of what begins in the last page of all.
            start: self
                .start
                .checked_next_multiple_of(page)
                .unwrap_or(u64::MAX),
            end: self.end / page * page,
        }
    }

    /// The whole pages of `page` bytes that this range touches; the last page of all ends a byte early.
    pub fn grow_to_pages(self, page: u64) -> Self {
        Self {
            start: self.start / page * page,
            end: self.end.checked_next_multiple_of(page).unwrap_or(u64::MAX),
        }
    }
}

/// Up to `N` ranges, kept sorted by address and free of overlap.
#[derive(Clone, Debug)]
pub struct RangeList<const N: usize> {
    ranges: [PhysRange; N],
    len: usize,
    /// Bytes of ranges that found no room.
    lost: u64,
}

impl<const N: usize> RangeList<N> {
    pub const fn new() -> Self {
        Self {
            ranges: [PhysRange { start: 0, end: 0 }; N],
            len: 0,
            lost: 0,
        }
    }

    pub fn as_slice(&self) -> &[PhysRange] {
        &self.ranges[..self.len]
    }

    pub fn total(&self) -> u64 {
        self.as_slice().iter().map(PhysRange::len).sum()
    }

    /// Bytes that were not recorded because the list was full.
    pub const fn lost(&self) -> u64 {
        self.lost
    }

    /// Adds a range, joining it with those that it touches.
    pub fn add(&mut self, mut range: PhysRange) {
        if range.is_empty() {
            return;
        }
        let mut kept = 0;
        for i in 0..self.len {
            let old = self.ranges[i];
            if old.end < range.start || range.end < old.start {
                self.ranges[kept] = old;
                kept += 1;
            } else {
                range.start = range.start.min(old.start);
                range.end = range.end.max(old.end);
            }
        }
        self.len = kept;
        self.insert(range);
    }

    /// Takes a range out, cutting those that it overlaps.
    pub fn remove(&mut self, hole: PhysRange) {
        if hole.is_empty() {
            return;
        }
        let old = self.clone();
        self.len = 0;
        for range in old.as_slice() {
            let below = PhysRange {
                start: range.start,
                end: range.end.min(hole.start),
            };
            let above = PhysRange {
                start: range.start.max(hole.end),
                end: range.end,
            };
            for part in [below, above] {
                if !part.is_empty() {
                    self.insert(part);
                }
            }
        }
    }

    fn insert(&mut self, range: PhysRange) {
        if self.len == N {
            self.lost = self.lost.saturating_add(range.len());
            return;
        }
        let at = self.ranges[..self.len].partition_point(|r| r.start < range.start);
        self.ranges.copy_within(at..self.len, at + 1);
        self.ranges[at] = range;
        self.len += 1;
    }
}

impl<const N: usize> Default for RangeList<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::{PhysRange, RangeList};
    use proptest::prelude::*;

    fn range(start: u64, end: u64) -> PhysRange {
        PhysRange { start, end }
    }

    #[test]
    fn joins_touching_ranges() {
        let mut list = RangeList::<8>::new();
        list.add(range(10, 20));
        list.add(range(30, 40));
        list.add(range(20, 30));
        assert_eq!(list.as_slice(), [range(10, 40)]);
    }

    #[test]
    fn a_hole_splits_a_range() {
        let mut list = RangeList::<8>::new();
        list.add(range(0, 100));
        list.remove(range(40, 60));
        assert_eq!(list.as_slice(), [range(0, 40), range(60, 100)]);
    }

    #[test]
    fn a_full_list_counts_what_it_loses() {
        let mut list = RangeList::<1>::new();
        list.add(range(0, 10));
        list.add(range(20, 25));
        assert_eq!(list.lost(), 5);
    }

    #[test]
    fn the_end_of_all_addresses_is_no_beginning() {
        let last = PhysRange::new(u64::MAX - 0xfff + 1, 0xfff);
        assert!(last.shrink_to_pages(4096).is_empty());
        assert_eq!(last.grow_to_pages(4096), range(u64::MAX - 0xfff, u64::MAX));
        let mut list = RangeList::<1>::new();
        list.add(range(0, 1));
        list.add(range(2, u64::MAX));
        list.add(range(2, u64::MAX));
        assert_eq!(list.lost(), u64::MAX);
    }

    proptest! {
        #[test]
        fn agrees_with_a_set_of_addresses(
            steps in proptest::collection::vec((any::<bool>(), 0u64..64, 0u64..32), 0..24)
        ) {
            let mut list = RangeList::<64>::new();
            let mut model = [false; 96];
            for (add, start, len) in steps {
                let r = PhysRange::new(start, len);
                if add { list.add(r) } else { list.remove(r) }
                for address in r.start..r.end {
                    model[address as usize] = add;
                }
            }
            let mut seen = [false; 96];
            let mut last = None;
            for r in list.as_slice() {
                prop_assert!(!r.is_empty());
                prop_assert!(last.is_none_or(|end| end <= r.start));
                last = Some(r.end);
                for address in r.start..r.end {
                    seen[address as usize] = true;
                }
            }
            prop_assert_eq!(seen, model);
        }
    }
}
