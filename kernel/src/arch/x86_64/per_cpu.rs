//! What each CPU has for itself, found through its GS base.
//!
//! `gs:[0]` is the running thread. There is one privilege level, so GS always
//! holds the kernel's base and no entry path swaps it; C code never writes it.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

use alloc::boxed::Box;
use smp::{CpuId, MAX_CPUS, Thread};
use x86_64::structures::tss::TaskStateSegment;

use super::gdt::{self, InterruptStacks, Segments};
use crate::memory;

/// One CPU's data. Assembly uses the first fields by the offsets below.
#[repr(C)]
pub struct CpuLocal {
    /// The running thread.
    current: UnsafeCell<*const Thread>,
    this: *const CpuLocal,
    /// What a trampoline takes over: `preempt` fills it, and the trampoline
    /// reads it with interrupts still off.
    pub(super) resume: UnsafeCell<Resume>,
    /// The task state segment, whose IST entries the exception stubs move so
    /// that a fault inside a fault handler gets a fresh stack.
    tss: UnsafeCell<TaskStateSegment>,
    id: CpuId,
    apic_id: u32,
    segments: UnsafeCell<Segments>,
    stacks: *mut InterruptStacks,
    /// Set while this CPU executes a call that a fault may end early.
    pub(super) guard: UnsafeCell<GuardedCall>,
    /// Trap frame at which this CPU stopped for a fault report.
    pub(super) stopped_at: AtomicUsize,
}

/// Where interrupted code continues, and why it was interrupted.
#[repr(C)]
pub struct Resume {
    pub rip: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub vector: u64,
    pub error: u64,
    pub address: u64,
}

/// Where a guarded call returns if it faults; see `guarded`.
#[repr(C)]
pub struct GuardedCall {
    /// Stack pointer to go back to; 0 while no guarded call runs.
    pub rsp: u64,
    pub rip: u64,
}

/// Offset of the running thread, for assembly.
pub const CURRENT_OFFSET: usize = offset_of!(CpuLocal, current);
const ID_OFFSET: usize = offset_of!(CpuLocal, id);
const THIS_OFFSET: usize = offset_of!(CpuLocal, this);
/// Offset of what a trampoline takes over.
pub const RESUME_OFFSET: usize = offset_of!(CpuLocal, resume);
pub const GUARD_RSP_OFFSET: usize = offset_of!(CpuLocal, guard) + offset_of!(GuardedCall, rsp);
pub const GUARD_RIP_OFFSET: usize = offset_of!(CpuLocal, guard) + offset_of!(GuardedCall, rip);
/// Offset of IST entry `n` (1 to 7).
pub const fn ist_offset(n: usize) -> usize {
    offset_of!(CpuLocal, tss)
        + offset_of!(TaskStateSegment, interrupt_stack_table)
        + (n - 1) * size_of::<u64>()
}

const _: () = assert!(CURRENT_OFFSET == 0);

static CPUS: [AtomicPtr<CpuLocal>; MAX_CPUS] =
    [const { AtomicPtr::new(ptr::null_mut()) }; MAX_CPUS];

/// What the boot CPU needs before there is a heap.
struct Early<T>(UnsafeCell<T>);

// SAFETY: only `init_boot_cpu` touches these as a whole, once; after that the
// boot CPU reaches them as any CPU its own.
unsafe impl<T> Sync for Early<T> {}

static BOOT_STACKS: Early<InterruptStacks> = Early(UnsafeCell::new(InterruptStacks::new()));
static BOOT_CPU: Early<CpuLocal> = Early(UnsafeCell::new(CpuLocal::new(
    CpuId(0),
    0,
    BOOT_STACKS.0.get(),
)));

impl CpuLocal {
    const fn new(id: CpuId, apic_id: u32, stacks: *mut InterruptStacks) -> Self {
        Self {
            current: UnsafeCell::new(ptr::null()),
            this: ptr::null(),
            resume: UnsafeCell::new(Resume {
                rip: 0,
                rflags: 0,
                rsp: 0,
                vector: 0,
                error: 0,
                address: 0,
            }),
            tss: UnsafeCell::new(TaskStateSegment::new()),
            id,
            apic_id,
            segments: UnsafeCell::new(Segments::new()),
            stacks,
            guard: UnsafeCell::new(GuardedCall { rsp: 0, rip: 0 }),
            stopped_at: AtomicUsize::new(0),
        }
    }

    pub const fn id(&self) -> CpuId {
        self.id
    }

