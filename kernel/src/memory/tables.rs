//! Page tables in memory: the walk, the same on every machine; `arch::page_table` knows the entries.
//!
//! Removal takes two walks with a TLB shootdown between them. `hide` makes everything in the range
//! invisible to the CPUs, tables that will be empty included, but keeps what the entries point
//! to; `collect`, after the shootdown, takes the entries out and hands their frames over. So no
//! frame is free while a CPU may still reach it, and nothing needs to be stored in between.

use super::{PAGE_SIZE, PhysAddr, frames, phys_to_virt};
use crate::arch::page_table::{Entry, LEVELS, Memory, has_large_pages, publish_entries};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use mmap_shim::{Frame, NoMemory, Owner, Protection};

/// Entries per table.
const ENTRIES: usize = 512;

static TABLES: AtomicUsize = AtomicUsize::new(0);

/// Returns how many tables there are (`PageTables` of `/proc/meminfo`).
pub fn table_count() -> usize {
    TABLES.load(Ordering::Relaxed)
}

/// A tree of page tables. Whoever changes part of it holds the lock of that part.
#[derive(Clone, Copy, Debug)]
pub struct PageTables {
    root: Frame,
}

/// What [`PageTables::hide`] found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hidden {
    /// There is something to collect.
    pub is_used: bool,
    /// CPUs may remember something of it.
    pub was_present: bool,
    /// A table is among it.
    pub has_tables: bool,
}

/// Bytes that one entry of a level covers.
const fn span(level: u32) -> usize {
    PAGE_SIZE << (9 * (level - 1))
}

fn entries(table: Frame) -> &'static [AtomicU64; ENTRIES] {
    // SAFETY: a frame that is used as a table is RAM in the direct map, and is reached only through
    // these atomics until it is freed, when no walk can find it any more.
    unsafe { &*phys_to_virt(PhysAddr(table.start())).cast() }
}

fn load(slot: &AtomicU64) -> Entry {
    Entry(slot.load(Ordering::Relaxed))
}

fn store(slot: &AtomicU64, entry: Entry) {
    // Release: a CPU that walks here sees the table or page as it was filled before.
    slot.store(entry.0, Ordering::Release);
}

/// Calls `f` for each entry of a table that `range` touches, with the part of the range it covers.
fn for_part(
    table: Frame,
    level: u32,
    range: Range<usize>,
    mut f: impl FnMut(&AtomicU64, Range<usize>),
) {
    let span = span(level);
    let mut at = range.start;
    while at < range.end {
        let next = (at - at % span).saturating_add(span).min(range.end);
        f(&entries(table)[at / span % ENTRIES], at..next);
        at = next;
    }
}

impl PageTables {
    /// Makes an empty tree.
    pub fn new() -> Result<PageTables, NoMemory> {
        Ok(PageTables { root: new_table()? })
    }

    /// Returns the table of the highest level.
    pub fn root(&self) -> Frame {
        self.root
    }

