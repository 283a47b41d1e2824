//! The first instructions: from the boot loader, with the MMU off, to Rust at the image's own addresses.
//!
//! The file is a Linux Image (Linux's `Documentation/arch/arm64/booting.rst`): a boot loader puts it at a
//! 2 MiB boundary of RAM and jumps to its start with the device tree's physical address in x0, at EL2 or EL1.
//! Secondary CPUs come the same way, through PSCI, with what `secondary` passes in x0.
//!
//! The page tables made here are for the way up only: they map the image where it is linked, with 2 MiB
//! blocks; the gigabyte in which it lies also at its physical address, so that turning the MMU on changes
//! nothing under the feet of the code that does it; and all RAM in the direct map, so that
//! `memory::init` can reach the frames from which it builds the real, W^X tables.

use core::arch::global_asm;
use core::ptr;

use aarch64_cpu::asm::barrier;

use super::per_cpu::ExceptionStacks;
use super::{device_tree, page_table, per_cpu, serial, vectors};
use crate::boot::{BootInfo, PhysRange};
use crate::memory;

/// Bytes of the stack that the boot CPU starts on and later idles on.
pub const BOOT_STACK_SIZE: usize = 64 * 1024;

/// A block of normal memory in the boot tables: valid, attribute 0, inner shareable, accessed, not global.
/// Being not global, it is forgotten with the boot tables' address space number, 0.
const NORMAL_BLOCK: u64 = 0xf01;
/// A block of device registers: as above with attribute 1, never executed.
const DEVICE_BLOCK: u64 = 0xf01 | 1 << 2 | 1 << 53;
const TABLE: u64 = 3;
/// MAIR_EL1: attribute 0 is normal write-back memory, attribute 1 device memory (nGnRE).
const MEMORY_ATTRIBUTES: u64 = 0x04ff;
/// TCR_EL1 but for the size of physical addresses: 47 bits of virtual address in each half, 4 KiB pages,
/// walks through inner shareable write-back memory.
const TRANSLATION_CONTROL: u64 = {
    const SIZE: u64 = 64 - 47;
    const WALKS: u64 = 1 << 8 | 1 << 10 | 3 << 12;
    const UPPER_GRANULE_4K: u64 = 2 << 30;
    (SIZE | WALKS) | (SIZE | WALKS) << 16 | UPPER_GRANULE_4K
};
/// SCTLR_EL1: the bits that read as one, MMU (0), data cache (2), stack alignment check (3), instruction
/// cache (12).
const SYSTEM_CONTROL: u64 = 0x30d0_0800 | 1 | 1 << 2 | 1 << 3 | 1 << 12;

