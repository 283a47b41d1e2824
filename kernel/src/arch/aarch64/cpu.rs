//! What one CPU does with itself: interrupts, waiting, stopping, the C thread
//! pointer, and the control registers it runs with.

use core::sync::atomic::{AtomicUsize, Ordering};

use aarch64_cpu::asm::{barrier, wfi};
use aarch64_cpu::registers::{
    CPACR_EL1, DAIF, ID_AA64ISAR0_EL1, MPIDR_EL1, ReadWriteable, Readable, TPIDR_EL0, Writeable,
};
use smp::Thread;

use super::vectors::TrapFrame;
use super::{clock, device_tree, gic, per_cpu};

/// How long CPUs get to stop before a report goes on without them.
const STOP_TIMEOUT_NS: u64 = 200_000_000;

/// The first thread pointer that C code set: that of Python's main thread.
static FIRST_THREAD_POINTER: AtomicUsize = AtomicUsize::new(0);

/// Sets what all CPUs run with: floating point works, failures of the hardware are reported, and another CPU's fault
/// report stops this one whatever it does.
pub fn init() {
    CPACR_EL1.modify(CPACR_EL1::FPEN::TrapNothing);
    // By its encoding: this code is built for a CPU without floating point, so the assembler has no FPCR.
    // SAFETY: FPCR 0 is what a C function may expect; the vectors take an SError and a fast interrupt, from
    // which a CPU does not come back.
    unsafe {
        core::arch::asm!(
            "isb",
            "msr s3_3_c4_c4_0, xzr",
            "msr daifclr, 5",
            options(nostack)
        )
    };
}

/// Tells whether this CPU takes interrupts.
pub fn are_interrupts_enabled() -> bool {
    !DAIF.is_set(DAIF::I)
}

/// Lets interrupts through on this CPU.
pub fn enable_interrupts() {
    // SAFETY: the vectors are set; the caller holds no lock that a handler takes. Not `nomem`: what is
    // written before must be written before.
    unsafe { core::arch::asm!("msr daifclr, 2", options(nostack, preserves_flags)) };
}

/// Turns interrupts off on this CPU.
pub fn disable_interrupts() {
    // SAFETY: only delays interrupts. Not `nomem`, as above.
    unsafe { core::arch::asm!("msr daifset, 2", options(nostack, preserves_flags)) };
}

/// Lets another CPU's fault report stop this one, in a handler whose frame is complete; the way out turns it off again.
pub fn enable_fast_interrupts() {
    // SAFETY: the vectors are set; a CPU does not come back from a fast interrupt.
    unsafe { core::arch::asm!("msr daifclr, 1", options(nostack, preserves_flags)) };
}

/// Runs `f` with interrupts off on this CPU.
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    let were_on = are_interrupts_enabled();
    disable_interrupts();
    let result = f();
    if were_on {
        enable_interrupts();
    }
    result
}

/// Waits for an interrupt, also one that came before, and lets it through; called and returns with
/// interrupts off.
pub fn halt() {
    // A pending interrupt ends the wait even if it is masked (Arm ARM, D1.6.2), so none is slept through.
    barrier::dsb(barrier::SY);
    wfi();
    enable_interrupts();
    barrier::isb(barrier::SY);
    disable_interrupts();
}

/// Tells the CPU that the caller spins.
pub fn relax() {
    core::hint::spin_loop();
}

/// Stops this CPU for ever.
pub fn halt_forever() -> ! {
    disable_interrupts();
    gic::silence_this_cpu();
    loop {
        wfi();
    }
}

/// Writes C's thread pointer.
pub fn write_thread_pointer(value: usize) {
    TPIDR_EL0.set(value as u64);
}

/// Reads C's thread pointer.
pub fn read_thread_pointer() -> usize {
    let value = TPIDR_EL0.get() as usize;
    // Relaxed: whoever finds it only wants some thread's.
    if value != 0 && FIRST_THREAD_POINTER.load(Ordering::Relaxed) == 0 {
        FIRST_THREAD_POINTER.store(value, Ordering::Relaxed);
    }
    value
}

/// Sets the running thread's thread pointer, now and for every time it runs again.
pub fn set_thread_pointer(value: usize) {
    write_thread_pointer(value);
}

/// Whether C code has ever set a thread pointer: whether Python's traceback code
/// can run.
pub fn has_python_thread() -> bool {
    read_thread_pointer() != 0 || FIRST_THREAD_POINTER.load(Ordering::Relaxed) != 0
}