    /// Returns the entry of level `level` for an address, tables made on the way.
    fn slot(&self, address: usize, level: u32) -> Result<&'static AtomicU64, NoMemory> {
        let mut table = self.root;
        for upper in (level + 1..=LEVELS).rev() {
            let slot = &entries(table)[address / span(upper) % ENTRIES];
            let mut entry = load(slot);
            if !entry.is_used() {
                entry = Entry::table(new_table()?);
                store(slot, entry);
            }
            assert!(entry.is_table(upper), "no large page is split");
            table = entry.frame();
        }
        Ok(&entries(table)[address / span(level) % ENTRIES])
    }

    /// Returns the leaf for an address, if there is one.
    pub fn leaf(&self, address: usize) -> Option<&'static AtomicU64> {
        let mut table = self.root;
        for level in (1..=LEVELS).rev() {
            let slot = &entries(table)[address / span(level) % ENTRIES];
            let entry = load(slot);
            if !entry.is_used() {
                return None;
            }
            if !entry.is_table(level) {
                return Some(slot);
            }
            table = entry.frame();
        }
        None
    }

    /// Returns the entry of the leaf for an address, and how far into its page the address lies.
    pub fn translate(&self, address: usize) -> Option<(Entry, usize)> {
        let mut table = self.root;
        for level in (1..=LEVELS).rev() {
            let entry = load(&entries(table)[address / span(level) % ENTRIES]);
            if !entry.is_used() {
                return None;
            }
            if !entry.is_table(level) {
                return Some((entry, address % span(level)));
            }
            table = entry.frame();
        }
        None
    }

    /// Returns the entry of the leaf for an address; [`Entry::EMPTY`] if there is none.
    pub fn entry(&self, address: usize) -> Entry {
        self.leaf(address).map_or(Entry::EMPTY, load)
    }

    /// Maps a page that is not mapped.
    pub fn map(&self, page: usize, entry: Entry) -> Result<(), NoMemory> {
        let slot = self.slot(page, 1)?;
        debug_assert!(!load(slot).is_used(), "{page:#x} is mapped already");
        store(slot, entry);
        publish_entries();
        Ok(())
    }

    /// Maps a range to consecutive physical memory, with the largest pages that fit.
    pub fn map_range(
        &self,
        address: usize,
        physical: PhysAddr,
        len: usize,
        protection: Protection,
        memory: Memory,
    ) -> Result<(), NoMemory> {
        let mut done = 0;
        while done < len {
            let (at, to) = (address + done, physical.0 as usize + done);
            let fits = |level: &u32| {
                let span = span(*level);
                has_large_pages(*level)
                    && at.is_multiple_of(span)
                    && to.is_multiple_of(span)
                    && len - done >= span
            };
            let level = (2..LEVELS).rev().find(fits).unwrap_or(1);
            let entry = Entry::page(
                Frame::containing(to as u64),
                level,
                protection,
                Owner::Object,
                memory,
            );
            store(self.slot(at, level)?, entry);
            done += span(level);
        }
        publish_entries();
        Ok(())
    }

    /// Makes the tables of the second-highest level for a range, so that they never come or go.
    pub fn reserve(&self, range: Range<usize>) -> Result<(), NoMemory> {
        for address in range.step_by(span(LEVELS)) {
            self.slot(address, LEVELS - 1)?;
        }
        Ok(())
    }

    /// Calls `f` with the address and the place of each leaf in use.
    pub fn for_each_leaf(&self, range: Range<usize>, mut f: impl FnMut(usize, &AtomicU64)) {
        for_each_leaf(self.root, LEVELS, range, &mut f);
    }

    /// Hides all pages of a range from the CPUs, and with `release_tables` the tables that will be empty.
    pub fn hide(&self, range: Range<usize>, release_tables: bool) -> Hidden {
        let mut hidden = Hidden::default();
        hide(self.root, LEVELS, range, release_tables, &mut hidden);
        hidden
    }

    /// Takes out what [`hide`](Self::hide) hid in the range, and pages without rights: calls `on_page`
    /// for each page, frees the tables.
    pub fn collect(&self, range: Range<usize>, mut on_page: impl FnMut(Entry)) {
        collect(self.root, LEVELS, range, &mut on_page);
    }
}

/// Changes a leaf.
pub fn set(slot: &AtomicU64, entry: Entry) {
    store(slot, entry);
}

/// Reads a leaf.
pub fn get(slot: &AtomicU64) -> Entry {
    load(slot)
}

fn new_table() -> Result<Frame, NoMemory> {
    let frame = frames::alloc_critical().ok_or(NoMemory)?;
    frames::zero(frame);
    TABLES.fetch_add(1, Ordering::Relaxed);
    Ok(frame)
}

fn for_each_leaf(
    table: Frame,
    level: u32,
    range: Range<usize>,
    f: &mut impl FnMut(usize, &AtomicU64),
) {
    for_part(table, level, range, |slot, part| {
        let entry = load(slot);
        if !entry.is_used() {
        } else if entry.is_table(level) {
            for_each_leaf(entry.frame(), level - 1, part, f);
        } else {
            f(part.start, slot);
        }
    });
}

/// Returns whether the table will be empty once the range is collected.
fn hide(
    table: Frame,
    level: u32,
    range: Range<usize>,
    release_tables: bool,
    hidden: &mut Hidden,
) -> bool {
    let mut rest_is_empty = true;
    for_part(table, level, range.clone(), |slot, part| {
        let entry = load(slot);
        if !entry.is_used() {
            return;
        }
        let is_table = entry.is_table(level);
        if is_table && !hide(entry.frame(), level - 1, part, release_tables, hidden) {
            rest_is_empty = false;
            return;
        }
        hidden.is_used = true;
        hidden.has_tables |= is_table;
        if entry.is_present() {
            hidden.was_present = true;
            store(slot, entry.hidden());
        }
    });
    if !release_tables || level == LEVELS || !rest_is_empty {
        return false;
    }
    let span = span(level);
    let (first, last) = (
        range.start / span % ENTRIES,
        (range.end - 1) / span % ENTRIES,
    );
    let entries = entries(table);
    entries[..first]
        .iter()
        .chain(&entries[last + 1..])
        .all(|slot| !load(slot).is_used())
}

