//! What one CPU does with itself: interrupts, waiting, stopping, the C thread
//! pointer, and the control registers it runs with.

use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use raw_cpuid::CpuId;
use spin::Once;
use x86_64::VirtAddr;
use x86_64::instructions::{hlt, interrupts};
use x86_64::registers::control::{Cr0, Cr0Flags, Cr4, Cr4Flags, Efer, EferFlags};
use x86_64::registers::model_specific::FsBase;
use x86_64::registers::segmentation::{FS, Segment64};

use super::trap_stubs::TrapFrame;
use super::{apic, clock, per_cpu};

/// How long CPUs get to stop before a report goes on without them.
const STOP_TIMEOUT_NS: u64 = 200_000_000;

static HAS_FSGSBASE: AtomicBool = AtomicBool::new(false);
/// The first thread pointer that C code set: that of Python's main thread.
static FIRST_THREAD_POINTER: AtomicUsize = AtomicUsize::new(0);
static IS_STOPPING: AtomicBool = AtomicBool::new(false);

/// Sets the control registers that all CPUs run with. The same on every CPU.
pub fn init() {
    let cpuid = CpuId::new();
    let features = cpuid.get_extended_feature_info();
    let has_fsgsbase = features.as_ref().is_some_and(|f| f.has_fsgsbase());
    // SAFETY: W^X needs both; the boot tables set no page read-only or
    // no-execute, so nothing changes for what runs now.
    unsafe {
        Efer::update(|efer| efer.insert(EferFlags::NO_EXECUTE_ENABLE));
        Cr0::update(|cr0| cr0.insert(Cr0Flags::WRITE_PROTECT));
        Cr4::update(|cr4| {
            // Without the second, a machine check would stop the CPU unseen.
            cr4.insert(Cr4Flags::PAGE_GLOBAL | Cr4Flags::MACHINE_CHECK_EXCEPTION);
            cr4.set(Cr4Flags::FSGSBASE, has_fsgsbase);
        });
    }
    HAS_FSGSBASE.store(has_fsgsbase, Ordering::Relaxed);
    super::fpu::init();
}

/// Runs `f` with interrupts off on this CPU.
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    interrupts::without_interrupts(f)
}

/// Turns interrupts off on this CPU.
pub fn disable_interrupts() {
    interrupts::disable();
}

/// Tells the CPU that the caller spins.
pub fn relax() {
    core::hint::spin_loop();
}

/// Stops this CPU for ever.
pub fn halt_forever() -> ! {
    loop {
        interrupts::disable();
        hlt();
    }
}

/// Writes the FS base: C's thread pointer.
pub fn write_thread_pointer(value: usize) {
    if HAS_FSGSBASE.load(Ordering::Relaxed) {
        // SAFETY: CR4.FSGSBASE is set; kernel code does not use FS.
        unsafe { FS::write_base(VirtAddr::new_truncate(value as u64)) };
    } else {
        FsBase::write(VirtAddr::new_truncate(value as u64));
    }
}

/// Reads the FS base.
pub fn read_thread_pointer() -> u64 {
    FsBase::read().as_u64()
}

/// Sets the running thread's thread pointer, now and for every time it runs
/// again: `arch_prctl(ARCH_SET_FS)`, musl's `__set_thread_area`.
pub fn set_thread_pointer(value: usize) {
    let current = smp::current();
    current.set_thread_pointer(value);
    // Preemption between the two is harmless: switching back writes the value
    // that was stored.
    write_thread_pointer(value);
    let _ = FIRST_THREAD_POINTER.compare_exchange(0, value, Ordering::Relaxed, Ordering::Relaxed);
}

/// Whether C code has ever set a thread pointer: whether Python's traceback code
/// can run.
pub fn has_python_thread() -> bool {
    FIRST_THREAD_POINTER.load(Ordering::Relaxed) != 0
}

/// The caller's stack pointer.
#[inline(always)]
pub fn stack_pointer() -> usize {
    let value: usize;
    // SAFETY: reads a register.
    unsafe {
        core::arch::asm!("mov {}, rsp", out(reg) value, options(nostack, nomem, preserves_flags))
    };
    value
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
    STAND_IN[0].store(stack_top, Ordering::Relaxed);
    super::syscall::SYSCALL_TARGET.store(target as *const () as usize, Ordering::Relaxed);
    if read_thread_pointer() == 0 {
        write_thread_pointer(FIRST_THREAD_POINTER.load(Ordering::Relaxed));
    }
    // SAFETY: only `kernel_syscall` looks at it from here on, at the fields
    // that the stand-in has.
    unsafe { per_cpu::set_current((&raw const STAND_IN).cast()) };
}

/// Whether the CPUs are to stop for a report.
pub fn is_stopping() -> bool {
    IS_STOPPING.load(Ordering::Relaxed)
}

/// Stops one other CPU by NMI.
pub fn stop_cpu(target: &per_cpu::CpuLocal) {
    IS_STOPPING.store(true, Ordering::SeqCst);
    apic::send_nmi(target.apic_id());
}

/// Stops every other CPU by NMI, which they take with interrupts off as well.
/// Returns whether all answered.
pub fn stop_other_cpus() -> bool {
    let me = per_cpu::this_cpu().id();
    let others = || per_cpu::all().filter(move |cpu| cpu.id() != me);
    for cpu in others() {
        stop_cpu(cpu);
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

/// Where a CPU stays once it has been told to stop, from its NMI handler.
pub fn stop_here(frame: &TrapFrame) -> ! {
    // Release pairs with the Acquire in `traps::stopped_cpu`.
    per_cpu::this_cpu()
        .stopped_at
        .store(core::ptr::from_ref(frame) as usize, Ordering::Release);
    halt_forever()
}

/// The CPU's name, for the log and `/proc/cpuinfo`.
pub fn brand() -> &'static str {
    static BRAND: Once<Option<raw_cpuid::ProcessorBrandString>> = Once::new();
    BRAND
        .call_once(|| CpuId::new().get_processor_brand_string())
        .as_ref()
        .map_or("x86-64", |brand| brand.as_str().trim())
}

/// CPUID leaf 1 EDX: what AT_HWCAP of the auxiliary vector holds on x86.
pub fn hwcap() -> usize {
    core::arch::x86_64::__cpuid(1).edx as usize
}