global_asm!(
    ".pushsection .head.image, \"ax\", @progbits",
    ".global image_header",
    "image_header:",
    "b boot_start",
    ".long 0",
    // Where in its 2 MiB the image wants to be; its size in memory; flags: little endian, 4 KiB pages,
    // anywhere in RAM.
    ".quad 0",
    ".quad __image_size",
    ".quad 0xa",
    ".quad 0, 0, 0",
    ".ascii \"ARM\\x64\"",
    ".long 0",
    "boot_start:",
    "mov x19, x0",
    "bl enter_el1",
    "adrp x20, __image_start",
    "adrp x21, __image_end",
    // The tables, at their physical addresses.
    "adrp x0, boot_root",
    "adrp x1, boot_low",
    "adrp x2, boot_image",
    "adrp x3, boot_direct",
    "mov x9, {table}",
    "orr x10, x1, x9",
    "str x10, [x0]",
    "orr x10, x3, x9",
    "str x10, [x0, 256 * 8]",
    "orr x10, x2, x9",
    "str x10, [x1]",
    "mov x11, {normal}",
    // The image, block by block.
    "ldr x4, =__image_start",
    "lsr x4, x4, 21",
    "orr x5, x20, x11",
    "sub x6, x21, x20",
    "add x6, x6, 0x1ff, lsl 12",
    "lsr x6, x6, 21",
    "1: str x5, [x2, x4, lsl 3]",
    "add x4, x4, 1",
    "add x5, x5, 0x200, lsl 12",
    "subs x6, x6, 1",
    "b.ne 1b",
    // The gigabyte it lies in, where it lies; in the first gigabyte, its first block.
    "lsr x4, x20, 30",
    "cbz x4, 2f",
    "lsl x5, x4, 30",
    "orr x5, x5, x11",
    "str x5, [x1, x4, lsl 3]",
    "b 3f",
    "2: lsr x4, x20, 21",
    "orr x5, x20, x11",
    "str x5, [x2, x4, lsl 3]",
    // In the direct map: what holds the device tree, which is less than 2 MiB long.
    "3: mov x4, x19",
    "bl .Lmap_directly",
    "add x4, x19, 0x200, lsl 12",
    "bl .Lmap_directly",
    // Written with the caches off: what they may still hold of these lines is old.
    "mov x4, x0",
    "add x5, x0, 4 * 4096",
    "4: dc ivac, x4",
    "add x4, x4, 16",
    "cmp x4, x5",
    "b.lo 4b",
    "bl enable_mmu",
    "ldr x9, =.Lboot_mapped",
    "br x9",
    ".Lboot_mapped:",
    "ldr x9, ={exception_stacks}",
    "add x9, x9, {exception_stacks_size}",
    "mov sp, x9",
    "msr spsel, 0",
    "ldr x9, =boot_stack_top",
    "mov sp, x9",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, x19",
    "mov x1, x20",
    "bl {kernel_entry}",
    "brk 1",
    // Maps the gigabyte of x4 in the direct map. Changes x4 and x5.
    ".Lmap_directly:",
    "lsr x4, x4, 30",
    "lsl x5, x4, 30",
    "orr x5, x5, x11",
    "str x5, [x3, x4, lsl 3]",
    "ret",
    // Goes to EL1 on SP_EL1 with all interrupts off, floating point on and the MMU off, whatever the boot
    // loader left. Changes x1 alone; there is no stack yet.
    ".global enter_el1",
    "enter_el1:",
    "msr daifset, 0xf",
    "ldr x1, =0x30d00800",
    "msr sctlr_el1, x1",
    "mov x1, 3 << 20",
    "msr cpacr_el1, x1",
    "mrs x1, currentel",
    "cmp x1, 2 << 2",
    "b.eq 5f",
    "isb",
    "msr spsel, 1",
    "ret",
    // EL2 keeps nothing for itself. HCR_EL2.RW (31): EL1 is 64-bit.
    "5: mov x1, 1 << 31",
    "msr hcr_el2, x1",
    // EL1 reads the counters and timers, and the virtual one is the physical one.
    "mrs x1, cnthctl_el2",
    "orr x1, x1, 3",
    "msr cnthctl_el2, x1",
    "msr cntvoff_el2, xzr",
    // No trap of floating point (the reserved bits are ones), of debug registers, of CP15.
    "mov x1, 0x33ff",
    "msr cptr_el2, x1",
    "msr hstr_el2, xzr",
    "mrs x1, mdcr_el2",
    "and x1, x1, 0x1f",
    "msr mdcr_el2, x1",
    "msr vttbr_el2, xzr",
    "mrs x1, midr_el1",
    "msr vpidr_el2, x1",
    "mrs x1, mpidr_el1",
    "msr vmpidr_el2, x1",
    // A GICv3's registers, ICC_SRE_EL2.SRE (0) and Enable (3), are EL1's.
    "mrs x1, id_aa64pfr0_el1",
    "ubfx x1, x1, 24, 4",
    "cbz x1, 6f",
    "mrs x1, s3_4_c12_c9_5",
    "orr x1, x1, 1",
    "orr x1, x1, 8",
    "msr s3_4_c12_c9_5, x1",
    "isb",
    // ICH_HCR_EL2
    "msr s3_4_c12_c11_0, xzr",
    // EL1 on SP_EL1, everything masked.
    "6: mov x1, 0x3c5",
    "msr spsr_el2, x1",
    "msr elr_el2, x30",
    "eret",
    // Turns the MMU on with the boot tables. Changes x1, x2 and x3.
    ".global enable_mmu",
    "enable_mmu:",
    "adrp x1, boot_root",
    "msr ttbr0_el1, x1",
    // The upper half's entries are the second half of the same table.
    "add x1, x1, 2048",
    "msr ttbr1_el1, x1",
    "ldr x1, ={attributes}",
    "msr mair_el1, x1",
    "ldr x1, ={translation}",
    // Physical addresses as large as there are, but no more than 48 bits (5).
    "mrs x2, id_aa64mmfr0_el1",
    "ubfx x2, x2, 0, 4",
    "mov x3, 5",
    "cmp x2, x3",
    "csel x2, x2, x3, lo",
    "orr x1, x1, x2, lsl 32",
    "msr tcr_el1, x1",
    "tlbi vmalle1",
    "ic iallu",
    "dsb nsh",
    "isb",
    "ldr x1, ={control}",
    "msr sctlr_el1, x1",
    "isb",
    "ret",
    ".ltorg",
    ".popsection",
    ".pushsection .bss.boot_tables, \"aw\", @nobits",
    ".balign 4096",
    // In this order, as the cache maintenance above relies on it.
    ".global boot_direct, boot_split",
    "boot_root: .skip 4096",
    "boot_low: .skip 4096",
    "boot_image: .skip 4096",
    "boot_direct: .skip 4096",
    "boot_split: .skip 4096",
    ".global boot_stack_guard, boot_stack_top",
    "boot_stack_guard: .skip {guard_size}",
    "boot_stack_bottom: .skip {stack_size}",
    "boot_stack_top:",
    ".popsection",
    table = const TABLE,
    normal = const NORMAL_BLOCK,
    attributes = const MEMORY_ATTRIBUTES,
    translation = const TRANSLATION_CONTROL,
    control = const SYSTEM_CONTROL,
    stack_size = const BOOT_STACK_SIZE,
    guard_size = const memory::STACK_GUARD_SIZE,
    exception_stacks = sym BOOT_EXCEPTION_STACKS,
    exception_stacks_size = const size_of::<ExceptionStacks>(),
    kernel_entry = sym kernel_entry,
);

