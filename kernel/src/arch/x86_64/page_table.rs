//! Page tables: how x86_64 writes an entry, and how it is told to use a table.
//!
//! The walk itself is the same on every machine with four levels of 512 entries
//! (`memory::tables`). Bits that the hardware ignores hold what we want to know of a page (Intel
//! SDM volume 3, 4.5.4): 9 says that the frame is the page's own, 10 that the entry is in use, so that
//! a page without any right keeps its frame.

use super::{entry, gdt, per_cpu};
use crate::boot::PhysRange;
use crate::memory::{Access, Frame, PhysAddr as PhysicalAddress};
use crate::report;
use mmap_shim::{Owner, Protection};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr3, Cr3Flags, Cr4, Cr4Flags};
use x86_64::registers::model_specific::{Efer, EferFlags};
use x86_64::structures::idt::PageFaultErrorCode;
use x86_64::structures::paging::{PageTableFlags as Bits, PhysFrame};
use x86_64::{PhysAddr, VirtAddr};

/// Levels of tables; level 1 maps pages, level [`LEVELS`] is the root.
pub const LEVELS: u32 = 4;
/// What C and Python can map: from above 4 GiB to the end of the lower canonical half, without its last page. It
/// begins at the colour that `mmap_shim` gives to what is hot (its `free_space`).
pub const USER_RANGE: core::ops::Range<usize> = 0x1_0020_0000..0x7fff_ffff_f000;
/// Where device registers and firmware tables are mapped.
pub const DEVICE_RANGE: core::ops::Range<usize> = 0xffff_c000_0000_0000..0xffff_c080_0000_0000;
/// Where memory of the kernel's own is seen in a row whose frames are not.
pub const SCATTERED_RANGE: core::ops::Range<usize> = 0xffff_c080_0000_0000..0xffff_c100_0000_0000;
/// Where kernel stacks are, with guard pages between.
pub const STACK_RANGE: core::ops::Range<usize> = 0xffff_c100_0000_0000..0xffff_c180_0000_0000;

const OWNED: Bits = Bits::BIT_9;
const USED: Bits = Bits::BIT_10;
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// What the boot page tables map of physical memory: what can be used before the final ones are in place.
pub const BOOT_MAPPED: u64 = 4 << 30;

const _: () = assert!(USER_RANGE.start >= BOOT_MAPPED as usize);

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
        Entry(frame.start() | (Bits::PRESENT | Bits::WRITABLE | USED).bits())
    }

    /// Maps a page, on level 1, or a large page.
    pub fn page(
        frame: Frame,
        level: u32,
        protection: Protection,
        owner: Owner,
        memory: Memory,
    ) -> Entry {
        // Accessed and dirty are set at once: nobody reads them, and the CPU need not write them.
        let mut bits = USED | Bits::ACCESSED | Bits::DIRTY;
        bits.set(Bits::HUGE_PAGE, level > 1);
        bits.set(OWNED, owner == Owner::Page);
        bits.set(
            Bits::NO_CACHE | Bits::WRITE_THROUGH,
            memory == Memory::Device,
        );
        Entry(frame.start() | bits.bits()).with_protection(protection)
    }

    /// The same page with other rights; with none the CPU sees nothing there.
    pub fn with_protection(self, protection: Protection) -> Entry {
        let mut bits = self.bits();
        bits.set(Bits::PRESENT, !protection.is_empty());
        bits.set(Bits::WRITABLE, protection.contains(Protection::WRITE));
        bits.set(Bits::NO_EXECUTE, !protection.contains(Protection::EXECUTE));
        Entry(self.0 & ADDRESS | bits.bits())
    }

    /// The same entry, such that the CPU does not see it.
    pub fn hidden(self) -> Entry {
        Entry(self.0 & !Bits::PRESENT.bits())
    }

    /// Tells whether it maps or points to something, seen by the CPU or not.
    pub fn is_used(self) -> bool {
        self.bits().contains(USED)
    }

    /// Tells whether the CPU sees it.
    pub fn is_present(self) -> bool {
        self.bits().contains(Bits::PRESENT)
    }

    /// Tells whether it points to a table (when it is an entry of this level, in use).
    pub fn is_table(self, level: u32) -> bool {
        level > 1 && !self.bits().contains(Bits::HUGE_PAGE)
    }

    /// Returns the frame of the page or table.
    pub fn frame(self) -> Frame {
        Frame::containing(self.0 & ADDRESS)
    }

    /// Returns who frees the page's frame.
    pub fn owner(self) -> Owner {
        if self.bits().contains(OWNED) {
            Owner::Page
        } else {
            Owner::Object
        }
    }

    /// Returns the rights that the CPU grants.
    pub fn protection(self) -> Protection {
        let bits = self.bits();
        if !bits.contains(Bits::PRESENT) {
            return Protection::empty();
        }
        let mut protection = Protection::READ;
        protection.set(Protection::WRITE, bits.contains(Bits::WRITABLE));
        protection.set(Protection::EXECUTE, !bits.contains(Bits::NO_EXECUTE));
        protection
    }
}

