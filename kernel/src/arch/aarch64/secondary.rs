//! Starting the secondary CPUs: PSCI's CPU_ON, and up through the boot tables (see `entry`).
//!
//! All are started at once; each is told its number, by which it finds its own stacks and data.

use core::arch::global_asm;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

use aarch64_cpu::asm::barrier;
use smp::{CpuId, MAX_CPUS};

use super::per_cpu::CpuLocal;
use super::{clock, cpu, device_tree, entry, gic, page_table, per_cpu, power, vectors};
use crate::log;
use crate::memory;

/// How long CPUs get to come up. Emulated ones wait for a turn on the host.
const PATIENCE_NS: u64 = 5_000_000_000;

/// Stacks and data of the CPUs being started; index 0 is the first secondary CPU.
static STACKS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static EXCEPTION_STACKS: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];
static DATA: [AtomicPtr<CpuLocal>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];
/// Physical address of the final page tables.
static ROOT: AtomicU64 = AtomicU64::new(0);
/// CPUs that were started.
static COUNT: AtomicU32 = AtomicU32::new(0);
/// CPUs that run, the boot CPU among them.
static ONLINE: AtomicU32 = AtomicU32::new(1);

global_asm!(
    // Beside the boot CPU's code, in the 2 MiB that the boot tables map at their physical address.
    ".pushsection .head, \"ax\", @progbits",
    ".global secondary_start",
    "secondary_start:",
    "mov x19, x0",
    "bl enter_el1",
    "bl enable_mmu",
    "ldr x9, =.Lsecondary_mapped",
    "br x9",
    ".Lsecondary_mapped:",
    // Only the final page tables show the stacks (see `page_table::activate`).
    "ldr x9, ={root}",
    "ldr x9, [x9]",
    "add x10, x9, {upper_half}",
    "orr x9, x9, {address_space}",
    "msr ttbr1_el1, x10",
    "msr ttbr0_el1, x9",
    "isb",
    "tlbi vmalle1",
    "dsb nsh",
    "isb",
    "msr spsel, 1",
    "ldr x9, ={exception_stacks}",
    "ldr x9, [x9, x19, lsl 3]",
    "mov sp, x9",
    "msr spsel, 0",
    "ldr x9, ={stacks}",
    "ldr x9, [x9, x19, lsl 3]",
    "mov sp, x9",
    "mov x29, xzr",
    "mov x30, xzr",
    "mov x0, x19",
    "bl {entry}",
    "brk 1",
    ".ltorg",
    ".popsection",
    root = sym ROOT,
    upper_half = const page_table::UPPER_HALF,
    address_space = const page_table::ADDRESS_SPACE,
    stacks = sym STACKS,
    exception_stacks = sym EXCEPTION_STACKS,
    entry = sym secondary_entry,
);

unsafe extern "C" {
    static secondary_start: u8;
}

/// Begins to start all secondary CPUs; they come up while the caller goes on.
pub fn start_all() {
    let machine = device_tree::machine();
    if machine.ignored_cpus > 0 {
        let count = machine.ignored_cpus;
        log::warn!(
            "kernel.smp",
            "{count} more CPUs than {MAX_CPUS}: they stay unused"
        );
    }
    let entry = page_table::image_address((&raw const secondary_start).addr());
    ROOT.store(memory::page_table_root().start(), Ordering::Relaxed);
    let me = per_cpu::this_cpu().affinity();
    let mut count = 0;
    for &affinity in machine.cpus().iter().filter(|&&affinity| affinity != me) {
        let made = per_cpu::new_secondary(CpuId(count as u32 + 1), affinity);
        let (Some((data, exception_stack)), Some(stack)) = (made, memory::alloc_kernel_stack())
        else {
            log::warn!("kernel.smp", "no memory for more CPUs");
            break;
        };
        DATA[count].store(data, Ordering::Relaxed);
        STACKS[count].store(stack as u64, Ordering::Relaxed);
        EXCEPTION_STACKS[count].store(exception_stack as u64, Ordering::Relaxed);
        // The CPU finds all that: it begins with its caches on, after a call of the firmware.
        barrier::dsb(barrier::ISHST);
        // SAFETY: the code is there, and finds what it needs under this number.
        match unsafe { power::start_cpu(affinity, entry.0, count as u64) } {
            Ok(()) => count += 1,
            Err(error) => log::warn!("kernel.smp", "CPU {affinity:#x} does not start: {error}"),
        }
    }
    COUNT.store(count as u32, Ordering::Relaxed);
}

/// Waits until the CPUs that `start_all` started are up. Returns how many CPUs run, and of how many.
pub fn wait_online() -> (usize, usize) {
    let expected = 1 + COUNT.load(Ordering::Relaxed);
    let begin = clock::now_ns();
    // Acquire pairs with the Release in `secondary_entry`: their data is listed.
    let mut online = ONLINE.load(Ordering::Acquire);
    while online < expected && clock::now_ns() - begin < PATIENCE_NS {
        cpu::relax();
        online = ONLINE.load(Ordering::Acquire);
    }
    (online as usize, device_tree::machine().cpus().len().max(1))
}

/// Where a secondary CPU reaches Rust: on the stack that it will idle on, with
/// the final page tables and interrupts off.
extern "C" fn secondary_entry(index: usize) -> ! {
    // SAFETY: the data was made for this CPU, and it alone came here with this
    // index.
    unsafe { per_cpu::adopt(DATA[index].load(Ordering::Acquire)) };
    vectors::install();
    cpu::init();
    memory::init_secondary();
    gic::init_this_cpu();
    smp::init_cpu(STACKS[index].load(Ordering::Relaxed) as usize);
    // Release pairs with the Acquire in `wait_online`.
    ONLINE.fetch_add(1, Ordering::Release);
    smp::run_idle()
}

/// The stack that the boot CPU came up on: it idles there.
pub fn boot_stack_top() -> usize {
    &raw const entry::boot_stack_top as usize
}
