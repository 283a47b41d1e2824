//! Kernel memory in a row, from frames that are not: for when free memory has gone to pieces.
//!
//! The kernel heap likes blocks of frames, which the direct map shows in a row. A machine whose free frames lie scattered between pages of programs has none, and must not stop for that.
//! So single frames are mapped one after another in a range of its own. What is given back
//! is kept for the next who asks, mapped as it is: so nothing ever needs to be shot down.

use super::tables::PageTables;
use super::{PAGE_SIZE, frames};
use crate::arch::page_table::{Entry, Memory, SCATTERED_RANGE};
use mmap_shim::{Owner, Protection};
use smp::SpinLock;

/// How many pieces that were given back are remembered; more are lost until the next start.
const KEPT: usize = 128;

struct Scattered {
    tables: Option<PageTables>,
    /// All below has been handed out at some time.
    next: usize,
    /// What was given back: address and pages.
    kept: [(usize, usize); KEPT],
    kept_count: usize,
}

static SCATTERED: SpinLock<Scattered> = SpinLock::new(Scattered {
    tables: None,
    next: SCATTERED_RANGE.start,
    kept: [(0, 0); KEPT],
    kept_count: 0,
});

/// Starts the range in these tables, which have the upper levels for it.
pub(super) fn init(tables: PageTables) {
    SCATTERED.lock().tables = Some(tables);
}

/// Takes `pages` pages in a row and returns their address; `None` if there are not enough frames.
pub(super) fn alloc(pages: usize) -> Option<usize> {
    let mut scattered = SCATTERED.lock();
    let count = scattered.kept_count;
    if let Some(found) = scattered.kept[..count]
        .iter()
        .position(|&(_, kept)| kept == pages)
    {
        let (address, _) = scattered.kept[found];
        scattered.kept[found] = scattered.kept[count - 1];
        scattered.kept_count -= 1;
        return Some(address);
    }
    let tables = scattered.tables?;
    let address = scattered.next;
    let end = address.checked_add(pages * PAGE_SIZE)?;
    // A page stays free behind each piece: running over its end faults.
    if end + PAGE_SIZE > SCATTERED_RANGE.end {
        return None;
    }
    for page in (address..end).step_by(PAGE_SIZE) {
        if map(&tables, page).is_none() {
            unmap(&tables, address, page);
            return None;
        }
    }
    scattered.next = end + PAGE_SIZE;
    Some(address)
}

/// Gives back what [`alloc`] returned for as many pages.
pub(super) fn free(address: usize, pages: usize) {
    let mut scattered = SCATTERED.lock();
    let count = scattered.kept_count;
    if count < KEPT {
        scattered.kept[count] = (address, pages);
        scattered.kept_count += 1;
    }
}

fn map(tables: &PageTables, page: usize) -> Option<()> {
    let frame = frames::alloc_critical()?;
    let rights = Protection::READ.union(Protection::WRITE);
    let entry = Entry::page(frame, 1, rights, Owner::Page, Memory::Normal);
    if tables.map(page, entry).is_err() {
        frames::free(frame);
        return None;
    }
    Some(())
}

/// Takes pages out that nobody has seen yet, so that no CPU remembers them.
fn unmap(tables: &PageTables, start: usize, end: usize) {
    tables.hide(start..end, false);
    tables.collect(start..end, |entry| frames::free(entry.frame()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::frames::{free_count, testing::machine};

    #[test]
    fn pieces_are_used_again_and_a_failure_leaves_nothing() {
        let _turn = machine();
        let tables = PageTables::new().expect("memory");
        init(tables);
        let first = alloc(3).expect("memory");
        let second = alloc(3).expect("memory");
        assert!(second >= first + 4 * PAGE_SIZE, "with a gap between");
        assert!(tables.entry(first + 2 * PAGE_SIZE).is_present());
        assert!(!tables.entry(first + 3 * PAGE_SIZE).is_used());
        free(first, 3);
        let before = free_count();
        assert_eq!(alloc(3), Some(first));
        assert_eq!(free_count(), before);
        assert_eq!(alloc(before + 1), None);
        // Tables stay, frames do not.
        assert!(before - free_count() < 32);
        let mut tables_left = 0;
        tables.for_each_leaf(SCATTERED_RANGE, |_, _| tables_left += 1);
        assert_eq!(tables_left, 6);
        assert!(tables.entry(second).is_present());
    }
}
