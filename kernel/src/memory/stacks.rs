//! Kernel stacks: each with a page below it that is not mapped, so that running over its end
//! is a fault and not somebody else's data.
//!
//! They have a range of addresses of their own. Its first part is for the stacks of threads, in slots of
//! one size: a guard page, then the stack. Behind it lie the interrupt stacks of the
//! secondary CPUs, which stay for ever. What the boot CPU starts on is part of the image
//! (`arch::page_table::image_guards`).
//!
//! A thread's stack is given back where nobody can wait (the CPU has just left it, interrupts are
//! off), so it stays mapped for the next thread; [`trim_kernel_stacks`] unmaps what is too many.

use super::tables::PageTables;
use super::{PAGE_SIZE, frames};
use crate::arch::page_table::{Entry, Memory, STACK_RANGE, image_guards};
use mmap_shim::{Owner, Protection};
use smp::SpinLock;

/// Bytes of a thread's kernel stack.
pub const KERNEL_STACK_SIZE: usize = 4 * PAGE_SIZE;
/// Bytes below each stack that are not mapped. The compiler touches each page of a large stack frame
/// in turn, so none is jumped over.
pub const STACK_GUARD_SIZE: usize = PAGE_SIZE;

/// Bytes from one slot to the next.
const STRIDE: usize = STACK_GUARD_SIZE + KERNEL_STACK_SIZE;
/// How many threads can have a stack: those of 2 GiB.
const SLOTS: usize = 1 << 17;
/// Where the stacks of the secondary CPUs begin.
const CPU_STACKS: usize = STACK_RANGE.start + SLOTS * STRIDE;
/// With so many idle stacks [`trim_kernel_stacks`] begins to unmap, as many as the second says.
const IDLE_MAX: usize = 32;
const TRIMMED: usize = 16;

/// A set of slots that finds its first one quickly.
struct Slots {
    words: [u64; SLOTS / 64],
    /// No word before this one has a slot.
    first: usize,
    count: usize,
}

impl Slots {
    const EMPTY: Slots = Slots {
        words: [0; SLOTS / 64],
        first: 0,
        count: 0,
    };

    fn insert(&mut self, slot: usize) {
        self.words[slot / 64] |= 1 << (slot % 64);
        self.first = self.first.min(slot / 64);
        self.count += 1;
    }

    fn pop_first(&mut self) -> Option<usize> {
        if self.count == 0 {
            return None;
        }
        self.first += self.words[self.first..]
            .iter()
            .position(|&word| word != 0)?;
        let bit = self.words[self.first].trailing_zeros() as usize;
        self.words[self.first] &= !(1 << bit);
        self.count -= 1;
        Some(self.first * 64 + bit)
    }
}

struct Stacks {
    tables: Option<PageTables>,
    /// Slots with memory that no thread has.
    idle: Slots,
    /// Slots below `fresh` without memory.
    unmapped: Slots,
    /// This slot and those above it have never been used.
    fresh: usize,
    /// Where the next CPU's stacks go.
    next_cpu: usize,
}

static STACKS: SpinLock<Stacks> = SpinLock::new(Stacks {
    tables: None,
    idle: Slots::EMPTY,
    unmapped: Slots::EMPTY,
    fresh: 0,
    next_cpu: CPU_STACKS,
});

/// Starts the range in these tables, which have the upper levels for it.
#[cfg_attr(
    not(any(test, target_os = "none")),
    expect(dead_code, reason = "only tests set memory up on the host")
)]
pub(super) fn init(tables: PageTables) {
    STACKS.lock().tables = Some(tables);
}

/// Returns the lowest address of a slot's stack.
fn bottom_of(slot: usize) -> usize {
    STACK_RANGE.start + slot * STRIDE + STACK_GUARD_SIZE
}

/// Takes a kernel stack and returns its top (page-aligned, the first push goes below it);
/// `None` when memory is short.
pub fn alloc_kernel_stack() -> Option<usize> {
    let mut stacks = STACKS.lock();
    if let Some(slot) = stacks.idle.pop_first() {
        return Some(bottom_of(slot) + KERNEL_STACK_SIZE);
    }
    let tables = stacks.tables?;
    let slot = match stacks.unmapped.pop_first() {
        Some(slot) => slot,
        None if stacks.fresh < SLOTS => {
            stacks.fresh += 1;
            stacks.fresh - 1
        }
        None => return None,
    };
    let bottom = bottom_of(slot);
    let top = bottom + KERNEL_STACK_SIZE;
    for page in (bottom..top).step_by(PAGE_SIZE) {
        if map(&tables, page).is_none() {
            // Nobody has touched them, so no CPU remembers them.
            unmap(&tables, bottom, page);
            stacks.unmapped.insert(slot);
            return None;
        }
    }
    Some(top)
}

