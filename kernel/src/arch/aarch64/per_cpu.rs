//! What each CPU has for itself, found through TPIDRRO_EL0, and the running thread, in TPIDR_EL1.
//!
//! The running thread needs a register of its own, so that one read, which preemption cannot split,
//! finds it. There is no EL0, so the register that EL0 may only read is free for the other job; TPIDR_EL0
//! belongs to C.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU8, AtomicUsize, Ordering};

use aarch64_cpu::registers::{Readable, TPIDR_EL1, TPIDRRO_EL0, Writeable};
use alloc::boxed::Box;
use smp::{CpuId, MAX_CPUS, Thread};

use crate::memory::{self, STACK_GUARD_SIZE};

/// Bytes of a CPU's stack for exceptions and interrupts: a fault, one in its handler, one in the report of that.
pub const EXCEPTION_STACK_SIZE: usize = 32 * 1024;
/// Bytes of the stack that takes over when that one has run over.
const SPARE_STACK_SIZE: usize = EXCEPTION_STACK_SIZE - 2 * STACK_GUARD_SIZE;

/// One CPU's exception stack, with the spare one below it, each above an unmapped page.
///
/// An exception on a stack that has run over must not be taken there. The vectors see by bit 15 of the stack pointer
/// whether it has left the exception stack, and by bits 12 to 14 whether it is in the page below it: hence sizes and alignment.
#[repr(C, align(65536))]
pub struct ExceptionStacks {
    spare_guard: [u8; STACK_GUARD_SIZE],
    spare: UnsafeCell<[u8; SPARE_STACK_SIZE]>,
    guard: [u8; STACK_GUARD_SIZE],
    stack: UnsafeCell<[u8; EXCEPTION_STACK_SIZE]>,
}

// SAFETY: only the CPU that they belong to uses them, as stacks.
unsafe impl Sync for ExceptionStacks {}

/// Where the guard pages are in an [`ExceptionStacks`].
pub const STACK_GUARDS: [usize; 2] = [
    offset_of!(ExceptionStacks, spare_guard),
    offset_of!(ExceptionStacks, guard),
];

const _: () = assert!(
    size_of::<ExceptionStacks>() == 0x1_0000
        && offset_of!(ExceptionStacks, stack) == 0x8000
        && offset_of!(ExceptionStacks, guard) == 0x7000
);

impl ExceptionStacks {
    pub const fn new() -> Self {
        Self {
            spare_guard: [0; STACK_GUARD_SIZE],
            spare: UnsafeCell::new([0; SPARE_STACK_SIZE]),
            guard: [0; STACK_GUARD_SIZE],
            stack: UnsafeCell::new([0; EXCEPTION_STACK_SIZE]),
        }
    }
}

/// One CPU's data. Assembly uses some fields by the offsets below.
#[repr(C)]
pub struct CpuLocal {
    /// What a trampoline takes over: `preempt` fills it, and the trampoline
    /// reads it with interrupts still off.
    pub(super) resume: UnsafeCell<Resume>,
    /// Set while this CPU executes a call that a fault may end early.
    pub(super) guard: UnsafeCell<GuardedCall>,
    id: CpuId,
    /// How the interrupt controller, PSCI and the device tree know it.
    affinity: u64,
    /// Its bit in a GICv2's target lists.
    pub(super) gic_target: AtomicU8,
    /// Trap frame at which this CPU stopped for a fault report.
    pub(super) stopped_at: AtomicUsize,
    /// The thread that it ran then.
    pub(super) stopped_thread: AtomicPtr<Thread>,
}

// SAFETY: the cells are the CPU's own; the rest is constant or atomic.
unsafe impl Sync for CpuLocal {}

/// Where interrupted code continues, and why it was interrupted.
#[repr(C)]
pub struct Resume {
    pub sp: u64,
    pub pc: u64,
    pub pstate: u64,
    pub syndrome: u64,
    pub address: u64,
    /// The signal to deliver, as `signal` packs it; 0 for none.
    pub signal: u64,
}

/// Where a guarded call returns if it faults; see `guarded`.
#[repr(C)]
pub struct GuardedCall {
    /// Stack pointer to go back to; 0 while no guarded call runs.
    pub sp: u64,
    pub pc: u64,
}

/// Offset of what a trampoline takes over.
pub const RESUME_OFFSET: usize = offset_of!(CpuLocal, resume);
pub const GUARD_SP_OFFSET: usize = offset_of!(CpuLocal, guard) + offset_of!(GuardedCall, sp);
pub const GUARD_PC_OFFSET: usize = offset_of!(CpuLocal, guard) + offset_of!(GuardedCall, pc);