    pub const fn apic_id(&self) -> u32 {
        self.apic_id
    }

    /// The thread this CPU runs, for a report by another CPU.
    pub fn current_thread(&self) -> *const Thread {
        // SAFETY: an aligned pointer-sized read; the owner may be changing it,
        // and either value was current a moment ago.
        unsafe { self.current.get().read_volatile() }
    }
}

/// Makes the boot CPU's GDT, TSS and GS base. Called once, first of all.
pub fn init_boot_cpu(apic_id: u32) {
    let cpu = BOOT_CPU.0.get();
    // SAFETY: no one else knows `BOOT_CPU` yet, and there is one CPU.
    unsafe {
        (*cpu).apic_id = apic_id;
        (*cpu).this = cpu;
        adopt(cpu);
    }
}

/// Returns the guard pages of the boot CPU's interrupt stacks.
pub fn boot_stack_guards() -> impl Iterator<Item = usize> {
    let start = BOOT_STACKS.0.get() as usize;
    gdt::STACK_GUARDS
        .into_iter()
        .map(move |offset| start + offset)
}

/// Makes the data of a secondary CPU, which that CPU then adopts. It lives as
/// long as the machine runs. `None` when memory is short.
pub fn new_secondary(id: CpuId, apic_id: u32) -> Option<*mut CpuLocal> {
    let stacks = memory::alloc_cpu_stacks(size_of::<InterruptStacks>(), &gdt::STACK_GUARDS)?;
    let stacks = ptr::with_exposed_provenance_mut(stacks);
    let cpu = Box::into_raw(Box::new(CpuLocal::new(id, apic_id, stacks)));
    // SAFETY: just allocated, and nobody else knows it yet.
    unsafe { (*cpu).this = cpu };
    Some(cpu)
}

/// Makes `cpu` the data of the CPU that runs this: loads its segments and its
/// GS base, and lists it.
///
/// # Safety
///
/// `cpu` belongs to this CPU alone and lives for ever; interrupts are off.
pub unsafe fn adopt(cpu: *mut CpuLocal) {
    // SAFETY: the caller's contract.
    unsafe {
        gdt::load((*cpu).segments.get(), (*cpu).tss.get(), (*cpu).stacks);
        // Loading segments does not touch GS here, and the base is an MSR.
        x86_64::registers::model_specific::GsBase::write(x86_64::VirtAddr::from_ptr(cpu));
    }
    // SAFETY: as above.
    let index = unsafe { (*cpu).id.index() };
    // Release pairs with the Acquire in `cpu`: the data is complete.
    CPUS[index].store(cpu, Ordering::Release);
}

/// The top of this CPU's stack for device interrupts.
pub fn interrupt_stack_top() -> usize {
    // SAFETY: the TSS is this CPU's own, and this entry never changes.
    let table = unsafe { (*this_cpu().tss.get()).interrupt_stack_table };
    table[gdt::IST_INTERRUPT - 1].as_u64() as usize
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
    let this: *const CpuLocal;
    // SAFETY: GS points to this CPU's `CpuLocal` from the first moments on, and
    // `this` never changes.
    unsafe {
        asm!("mov {}, gs:[{offset}]", out(reg) this, offset = const THIS_OFFSET,
             options(nostack, preserves_flags, readonly));
        &*this
    }
}

/// The number of the CPU that runs the caller; a hint unless the caller is pinned.
pub fn this_cpu_id() -> CpuId {
    let id: u32;
    // SAFETY: GS points to this CPU's `CpuLocal`, and the id never changes.
    unsafe {
        asm!("mov {:e}, gs:[{offset}]", out(reg) id, offset = const ID_OFFSET,
             options(nostack, preserves_flags, readonly));
    }
    CpuId(id)
}

/// Returns the running thread: one read, so preemption cannot split it.
pub fn current() -> *const Thread {
    let thread: *const Thread;
    // SAFETY: GS points to this CPU's `CpuLocal`, whose first field this is.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) thread,
             options(nostack, preserves_flags, readonly));
    }
    thread
}

/// Stores the running thread.
///
/// # Safety
///
/// As for `smp::Platform::set_current`.
pub unsafe fn set_current(thread: *const Thread) {
    // SAFETY: GS points to this CPU's `CpuLocal`, whose first field this is; no
    // Rust reference to the field exists.
    unsafe {
        asm!("mov gs:[0], {}", in(reg) thread, options(nostack, preserves_flags));
    }
}
