//! Takes memory over from the boot loader: frames first, then the final page tables, then the rest.

use super::tables::PageTables;
use super::{
    PAGE_SIZE, PhysAddr, address_space, frames, mmio, phys_to_virt, physical, scattered, stacks,
};
use crate::arch::page_table::{
    self, BOOT_MAPPED, DEVICE_RANGE, Memory, SCATTERED_RANGE, STACK_RANGE, direct_map,
};
use crate::boot::{BootInfo, PhysRange, RangeList};
use core::ops::Range;
use mmap_shim::{Frame, NoMemory, Protection};
use spin::Once;

static TABLES: Once<PageTables> = Once::new();

/// Sets memory up, on the boot CPU; from here on there is a heap.
///
/// # Panics
///
/// If the machine has no memory to speak of.
pub fn init(boot_info: &BootInfo) {
    let mut free = boot_info.free_memory(page_table::image(), PAGE_SIZE as u64);
    let top = free.as_slice().last().expect("the machine has memory").end;
    let table = carve_table(&mut free, (top as usize).div_ceil(PAGE_SIZE));
    // SAFETY: `carve_table` took the table's memory out of what is free.
    unsafe { frames::init(table) };
    let (low, high) = split(&free, BOOT_MAPPED);
    // SAFETY: the boot loader says that this is RAM nobody uses; the boot page tables map it.
    unsafe { add(&low) };
    let tables = build(boot_info).expect("memory for page tables, at boot");
    // SAFETY: `build` mapped the image as it runs, and the direct map.
    unsafe { page_table::activate(tables.root()) };
    // SAFETY: as above; the direct map now shows all RAM.
    unsafe { add(&high) };
    TABLES.call_once(|| tables);
    mmio::init(tables);
    physical::init(tables, ram_of(boot_info));
    scattered::init(tables);
    stacks::init(tables);
    address_space::init(tables).expect("a frame, at boot");
}

/// Returns the root of the final page tables.
pub fn page_table_root() -> Frame {
    TABLES.get().expect("memory::init has run").root()
}

/// Puts the checks that the final page tables rely on in force on a secondary CPU, which uses them already.
pub fn init_secondary() {
    let tables = TABLES.get().expect("memory::init has run");
    // SAFETY: the boot CPU built them; they map the image and the caller's stack.
    unsafe { page_table::activate(tables.root()) };
}

/// Maps a page of low memory where it lies, for the code that starts secondary CPUs, or unmaps it.
///
/// # Safety
///
/// Only the boot CPU runs, or no CPU uses the page any more and none will.
pub unsafe fn map_start_page(page: PhysAddr, protection: Protection) {
    let tables = TABLES.get().expect("memory::init has run");
    tables
        .map_range(page.0 as usize, page, PAGE_SIZE, protection, Memory::Normal)
        .expect("memory for page tables, at boot");
    page_table::flush_page(page.0 as usize);
}

/// Takes the memory for the frame table, a byte per frame, out of the free memory.
fn carve_table(free: &mut RangeList<128>, frames: usize) -> &'static mut [u8] {
    let len = (frames as u64).next_multiple_of(PAGE_SIZE as u64);
    let fits = |range: &&PhysRange| range.end.min(BOOT_MAPPED).saturating_sub(range.start) >= len;
    let start = free
        .as_slice()
        .iter()
        .find(fits)
        .expect("room for the frame table")
        .start;
    free.remove(PhysRange::new(start, len));
    // SAFETY: it is RAM that nobody uses, and the boot page tables show it in the direct map.
    unsafe { core::slice::from_raw_parts_mut(phys_to_virt(PhysAddr(start)), frames) }
}

fn split(free: &RangeList<128>, at: u64) -> (RangeList<128>, RangeList<128>) {
    let (mut low, mut high) = (free.clone(), free.clone());
    low.remove(PhysRange {
        start: at,
        end: u64::MAX,
    });
    high.remove(PhysRange { start: 0, end: at });
    (low, high)
}

/// # Safety
///
/// The ranges are RAM that nobody uses and that the direct map shows.
unsafe fn add(free: &RangeList<128>) {
    for range in free.as_slice() {
        let first = Frame::containing(range.start).0;
        let end = Frame::containing(range.end).0;
        // SAFETY: the caller's contract.
        unsafe { frames::add(first, end) };
    }
}

/// All RAM, in whole pages.
fn ram_of(boot_info: &BootInfo) -> RangeList<128> {
    let mut ram = RangeList::new();
    for range in boot_info.ram() {
        ram.add(range.grow_to_pages(PAGE_SIZE as u64));
    }
    ram.add(page_table::image().grow_to_pages(PAGE_SIZE as u64));
    ram
}

/// Builds the final tables: the image where it runs, each section with its own rights, and all other RAM in the
/// direct map, the initrd's read-only. Nothing else, so address 0 faults and no code can be written.
fn build(boot_info: &BootInfo) -> Result<PageTables, NoMemory> {
    let tables = PageTables::new()?;
    for (section, protection, _) in page_table::image_sections() {
        map_section(&tables, section, protection)?;
    }
    let (mut ram, mut archives) = (ram_of(boot_info), RangeList::<128>::new());
    for module in boot_info.modules() {
        archives.add(module.grow_to_pages(PAGE_SIZE as u64));
    }
    for range in archives.as_slice() {
        ram.remove(*range);
    }
    ram.remove(page_table::image().grow_to_pages(PAGE_SIZE as u64));
    let write = Protection::READ.union(Protection::WRITE);
    map_directly(&tables, &ram, write)?;
    map_directly(&tables, &archives, Protection::READ)?;
    if let Some(registers) = page_table::early_device() {
        let registers = registers.grow_to_pages(PAGE_SIZE as u64);
        let (address, start) = (
            direct_map() + registers.start as usize,
            PhysAddr(registers.start),
        );
        tables.map_range(
            address,
            start,
            registers.len() as usize,
            write,
            Memory::Device,
        )?;
    }
    tables.reserve(DEVICE_RANGE)?;
    tables.reserve(SCATTERED_RANGE)?;
    tables.reserve(STACK_RANGE)?;
    Ok(tables)
}

/// Maps a section of the image where it lies, but for the guard pages in it.
fn map_section(
    tables: &PageTables,
    section: Range<usize>,
    protection: Protection,
) -> Result<(), NoMemory> {
    let end = section.end.next_multiple_of(PAGE_SIZE);
    let mut at = section.start;
    while at < end {
        let guards = page_table::image_guards().into_iter();
        let gap = guards.filter(|guard| (at..end).contains(guard)).min();
        let stop = gap.unwrap_or(end);
        let start = page_table::image_address(at);
        tables.map_range(at, start, stop - at, protection, Memory::Normal)?;
        at = stop + PAGE_SIZE;
    }
    Ok(())
}

fn map_directly(
    tables: &PageTables,
    ranges: &RangeList<128>,
    protection: Protection,
) -> Result<(), NoMemory> {
    ranges.as_slice().iter().try_for_each(|range| {
        let (start, len) = (range.start as usize, range.len() as usize);
        tables.map_range(
            direct_map() + start,
            PhysAddr(range.start),
            len,
            protection,
            Memory::Normal,
        )
    })
}
