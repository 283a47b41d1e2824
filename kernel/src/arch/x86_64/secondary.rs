//! Starting the secondary CPUs: INIT, start-up interrupt, real mode, and up.
//!
//! All are started at once; each finds its own stack and data by its APIC id.
//! The page below 1 MiB holds only the few bytes of real-mode code: they jump
//! into the image, where the boot tables take over (see `entry`).

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use smp::{CpuId, MAX_CPUS};

use super::per_cpu::CpuLocal;
use super::{acpi, apic, clock, cpu, entry, idt, per_cpu};
use crate::boot::BootInfo;
use crate::log;
use crate::memory::{self, PAGE_SIZE, PhysAddr, phys_to_virt};

/// From INIT to the first start-up interrupt, and to the second (Intel SDM volume 3,
/// 9.4.4.1 has 10 ms and 200 us for CPUs of the last century; 200 us do since).
const PAUSE_NS: u64 = 200_000;
/// How long CPUs get to come up. Emulated ones wait for a turn on the host.
const PATIENCE_NS: u64 = 5_000_000_000;

/// APIC ids, stacks and data of the CPUs being started; index 0 is the first secondary CPU.
static IDS: [AtomicU32; MAX_CPUS] = [const { AtomicU32::new(u32::MAX) }; MAX_CPUS];
static STACKS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static DATA: [AtomicPtr<CpuLocal>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
static COUNT: AtomicU32 = AtomicU32::new(0);
/// Physical address of the final page tables.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// The boot CPU's time-stamp counter when it started the others.
static STARTED_AT: AtomicU64 = AtomicU64::new(0);
/// CPUs that run, the boot CPU among them.
static ONLINE: AtomicU32 = AtomicU32::new(1);

global_asm!(
    ".pushsection .rodata.secondary_start, \"a\", @progbits",
    // Real mode, at the start of some page: CS is that page. Written in bytes,
    // as this assembler's Intel syntax has no 16-bit operands of this kind.
    ".global secondary_start, secondary_start_end",
    "secondary_start:",
    ".byte 0xfa",                               // cli
    ".byte 0x66, 0x2e, 0x0f, 0x01, 0x16",       // lgdt cs:[disp16], 32-bit base
    ".short 2f - secondary_start",
    ".byte 0x0f, 0x20, 0xc0",                   // mov eax, cr0
    ".byte 0x66, 0x83, 0xc8, 0x01",             // or eax, 1
    ".byte 0x0f, 0x22, 0xc0",                   // mov cr0, eax
    ".byte 0x66, 0xea",                         // far jump to 0x18:secondary_32
    ".long secondary_32",
    ".short 0x18",
    ".balign 4",
    "2: .short 31",
    ".long boot_gdt",
    "secondary_start_end:",
    ".popsection",
    ".pushsection .text.boot, \"ax\", @progbits",
    ".code32",
    "secondary_32:",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "mov ebp, offset .Lsecondary_paging_on",
    "jmp enable_long_mode",
    ".Lsecondary_paging_on:",
    ".byte 0xea",                               // far jump to 0x08:.Lsecondary_64
    ".long .Lsecondary_64",
    ".short 0x08",
    ".code64",
    ".Lsecondary_64:",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "xor eax, eax",
    "mov fs, eax",
    "mov gs, eax",
    // The APIC id: EDX of CPUID leaf 0xB if there is one, else leaf 1 EBX 31-24.
    "cpuid",
    "cmp eax, 0xb",
    "jb 4f",
    "mov eax, 0xb",
    "xor ecx, ecx",
    "cpuid",
    "test ebx, ebx",
    "jz 4f",
    "mov edi, edx",
    "jmp 5f",
    "4: mov eax, 1",
    "cpuid",
    "shr ebx, 24",
    "mov edi, ebx",
    "5: xor ecx, ecx",
    "6: cmp dword ptr [{ids} + rcx * 4], edi",
    "je 8f",
    "inc ecx",
    "cmp ecx, {max}",
    "jne 6b",
    // Nobody started this CPU.
    "7: cli",
    "hlt",
    "jmp 7b",
    // Only the final page tables show the stack.
    "8: mov rax, qword ptr [{root}]",
    "mov cr3, rax",
    "mov rsp, qword ptr [{stacks} + rcx * 8]",
    "xor ebp, ebp",
    "mov edi, ecx",
    "call {entry}",
    "ud2",
    ".popsection",
    ids = sym IDS,
    stacks = sym STACKS,
    root = sym ROOT,
    max = const MAX_CPUS,
    entry = sym secondary_entry,
);

unsafe extern "C" {
    static secondary_start: u8;
    static secondary_start_end: u8;
}

/// Begins to start all secondary CPUs; they come up while the caller goes on.
pub fn start_all(boot_info: &BootInfo) {
    let machine = acpi::machine();
    if machine.ignored_cpus > 0 {
        let count = machine.ignored_cpus;
        log::warn!(
            "kernel.smp",
            "{count} more CPUs than {MAX_CPUS}: they stay unused"
        );
    }
    ROOT.store(memory::page_table_root().start(), Ordering::Relaxed);
    let me = per_cpu::this_cpu().apic_id();
    let others = machine
        .cpus
        .as_slice()
        .iter()
        .copied()
        .filter(|&id| id != me);
    let mut count = 0;
    for id in others {
        if id > 0xfe && !apic::is_x2apic() {
            log::warn!(
                "kernel.smp",
                "CPU with APIC id {id:#x} cannot be reached in xAPIC mode"
            );
            continue;
        }
        let data = per_cpu::new_secondary(CpuId(count as u32 + 1), id);
        let (Some(data), Some(stack)) = (data, memory::alloc_kernel_stack()) else {
            log::warn!("kernel.smp", "no memory for more CPUs");
            break;
        };
        DATA[count].store(data, Ordering::Relaxed);
        STACKS[count].store(stack as u64, Ordering::Relaxed);
        // Release: a CPU that finds its id finds the rest. It does not read
        // before the start-up interrupt that follows.
        IDS[count].store(id, Ordering::Release);
        count += 1;
    }
    COUNT.store(count as u32, Ordering::Relaxed);
    if count == 0 {
        return;
    }
    let Some(page) = boot_info.low_page() else {
        log::warn!("kernel.smp", "no page below 1 MiB: secondary CPUs stay off");
        return;
    };
    copy_start_code(page);
    let started = || IDS[..count].iter().map(|id| id.load(Ordering::Relaxed));
    for id in started() {
        // SAFETY: the CPU waits in the firmware.
        unsafe { apic::send_init(id) };
    }
    clock::spin_ns(PAUSE_NS);
    STARTED_AT.store(clock::counter(), Ordering::Relaxed);
    for id in started() {
        // SAFETY: the page holds the start code.
        unsafe { apic::send_startup(id, (page >> 12) as u8) };
    }
}

fn copy_start_code(page: u64) {
    let code = &raw const secondary_start;
    // SAFETY: the linker put the code between the two symbols.
    let len = unsafe { (&raw const secondary_start_end).offset_from_unsigned(code) };
    assert!(len <= PAGE_SIZE, "the start code fits a page");
    // SAFETY: the page is RAM that nobody uses (`low_page`), shown by the direct map.
    unsafe { phys_to_virt(PhysAddr(page)).copy_from_nonoverlapping(code, len) };
}

/// Waits until the CPUs that `start_all` started are up, a second start-up
/// interrupt for the slow ones included. Returns how many CPUs run, and of how many.
pub fn wait_online() -> (usize, usize) {
    let expected = 1 + COUNT.load(Ordering::Relaxed);
    let begin = clock::now_ns();
    // Acquire pairs with the Release in `secondary_entry`: their data is listed.
    let mut online = ONLINE.load(Ordering::Acquire);
    while online < expected && clock::now_ns() - begin < PATIENCE_NS {
        cpu::relax();
        online = ONLINE.load(Ordering::Acquire);
    }
    (
        online as usize,
        acpi::machine().cpus.as_slice().len().max(1),
    )
}

/// Sends the second start-up interrupt to CPUs that have not come up yet; a CPU
/// that has ignores it (Intel SDM volume 3, 9.4.4.1).
pub fn start_again(boot_info: &BootInfo) {
    let Some(page) = boot_info.low_page() else {
        return;
    };
    for index in 0..COUNT.load(Ordering::Relaxed) {
        if per_cpu::cpu(CpuId(index + 1)).is_none() {
            let id = IDS[index as usize].load(Ordering::Relaxed);
            // SAFETY: the page still holds the start code.
            unsafe { apic::send_startup(id, (page >> 12) as u8) };
        }
    }
}

/// Where a secondary CPU reaches Rust: on the stack that it will idle on, with
/// the final page tables and interrupts off.
extern "C" fn secondary_entry(index: u32) -> ! {
    let index = index as usize;
    // SAFETY: the data was made for this CPU, and it alone came here with this
    // index: APIC ids are unique.
    unsafe { per_cpu::adopt(DATA[index].load(Ordering::Acquire)) };
    idt::init();
    cpu::init();
    memory::init_secondary();
    if clock::counter() < STARTED_AT.load(Ordering::Relaxed) {
        let id = per_cpu::this_cpu_id().0;
        log::warn!(
            "kernel.smp",
            "CPU {id}'s clock is behind CPU 0's: time will jump"
        );
    }
    apic::init_this_cpu();
    smp::init_cpu(STACKS[index].load(Ordering::Relaxed) as usize);
    // Release pairs with the Acquire in `wait_online`.
    ONLINE.fetch_add(1, Ordering::Release);
    smp::run_idle()
}

/// The stack that the boot CPU came up on: it idles there.
pub fn boot_stack_top() -> usize {
    &raw const entry::boot_stack_top as usize
}