static CPUS: [AtomicPtr<CpuLocal>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// What the boot CPU needs before there is a heap.
struct Early(UnsafeCell<CpuLocal>);

// SAFETY: only `init_boot_cpu` touches it as a whole, once; after that the
// boot CPU reaches it as any CPU its own.
unsafe impl Sync for Early {}

static BOOT_CPU: Early = Early(UnsafeCell::new(CpuLocal::new(CpuId(0), 0)));

impl CpuLocal {
    const fn new(id: CpuId, affinity: u64) -> Self {
        Self {
            resume: UnsafeCell::new(Resume {
                sp: 0,
                pc: 0,
                pstate: 0,
                syndrome: 0,
                address: 0,
                signal: 0,
            }),
            guard: UnsafeCell::new(GuardedCall { sp: 0, pc: 0 }),
            id,
            affinity,
            gic_target: AtomicU8::new(0),
            stopped_at: AtomicUsize::new(0),
            stopped_thread: AtomicPtr::new(ptr::null_mut()),
        }
    }

    pub const fn id(&self) -> CpuId {
        self.id
    }

    pub const fn affinity(&self) -> u64 {
        self.affinity
    }
}

/// Makes the boot CPU's data. Called once, first of all.
pub fn init_boot_cpu() {
    let cpu = BOOT_CPU.0.get();
    // SAFETY: no one else knows `BOOT_CPU` yet, and there is one CPU.
    unsafe {
        (*cpu).affinity = super::cpu::affinity();
        adopt(cpu);
    }
}

/// Makes the data and the exception stacks of a secondary CPU, which that CPU then adopts. They live
/// as long as the machine runs. Returns the data and the top of the exception stack; `None` when memory is short.
pub fn new_secondary(id: CpuId, affinity: u64) -> Option<(*mut CpuLocal, usize)> {
    let stacks = memory::alloc_cpu_stacks(size_of::<ExceptionStacks>(), &STACK_GUARDS)?;
    assert!(
        stacks.is_multiple_of(align_of::<ExceptionStacks>()),
        "the vectors rely on it"
    );
    let cpu = Box::into_raw(Box::new(CpuLocal::new(id, affinity)));
    Some((cpu, stacks + size_of::<ExceptionStacks>()))
}

/// Makes `cpu` the data of the CPU that runs this, and lists it.
///
/// # Safety
///
/// `cpu` belongs to this CPU alone and lives for ever; interrupts are off.
pub unsafe fn adopt(cpu: *mut CpuLocal) {
    TPIDR_EL1.set(0);
    TPIDRRO_EL0.set(cpu as u64);
    // SAFETY: the caller's contract.
    let index = unsafe { (*cpu).id.index() };
    // Release pairs with the Acquire in `cpu`: the data is complete.
    CPUS[index].store(cpu, Ordering::Release);
}

/// The data of a CPU that has come up.
pub fn cpu(id: CpuId) -> Option<&'static CpuLocal> {
    // SAFETY: a listed pointer comes from `adopt` and lives for ever.
    unsafe { CPUS[id.index()].load(Ordering::Acquire).as_ref() }
}

/// The data of all CPUs that have come up.
pub fn all() -> impl Iterator<Item = &'static CpuLocal> {
    (0..MAX_CPUS as u32).filter_map(|id| cpu(CpuId(id)))
}

/// The data of the CPU that runs the caller. The caller may be moved to another
/// CPU at once unless it is pinned; the number is only a hint then.
pub fn this_cpu() -> &'static CpuLocal {
    // SAFETY: the register points to this CPU's `CpuLocal` from the first moments on.
    unsafe { &*(TPIDRRO_EL0.get() as *const CpuLocal) }
}

/// The number of the CPU that runs the caller; a hint unless the caller is pinned.
pub fn this_cpu_id() -> CpuId {
    this_cpu().id
}

/// Returns the running thread: one read, so preemption cannot split it.
#[inline]
pub fn current() -> *const Thread {
    TPIDR_EL1.get() as *const Thread
}

/// Stores the running thread.
///
/// # Safety
///
/// As for `smp::Platform::set_current`.
pub unsafe fn set_current(thread: *const Thread) {
    // SAFETY: the register is the scheduler's.
    unsafe { asm!("msr tpidr_el1, {}", in(reg) thread, options(nostack, preserves_flags)) };
}
