//! The one address space: its areas behind their lock.
//!
//! The lock is a polling lock, so its holder may wait for a TLB shootdown. Nothing that may sleep
//! or touch C's memory happens under it.

use super::mapper::MachineMapper;
use super::tables::PageTables;
use super::{FaultReason, frames};
use crate::arch::page_table::USER_RANGE;
use alloc::vec::Vec;
use core::ops::Range;
use mmap_shim::{Access, AddressSpace, AreaReport, FaultError, Identity, Limits, Policy, Usage};
use smp::{Mutex, PollingLock, PreemptGuard};
use spin::Once;

/// The areas and page tables of C and Python.
pub type Space = AddressSpace<MachineMapper>;

static SPACE: Once<PollingLock<Space>> = Once::new();

/// Whose turn it is among the calls of [`change`].
static TURN: Mutex<()> = Mutex::new(());

/// As Linux has it: `vm.max_map_count`, the default `RLIMIT_STACK`, `stack_guard_gap`.
const LIMITS: Limits = Limits {
    start: USER_RANGE.start,
    end: USER_RANGE.end,
    areas: 65530,
    stack: 8 << 20,
    stack_gap: 1 << 20,
};

/// Makes the address space, empty, in these tables.
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "the host has no memory of its own to set up")
)]
pub(super) fn init(tables: PageTables) -> Result<(), mmap_shim::NoMemory> {
    let zeros = frames::alloc_zeroed().ok_or(mmap_shim::NoMemory)?;
    SPACE.call_once(|| {
        PollingLock::new(AddressSpace::new(
            MachineMapper::new(tables, zeros),
            LIMITS,
            Policy {
                // 1000 threads still fit into 1 GiB.
                certain: frames::available() / 3,
                plenty: frames::available() / 2,
                ..Policy::default()
            },
        ))
    });
    Ok(())
}

pub(super) fn lock() -> &'static PollingLock<Space> {
    SPACE.get().expect("memory::init has run")
}

/// Runs `f` on the address space.
pub fn with<R>(f: impl FnOnce(&mut Space) -> R) -> R {
    let (result, retired) = {
        let mut space = lock().lock();
        let result = f(&mut space);
        (result, space.take_retired())
    };
    // The last reference to a file may go here, and its pages with it: not under the lock.
    drop(retired);
    result
}

/// As [`with`], for what may wait for a TLB shootdown: who comes meanwhile sleeps. By spinning it would take
/// the host's time from the virtual CPU that the shootdown waits for.
pub fn change<R>(f: impl FnOnce(&mut Space) -> R) -> R {
    let (result, retired) = {
        let turn = TURN.lock();
        // Or all would wait until a preempted holder has its next turn on a CPU.
        let pinned = PreemptGuard::new();
        let mut space = lock().lock();
        let result = f(&mut space);
        let retired = space.take_retired();
        drop(space);
        drop(turn);
        drop(pinned);
        (result, retired)
    };
    // As in `with`.
    drop(retired);
    result
}

/// Unmaps `pages` of an object that is about to lose them (a file that is cut, a punched hole): to be
/// called after [`mmap_shim::Backing::page`] refuses them and before their frames are freed.
pub fn forget_backing(object: Identity, pages: Range<u64>) {
    if let Some(space) = SPACE.get() {
        space.lock().forget_backing(object, pages);
    }
}

/// How many pages are made ready under one hold of the lock.
const PIECE: usize = 64;

/// Makes all pages of a range ready for `access`, or for the strongest that each area allows.
pub fn populate(start: usize, end: usize, access: Option<Access>) -> Result<(), FaultReason> {
    let mut at = start;
    while at < end {
        at = with(|space| {
            let (strongest, area_end) = space.strongest_access(at).ok_or(FaultError::NotMapped)?;
            let access = access.unwrap_or(strongest);
            space.populate(at, end.min(area_end), access, PIECE)
        })?;
    }
    Ok(())
}

/// Returns how much is mapped (`/proc/self/status`).
pub fn usage() -> Usage {
    lock().lock().usage()
}

/// Lists the areas (`/proc/self/maps`; with `counts_pages`, `/proc/self/smaps`).
pub fn areas(counts_pages: bool) -> Vec<AreaReport> {
    const PIECE: usize = 128;
    let mut all: Vec<AreaReport> = Vec::new();
    loop {
        let from = all.last().map_or(0, |last| last.end);
        let part = with(|space| space.report_areas(from, PIECE, counts_pages));
        let is_last = part.len() < PIECE;
        all.extend(part);
        if is_last {
            return all;
        }
    }
}