/// Gives a kernel stack back.
///
/// # Safety
///
/// `top` came from [`alloc_kernel_stack`], and no CPU runs on the stack or will.
pub unsafe fn free_kernel_stack(top: usize) {
    let slot = (top - STACK_RANGE.start) / STRIDE - 1;
    debug_assert_eq!(bottom_of(slot) + KERNEL_STACK_SIZE, top);
    STACKS.lock().idle.insert(slot);
}

/// Frees the memory of idle stacks if there are many. A thread that ends calls this, so that a crowd of
/// threads leaves no more behind than a few do.
///
/// # Panics
///
/// If interrupts are off, as [`smp::shootdown_tables`].
pub fn trim_kernel_stacks() {
    let mut slots = [0; TRIMMED];
    let tables = {
        let mut stacks = STACKS.lock();
        if stacks.idle.count < IDLE_MAX {
            return;
        }
        for slot in &mut slots {
            *slot = stacks.idle.pop_first().expect("there are more than that");
        }
        stacks.tables.expect("stacks come from tables")
    };
    // The slots are out of both sets, so this is the only one to change their entries.
    let ranges = slots.map(|slot| bottom_of(slot)..bottom_of(slot) + KERNEL_STACK_SIZE);
    for range in &ranges {
        tables.hide(range.clone(), false);
    }
    let start = ranges.iter().map(|range| range.start).min();
    let end = ranges.iter().map(|range| range.end).max();
    // Idle CPUs too: an interrupt that wakes a thread may follow a pointer to its stack.
    smp::shootdown_tables(start.unwrap_or_default(), end.unwrap_or_default());
    for range in ranges {
        tables.collect(range, |entry| frames::free(entry.frame()));
    }
    let mut stacks = STACKS.lock();
    for slot in slots {
        stacks.unmapped.insert(slot);
    }
}

/// Takes memory for the interrupt stacks of a CPU, for good: `len` bytes, of which the pages at the offsets in
/// `guards` are not mapped. `None` when memory is short.
pub fn alloc_cpu_stacks(len: usize, guards: &[usize]) -> Option<usize> {
    let mut stacks = STACKS.lock();
    let tables = stacks.tables?;
    let start = stacks.next_cpu;
    let end = start + len.next_multiple_of(PAGE_SIZE);
    if end > STACK_RANGE.end {
        return None;
    }
    for page in (start..end).step_by(PAGE_SIZE) {
        if !guards.contains(&(page - start)) && map(&tables, page).is_none() {
            unmap(&tables, start, page);
            return None;
        }
    }
    stacks.next_cpu = end;
    Some(start)
}

/// Tells whether an address that faulted lies in the guard page of a kernel stack, an interrupt
/// stack, or another stack of the kernel's own.
pub fn is_stack_guard(address: usize) -> bool {
    let page = address & !(PAGE_SIZE - 1);
    if (STACK_RANGE.start..CPU_STACKS).contains(&page) {
        (page - STACK_RANGE.start).is_multiple_of(STRIDE)
    } else {
        // Of a CPU's stacks nothing faults but their guards.
        (CPU_STACKS..STACK_RANGE.end).contains(&page) || image_guards().contains(&page)
    }
}

fn map(tables: &PageTables, page: usize) -> Option<()> {
    let frame = frames::alloc()?;
    let rights = Protection::READ.union(Protection::WRITE);
    let entry = Entry::page(frame, 1, rights, Owner::Page, Memory::Normal);
    if tables.map(page, entry).is_err() {
        frames::free(frame);
        return None;
    }
    Some(())
}

