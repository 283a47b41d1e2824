//! On the host, "physical memory" is an array: frames and page tables work in it as on the machine,
//! though no CPU looks at them.

use crate::memory::Frame;
use core::sync::atomic::{AtomicUsize, Ordering};
use mmap_shim::{Owner, Protection};
use std::alloc::{Layout, alloc_zeroed};
use std::sync::Once;

/// Levels of tables.
pub const LEVELS: u32 = 4;
/// What can be mapped.
pub const USER_RANGE: core::ops::Range<usize> = 0x1_0020_0000..0x7fff_ffff_f000;
/// Where device registers would be.
pub const DEVICE_RANGE: core::ops::Range<usize> = 0xffff_c000_0000_0000..0xffff_c080_0000_0000;
/// Where memory of the kernel's own is seen in a row whose frames are not.
pub const SCATTERED_RANGE: core::ops::Range<usize> = 0xffff_c080_0000_0000..0xffff_c100_0000_0000;
/// Where kernel stacks would be.
pub const STACK_RANGE: core::ops::Range<usize> = 0xffff_c100_0000_0000..0xffff_c180_0000_0000;

/// Bytes of pretended physical memory.
pub const PHYSICAL_MEMORY: usize = 64 << 20;

static BASE: AtomicUsize = AtomicUsize::new(0);
static MAKE: Once = Once::new();

/// Returns where physical address 0 is seen.
pub fn direct_map() -> usize {
    MAKE.call_once(|| {
        let layout = Layout::from_size_align(PHYSICAL_MEMORY, 4 << 20).expect("a valid layout");
        // SAFETY: the size is not 0.
        let memory = unsafe { alloc_zeroed(layout) };
        assert!(!memory.is_null(), "the host has 64 MiB");
        BASE.store(memory.expose_provenance(), Ordering::Release);
    });
    BASE.load(Ordering::Acquire)
}

/// How a range of memory behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// RAM.
    Normal,
    /// Registers.
    Device,
}

const PRESENT: u64 = 1;
const RIGHTS: u64 = 0b1110;
const OWNED: u64 = 1 << 4;
const USED: u64 = 1 << 5;
const LARGE: u64 = 1 << 6;
const ADDRESS: u64 = !0xfff;

/// One entry of a page table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub struct Entry(pub u64);

impl Entry {
    /// Nothing is mapped.
    pub const EMPTY: Entry = Entry(0);

    /// Points to the table of the next level.
    pub fn table(frame: Frame) -> Entry {
        Entry(frame.start() | PRESENT | USED)
    }

    /// Maps a page.
    pub fn page(
        frame: Frame,
        level: u32,
        protection: Protection,
        owner: Owner,
        _memory: Memory,
    ) -> Entry {
        let large = if level > 1 { LARGE } else { 0 };
        let owned = if owner == Owner::Page { OWNED } else { 0 };
        Entry(frame.start() | USED | large | owned).with_protection(protection)
    }

    /// The same page with other rights.
    pub fn with_protection(self, protection: Protection) -> Entry {
        let present = if protection.is_empty() { 0 } else { PRESENT };
        Entry(self.0 & !(RIGHTS | PRESENT) | u64::from(protection.bits()) << 1 | present)
    }

    /// The same entry, hidden from the CPU.
    pub fn hidden(self) -> Entry {
        Entry(self.0 & !PRESENT)
    }

    /// Tells whether it maps or points to something.
    pub fn is_used(self) -> bool {
        self.0 & USED != 0
    }

    /// Tells whether the CPU would see it.
    pub fn is_present(self) -> bool {
        self.0 & PRESENT != 0
    }

    /// Tells whether it points to a table.
    pub fn is_table(self, level: u32) -> bool {
        level > 1 && self.0 & LARGE == 0
    }

    /// Returns the frame.
    pub fn frame(self) -> Frame {
        Frame::containing(self.0 & ADDRESS)
    }

    /// Returns who frees it.
    pub fn owner(self) -> Owner {
        if self.0 & OWNED != 0 {
            Owner::Page
        } else {
            Owner::Object
        }
    }

    /// Returns the rights.
    pub fn protection(self) -> Protection {
        if self.is_present() {
            Protection::from_bits_truncate((self.0 >> 1 & 7) as u32)
        } else {
            Protection::empty()
        }
    }
}

/// Tells whether leaves of this level exist.
pub fn has_large_pages(level: u32) -> bool {
    level <= 2
}

/// No CPU walks here.
pub fn publish_entries() {}

/// No CPU remembers a translation.
pub fn flush_page(_address: usize) {}

/// Nothing is executed from the frames of tests.
pub fn publish_code(_frame: Frame) {}

/// The host has no image of its own.
pub fn image_sections() -> [(core::ops::Range<usize>, Protection, &'static str); 0] {
    []
}

/// The host guards its stacks itself.
pub fn image_guards() -> [usize; 0] {
    []
}
