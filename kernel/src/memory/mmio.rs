//! Mappings of device registers and firmware tables, in a window of their own above the direct map.
//!
//! Both are made once and stay: there is nothing to shoot down.

use super::tables::PageTables;
use super::{PAGE_SIZE, PhysAddr};
use crate::arch::page_table::{DEVICE_RANGE, Memory};
use mmap_shim::Protection;
use smp::SpinLock;

struct Window {
    tables: Option<PageTables>,
    next: usize,
}

static WINDOW: SpinLock<Window> = SpinLock::new(Window {
    tables: None,
    next: DEVICE_RANGE.start,
});

/// Starts the window in these tables, which have the upper levels for it.
#[cfg_attr(
    not(target_os = "none"),
    expect(dead_code, reason = "the host has no memory of its own to set up")
)]
pub(super) fn init(tables: PageTables) {
    WINDOW.lock().tables = Some(tables);
}

/// Maps a device's registers, uncached, and returns where they are seen.
///
/// # Safety
///
/// The physical range is that device's, and the caller is its driver.
pub unsafe fn map_mmio(registers: PhysAddr, len: usize) -> *mut u8 {
    map(
        registers,
        len,
        Protection::READ.union(Protection::WRITE),
        Memory::Device,
    )
}

/// Maps a table of the firmware for reading and returns where it is seen.
///
/// # Safety
///
/// The physical range is memory that the firmware filled and nobody changes any more.
pub unsafe fn map_firmware(table: PhysAddr, len: usize) -> *const u8 {
    map(table, len, Protection::READ, Memory::Normal)
}

fn map(physical: PhysAddr, len: usize, protection: Protection, memory: Memory) -> *mut u8 {
    let offset = physical.0 as usize % PAGE_SIZE;
    let whole = (offset + len).next_multiple_of(PAGE_SIZE);
    let mut window = WINDOW.lock();
    let tables = window.tables.expect("memory::init has run");
    let address = window.next;
    // A page stays free behind each mapping: running over its end faults.
    window.next = address + whole + PAGE_SIZE;
    assert!(
        window.next <= DEVICE_RANGE.end,
        "half a terabyte of registers"
    );
    tables
        .map_range(
            address,
            PhysAddr(physical.0 - offset as u64),
            whole,
            protection,
            memory,
        )
        .expect("memory for page tables, at boot");
    core::ptr::with_exposed_provenance_mut(address + offset)
}