fn collect(table: Frame, level: u32, range: Range<usize>, on_page: &mut impl FnMut(Entry)) {
    for_part(table, level, range, |slot, part| {
        let entry = load(slot);
        if !entry.is_used() {
            return;
        }
        if entry.is_table(level) {
            collect(entry.frame(), level - 1, part, on_page);
            if !entry.is_present() {
                store(slot, Entry::EMPTY);
                frames::free(entry.frame());
                TABLES.fetch_sub(1, Ordering::Relaxed);
            }
        } else {
            store(slot, Entry::EMPTY);
            on_page(entry);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::{free_count, testing::machine};

    const RW: Protection = Protection::READ.union(Protection::WRITE);
    const FAR: usize = 0x1234_5678_9000;

    fn page(frame: usize) -> Entry {
        Entry::page(Frame(frame), 1, RW, Owner::Object, Memory::Normal)
    }

    #[test]
    fn a_range_takes_the_largest_pages_that_fit() {
        let _turn = machine();
        let tables = PageTables::new().expect("memory");
        let start = (2 << 20) - PAGE_SIZE;
        tables
            .map_range(
                start,
                PhysAddr(start as u64),
                (4 << 20) + 2 * PAGE_SIZE,
                RW,
                Memory::Normal,
            )
            .expect("memory");
        let mut leaves = Vec::new();
        tables.for_each_leaf(0..1 << 30, |address, slot| {
            leaves.push((address, get(slot).frame().start() as usize))
        });
        let expected = [start, 2 << 20, 4 << 20, 6 << 20].map(|address| (address, address));
        assert_eq!(leaves, expected);
        assert!(tables.leaf(start - 1).is_none() && tables.leaf((6 << 20) + PAGE_SIZE).is_none());
    }

    #[test]
    fn what_is_hidden_keeps_its_frames_until_it_is_collected() {
        let _turn = machine();
        let tables = PageTables::new().expect("memory");
        let before = free_count();
        for i in 0..4 {
            tables
                .map(FAR + i * PAGE_SIZE, page(100 + i))
                .expect("memory");
        }
        assert_eq!(free_count(), before - 3);
        let hidden = tables.hide(FAR..FAR + 3 * PAGE_SIZE, true);
        assert_eq!(
            hidden,
            Hidden {
                is_used: true,
                was_present: true,
                has_tables: false
            }
        );
        assert!(!tables.entry(FAR).is_present() && tables.entry(FAR).is_used());
        assert!(tables.entry(FAR + 3 * PAGE_SIZE).is_present());
        let mut frames = Vec::new();
        tables.collect(FAR..FAR + 3 * PAGE_SIZE, |entry| {
            frames.push(entry.frame().0)
        });
        assert_eq!(frames, [100, 101, 102]);
        assert_eq!(tables.entry(FAR), Entry::EMPTY);
        let hidden = tables.hide(FAR..FAR + (1 << 40), true);
        assert_eq!(
            hidden,
            Hidden {
                is_used: true,
                was_present: true,
                has_tables: true
            }
        );
        tables.collect(FAR..FAR + (1 << 40), |entry| frames.push(entry.frame().0));
        assert_eq!(
            (frames.len(), free_count()),
            (4, before),
            "all tables but the root are free"
        );
    }

    #[test]
    fn tables_stay_unless_they_are_to_be_released() {
        let _turn = machine();
        let tables = PageTables::new().expect("memory");
        tables.map(FAR, page(1)).expect("memory");
        let before = free_count();
        let range = FAR..FAR + PAGE_SIZE;
        tables.hide(range.clone(), false);
        tables.collect(range.clone(), |_| {});
        assert_eq!(free_count(), before);
        let hidden = tables.hide(range.clone(), true);
        assert_eq!(
            hidden,
            Hidden {
                is_used: true,
                was_present: true,
                has_tables: true
            },
            "the CPU may remember a table"
        );
        tables.collect(range, |_| unreachable!("there is no page"));
        assert_eq!(free_count(), before + 3);
        assert_eq!(tables.hide(0..usize::MAX & !0xfff, true), Hidden::default());
    }

    #[test]
    fn a_neighbour_in_the_same_table_keeps_it() {
        let _turn = machine();
        let tables = PageTables::new().expect("memory");
        let (below, above) = (
            FAR - FAR % (2 << 20),
            FAR - FAR % (2 << 20) + (2 << 20) - PAGE_SIZE,
        );
        for address in [below, FAR, above] {
            tables.map(address, page(1)).expect("memory");
        }
        assert!(!tables.hide(FAR..above, true).has_tables);
        tables.collect(FAR..above, |_| {});
        assert!(
            !tables
                .hide(below + PAGE_SIZE..above + PAGE_SIZE, true)
                .has_tables
        );
        tables.collect(below + PAGE_SIZE..above + PAGE_SIZE, |_| {});
        assert!(tables.entry(below).is_present());
        assert!(tables.hide(below..FAR, true).has_tables);
        tables.collect(below..FAR, |_| {});
    }
}
