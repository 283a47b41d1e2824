//! Frames and page tables as the address-space map wants them, with TLB shootdown in between.

use super::tables::{self, PageTables};
use super::{PAGE_SIZE, frames};
use crate::arch::page_table::{Entry, Memory, flush_page, publish_code};
use mmap_shim::{Counts, Frame, FrameUse, Leaf, NoMemory, Owner, PageMapper, Protection};

/// The machine's page tables for what C maps.
pub struct MachineMapper {
    tables: PageTables,
    /// The frame that all untouched pages show to readers.
    zeros: Frame,
    /// A frame of zeros that the fault handler made ready before it took the lock.
    spare: Option<Frame>,
    /// The fault handler is at work: interrupts are off.
    is_in_fault: bool,
    /// How many pages are mapped.
    mapped: usize,
    /// How many tables may be there, beyond one for so many mapped pages, before empty ones are freed.
    kept_tables: usize,
}

/// Freeing a table disturbs even the idle CPUs, and a range that was unmapped (a thread's stack) is
/// often mapped again: so a quarter of a megabyte of tables may stay, empty or not, and one more for
/// every 16 mapped pages.
const KEPT_TABLES: usize = 64;
const PAGES_PER_TABLE: usize = 16;

/// Tells how a page behaves: what a [`mmap_shim::Backing`] gives that is no RAM is a device's registers.
#[cfg(target_os = "none")]
fn memory_of(leaf: Leaf) -> Memory {
    if leaf.owner == Owner::Object && !super::physical::is_ram(leaf.frame.start()) {
        Memory::Device
    } else {
        Memory::Normal
    }
}

/// The host has no registers.
#[cfg(not(target_os = "none"))]
fn memory_of(_: Leaf) -> Memory {
    Memory::Normal
}

/// Sees to it that who may execute a page finds there what was written before.
fn publish(leaf: Leaf) {
    if leaf.protection.contains(Protection::EXECUTE) && memory_of(leaf) == Memory::Normal {
        publish_code(leaf.frame);
    }
}

impl MachineMapper {
    /// Makes one over these tables; `zeros` is a frame of zeros that nobody ever writes.
    pub fn new(tables: PageTables, zeros: Frame) -> Self {
        MachineMapper {
            tables,
            zeros,
            spare: None,
            is_in_fault: false,
            mapped: 0,
            kept_tables: KEPT_TABLES,
        }
    }

    /// Notes that the fault handler works now, and has this frame of zeros to give.
    pub fn begin_fault(&mut self, spare: Option<Frame>) {
        self.is_in_fault = true;
        self.spare = spare;
    }

    /// Notes that it has finished; returns the frame if it was not used.
    pub fn end_fault(&mut self) -> Option<Frame> {
        self.is_in_fault = false;
        self.spare.take()
    }

    /// Waits until no CPU uses old translations of a range.
    fn flush(&self, start: usize, end: usize, has_tables: bool) {
        if self.is_in_fault {
            smp::shootdown_from_fault(start, end);
        } else if has_tables {
            smp::shootdown_tables(start, end);
        } else {
            smp::shootdown(start, end);
        }
    }

    fn entry_for(leaf: Leaf) -> Entry {
        publish(leaf);
        Entry::page(leaf.frame, 1, leaf.protection, leaf.owner, memory_of(leaf))
    }

    fn note(&self, counts: &mut Counts, entry: Entry) {
        match entry.owner() {
            Owner::Page => counts.owned += 1,
            Owner::Object => counts.borrowed += usize::from(entry.frame() != self.zeros),
        }
    }
}

impl PageMapper for MachineMapper {
    fn available_pages(&self) -> usize {
        frames::available()
    }

    fn set_promised(&mut self, pages: usize) {
        frames::set_promised(pages);
    }

    fn alloc_zeroed(&mut self, wanted_for: FrameUse) -> Option<Frame> {
        self.spare
            .take()
            .or_else(|| frames::alloc_page(wanted_for).inspect(|&frame| frames::zero(frame)))
    }

    fn alloc_copy(&mut self, frame: Frame, wanted_for: FrameUse) -> Option<Frame> {
        self.spare
            .take()
            .or_else(|| frames::alloc_page(wanted_for))
            .inspect(|&copy| frames::copy(copy, frame))
    }

    fn free(&mut self, frame: Frame) {
        frames::free(frame);
    }

    fn zero_frame(&self) -> Frame {
        self.zeros
    }

