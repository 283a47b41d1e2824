//! Page tables: how aarch64 writes an entry, and how it is told to use a table.
//!
//! The walk itself is the same on every machine with four levels of 512 entries
//! (`memory::tables`). Each half of the address space has 47 bits and its own root register; both point into one
//! table of the highest level, the upper half's to its middle, so the layout is x86-64's. Bits that the hardware
//! ignores (Arm ARM, D8.3: 55 to 58) hold what we want to know of a page: 55 says that the frame is the page's
//! own, 56 that the entry is in use, so that a page without any right keeps its frame.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::asm::barrier;
use aarch64_cpu::registers::{TTBR0_EL1, TTBR1_EL1, Writeable};
use bitflags::bitflags;
use mmap_shim::{Owner, Protection};

use super::{device_tree, entry, image, per_cpu};
use crate::boot::PhysRange;
use crate::memory::{Frame, PAGE_SIZE, PhysAddr, phys_to_virt};
use crate::report;

/// Levels of tables; level 1 maps pages, level [`LEVELS`] is the root.
pub const LEVELS: u32 = 4;
/// What C and Python can map: from above 4 GiB to the end of the lower half, without its last page. It
/// begins at the colour that `mmap_shim` gives to what is hot (its `free_space`).
pub const USER_RANGE: core::ops::Range<usize> = 0x1_0020_0000..0x7fff_ffff_f000;
/// Where device registers and firmware tables are mapped.
pub const DEVICE_RANGE: core::ops::Range<usize> = 0xffff_c000_0000_0000..0xffff_c080_0000_0000;
/// Where memory of the kernel's own is seen in a row whose frames are not.
pub const SCATTERED_RANGE: core::ops::Range<usize> = 0xffff_c080_0000_0000..0xffff_c100_0000_0000;
/// Where kernel stacks are, with guard pages between.
pub const STACK_RANGE: core::ops::Range<usize> = 0xffff_c100_0000_0000..0xffff_c180_0000_0000;
/// What the boot page tables map of physical memory: what can be used before the final ones are in place.
pub const BOOT_MAPPED: u64 = 512 << 30;

const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
/// The address space number of the final tables; the boot tables have 0.
pub const ADDRESS_SPACE: u64 = 1 << 48;

bitflags! {
    /// The bits of an entry (Arm ARM, D8.3).
    #[derive(Clone, Copy)]
    struct Bits: u64 {
        const VALID = 1 << 0;
        /// A table, or a page on level 1; without it a block.
        const TABLE_OR_PAGE = 1 << 1;
        /// Attribute 1 of MAIR_EL1: device memory.
        const DEVICE = 1 << 2;
        const READ_ONLY = 1 << 7;
        const INNER_SHAREABLE = 3 << 8;
        const ACCESSED = 1 << 10;
        /// Not executed at EL1.
        const NO_EXECUTE = 1 << 53;
        /// Not executed at EL0, where nothing runs.
        const NO_EXECUTE_EL0 = 1 << 54;
        const OWNED = 1 << 55;
        const USED = 1 << 56;
    }
}

/// Returns where physical address 0 is seen: the start of the direct map (`docs/memory-map.md`).
#[inline]
pub const fn direct_map() -> usize {
    0xffff_8000_0000_0000
}

/// How a range of memory behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// RAM.
    Normal,
    /// Registers: no caching, no reordering.
    Device,
}

