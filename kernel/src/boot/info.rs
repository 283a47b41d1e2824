//! The neutral description of the machine at boot, filled by one of the
//! protocol readers and read by everybody else.
//!
//! Nothing in it points into the boot loader's memory: once it is made, all
//! memory but the image and the initrd modules is the kernel's.

use super::{PhysRange, RangeList};

/// Longest kernel command line that is kept, in bytes.
pub const COMMAND_LINE_CAPACITY: usize = 4096;
/// Bytes of an ACPI 2.0 RSDP (ACPI 6.5, 5.2.5.3).
const RSDP_SIZE: usize = 36;

/// What a piece of physical memory is for (ACPI 6.5, table 15.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryKind {
    Usable,
    /// ACPI tables lie there; usable once they have been read.
    AcpiReclaimable,
    AcpiNvs,
    Bad,
    Reserved,
}

impl MemoryKind {
    /// Reads the type field of an e820 or multiboot2 entry: both use ACPI's
    /// numbers.
    pub const fn from_acpi(kind: u32) -> Self {
        match kind {
            1 => Self::Usable,
            3 => Self::AcpiReclaimable,
            4 => Self::AcpiNvs,
            5 => Self::Bad,
            _ => Self::Reserved,
        }
    }
}

/// One entry of the firmware's memory map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryRegion {
    pub range: PhysRange,
    pub kind: MemoryKind,
}

/// A linear framebuffer that the boot loader set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framebuffer {
    pub address: u64,
    pub pitch_bytes: u32,
    pub width: u32,
    pub height: u32,
    pub bits_per_pixel: u8,
}

/// What the boot loader told.
pub struct BootInfo {
    /// The boot protocol's name, for the log.
    pub protocol: &'static str,
    usable: RangeList<128>,
    firmware: RangeList<128>,
    modules: RangeList<16>,
    module_order: [PhysRange; 16],
    module_count: usize,
    /// Physical address of the ACPI RSDP, where there is one.
    rsdp: Option<u64>,
    rsdp_copy: [u8; RSDP_SIZE],
    rsdp_copy_len: usize,
    command_line: [u8; COMMAND_LINE_CAPACITY],
    command_line_len: usize,
    command_line_cut: bool,
    pub framebuffer: Option<Framebuffer>,
}

impl BootInfo {
    pub const fn new(protocol: &'static str) -> Self {
        Self {
            protocol,
            usable: RangeList::new(),
            firmware: RangeList::new(),
            modules: RangeList::new(),
            module_order: [PhysRange { start: 0, end: 0 }; 16],
            module_count: 0,
            rsdp: None,
            rsdp_copy: [0; RSDP_SIZE],
            rsdp_copy_len: 0,
            command_line: [0; COMMAND_LINE_CAPACITY],
            command_line_len: 0,
            command_line_cut: false,
            framebuffer: None,
        }
    }

    /// Records one entry of the firmware's memory map.
    pub fn add_region(&mut self, region: MemoryRegion) {
        match region.kind {
            MemoryKind::Usable => self.usable.add(region.range),
            // ACPI tables may be read at any time (`/proc`, power off), so
            // their memory is never reclaimed.
            MemoryKind::AcpiReclaimable | MemoryKind::AcpiNvs => self.firmware.add(region.range),
            MemoryKind::Bad | MemoryKind::Reserved => self.firmware.add(region.range),
        }
    }

    /// Records a boot module: a piece of the initrd. Returns false if there
    /// were too many.
    pub fn add_module(&mut self, range: PhysRange) -> bool {
        if self.module_count == self.module_order.len() || range.is_empty() {
            return range.is_empty();
        }
        self.module_order[self.module_count] = range;
        self.module_count += 1;
        self.modules.add(range);
        true
    }

    pub fn set_command_line(&mut self, line: &[u8]) {
        let len = line.len().min(COMMAND_LINE_CAPACITY);
        self.command_line[..len].copy_from_slice(&line[..len]);
        self.command_line_len = len;
        self.command_line_cut = len < line.len();
    }

    pub fn set_rsdp(&mut self, address: u64) {
        self.rsdp = Some(address);
    }

    /// Keeps a copy of the RSDP that the boot loader carries in its own memory.
    pub fn set_rsdp_copy(&mut self, rsdp: &[u8]) {
        let len = rsdp.len().min(RSDP_SIZE);
        self.rsdp_copy[..len].copy_from_slice(&rsdp[..len]);
        self.rsdp_copy_len = len;
    }