/// Tells whether leaves of this level exist: 2 MiB always, 1 GiB where CPUID says so (80000001h EDX bit 26).
pub fn has_large_pages(level: u32) -> bool {
    let gigabyte = || {
        raw_cpuid::CpuId::new()
            .get_extended_processor_and_feature_identifiers()
            .is_some_and(|it| it.has_1gib_pages())
    };
    level <= 2 || (level == 3 && gigabyte())
}

/// Tells what the faulting access wanted, from the error code of exception 14.
pub fn access_of(error: PageFaultErrorCode) -> Access {
    if error.contains(PageFaultErrorCode::CAUSED_BY_WRITE) {
        Access::Write
    } else if error.contains(PageFaultErrorCode::INSTRUCTION_FETCH) {
        Access::Execute
    } else {
        Access::Read
    }
}

/// Makes entries that were written where there were none visible to the walks of all CPUs: they are in any case.
#[inline]
pub fn publish_entries() {}

/// Makes what was written to a frame what CPUs execute from it: here they see to that themselves (Intel SDM volume
/// 3, 12.6).
pub fn publish_code(_frame: Frame) {}

/// Makes this CPU forget its translation of one page.
pub fn flush_page(address: usize) {
    x86_64::instructions::tlb::flush(VirtAddr::new_truncate(address as u64));
}

/// Switches this CPU to the tables under `root`, with the checks that they rely on: no-execute (EFER.NXE),
/// read-only for the kernel too (CR0.WP), no execution of what is marked user (CR4.SMEP).
///
/// # Safety
///
/// The tables map the running code, its stack and its data as they are now, and live on.
pub unsafe fn activate(root: Frame) {
    let has_smep = raw_cpuid::CpuId::new()
        .get_extended_feature_info()
        .is_some_and(|it| it.has_smep());
    let root = PhysFrame::containing_address(PhysAddr::new(root.start()));
    // SAFETY: these bits only make the CPU check more; every x86_64 CPU has no-execute. The rest is the
    // caller's contract.
    unsafe {
        Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE));
        Cr3::write(root, Cr3Flags::empty());
        Cr0::update(|cr0| cr0.insert(Cr0Flags::WRITE_PROTECT));
        Cr4::update(|cr4| cr4.set(Cr4Flags::SUPERVISOR_MODE_EXECUTION_PROTECTION, has_smep));
    }
}

unsafe extern "C" {
    static __image_start: u8;
    static __text_start: u8;
    static __text_end: u8;
    static __rodata_start: u8;
    static __rodata_end: u8;
    static __data_start: u8;
    static __bss_end: u8;
    static __ksyms_start: u8;
    static __image_end: u8;
}

/// Returns the image's memory; it runs where it lies.
pub fn image() -> PhysRange {
    PhysRange {
        start: (&raw const __image_start).addr() as u64,
        end: (&raw const __image_end).addr() as u64,
    }
}

/// Returns the physical address of a place in the image: the same.
pub fn image_address(address: usize) -> PhysicalAddress {
    PhysicalAddress(address as u64)
}

/// Returns the registers, seen in the direct map, of a device that is in use before memory is set up: none, the
/// console has ports.
pub fn early_device() -> Option<PhysRange> {
    None
}

/// Returns the image's sections with their rights and names: none is both writable and executable.
pub fn image_sections() -> [(core::ops::Range<usize>, Protection, &'static str); 5] {
    let execute = Protection::READ.union(Protection::EXECUTE);
    let write = Protection::READ.union(Protection::WRITE);
    [
        (
            (&raw const __image_start).addr()..(&raw const __text_start).addr(),
            Protection::READ,
            "headers",
        ),
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
    let boot = [&raw const entry::boot_stack_guard as usize];
    let all = boot
        .into_iter()
        .chain(per_cpu::boot_stack_guards())
        .chain(report::stack_guards());
    for (place, guard) in guards.iter_mut().zip(all) {
        *place = guard;
    }
    guards
}

const IMAGE_GUARDS: usize = 1 + gdt::STACK_GUARDS.len() + report::STACK_GUARDS;