/// One entry of a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    /// Nothing is mapped.
    pub const EMPTY: Entry = Entry(0);

    fn bits(self) -> Bits {
        Bits::from_bits_truncate(self.0)
    }

    /// Points to the table of the next level.
    pub fn table(frame: Frame) -> Entry {
        Entry(frame.start() | (Bits::VALID | Bits::TABLE_OR_PAGE | Bits::USED).bits())
    }

    /// Maps a page, on level 1, or a large page.
    pub fn page(
        frame: Frame,
        level: u32,
        protection: Protection,
        owner: Owner,
        memory: Memory,
    ) -> Entry {
        // Accessed is set at once: nobody reads it, and without it the first access would fault.
        let mut bits = Bits::USED | Bits::ACCESSED | Bits::NO_EXECUTE_EL0;
        bits.set(Bits::TABLE_OR_PAGE, level == 1);
        bits.set(Bits::OWNED, owner == Owner::Page);
        bits.set(Bits::DEVICE, memory == Memory::Device);
        bits.set(Bits::INNER_SHAREABLE, memory == Memory::Normal);
        Entry(frame.start() | bits.bits()).with_protection(protection)
    }

    /// The same page with other rights; with none the CPU sees nothing there.
    pub fn with_protection(self, protection: Protection) -> Entry {
        let mut bits = self.bits();
        bits.set(Bits::VALID, !protection.is_empty());
        bits.set(Bits::READ_ONLY, !protection.contains(Protection::WRITE));
        bits.set(Bits::NO_EXECUTE, !protection.contains(Protection::EXECUTE));
        Entry(self.0 & ADDRESS | bits.bits())
    }

    /// The same entry, such that the CPU does not see it.
    pub fn hidden(self) -> Entry {
        Entry(self.0 & !Bits::VALID.bits())
    }

    /// Tells whether it maps or points to something, seen by the CPU or not.
    pub fn is_used(self) -> bool {
        self.bits().contains(Bits::USED)
    }

    /// Tells whether the CPU sees it.
    pub fn is_present(self) -> bool {
        self.bits().contains(Bits::VALID)
    }

    /// Tells whether it points to a table (when it is an entry of this level, in use).
    pub fn is_table(self, level: u32) -> bool {
        level > 1 && self.bits().contains(Bits::TABLE_OR_PAGE)
    }

    /// Returns the frame of the page or table.
    pub fn frame(self) -> Frame {
        Frame::containing(self.0 & ADDRESS)
    }

    /// Returns who frees the page's frame.
    pub fn owner(self) -> Owner {
        if self.bits().contains(Bits::OWNED) {
            Owner::Page
        } else {
            Owner::Object
        }
    }

    /// Returns the rights that the CPU grants.
    pub fn protection(self) -> Protection {
        let bits = self.bits();
        if !bits.contains(Bits::VALID) {
            return Protection::empty();
        }
        let mut protection = Protection::READ;
        protection.set(Protection::WRITE, !bits.contains(Bits::READ_ONLY));
        protection.set(Protection::EXECUTE, !bits.contains(Bits::NO_EXECUTE));
        protection
    }
}

/// Tells whether leaves of this level exist: 2 MiB and 1 GiB always do.
pub fn has_large_pages(level: u32) -> bool {
    level <= 3
}