/// The caller's stack pointer.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let value: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, sp", out(reg) value, options(nostack, nomem, preserves_flags))
    };
    value
}

/// This CPU's affinity: what the device tree, the interrupt controller and PSCI know it by.
pub fn affinity() -> u64 {
    // Aff3, Aff2, Aff1, Aff0.
    MPIDR_EL1.get() & 0xff_00ff_ffff
}

/// Makes this CPU's kernel calls go to `target` on another stack: for the C code
/// that a fault report uses. The thread it interrupted is gone.
///
/// # Safety
///
/// Interrupts are off for good, other CPUs have stopped, and below `stack_top`
/// lies an unused stack.
pub unsafe fn divert_calls(
    target: extern "C" fn(usize, usize, usize, usize, usize, usize, usize) -> isize,
    stack_top: usize,
) {
    /// The fields of a thread that assembly reads, in their places: the end of
    /// the kernel stack, and no notification.
    static STAND_IN: [AtomicUsize; 64] = [const { AtomicUsize::new(0) }; 64];
    STAND_IN[Thread::KERNEL_STACK_TOP_OFFSET / size_of::<usize>()]
        .store(stack_top, Ordering::Relaxed);
    super::syscall::SYSCALL_TARGET.store(target as *const () as usize, Ordering::Relaxed);
    if read_thread_pointer() == 0 {
        write_thread_pointer(FIRST_THREAD_POINTER.load(Ordering::Relaxed));
    }
    // SAFETY: only `kernel_syscall` looks at it from here on, at the fields
    // that the stand-in has.
    unsafe { per_cpu::set_current((&raw const STAND_IN).cast()) };
}

/// Stops every other CPU. Returns whether all answered: where there are no fast interrupts, one that has interrupts
/// off for long does not.
pub fn stop_other_cpus() -> bool {
    let me = per_cpu::this_cpu_id();
    let others = || per_cpu::all().filter(move |cpu| cpu.id() != me);
    for cpu in others() {
        gic::send(cpu, gic::SGI_STOP);
    }
    let deadline = clock::now_ns() + STOP_TIMEOUT_NS;
    let have_stopped = || others().all(|cpu| cpu.stopped_at.load(Ordering::Acquire) != 0);
    while !have_stopped() {
        if clock::now_ns() > deadline {
            return false;
        }
        relax();
    }
    true
}

/// Where a CPU stays once it has been told to stop, from its interrupt handler.
pub fn stop_here(frame: &TrapFrame) -> ! {
    let cpu = per_cpu::this_cpu();
    cpu.stopped_thread
        .store(per_cpu::current().cast_mut(), Ordering::Relaxed);
    // Release pairs with the Acquire in `traps::stopped_cpu`.
    cpu.stopped_at
        .store(core::ptr::from_ref(frame) as usize, Ordering::Release);
    halt_forever()
}

/// The CPU's name, for the log and `/proc/cpuinfo`: what the device tree calls it.
pub fn brand() -> &'static str {
    device_tree::machine().cpu_name()
}

const FP: usize = 1 << 0;
const ASIMD: usize = 1 << 1;
const CRC32: usize = 1 << 7;
const ATOMICS: usize = 1 << 8;

/// What AT_HWCAP of the auxiliary vector holds: of what C code may use, what this machine has (Linux's
/// `asm/hwcap.h`). Only what the context switch and the trampoline keep may be there.
pub fn hwcap() -> usize {
    const CPUID_ATOMIC: u64 = 20;
    const CPUID_CRC32: u64 = 16;
    let features = ID_AA64ISAR0_EL1.get();
    let has = |shift: u64| features >> shift & 0xf != 0;
    let mut capabilities = FP | ASIMD;
    if has(CPUID_ATOMIC) {
        capabilities |= ATOMICS;
    }
    if has(CPUID_CRC32) {
        capabilities |= CRC32;
    }
    capabilities
}

/// The names of what `hwcap` has, as Linux's `/proc/cpuinfo` writes them.
pub fn capability_names() -> impl Iterator<Item = &'static str> {
    let capabilities = hwcap();
    [
        ("fp", FP),
        ("asimd", ASIMD),
        ("crc32", CRC32),
        ("atomics", ATOMICS),
    ]
    .into_iter()
    .filter(move |(_, bit)| capabilities & bit != 0)
    .map(|(name, _)| name)
}