    /// The initrd archives, in the boot loader's order.
    pub fn modules(&self) -> &[PhysRange] {
        &self.module_order[..self.module_count]
    }

    /// The kernel command line as the boot loader gave it.
    pub fn command_line(&self) -> &[u8] {
        &self.command_line[..self.command_line_len]
    }

    /// Whether the command line was longer than what is kept.
    pub const fn is_command_line_cut(&self) -> bool {
        self.command_line_cut
    }

    /// Physical address of the RSDP, if the boot loader named one.
    pub const fn rsdp(&self) -> Option<u64> {
        self.rsdp
    }

    /// The boot loader's copy of the RSDP, if it gave one.
    pub fn rsdp_copy(&self) -> Option<&[u8]> {
        (self.rsdp_copy_len > 0).then(|| &self.rsdp_copy[..self.rsdp_copy_len])
    }

    /// All usable RAM: what the direct map covers, together with the modules.
    /// Sorted, without overlap; ends are not page aligned.
    pub fn ram(&self) -> &[PhysRange] {
        self.usable.as_slice()
    }

    /// Bytes of the memory map that found no room in the tables above.
    pub const fn lost_memory(&self) -> u64 {
        self.usable.lost()
    }

    /// The RAM that nobody uses: whole pages of usable memory without what the
    /// firmware claims, the first MiB, the image and the initrd.
    pub fn free_memory(&self, image: PhysRange, page: u64) -> RangeList<128> {
        // Firmware keeps tables in the first MiB that no map mentions, and the
        // secondary CPUs start there.
        const FIRST_MIB: PhysRange = PhysRange {
            start: 0,
            end: 1 << 20,
        };
        let mut free = RangeList::new();
        for range in self.usable.as_slice() {
            free.add(range.shrink_to_pages(page));
        }
        for range in self
            .firmware
            .as_slice()
            .iter()
            .chain(self.modules.as_slice())
        {
            free.remove(range.grow_to_pages(page));
        }
        free.remove(FIRST_MIB);
        free.remove(image.grow_to_pages(page));
        free
    }

    /// A page below 1 MiB, above the firmware's own tables, for starting
    /// secondary CPUs.
    pub fn low_page(&self) -> Option<u64> {
        const PAGE: u64 = 4096;
        // The interrupt vectors and the BIOS data area lie below 0x1000; boot
        // loaders and option ROMs like the next few pages, so search from the top.
        (1..0x9f).rev().map(|n| n * PAGE).find(|&page| {
            let whole = PhysRange::new(page, PAGE);
            let inside = |r: &PhysRange| r.start <= whole.start && whole.end <= r.end;
            let overlaps = |r: &PhysRange| r.start < whole.end && whole.start < r.end;
            self.usable.as_slice().iter().any(inside)
                && !self.firmware.as_slice().iter().any(overlaps)
                && !self.modules.as_slice().iter().any(overlaps)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{BootInfo, MemoryKind, MemoryRegion, PhysRange};

    fn machine() -> BootInfo {
        let mut info = BootInfo::new("test");
        for (start, end, kind) in [
            (0, 0x9fc00, 1),
            (0x9fc00, 0xa0000, 2),
            (0x10_0000, 0x800_0000, 1),
            (0x7ff_0000, 0x800_0000, 3),
        ] {
            info.add_region(MemoryRegion {
                range: PhysRange { start, end },
                kind: MemoryKind::from_acpi(kind),
            });
        }
        info
    }

    #[test]
    fn free_memory_leaves_out_what_is_in_use() {
        let mut info = machine();
        assert!(info.add_module(PhysRange {
            start: 0x400_0000,
            end: 0x400_1800
        }));
        let image = PhysRange {
            start: 0x20_0000,
            end: 0x30_0000,
        };
        assert_eq!(
            info.free_memory(image, 4096).as_slice(),
            [
                PhysRange {
                    start: 0x10_0000,
                    end: 0x20_0000
                },
                PhysRange {
                    start: 0x30_0000,
                    end: 0x400_0000
                },
                PhysRange {
                    start: 0x400_2000,
                    end: 0x7ff_0000
                },
            ]
        );
    }

    #[test]
    fn the_low_page_is_usable_memory() {
        assert_eq!(machine().low_page(), Some(0x9e000));
        assert_eq!(BootInfo::new("empty").low_page(), None);
    }

    #[test]
    fn a_long_command_line_is_cut_and_says_so() {
        let mut info = machine();
        info.set_command_line(&[b'x'; 5000]);
        assert_eq!(info.command_line().len(), 4096);
        assert!(info.is_command_line_cut());
    }
}