/// Makes entries that were written where there were none visible to the walks of all CPUs (Arm ARM, D8.2.6).
/// An access that comes too early faults once, which costs a page of C's a look and is fatal for the kernel's.
#[inline]
pub fn publish_entries() {
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

/// What a TLB maintenance instruction takes to name a page, of every address space.
fn tlb_operand(page: usize) -> u64 {
    page as u64 >> 12 & 0xfff_ffff_ffff
}

/// Makes this CPU forget its translation of one page.
pub fn flush_page(address: usize) {
    flush_pages(address, address + PAGE_SIZE);
}

/// Makes this CPU forget its translations of some pages.
pub fn flush_pages(start: usize, end: usize) {
    // The entries as they are now come before, and what follows finds the translations gone.
    barrier::dsb(barrier::ISHST);
    for page in (start..end).step_by(PAGE_SIZE) {
        // SAFETY: what is forgotten is walked for again.
        unsafe {
            asm!("tlbi vaae1, {}", in(reg) tlb_operand(page), options(nostack, preserves_flags));
        };
    }
    barrier::dsb(barrier::NSH);
    barrier::isb(barrier::SY);
}

/// Makes this CPU forget all translations.
pub fn flush_all() {
    barrier::dsb(barrier::ISHST);
    // SAFETY: what is forgotten is walked for again.
    unsafe { asm!("tlbi vmalle1", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::NSH);
    barrier::isb(barrier::SY);
}

/// Makes every CPU forget its translations of some pages, and of the tables that led to them, and waits until
/// none has an access under way that uses them (Arm ARM, D8.13: a DSB completes the broadcast).
pub fn flush_pages_everywhere(start: usize, end: usize) {
    barrier::dsb(barrier::ISHST);
    for page in (start..end).step_by(PAGE_SIZE) {
        // SAFETY: what is forgotten is walked for again.
        unsafe {
            asm!("tlbi vaae1is, {}", in(reg) tlb_operand(page), options(nostack, preserves_flags));
        };
    }
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
}

/// Makes every CPU forget all translations, as `flush_pages_everywhere` does.
pub fn flush_all_everywhere() {
    barrier::dsb(barrier::ISHST);
    // SAFETY: what is forgotten is walked for again.
    unsafe { asm!("tlbi vmalle1is", options(nostack, preserves_flags)) };
    barrier::dsb(barrier::ISH);
    barrier::isb(barrier::SY);
}

/// Makes what was written to a frame what CPUs execute from it: instruction caches need not see writes (Arm ARM,
/// B2.4.4). Called before the frame is first mapped for execution.
pub fn publish_code(frame: Frame) {
    /// No maintenance is needed of the data cache, of the instruction cache (CTR_EL0).
    const NO_DATA: u64 = 1 << 28;
    const NO_INSTRUCTION: u64 = 1 << 29;
    let kind: u64;
    // SAFETY: reads a register.
    unsafe { asm!("mrs {}, ctr_el0", out(reg) kind, options(nomem, nostack, preserves_flags)) };
    if kind & NO_DATA == 0 {
        let line = 4usize << (kind >> 16 & 0xf);
        let start = phys_to_virt(PhysAddr(frame.start())).addr();
        for address in (start..start + PAGE_SIZE).step_by(line) {
            // SAFETY: writes back a line of the direct map, which shows all frames.
            unsafe { asm!("dc cvau, {}", in(reg) address, options(nostack, preserves_flags)) };
        }
    }
    barrier::dsb(barrier::ISH);
    if kind & NO_INSTRUCTION == 0 {
        // All of it, as the frame may be in caches under more than one address.
        // SAFETY: what is forgotten is fetched again.
        unsafe { asm!("ic ialluis", options(nostack, preserves_flags)) };
        barrier::dsb(barrier::ISH);
    }
    barrier::isb(barrier::SY);
}

/// Bytes from the entries of the lower half to those of the upper one, in the table of the highest level.
pub const UPPER_HALF: u64 = 2048;

/// Switches this CPU to the tables under `root`.
///
/// # Safety
///
/// The tables map the running code, its stack and its data as they are now, and live on.
pub unsafe fn activate(root: Frame) {
    barrier::dsb(barrier::ISHST);
    // The boot tables' translations belong to another address space number, so none of them meets one of
    // the final tables' for the same place.
    TTBR1_EL1.set(root.start() + UPPER_HALF);
    TTBR0_EL1.set(root.start() | ADDRESS_SPACE);
    barrier::isb(barrier::SY);
    flush_all();
}

/// The physical address that the image was loaded at.
static IMAGE_ADDRESS: AtomicU64 = AtomicU64::new(0);

/// Notes where the boot loader has put the image.
pub fn set_image_address(address: u64) {
    // Relaxed: set once, before other CPUs run.
    IMAGE_ADDRESS.store(address, Ordering::Relaxed);
}

/// Returns the physical address of a place in the image.
pub fn image_address(address: usize) -> PhysAddr {
    let offset = address - image::addresses().start;
    PhysAddr(IMAGE_ADDRESS.load(Ordering::Relaxed) + offset as u64)
}

/// Returns the registers, seen in the direct map, of a device that is in use before memory is set up: the
/// console's.
pub fn early_device() -> Option<PhysRange> {
    let serial = device_tree::try_machine()?.serial?;
    Some(serial.registers)
}

unsafe extern "C" {
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __bss_end: u8;
    static __ksyms_start: u8;
    static __image_end: u8;
}

/// Returns the image's memory.
pub fn image() -> PhysRange {
    let addresses = image::addresses();
    PhysRange::new(image_address(addresses.start).0, addresses.len() as u64)
}

/// Returns the image's sections with their rights and names: none is both writable and executable.
pub fn image_sections() -> [(core::ops::Range<usize>, Protection, &'static str); 4] {
    let execute = Protection::READ.union(Protection::EXECUTE);
    let write = Protection::READ.union(Protection::WRITE);
    [
        (
            (&raw const __text_start).addr()..(&raw const __text_end).addr(),
            execute,
            "text",
        ),
        (
            (&raw const __rodata_start).addr()..(&raw const __rodata_end).addr(),
            Protection::READ,
            "rodata",
        ),
        (
            (&raw const __data_start).addr()..(&raw const __bss_end).addr(),
            write,
            "data",
        ),
        (
            (&raw const __ksyms_start).addr()..(&raw const __image_end).addr(),
            Protection::READ,
            "symbols",
        ),
    ]
}

/// Returns the pages of the image that are not mapped: one below each stack that lies in it.
pub fn image_guards() -> [usize; IMAGE_GUARDS] {
    let mut guards = [0; IMAGE_GUARDS];
    let all = entry::boot_stack_guards().chain(report::stack_guards());
    for (place, guard) in guards.iter_mut().zip(all) {
        *place = guard;
    }
    guards
}

const IMAGE_GUARDS: usize = 1 + per_cpu::STACK_GUARDS.len() + report::STACK_GUARDS;