/// Takes pages out that no CPU has seen yet.
fn unmap(tables: &PageTables, start: usize, end: usize) {
    tables.hide(start..end, false);
    tables.collect(start..end, |entry| frames::free(entry.frame()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::{free_count, testing::machine};

    /// Starts with tables of its own, whatever an earlier test left in others.
    fn fresh_tables() -> PageTables {
        let tables = PageTables::new().expect("memory");
        init(tables);
        let mut stacks = STACKS.lock();
        (stacks.idle, stacks.unmapped) = (Slots::EMPTY, Slots::EMPTY);
        (stacks.fresh, stacks.next_cpu) = (0, CPU_STACKS);
        tables
    }

    fn free_all(tops: Vec<usize>) {
        for top in tops {
            // SAFETY: nobody runs on it.
            unsafe { free_kernel_stack(top) };
        }
    }

    #[test]
    fn a_set_of_slots_gives_back_what_was_put_in_lowest_first() {
        let mut slots = Slots::EMPTY;
        assert_eq!(slots.pop_first(), None);
        for slot in [SLOTS - 1, 64, 3, 63] {
            slots.insert(slot);
        }
        assert_eq!((slots.pop_first(), slots.pop_first()), (Some(3), Some(63)));
        slots.insert(0);
        let rest = [0, 64, SLOTS - 1].map(Some);
        assert_eq!([(); 3].map(|()| slots.pop_first()), rest);
        assert_eq!((slots.pop_first(), slots.count), (None, 0));
    }

    #[test]
    fn each_stack_has_a_guard_below_it_and_comes_back() {
        let _turn = machine();
        let tables = fresh_tables();
        let before = free_count();
        let tops: Vec<usize> = (0..200)
            .map(|_| alloc_kernel_stack().expect("memory"))
            .collect();
        for &top in &tops {
            let bottom = top - KERNEL_STACK_SIZE;
            for page in (bottom..top).step_by(PAGE_SIZE) {
                assert!(tables.entry(page).is_present() && !is_stack_guard(page));
            }
            assert!(!tables.entry(bottom - 1).is_used() && is_stack_guard(bottom - 1));
            assert!(!tables.entry(top).is_used() && is_stack_guard(top));
        }
        let taken = before - free_count();
        assert!(taken >= 800, "{taken} frames");
        free_all(tops);
        assert_eq!(
            before - free_count(),
            taken,
            "they are kept until somebody trims"
        );
        let again = alloc_kernel_stack().expect("an idle one");
        assert_eq!(before - free_count(), taken);
        free_all(vec![again]);
        for _ in 0..100 {
            trim_kernel_stacks();
        }
        // Tables stay: 200 slots lie in two or three of the lowest level, under two more.
        let left = before - free_count();
        assert!(
            left < IDLE_MAX * KERNEL_STACK_SIZE / PAGE_SIZE + 6,
            "{left} frames"
        );
        let more: Vec<usize> = (0..200)
            .map(|_| alloc_kernel_stack().expect("memory"))
            .collect();
        assert_eq!(before - free_count(), taken, "addresses are used again");
        free_all(more);
        for _ in 0..100 {
            trim_kernel_stacks();
        }
    }

    #[test]
    fn a_stack_is_refused_while_memory_is_short_and_nothing_is_lost() {
        let _turn = machine();
        fresh_tables();
        let first = alloc_kernel_stack().expect("memory");
        let before = free_count();
        let hold: Vec<_> = core::iter::from_fn(frames::alloc).collect();
        assert_eq!(alloc_kernel_stack(), None);
        // Two frames are not enough for a stack, and come back.
        for &frame in &hold[..2] {
            frames::free(frame);
        }
        let short = free_count();
        assert_eq!(alloc_kernel_stack(), None);
        assert_eq!(free_count(), short);
        for &frame in &hold[2..] {
            frames::free(frame);
        }
        assert_eq!(free_count(), before);
        let second = alloc_kernel_stack().expect("memory again");
        assert_eq!(second, first + STRIDE);
        free_all(vec![first, second]);
    }

    #[test]
    fn the_stacks_of_a_cpu_have_guards_where_it_wants_them() {
        let _turn = machine();
        let tables = fresh_tables();
        let before = free_count();
        let start = alloc_cpu_stacks(5 * PAGE_SIZE, &[0, 2 * PAGE_SIZE]).expect("memory");
        let mapped =
            [0, 1, 2, 3, 4].map(|page| tables.entry(start + page * PAGE_SIZE).is_present());
        assert_eq!(mapped, [false, true, false, true, true]);
        assert!(is_stack_guard(start + 2 * PAGE_SIZE + 17));
        assert!(before - free_count() >= 3);
        let next = alloc_cpu_stacks(PAGE_SIZE, &[0]).expect("memory");
        assert_eq!(next, start + 5 * PAGE_SIZE);
    }
}