    fn lookup(&self, page: usize) -> Option<Leaf> {
        let entry = tables::get(self.tables.leaf(page)?);
        Some(Leaf {
            frame: entry.frame(),
            owner: entry.owner(),
            protection: entry.protection(),
        })
    }

    fn map(&mut self, page: usize, leaf: Leaf) -> Result<(), NoMemory> {
        self.tables.map(page, Self::entry_for(leaf))?;
        self.mapped += 1;
        Ok(())
    }

    fn replace(&mut self, page: usize, leaf: Leaf) {
        let slot = self.tables.leaf(page).expect("the page is mapped");
        // First away, then anew (the ARM architecture demands it, D8.16.1): no CPU ever holds
        // translations to both frames.
        tables::set(slot, tables::get(slot).hidden());
        self.flush(page, page + PAGE_SIZE, false);
        tables::set(slot, Self::entry_for(leaf));
    }

    fn refresh(&mut self, page: usize) {
        flush_page(page);
    }

    fn unmap(&mut self, start: usize, end: usize, release_tables: bool) -> Counts {
        let has_many_tables =
            tables::table_count() > self.kept_tables + self.mapped / PAGES_PER_TABLE;
        let hidden = self
            .tables
            .hide(start..end, release_tables && has_many_tables);
        let mut counts = Counts::default();
        if !hidden.is_used {
            return counts;
        }
        if hidden.was_present {
            self.flush(start, end, hidden.has_tables);
        }
        let mut gone = 0;
        self.tables.collect(start..end, |entry| {
            gone += 1;
            self.note(&mut counts, entry);
            if entry.owner() == Owner::Page {
                frames::free(entry.frame());
            }
        });
        self.mapped -= gone;
        counts
    }

    fn protect(&mut self, start: usize, end: usize, protection: Protection, copy_on_write: bool) {
        let mut takes_away = false;
        self.tables.for_each_leaf(start..end, |_, slot| {
            let old = tables::get(slot);
            let keeps_frame = copy_on_write && old.owner() == Owner::Object;
            let new = old.with_protection(if keeps_frame {
                protection.without_writing()
            } else {
                protection
            });
            takes_away |= !new.protection().contains(old.protection());
            if !old.protection().contains(Protection::EXECUTE) {
                publish(Leaf {
                    frame: new.frame(),
                    owner: new.owner(),
                    protection: new.protection(),
                });
            }
            tables::set(slot, new);
        });
        if takes_away {
            self.flush(start, end, false);
        }
    }

    fn relocate(&mut self, from: usize, to: usize, len: usize) -> Result<(), NoMemory> {
        let mut made = Ok(());
        self.tables.for_each_leaf(from..from + len, |page, slot| {
            if made.is_ok() {
                made = self.tables.map(page - from + to, tables::get(slot));
            }
        });
        // Nobody knows the new address yet, so both being there for a moment harms nobody.
        let (gone, end) = if made.is_ok() {
            (from, from + len)
        } else {
            (to, to + len)
        };
        let hidden = self.tables.hide(gone..end, true);
        if hidden.was_present {
            self.flush(gone, end, hidden.has_tables);
        }
        self.tables.collect(gone..end, |_| {});
        made
    }

