//! The first instructions: from the boot loader's 32-bit protected mode to Rust
//! in 64-bit mode.
//!
//! Two protocols end here. PVH (QEMU `-kernel`; Xen's `hvm_start_info` ABI)
//! enters at `pvh_start` with `ebx` = physical address of the start info.
//! Multiboot2 (GRUB) enters at `multiboot2_start` with `eax` = magic and `ebx` =
//! physical address of the boot information. Both give flat 32-bit segments,
//! paging off, interrupts off, and no stack.
//!
//! The page tables made here are for the way up only: they map the first 4 GiB
//! twice with 2 MiB pages, at address 0 (the image runs there) and at the start
//! of the direct map, so that `memory::init` can reach the frames from which it
//! builds the real, W^X tables. Secondary CPUs come up through the same tables,
//! which lie below 4 GiB as their 32-bit `mov cr3` needs.

use core::arch::global_asm;

use crate::memory;

/// The boot protocol, as `kernel_entry` receives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Protocol {
    Pvh = 1,
    Multiboot2 = 2,
}

/// Bytes of the stack that the boot CPU starts on and later idles on.
pub const BOOT_STACK_SIZE: usize = 64 * 1024;

global_asm!(
    // Multiboot2 specification 3.1: magic, architecture 0 (i386 protected
    // mode), length, checksum; then the information request and the end tag.
    ".pushsection .multiboot2, \"a\", @progbits",
    ".balign 8",
    "2:",
    ".long 0xe85250d6, 0, 3f - 2b, -(0xe85250d6 + (3f - 2b))",
    // Information request (type 1, optional): command line, modules, memory
    // map, framebuffer, both ACPI RSDP copies.
    ".balign 8",
    ".short 1, 1",
    ".long 32, 1, 3, 6, 8, 14, 15",
    // Framebuffer (type 5, optional): on UEFI machines GRUB leaves graphics
    // mode only when a kernel states what it can use.
    ".balign 8",
    ".short 5, 1",
    ".long 20, 0, 0, 32",
    // Modules page-aligned (type 6), so that an archive can be mapped in place.
    ".balign 8",
    ".short 6, 0",
    ".long 8",
    ".balign 8",
    ".short 0, 0",
    ".long 8",
    "3:",
    ".popsection",
    // Xen's ELF note type 18, XEN_ELFNOTE_PHYS32_ENTRY.
    ".pushsection .note.pvh, \"a\", @note",
    ".balign 4",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_start",
    ".popsection",
    ".pushsection .bss.boot_tables, \"aw\", @nobits",
    ".balign 4096",
    ".global boot_pml4",
    "boot_pml4: .skip 4096",
    ".global boot_pdpt",
    "boot_pdpt: .skip 4096",
    "boot_pds: .skip 4 * 4096",
    ".global boot_stack_guard, boot_stack_bottom, boot_stack_top",
    "boot_stack_guard: .skip {guard_size}",
    "boot_stack_bottom: .skip {stack_size}",
    "boot_stack_top:",
    ".popsection",
    ".pushsection .rodata.boot_gdt, \"a\", @progbits",
    ".balign 8",
    ".global boot_gdt, boot_gdt_pointer",
    // Null, 64-bit code, data: the same selectors as the per-CPU GDT, so that
    // nothing changes when that is loaded. Then 32-bit code, for secondary CPUs.
    "boot_gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff",
    "boot_gdt_pointer: .short 31",
    ".quad boot_gdt",
    "no_long_mode: .asciz \"PythonOS: this CPU has no 64-bit mode\\r\\n\"",
    ".popsection",
    ".pushsection .text.boot, \"ax\", @progbits",
    ".code32",
    ".global pvh_start, multiboot2_start",
    "pvh_start:",
    "mov edi, {pvh}",
    "jmp 2f",
    "multiboot2_start:",
    "mov edi, {multiboot2}",
    "2: cli",
    "cld",
    "mov esi, ebx",
    "mov esp, offset boot_stack_top",
    // CPUID 0x80000001 EDX bit 29: long mode (AMD64 manual volume 3, E.4).
    "mov eax, 0x80000000",
    "cpuid",
    "cmp eax, 0x80000001",
    "jb 8f",
    "mov eax, 0x80000001",
    "cpuid",
    "bt edx, 29",
    "jnc 8f",
    // 2048 entries of 2 MiB: present, writable, large.
    "mov eax, 0x83",
    "xor ecx, ecx",
    "3: mov dword ptr [boot_pds + ecx * 8], eax",
    "add eax, 0x200000",
    "inc ecx",
    "cmp ecx, 2048",
    "jne 3b",
    "mov eax, offset boot_pds + 3",
    "xor ecx, ecx",
    "4: mov dword ptr [boot_pdpt + ecx * 8], eax",
    "add eax, 0x1000",
    "inc ecx",
    "cmp ecx, 4",
    "jne 4b",
    "mov eax, offset boot_pdpt + 3",
    "mov dword ptr [boot_pml4], eax",
    "mov dword ptr [boot_pml4 + 256 * 8], eax",
    "mov ebp, offset .Lboot_paging_on",
    "jmp enable_long_mode",
    ".Lboot_paging_on: lgdt [boot_gdt_pointer]",
    // Far jump to 0x08:.Lboot_64 (opcode EA), which the assembler's Intel syntax
    // cannot write.
    ".byte 0xea",
    ".long .Lboot_64",
    ".short 0x08",
    "8: mov ebx, offset no_long_mode",
    "mov dx, 0x3f8",
    "9: mov al, byte ptr [ebx]",
    "test al, al",
    "jz 7f",
    "out dx, al",
    "inc ebx",
    "jmp 9b",
    "7: hlt",
    "jmp 7b",
    // Turns paging and 64-bit mode on with the boot tables, then jumps to ebp.
    // Shared with the secondary CPUs, which have no stack yet; changes eax, ecx
    // and edx.
    ".global enable_long_mode",
    "enable_long_mode:",
    "mov eax, offset boot_pml4",
    "mov cr3, eax",
    // CR4: PAE (5), PGE (7), OSFXSR (9), OSXMMEXCPT (10).
    "mov eax, cr4",
    "or eax, 0x6a0",
    "mov cr4, eax",
    // EFER: LME (8), and NXE (11), as the final page tables have pages that cannot be executed.
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x900",
    "wrmsr",
    // CR0: PE (0), MP (1), NE (5), WP (16), PG (31); without EM (2), TS (3),
    // AM (18), NW (29), CD (30).
    "mov eax, cr0",
    "and eax, 0x9ffbfff3",
    "or eax, 0x80010023",
    "mov cr0, eax",
    "jmp ebp",
    ".code64",
    ".Lboot_64: mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "xor eax, eax",
    "mov fs, eax",
    "mov gs, eax",
    "mov rsp, offset boot_stack_top",
    "xor ebp, ebp",
    "mov edi, edi",
    "mov esi, esi",
    "call {kernel_entry}",
    "ud2",
    ".popsection",
    guard_size = const memory::STACK_GUARD_SIZE,
    stack_size = const BOOT_STACK_SIZE,
    pvh = const Protocol::Pvh as u32,
    multiboot2 = const Protocol::Multiboot2 as u32,
    kernel_entry = sym kernel_entry,
);

unsafe extern "C" {
    /// The boot tables' 512 entries of 1 GiB each.
    pub static boot_pdpt: u8;
    /// The page below the boot CPU's first stack, which the final page tables leave out.
    pub static boot_stack_guard: u8;
    /// The boot CPU's first stack, lowest address.
    pub static boot_stack_bottom: u8;
    /// The boot CPU's first stack, one past the highest address.
    pub static boot_stack_top: u8;
}

/// Where both protocols reach Rust: `info` is the physical address of what the
/// boot loader tells.
extern "C" fn kernel_entry(protocol: u32, info: u64) -> ! {
    let protocol = if protocol == Protocol::Pvh as u32 {
        Protocol::Pvh
    } else {
        Protocol::Multiboot2
    };
    super::serial::init();
    // SAFETY: the boot loader passed `info` for this protocol, and the boot page
    // tables map the first 4 GiB, where both protocols keep it.
    crate::start::start(BOOT_INFO.call_once(|| unsafe {
        match protocol {
            Protocol::Pvh => super::pvh::read(info),
            Protocol::Multiboot2 => super::multiboot2::read(info),
        }
    }))
}

static BOOT_INFO: spin::Once<crate::boot::BootInfo> = spin::Once::new();