unsafe extern "C" {
    /// The boot tables' 512 entries of 1 GiB each for the direct map.
    static mut boot_direct: [u64; 512];
    /// A table for the gigabyte with the console's registers.
    static mut boot_split: [u64; 512];
    /// The page below the boot CPU's first stack, which the final page tables leave out.
    static boot_stack_guard: u8;
    /// The boot CPU's first stack, one past the highest address.
    pub static boot_stack_top: u8;
}

static BOOT_EXCEPTION_STACKS: ExceptionStacks = ExceptionStacks::new();
static BOOT_INFO: spin::Once<BootInfo> = spin::Once::new();

/// The pages below the boot CPU's stacks, which the final page tables leave out.
pub fn boot_stack_guards() -> impl Iterator<Item = usize> {
    let stacks = (&raw const BOOT_EXCEPTION_STACKS).addr();
    let first = (&raw const boot_stack_guard).addr();
    let exceptions = per_cpu::STACK_GUARDS.into_iter();
    core::iter::once(first).chain(exceptions.map(move |offset| stacks + offset))
}

const GIB: u64 = 1 << 30;
const BLOCK: u64 = 2 << 20;

/// Where the boot CPU reaches Rust: `tree` is the physical address of the device tree, `image` that of the
/// image.
extern "C" fn kernel_entry(tree: u64, image: u64) -> ! {
    page_table::set_image_address(image);
    per_cpu::init_boot_cpu();
    vectors::install();
    let tree = ptr::with_exposed_provenance((page_table::direct_map() as u64 + tree) as usize);
    // SAFETY: the boot loader passed the tree, and the boot tables map it.
    let boot_info = BOOT_INFO.call_once(|| unsafe { device_tree::read(tree) });
    map_for_boot(boot_info);
    serial::init();
    crate::start::start(boot_info)
}

/// Completes the boot tables: all RAM in the direct map, and the console's registers.
fn map_for_boot(boot_info: &BootInfo) {
    for range in boot_info.ram() {
        for gib in range.start / GIB..=(range.end - 1) / GIB {
            set_direct(gib, (gib * GIB) | NORMAL_BLOCK);
        }
    }
    if let Some(registers) = page_table::early_device() {
        map_device(registers);
    }
    // A walk finds what was written before it (Arm ARM, D8.2.6).
    barrier::dsb(barrier::ISHST);
    barrier::isb(barrier::SY);
}

/// Maps the 2 MiB with the console's registers as a device; the rest of its gigabyte stays as it is.
fn map_device(registers: PhysRange) {
    let gib = registers.start / GIB;
    let whole = direct(gib);
    for index in 0..512 {
        let address = gib * GIB + index * BLOCK;
        let entry = match address {
            it if it == registers.start / BLOCK * BLOCK => it | DEVICE_BLOCK,
            it if whole != 0 => it | NORMAL_BLOCK,
            _ => 0,
        };
        // SAFETY: the boot CPU is alone, and the table is not in use yet.
        unsafe {
            (&raw mut boot_split)
                .cast::<u64>()
                .add(index as usize)
                .write_volatile(entry)
        };
    }
    let table = page_table::image_address((&raw const boot_split).addr());
    set_direct(gib, table.0 | TABLE);
}

fn direct(gib: u64) -> u64 {
    assert!(gib < 512, "RAM or the console lies above 512 GiB");
    // SAFETY: within the table; the boot CPU is alone.
    unsafe {
        (&raw const boot_direct)
            .cast::<u64>()
            .add(gib as usize)
            .read_volatile()
    }
}

fn set_direct(gib: u64, entry: u64) {
    assert!(gib < 512, "RAM or the console lies above 512 GiB");
    // SAFETY: within the table; the boot CPU is alone, and maps what nothing was mapped to, or the same again.
    unsafe {
        (&raw mut boot_direct)
            .cast::<u64>()
            .add(gib as usize)
            .write_volatile(entry)
    };
}