    fn count(&self, start: usize, end: usize) -> Counts {
        let mut counts = Counts::default();
        self.tables.for_each_leaf(start..end, |_, slot| {
            self.note(&mut counts, tables::get(slot))
        });
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::{free_count, testing::machine};
    use crate::memory::{PhysAddr, phys_to_virt};
    use mmap_shim::{Access, AddressSpace, Limits, MapFlags, MapRequest, Policy, Source};
    use proptest::prelude::*;

    const START: usize = 0x1_0000_0000;
    const LIMITS: Limits = Limits {
        start: START,
        end: 0x7fff_ffff_f000,
        areas: 1000,
        stack: 8 << 20,
        stack_gap: 1 << 20,
    };
    const RW: u32 = 3;

    fn space() -> AddressSpace<MachineMapper> {
        let zeros = frames::alloc_zeroed().expect("memory");
        let mut mapper = MachineMapper::new(PageTables::new().expect("memory"), zeros);
        mapper.kept_tables = 0;
        AddressSpace::new(mapper, LIMITS, Policy::default())
    }

    fn request(address: usize, len: usize, protection: u32) -> MapRequest {
        MapRequest {
            address,
            len,
            protection: Protection::from_bits_truncate(protection),
            flags: (MapFlags::PRIVATE
                | MapFlags::ANONYMOUS
                | MapFlags::FIXED
                | MapFlags::NORESERVE)
                .bits(),
            source: Source::Anonymous,
            offset: 0,
        }
    }

    /// Does what a CPU would do, through the page tables.
    fn write(space: &mut AddressSpace<MachineMapper>, address: usize, value: u64) {
        space
            .handle_fault(address, Access::Write)
            .expect("it may be written");
        let leaf = space.mapper().lookup(address).expect("it is mapped");
        assert!(leaf.protection.contains(Protection::WRITE) && leaf.owner == Owner::Page);
        // SAFETY: the frame is the page's own.
        unsafe {
            phys_to_virt(PhysAddr(leaf.frame.start()))
                .cast::<u64>()
                .write(value)
        };
    }

    fn read(space: &mut AddressSpace<MachineMapper>, address: usize) -> u64 {
        space
            .handle_fault(address, Access::Read)
            .expect("it may be read");
        let leaf = space.mapper().lookup(address).expect("it is mapped");
        // SAFETY: the frame is the page's own or the frame of zeros.
        unsafe {
            phys_to_virt(PhysAddr(leaf.frame.start()))
                .cast::<u64>()
                .read()
        }
    }

    #[test]
    fn pages_move_with_their_content_and_rights() {
        let _turn = machine();
        let mut space = space();
        let before = free_count();
        space.map(request(START, 8 * PAGE_SIZE, RW)).expect("room");
        write(&mut space, START, 11);
        write(&mut space, START + 7 * PAGE_SIZE, 17);
        assert_eq!(read(&mut space, START + 3 * PAGE_SIZE), 0);
        space
            .protect(START + 7 * PAGE_SIZE, PAGE_SIZE, 0)
            .expect("mapped");
        let to = 0x5000_0000_0000;
        space
            .remap(START, 7 * PAGE_SIZE, 7 * PAGE_SIZE, 3, to)
            .expect("room");
        assert_eq!(
            (read(&mut space, to), read(&mut space, to + 3 * PAGE_SIZE)),
            (11, 0)
        );
        space
            .remap(
                START + 7 * PAGE_SIZE,
                PAGE_SIZE,
                PAGE_SIZE,
                3,
                to + 7 * PAGE_SIZE,
            )
            .expect("room");
        space
            .protect(to + 7 * PAGE_SIZE, PAGE_SIZE, RW)
            .expect("mapped");
        assert_eq!(read(&mut space, to + 7 * PAGE_SIZE), 17);
        space.unmap(to, 8 * PAGE_SIZE).expect("in range");
        assert_eq!(free_count(), before, "frames and tables are all back");
    }

    #[test]
    fn ten_thousand_stacks_one_after_another_leave_nothing_behind() {
        let _turn = machine();
        let mut space = space();
        let before = free_count();
        for _ in 0..10_000 {
            let mut request = request(0, (8 << 20) + PAGE_SIZE, 0);
            request.flags &= !MapFlags::FIXED.bits();
            let stack = space.map(request).expect("room").address;
            space
                .protect(stack + PAGE_SIZE, 8 << 20, RW)
                .expect("mapped");
            write(&mut space, stack + (8 << 20), 1);
            space.unmap(stack, (8 << 20) + PAGE_SIZE).expect("in range");
        }
        assert_eq!(free_count(), before);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn no_frame_is_lost_whatever_is_mapped_where(
            steps in proptest::collection::vec((0u8..5, 0usize..20, 1usize..600, 0usize..600), 1..40)
        ) {
            let _turn = machine();
            let mut space = space();
            let before = free_count();
            for (step, place, pages, page) in steps {
                // Places in tables of their own, and on both sides of the borders between tables.
                let start = START + ((place % 4) << 39) + ((place / 4) << 21) + (place % 3) * 300 * PAGE_SIZE;
                let (len, at) = (pages * PAGE_SIZE, start + page % pages * PAGE_SIZE);
                match step {
                    0 => drop(space.map(request(start, len, RW))),
                    1 => drop(space.unmap(start, len)),
                    2 => drop(space.protect(start, len, if page % 2 == 0 { RW } else { 0 })),
                    3 => drop(space.advise(start, len, linux_raw_sys::general::MADV_DONTNEED)),
                    _ => drop(space.handle_fault(at, if page % 3 == 0 { Access::Read } else { Access::Write })),
                }
            }
            space.unmap(START, LIMITS.end - START).expect("in range");
            prop_assert_eq!(free_count(), before);
            prop_assert_eq!(space.usage().resident(), 0);
        }
    }
}
